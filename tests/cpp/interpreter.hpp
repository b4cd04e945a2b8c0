// Runs schedules in double precision, one plain loop per operation: a third opinion beside the kernels and the oracles.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
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

// Inference, over ForwardSchedules of programs without Normalize and Perturb.
class InferenceRun : Interpreter {
 public:
  // scale and shift by block, for normalisations.
  InferenceRun(const Program& program, std::vector<Parameters>& parameters, ptrdiff_t samples,
               const std::vector<std::vector<double>>& scale, const std::vector<std::vector<double>>& shift)
      : Interpreter(program, parameters, samples), scale_(scale), shift_(shift) {}

  std::vector<double> run(const std::vector<double>& x, const ForwardSchedule& schedule) {
    input_ = x;
    memory_.assign(static_cast<std::size_t>(schedule.elements * samples_), std::numeric_limits<double>::quiet_NaN());
    output_.assign(static_cast<std::size_t>(program_.output().size() * samples_),
                   std::numeric_limits<double>::quiet_NaN());
    for (const ForwardStep& step : schedule.steps) {
      const Node& node = program_.node(step.node);
      const View in = view(step.in, schedule), out = view(step.out, schedule), add = view(step.add, schedule);
      for (ptrdiff_t s = 0; s < samples_; ++s) run_sample(node, in, add, out, s);
    }
    return output_;
  }

 private:
  View view(const Place& place, const ForwardSchedule& schedule) {
    double* data = nullptr;
    if (place.buffer == kInputBuffer) data = input_.data();
    if (place.buffer == kOutputBuffer) data = output_.data();
    if (place.buffer >= 0) data = memory_.data() + schedule.start[static_cast<std::size_t>(place.buffer)] * samples_;
    return {data, place.elements(), place.row, place.channel};
  }
  void run_sample(const Node& node, const View& x, const View& add, const View& y, ptrdiff_t s) {
    const Shape in = program_.value(node.in).shape, out = program_.value(node.out).shape;
    const Epilogue& e = node.epilogue;
    const Function f(e.activation);
    std::vector<double> values;
    for (ptrdiff_t pixel = 0; pixel < out.pixels(); ++pixel)
      for (ptrdiff_t c = 0; c < out.c; ++c) {
        double r = 0;
        if (const Affine* const op = node.as<Affine>()) {
          r = piece_sum(node, x, s, pixel, c, 0);
          for (ptrdiff_t p = 1; p < program_.block(op->block).pieces; ++p)
            r = std::max(r, piece_sum(node, x, s, pixel, c, p));
        } else if (const Pool* const op = node.as<Pool>()) {
          r = op->maximum ? -std::numeric_limits<double>::infinity() : 0.0;
          for_taps(op->windows, in, out, pixel, [&](ptrdiff_t, ptrdiff_t from) {
            r = op->maximum ? std::max(r, x(s, from, c)) : r + x(s, from, c);
          });
          if (!op->maximum) r /= average_count(*op, in, out, pixel);
        } else if (const LocalResponse* const op = node.as<LocalResponse>()) {
          r = x(s, pixel, c) * std::pow(response_scale(*op, x, s, pixel, c, in.c), -op->beta);
        } else if (node.is<ChannelsLast>()) {
          r = x.data[s * x.sample + first_channel_place(in, pixel, c)];
        } else {
          r = x(s, pixel, c);
        }
        const auto channel = static_cast<std::size_t>(c);
        if (e.norm != kNone)
          r = r * scale_[static_cast<std::size_t>(e.norm)][channel] + shift_[static_cast<std::size_t>(e.norm)][channel];
        if (e.add != kNone && e.add_first) r += add(s, pixel, c);
        r = f.value(r, parameter(e, c));
        if (e.add != kNone && !e.add_first) r += add(s, pixel, c);
        values.push_back(r);
      }
    std::size_t i = 0;
    for (ptrdiff_t pixel = 0; pixel < out.pixels(); ++pixel)
      for (ptrdiff_t c = 0; c < out.c; ++c) y(s, pixel, c) = values[i++];
  }

