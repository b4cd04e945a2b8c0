// The mean of a loss over outputs that are given.
#pragma once

#include "../core/loss.hpp"
#include "kernels.hpp"

namespace fnnfast::cpu {

// The sum of a batch's weights; without weights the number of its rows.
template <class T>
double total_weight(ptrdiff_t rows, const T* weights);

// The mean over a batch of outputs (batch, outputs), dense rows. targets or labels, as LossInfo says; weights: one a
// row, or null.
template <class T>
double loss_value(const Loss<T>& loss, ptrdiff_t batch, ptrdiff_t outputs, const T* z, const T* targets,
                  const std::int64_t* labels, const T* weights);

}  // namespace fnnfast::cpu
