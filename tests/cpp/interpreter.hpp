// Every operation in double precision, one plain loop each: a third opinion beside the kernels and the oracles.
// inference_run.hpp and training_run.hpp run schedules with it.
#pragma once

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../csrc/core/schedule.hpp"

namespace fnnfast::test {

inline double hash01(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  std::uint64_t z = a * 0x9E3779B97F4A7C15ull + b * 0xBF58476D1CE4E5B9ull + c * 0x94D049BB133111EBull + 1;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

// Functions of the activations that the random trees use.
struct Function {
  std::string name;
  explicit Function(int index) : name(kActivationInfo[index].name) {}
  double value(double z, double p) const {
    if (name == "identity") return z;
    if (name == "tanh") return std::tanh(z);
    if (name == "sigmoid") return 1 / (1 + std::exp(-z));
    if (name == "softplus") return std::log1p(std::exp(z));
    if (name == "swish") return z / (1 + std::exp(-p * z));
    if (name == "prelu") return z > 0 ? z : p * z;
    throw std::logic_error("no such function here: " + name);
  }
  // From what forward saves: the output for tanh, sigmoid, softplus; else the input.
  double derivative(double saved, double p) const {
    if (name == "tanh") return 1 - saved * saved;
    if (name == "sigmoid") return saved * (1 - saved);
    if (name == "softplus") return -std::expm1(-saved);
    if (name == "swish") {
      const double s = 1 / (1 + std::exp(-p * saved));
      return s + p * saved * s * (1 - s);
    }
    if (name == "prelu") return saved > 0 ? 1 : p;
    return 1;
  }
};

// Of one block. Also used for the gradients of them.
struct Parameters {
  std::vector<double> weight, bias, slopes;  // normalisation: weight is gamma, bias beta
  explicit Parameters(const ParameterBlock& b) {
    const auto size = [](ptrdiff_t n) { return static_cast<std::size_t>(n); };
    if (b.kind == ParameterBlock::Kind::kAffine) {
      weight.assign(size(b.inputs * b.units * b.pieces), 0.0);
      if (b.bias) bias.assign(size(b.units * b.pieces), 0.0);
    } else if (b.kind == ParameterBlock::Kind::kNormalize) {
      weight.assign(size(b.units), 0.0);
      bias.assign(size(b.units), 0.0);
    }
    if (b.slopes) slopes.assign(size(b.units), 0.0);
  }
};

// What both kinds of run share: access to values, and the arithmetic of each operation for one sample.
class Interpreter {
 public:
  Interpreter(const Program& program, std::vector<Parameters>& parameters, ptrdiff_t samples)
      : program_(program), parameters_(parameters), samples_(samples) {}

  // An element of a value, addressed as (sample, pixel, channel).
  struct View {
    double* data;
    ptrdiff_t sample, row, channel;
    double& operator()(ptrdiff_t s, ptrdiff_t pixel, ptrdiff_t c) const {
      return data[s * sample + pixel * row + channel + c];
    }
  };

 protected:
  const Parameters& of(BlockId id) const { return parameters_[static_cast<std::size_t>(id)]; }

  double piece_sum(const Node& node, const View& x, ptrdiff_t s, ptrdiff_t pixel, ptrdiff_t unit,
                   ptrdiff_t piece) const {
    const Affine& op = *node.as<Affine>();
    const ParameterBlock& b = program_.block(op.block);
    const Parameters& p = of(op.block);
    double sum = b.bias ? p.bias[static_cast<std::size_t>(piece * b.units + unit)] : 0.0;
    for_inputs(node, pixel, unit, [&](ptrdiff_t input, ptrdiff_t from_pixel, ptrdiff_t c) {
      sum += x(s, from_pixel, c) * p.weight[static_cast<std::size_t>((piece * b.inputs + input) * b.units + unit)];
    });
    return sum;
  }
  // Calls f(input of the weight, pixel, channel) for what a unit reads inside the image.
  template <class F>
  void for_inputs(const Node& node, ptrdiff_t pixel, ptrdiff_t unit, F f) const {
    const Affine& op = *node.as<Affine>();
    const ParameterBlock& b = program_.block(op.block);
    const Shape in = program_.value(node.in).shape, out = program_.value(node.out).shape;
    if (!op.windowed) {
      for (ptrdiff_t i = 0; i < b.inputs; ++i) f(i, pixel, i);
      return;
    }
    const ptrdiff_t each = in.c / b.groups, first = unit / (b.units / b.groups) * each;
    for_taps(op.windows, in, out, pixel, [&](ptrdiff_t tap, ptrdiff_t from) {
      for (ptrdiff_t c = 0; c < each; ++c) f(tap * each + c, from, first + c);
    });
  }
  // Calls f(tap, pixel) for the taps of a window that lie inside the image.
  template <class F>
  static void for_taps(const Windows& w, const Shape& in, const Shape& out, ptrdiff_t pixel, F f) {
    const ptrdiff_t y = pixel / out.w * w.stride[0] - w.before[0], x = pixel % out.w * w.stride[1] - w.before[1];
    for (ptrdiff_t ky = 0; ky < w.kernel[0]; ++ky)
      for (ptrdiff_t kx = 0; kx < w.kernel[1]; ++kx) {
        const ptrdiff_t row = y + ky * w.dilation[0], column = x + kx * w.dilation[1];
        if (row >= 0 && row < in.h && column >= 0 && column < in.w) f(ky * w.kernel[1] + kx, row * in.w + column);
      }
  }
  double parameter(const Epilogue& e, ptrdiff_t channel) const {
    if (e.slopes == kNone) return e.parameter;
    return of(e.slopes).slopes[static_cast<std::size_t>(channel)];
  }
  double average_count(const Pool& op, const Shape& in, const Shape& out, ptrdiff_t pixel) const {
    if (op.count_padding) return static_cast<double>(op.windows.taps());
    double n = 0;
    for_taps(op.windows, in, out, pixel, [&](ptrdiff_t, ptrdiff_t) { n += 1; });
    return n;
  }
  double response_scale(const LocalResponse& op, const View& x, ptrdiff_t s, ptrdiff_t pixel, ptrdiff_t c,
                        ptrdiff_t channels) const {
    double sum = 0;
    for_neighbours(op, c, channels, [&](ptrdiff_t n) { sum += x(s, pixel, n) * x(s, pixel, n); });
    return op.k + op.alpha / op.size * sum;
  }
  template <class F>
  static void for_neighbours(const LocalResponse& op, ptrdiff_t c, ptrdiff_t channels, F f) {
    for (ptrdiff_t n = c - op.size / 2; n <= c + (op.size - 1) / 2; ++n)
      if (n >= 0 && n < channels) f(n);
  }
  double perturbed(const Perturb& op, double x, ptrdiff_t s, ptrdiff_t at, bool gradient) const {
    const double u = hash01(op.stream, static_cast<std::uint64_t>(s), static_cast<std::uint64_t>(at));
    if (op.noise) return gradient ? x : x + op.amount * (u - 0.5);
    return u < op.amount ? 0.0 : x / (1 - op.amount);
  }
  static ptrdiff_t first_channel_place(const Shape& shape, ptrdiff_t pixel, ptrdiff_t c) {
    return c * shape.pixels() + pixel;
  }

  const Program& program_;
  std::vector<Parameters>& parameters_;
  ptrdiff_t samples_;
};

}  // namespace fnnfast::test