  const std::vector<std::vector<double>>&scale_, &shift_;
  std::vector<double> input_, output_, memory_;
};

// A training step without an update: the loss, and the gradients of all parameters that are not frozen.
class TrainingRun : Interpreter {
 public:
  TrainingRun(const Program& program, std::vector<Parameters>& parameters, ptrdiff_t samples,
              const TrainingSchedule& schedule)
      : Interpreter(program, parameters, samples), schedule_(schedule) {
    for (const ParameterBlock& block : program.blocks) gradients_.emplace_back(block);
    for (const BufferShape& shape : schedule.buffers)
      buffers_.emplace_back(static_cast<std::size_t>(shape.row * shape.pixels * samples),
                            std::numeric_limits<double>::quiet_NaN());
    const Shape in = program.input();
    input_.resize(static_cast<std::size_t>(row_stride(in) * in.pixels() * samples));
    statistics_.resize(program.nodes.size());
    backward_.resize(program.nodes.size());
    scales_.resize(program.nodes.size());
  }

  // order: of blocks of samples within a region, by the bits of a number.
  double run(const std::vector<double>& x, const std::vector<double>& loss_weights, unsigned order) {
    const Shape in = program_.input();
    for (ptrdiff_t s = 0; s < samples_; ++s)
      for (ptrdiff_t p = 0; p < in.pixels(); ++p)
        for (ptrdiff_t c = 0; c < in.c; ++c)
          input_[static_cast<std::size_t>((s * in.pixels() + p) * row_stride(in) + c)] =
              x[static_cast<std::size_t>((s * in.pixels() + p) * in.c + c)];
    loss_weights_ = loss_weights;
    loss_ = 0;
    const ptrdiff_t half = samples_ / 2;
    for (const Region& region : schedule_.regions) {
      order = order * 1103515245u + 12345u;
      for (int turn = 0; turn < 2; ++turn) {
        const bool second = (turn == 1) != ((order >> 16 & 1) != 0);
        const ptrdiff_t first = second ? half : 0, last = second ? samples_ : half;
        if (region.over != Over::kSamples && turn == 1) continue;
        for (std::int32_t i = region.first; i < region.last; ++i)
          step(schedule_.steps[static_cast<std::size_t>(i)], region.over == Over::kSamples ? first : 0,
               region.over == Over::kSamples ? last : samples_);
      }
    }
    return loss_;
  }
  const std::vector<Parameters>& gradients() const { return gradients_; }

 private:
  View view(const Place& place) {
    if (place.buffer == kNone) return {nullptr, 0, 0, 0};
    double* const data =
        place.buffer == kInputBuffer ? input_.data() : buffers_[static_cast<std::size_t>(place.buffer)].data();
    return {data, place.elements(), place.row, place.channel};
  }
  View value(ValueId id) { return id == kNone ? View{} : view(schedule_.value_at(id)); }
  View gradient(ValueId id) { return id == kNone ? View{} : view(schedule_.gradient_at(id)); }
  template <class F>
  void for_elements(const Shape& shape, ptrdiff_t first, ptrdiff_t last, F f) {
    for (ptrdiff_t s = first; s < last; ++s)
      for (ptrdiff_t p = 0; p < shape.pixels(); ++p)
        for (ptrdiff_t c = 0; c < shape.c; ++c) f(s, p, c);
  }

  void step(const TrainingStep& step, ptrdiff_t first, ptrdiff_t last) {
    if (step.task == Task::kLoss) return loss(first, last);
    const Node& node = program_.node(step.node);
    const auto n = static_cast<std::size_t>(step.node);
    switch (step.task) {
      case Task::kForward:
        return forward(node, n, first, last);
      case Task::kStatistics:
        return sums(statistics_[n], node, first, last, false);
      case Task::kSums:
        return sums(backward_[n], node, first, last, true);
      case Task::kMerge:
      case Task::kMergeSums:
        return;
      case Task::kEpilogue:
        return epilogue(node, n, step, first, last);
      case Task::kInput:
        return input(node, n, step, first, last);
      case Task::kWeights:
        return weights(node);
      case Task::kLoss:
        return;
    }
  }

