// Random trees of layers for the tests of programs and schedules.
#pragma once

#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "../../csrc/core/lower.hpp"

namespace fnnfast::test {

inline int activation(const char* name) {
  for (int i = 0; i < kActivations; ++i)
    if (std::strcmp(name, kActivationInfo[i].name) == 0) return i;
  return -1;
}

using Kind = LayerSpec::Kind;
using Specs = std::vector<LayerSpec>;

inline LayerSpec dense(ptrdiff_t units, const char* act = "identity", bool bias = true) {
  LayerSpec s{Kind::kDense};
  s.units = units;
  s.activation = activation(act);
  s.bias = bias;
  if (s.activation == activation("swish")) s.parameter = 1.0;
  return s;
}
inline LayerSpec maxout(ptrdiff_t units, ptrdiff_t pieces) {
  LayerSpec s{Kind::kMaxout};
  s.units = units;
  s.pieces = pieces;
  return s;
}
inline LayerSpec convolution(ptrdiff_t filters, Windows windows, const char* act = "identity", ptrdiff_t groups = 1,
                             ptrdiff_t pieces = 1) {
  LayerSpec s{Kind::kConvolution};
  s.units = filters;
  s.windows = windows;
  s.groups = groups;
  s.pieces = pieces;
  s.maxout = pieces > 1;
  s.activation = activation(act);
  if (s.activation == activation("swish")) s.parameter = 1.0;
  return s;
}
inline Windows square(int kernel, int padding = 0, int stride = 1) {
  return {{kernel, kernel}, {stride, stride}, {1, 1}, {padding, padding}, {padding, padding}};
}
inline LayerSpec pool(bool maximum, Windows windows, bool count_padding = false) {
  LayerSpec s{maximum ? Kind::kMaxPool : Kind::kAveragePool};
  s.windows = windows;
  s.count_padding = count_padding;
  return s;
}
inline LayerSpec normalize() {
  LayerSpec s{Kind::kNormalize};
  s.eps = 1e-5;
  s.momentum = 0.9;
  return s;
}
inline LayerSpec local_response(int size) {
  LayerSpec s{Kind::kLocalResponse};
  s.size = size;
  s.alpha = 0.5;
  s.beta = 0.75;
  s.offset = 1.0;
  return s;
}
inline LayerSpec act(const char* name) {
  LayerSpec s{Kind::kActivation};
  s.activation = activation(name);
  if (s.activation == activation("swish")) s.parameter = 1.0;
  return s;
}
inline LayerSpec flatten() { return {Kind::kFlatten}; }
inline LayerSpec dropout(double rate) {
  LayerSpec s{Kind::kDropout};
  s.amount = rate;
  return s;
}
inline LayerSpec noise(double deviation) {
  LayerSpec s{Kind::kNoise};
  s.amount = deviation;
  return s;
}
inline LayerSpec residual(Specs block, const char* act = "identity", ptrdiff_t units = 0) {
  LayerSpec s{Kind::kResidual};
  s.branches.push_back(std::move(block));
  s.activation = activation(act);
  s.units = units;
  return s;
}
inline LayerSpec residual_with(Specs block, Specs shortcut, const char* act = "identity") {
  LayerSpec s = residual(std::move(block), act);
  s.branches.push_back(std::move(shortcut));
  return s;
}
inline LayerSpec parallel(std::vector<Specs> branches) {
  LayerSpec s{Kind::kParallel};
  s.branches = std::move(branches);
  return s;
}

// Layers of all kinds, nested up to four deep, that keep or change the shape that they get.
class RandomTree {
 public:
  explicit RandomTree(unsigned seed) : generator_(seed) {}

  int number(int least, int most) { return std::uniform_int_distribution<int>(least, most)(generator_); }
  bool coin(double p = 0.5) { return std::bernoulli_distribution(p)(generator_); }

  Shape input() {
    if (coin(0.4)) return {1, 1, number(1, 9)};
    return {number(2, 6), number(2, 6), number(1, 4)};
  }
  // With a dense head, so that there are always parameters.
  Specs tree(Shape shape) {
    Specs specs = sequence(shape, number(1, 5), 0);
    specs.push_back(dense(number(1, 4), kActs[number(0, 3)]));
    return specs;
  }
  Specs sequence(Shape& shape, int layers, int depth) {
    Specs specs;
    for (int i = 0; i < layers; ++i) specs.push_back(layer(shape, depth));
    return specs;
  }

