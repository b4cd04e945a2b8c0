// A loss with its settings: what of it concerns a whole batch.
#pragma once

#include <cstddef>
#include <vector>

#include "losses.hpp"

namespace fnnfast {

using std::ptrdiff_t;

template <class T>
struct Loss {
  LossKind kind;
  std::vector<T> precision;  // one a target, where info() takes it

  const LossInfo& info() const { return kLossInfo[static_cast<int>(kind)]; }
  ptrdiff_t targets(ptrdiff_t outputs) const { return outputs / info().outputs_each; }
  // What does not depend on the outputs, for each row: the kernels leave it out.
  double constant(ptrdiff_t outputs) const;
  // What a sum over rows is divided by; weight is their sum of weights, or their number.
  double terms(double weight, ptrdiff_t outputs) const {
    return info().over_outputs ? weight * static_cast<double>(outputs) : weight;
  }
  // The mean from the sums over rows, with that weight in all; 0 if that is 0.
  double mean(ptrdiff_t rows, const double* row_loss, double weight, ptrdiff_t outputs) const;
  // std::invalid_argument where the settings do not go with so many outputs.
  void check(ptrdiff_t outputs) const;
};

}  // namespace fnnfast