  // Batch normalisation: sums by channel of x and x^2, or of g and g xhat; double is enough not to centre them.
  struct Sums {
    std::vector<double> a, b;
  };
  void sums(Sums& of, const Node& node, ptrdiff_t first, ptrdiff_t last, bool backward) {
    const Shape shape = program_.value(node.in).shape;
    of.a.resize(static_cast<std::size_t>(shape.c));
    of.b.resize(static_cast<std::size_t>(shape.c));
    const View x = value(node.in), g = gradient(node.out);
    for_elements(shape, first, last, [&](ptrdiff_t s, ptrdiff_t p, ptrdiff_t c) {
      const auto i = static_cast<std::size_t>(c);
      const double v = backward ? g(s, p, c) : x(s, p, c);
      of.a[i] += v;
      of.b[i] += backward ? v * hat(node, x(s, p, c), c) : v * v;
    });
  }
  double count(const Node& node) const {
    return static_cast<double>(samples_ * program_.value(node.in).shape.pixels());
  }
  const Sums& statistics(const Node& node) const {
    return statistics_[static_cast<std::size_t>(&node - program_.nodes.data())];
  }
  bool is_frozen(const Node& node) const { return statistics(node).a.empty(); }
  double mean(const Node& node, ptrdiff_t c) const {
    return is_frozen(node) ? 0.1 : statistics(node).a[static_cast<std::size_t>(c)] / count(node);
  }
  double deviation(const Node& node, ptrdiff_t c) const {
    const double m = mean(node, c);
    const double variance =
        is_frozen(node) ? 2.0 : statistics(node).b[static_cast<std::size_t>(c)] / count(node) - m * m;
    return std::sqrt(variance + node.as<Normalize>()->eps);
  }
  double hat(const Node& node, double x, ptrdiff_t c) const { return (x - mean(node, c)) / deviation(node, c); }

  void forward(const Node& node, std::size_t n, ptrdiff_t first, ptrdiff_t last) {
    const Shape in = program_.value(node.in).shape, out = program_.value(node.out).shape;
    const View x = value(node.in), y = value(node.out), add = value(node.epilogue.add);
    const View saved = view(schedule_.saved[n]), choice = view(schedule_.choice[n]);
    const Epilogue& e = node.epilogue;
    const Function f(e.activation);
    std::vector<double> values, kept, chosen;
    for_elements(out, first, last, [&](ptrdiff_t s, ptrdiff_t p, ptrdiff_t c) {
      double r = 0, won = 0;
      if (const Affine* const op = node.as<Affine>()) {
        r = piece_sum(node, x, s, p, c, 0);
        for (ptrdiff_t piece = 1; piece < program_.block(op->block).pieces; ++piece)
          if (const double z = piece_sum(node, x, s, p, c, piece); z > r) r = z, won = static_cast<double>(piece);
      } else if (const Pool* const op = node.as<Pool>()) {
        r = op->maximum ? -std::numeric_limits<double>::infinity() : 0.0;
        for_taps(op->windows, in, out, p, [&](ptrdiff_t tap, ptrdiff_t from) {
          if (!op->maximum)
            r += x(s, from, c);
          else if (x(s, from, c) > r)
            r = x(s, from, c), won = static_cast<double>(tap);
        });
        if (!op->maximum) r /= average_count(*op, in, out, p);
      } else if (const Normalize* const op = node.as<Normalize>()) {
        const Parameters& of_block = of(op->block);
        const auto i = static_cast<std::size_t>(c);
        r = of_block.weight[i] * hat(node, x(s, p, c), c) + of_block.bias[i];
      } else if (const LocalResponse* const op = node.as<LocalResponse>()) {
        r = x(s, p, c) * std::pow(response_scale(*op, x, s, p, c, in.c), -op->beta);
      } else if (const Perturb* const op = node.as<Perturb>()) {
        r = perturbed(*op, x(s, p, c), s, p * out.c + c, false);
      } else if (node.is<ChannelsLast>()) {
        r = x.data[s * x.sample + first_channel_place(in, p, c)];
      } else {
        r = x(s, p, c);
      }
      const bool saves_output = kActivationInfo[e.activation].saves == Saves::kOutput;
      if (e.add != kNone && e.add_first) r += add(s, p, c);
      const double z = r;
      r = f.value(r, parameter(e, c));
      kept.push_back(saves_output ? r : z);
      if (e.add != kNone && !e.add_first) r += add(s, p, c);
      values.push_back(r);
      chosen.push_back(won);
    });
    std::size_t i = 0;
    const bool apart = saved.data != nullptr && !(schedule_.saved[n] == schedule_.value_at(node.out));
    for_elements(out, first, last, [&](ptrdiff_t s, ptrdiff_t p, ptrdiff_t c) {
      y(s, p, c) = values[i];
      if (apart) saved(s, p, c) = kept[i];
      if (choice.data != nullptr) choice(s, p, c) = chosen[i];
      ++i;
    });
  }

