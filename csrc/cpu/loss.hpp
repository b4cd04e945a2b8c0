// The mean of a loss over given outputs.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../core/loss.hpp"
#include "kernels.hpp"

namespace fnnfast::cpu {

// The sum of a batch's sample weights; the number of its rows if they are null.
template <class T>
double total_weight(ptrdiff_t rows, const T* sample_weights);

// The mean over z (batch, outputs), dense rows. targets or labels, according to LossInfo; sample_weights (batch), or
// null.
template <class T>
double loss_value(const Loss<T>& loss, ptrdiff_t batch, ptrdiff_t outputs, const T* z, const T* targets,
                  const std::int64_t* labels, const T* sample_weights);

// Whether the first of the largest logits z (columns), of which none is NaN, is that of the label. Counting them has no
// branches, which could not be predicted, and no chain from one comparison to the next.
template <class T>
bool is_right(ptrdiff_t columns, const T* z, std::int64_t label) {
  using Index = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;  // as wide as the numbers
  const auto count = static_cast<Index>(columns), own = static_cast<Index>(label);
  const T of_label = z[label];
  Index below = 0;  // itself among them
  for (Index k = 0; k < count; ++k) below += (z[k] < of_label) | ((z[k] == of_label) & (k >= own));
  return below == count;
}

// How many logits z (columns) are on the side of 0 of their targets, 0 or 1.
template <class T>
std::int32_t count_right(ptrdiff_t columns, const T* z, const T* targets) {
  std::int32_t right = 0;
  for (ptrdiff_t k = 0; k < columns; ++k) {
    const bool one = targets[k] != T(0);
    right += (one & (z[k] >= T(0))) | (!one & (z[k] < T(0)));
  }
  return right;
}

}  // namespace fnnfast::cpu