 private:
  static constexpr const char* kActs[] = {"identity", "tanh", "swish", "prelu", "sigmoid", "softplus"};

  LayerSpec layer(Shape& shape, int depth) {
    const char* const f = kActs[number(0, 5)];
    while (true) switch (number(0, 11)) {
        case 0:
          shape = {1, 1, number(1, 7)};
          return dense(shape.c, f, coin());
        case 1:
          shape = {1, 1, number(1, 7)};
          return maxout(shape.c, number(1, 3));
        case 2: {
          if (shape.is_vector()) break;
          const int kernel = number(1, 3), stride = number(1, 2);
          const Windows w = square(kernel, kernel / 2, stride);
          const ptrdiff_t filters = number(1, 4), pieces = coin(0.2) ? 2 : 1;
          LayerSpec spec = convolution(filters, w, pieces > 1 ? "identity" : f, 1, pieces);
          shape = w.output(shape, filters);
          return spec;
        }
        case 3: {
          if (shape.is_vector()) break;
          const Windows w = square(3, 1);
          return convolution(shape.c, w, f, shape.c);  // depthwise
        }
        case 4: {
          if (shape.h < 2 || shape.w < 2) break;
          const Windows w = square(2, coin(0.3) ? 1 : 0, number(1, 2));
          shape = w.output(shape, shape.c);
          return pool(coin(), w, coin());
        }
        case 5:
          return normalize();
        case 6:
          if (shape.is_vector()) break;
          return local_response(number(1, 3));
        case 7:
          return act(kActs[number(1, 5)]);
        case 8:
          if (coin(0.7)) break;
          shape = {1, 1, shape.size()};
          return flatten();
        case 9:
          return coin() ? dropout(0.3) : noise(0.2);
        case 10: {
          if (depth > 2) break;
          Shape end = shape;
          Specs block = sequence(end, number(1, 2), depth + 1);
          const char* const g = kActs[number(0, 2)];
          if (end == shape && coin()) return residual(std::move(block), g);
          if (end == shape || !(end.h == shape.h && end.w == shape.w)) {
            block.push_back(fit(end, shape));
            return residual(std::move(block), g);
          }
          if (coin()) {
            shape = end;
            return residual(std::move(block), g, end.c);
          }
          Specs shortcut{fit(shape, end)};
          shape = end;
          return residual_with(std::move(block), std::move(shortcut), g);
        }
        default: {
          if (depth > 2) break;
          std::vector<Specs> branches;
          ptrdiff_t channels = 0;
          for (int b = number(1, 3); b > 0; --b) {
            Shape end = shape;
            Specs branch = coin(0.2) ? Specs{} : sequence(end, number(1, 2), depth + 1);
            if (end.h != shape.h || end.w != shape.w) {
              branch.push_back(fit(end, shape));
              end = shape;
            }
            channels += end.c;
            branches.push_back(std::move(branch));
          }
          shape.c = channels;
          return parallel(std::move(branches));
        }
      }
  }
  // A layer from one shape to another: of pixels, or a product that makes all of them as a vector where that will do.
  LayerSpec fit(const Shape& from, const Shape& to) {
    if (to.is_vector()) return dense(to.c);
    if (from.h == to.h && from.w == to.w) return convolution(to.c, square(1));
    // Window and padding that give exactly that size.
    Windows w;
    const ptrdiff_t sizes[2][2] = {{from.h, to.h}, {from.w, to.w}};
    for (int axis = 0; axis < 2; ++axis) {
      const ptrdiff_t less = sizes[axis][0] - sizes[axis][1];
      w.kernel[axis] = less >= 0 ? static_cast<int>(less) + 1 : 1;
      w.after[axis] = less >= 0 ? 0 : static_cast<int>(-less);
    }
    return convolution(to.c, w);
  }

  std::mt19937 generator_;
};

}  // namespace fnnfast::test