  void loss(ptrdiff_t first, ptrdiff_t last) {
    const Shape shape = program_.output();
    const View y = value(program_.result), g = gradient(program_.result);
    for_elements(shape, first, last, [&](ptrdiff_t s, ptrdiff_t p, ptrdiff_t c) {
      const double w = loss_weights_[static_cast<std::size_t>((s * shape.pixels() + p) * shape.c + c)];
      loss_ += w * y(s, p, c) + 0.5 * y(s, p, c) * y(s, p, c);
      g(s, p, c) = w + y(s, p, c);
    });
  }

  void epilogue(const Node& node, std::size_t n, const TrainingStep& step, ptrdiff_t first, ptrdiff_t last) {
    const Shape shape = program_.value(node.out).shape;
    const View g = gradient(node.out), saved = view(schedule_.saved[n]);
    const View to = step.pass ? gradient(node.epilogue.add) : View{};
    const Epilogue& e = node.epilogue;
    const Function f(e.activation);
    for_elements(shape, first, last, [&](ptrdiff_t s, ptrdiff_t p, ptrdiff_t c) {
      double& value = g(s, p, c);
      const auto hand_on = [&] {
        if (step.pass) to(s, p, c) = step.adds ? to(s, p, c) + value : value;
      };
      if (!e.add_first) hand_on();
      if (saved.data != nullptr) {
        if (e.slopes != kNone)  // of prelu, the only one here
          gradients_[static_cast<std::size_t>(e.slopes)].slopes[static_cast<std::size_t>(c)] +=
              saved(s, p, c) > 0 ? 0.0 : value * saved(s, p, c);
        value *= f.derivative(saved(s, p, c), parameter(e, c));
      }
      if (e.add_first) hand_on();
    });
  }

