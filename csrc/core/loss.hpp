// A loss with its settings, and its mean over a batch.
#pragma once

#include <cstddef>
#include <vector>

#include "losses.hpp"

namespace fnnfast {

using std::ptrdiff_t;

template <class T>
struct Loss {
  LossKind kind;
  std::vector<T> precision;  // one per target if info().takes_precision, else empty

  const LossInfo& info() const { return kLossInfo[static_cast<int>(kind)]; }
  ptrdiff_t targets(ptrdiff_t outputs) const { return outputs / info().outputs_each; }
  // The part of a row's loss that does not depend on the outputs. The kernels leave it out.
  double constant(ptrdiff_t outputs) const;
  // The divisor of a sum over rows. weight: the sum of their sample weights, or their number.
  double terms(double weight, ptrdiff_t outputs) const {
    return info().over_outputs ? weight * static_cast<double>(outputs) : weight;
  }
  // The mean of the rows' losses for a total weight; 0 if that is 0. If they are only a part of the rows that have this
  // weight, then their share of it: what they add to the mean of all.
  double mean(ptrdiff_t rows, const double* row_loss, double weight, ptrdiff_t outputs, double share = 1.0) const;
  // std::invalid_argument if the settings do not match that many outputs.
  void check(ptrdiff_t outputs) const;
};

}  // namespace fnnfast
