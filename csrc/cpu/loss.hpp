// The mean of a loss over given outputs.
#pragma once

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

}  // namespace fnnfast::cpu