  void input(const Node& node, std::size_t n, const TrainingStep& step, ptrdiff_t first, ptrdiff_t last) {
    const Shape in = program_.value(node.in).shape, out = program_.value(node.out).shape;
    const View x = value(node.in), g = gradient(node.out), to = gradient(node.in), choice = view(schedule_.choice[n]);
    for (ptrdiff_t s = first; s < last; ++s) {
      std::vector<double> dx(static_cast<std::size_t>(in.size()), 0.0);
      const auto at = [&](ptrdiff_t p, ptrdiff_t c) -> double& { return dx[static_cast<std::size_t>(p * in.c + c)]; };
      for (ptrdiff_t p = 0; p < out.pixels(); ++p)
        for (ptrdiff_t c = 0; c < out.c; ++c) {
          const double value = g(s, p, c);
          if (const Affine* const op = node.as<Affine>()) {
            const ParameterBlock& b = program_.block(op->block);
            const ptrdiff_t piece = choice.data != nullptr ? static_cast<ptrdiff_t>(choice(s, p, c)) : 0;
            for_inputs(node, p, c, [&](ptrdiff_t i, ptrdiff_t from, ptrdiff_t channel) {
              at(from, channel) +=
                  value * of(op->block).weight[static_cast<std::size_t>((piece * b.inputs + i) * b.units + c)];
            });
          } else if (const Pool* const op = node.as<Pool>()) {
            for_taps(op->windows, in, out, p, [&](ptrdiff_t tap, ptrdiff_t from) {
              if (!op->maximum)
                at(from, c) += value / average_count(*op, in, out, p);
              else if (static_cast<double>(tap) == choice(s, p, c))
                at(from, c) += value;
            });
          } else if (const Normalize* const op = node.as<Normalize>()) {
            const auto i = static_cast<std::size_t>(c);
            const double scale = of(op->block).weight[i] / deviation(node, c);
            double centred = value;
            if (!is_frozen(node))
              centred -= (backward_[n].a[i] + hat(node, x(s, p, c), c) * backward_[n].b[i]) / count(node);
            at(p, c) = scale * centred;
          } else if (const LocalResponse* const op = node.as<LocalResponse>()) {
            const double scale = response_scale(*op, x, s, p, c, in.c);
            at(p, c) += value * std::pow(scale, -op->beta);
            for_neighbours(*op, c, in.c, [&](ptrdiff_t other) {
              at(p, other) -= value * x(s, p, c) * op->beta * std::pow(scale, -op->beta - 1) * op->alpha / op->size *
                              2 * x(s, p, other);
            });
          } else if (const Perturb* const op = node.as<Perturb>()) {
            at(p, c) = perturbed(*op, value, s, p * out.c + c, true);
          } else {
            at(p, c) = value;
          }
        }
      for (ptrdiff_t p = 0; p < in.pixels(); ++p)
        for (ptrdiff_t c = 0; c < in.c; ++c) to(s, p, c) = step.adds ? to(s, p, c) + at(p, c) : at(p, c);
    }
  }

  void weights(const Node& node) {
    const Shape out = program_.value(node.out).shape;
    const View x = value(node.in), g = gradient(node.out);
    const View choice = view(schedule_.choice[static_cast<std::size_t>(&node - program_.nodes.data())]);
    if (const Affine* const op = node.as<Affine>()) {
      const ParameterBlock& b = program_.block(op->block);
      Parameters& to = gradients_[static_cast<std::size_t>(op->block)];
      for_elements(out, 0, samples_, [&](ptrdiff_t s, ptrdiff_t p, ptrdiff_t c) {
        const ptrdiff_t piece = choice.data != nullptr ? static_cast<ptrdiff_t>(choice(s, p, c)) : 0;
        if (b.bias) to.bias[static_cast<std::size_t>(piece * b.units + c)] += g(s, p, c);
        for_inputs(node, p, c, [&](ptrdiff_t i, ptrdiff_t from, ptrdiff_t channel) {
          to.weight[static_cast<std::size_t>((piece * b.inputs + i) * b.units + c)] += g(s, p, c) * x(s, from, channel);
        });
      });
    } else if (const Normalize* const op = node.as<Normalize>()) {
      const Sums& sums = backward_[static_cast<std::size_t>(&node - program_.nodes.data())];
      gradients_[static_cast<std::size_t>(op->block)].bias = sums.a;
      gradients_[static_cast<std::size_t>(op->block)].weight = sums.b;
    }
  }

  const TrainingSchedule& schedule_;
  std::vector<Parameters> gradients_;
  std::vector<std::vector<double>> buffers_;
  std::vector<double> input_, loss_weights_;
  std::vector<Sums> statistics_, backward_;
  std::vector<double> scales_;
  double loss_ = 0;
};

}  // namespace fnnfast::test
