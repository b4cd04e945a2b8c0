// Runs training schedules in double precision.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "interpreter.hpp"

namespace fnnfast::test {

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
