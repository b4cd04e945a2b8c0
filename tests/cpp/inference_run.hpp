// Runs forward schedules in double precision.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "interpreter.hpp"

namespace fnnfast::test {

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

}  // namespace fnnfast::test
