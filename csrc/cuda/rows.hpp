// Kernels over whole rows: softmax over more columns than fit a tile, and the losses. They are those of the CPU
// (csrc/core/rows.hpp, loss_rows.hpp) with 16 threads as a vector. S is float or double.
#pragma once

#include <cstdint>

#include "../core/losses.hpp"
#include "../core/tasks.hpp"
#include "platform.hpp"

namespace fnnfast::cuda {

// task.in, out and, backward, dy; out may be in.
template <class S>
void softmax_forward_rows(const ElementwiseTask<S>& task, cudaStream_t stream);
template <class S>
void softmax_backward_rows(const ElementwiseTask<S>& task, cudaStream_t stream);

// The scale of a batch's sample weights, in device memory.
template <class S>
struct WeightScale {
  double weight;  // their sum, times unit
  S scale;        // 1 / (weight each), or 0 for no weight: of a derivative of a mean over rows and `each` terms per row
  S unit;         // the factor of each weight
};

// row_loss and, if not null, dz; targets, labels and sample_weights are the batch's own rows. With sample weights,
// scale replaces task.scale. right, for losses that classify, or null: how many outputs of a row are right, times its
// sample weight.
template <class S>
void loss_rows(LossKind kind, const LossTask<S>& task, const WeightScale<S>* scale, double* right, cudaStream_t stream);

template <class S>
void weigh_rows(std::int64_t rows, const S* sample_weights, double each, WeightScale<S>* scale, cudaStream_t stream);

// The mean of `sum_of` over the rows of a batch and `each` terms per row.
struct RowMean {
  const double* sum_of;
  double each;
};
// *mean = (the sum of loss.sum_of) / (weight loss.each) + constant, or 0 for no weight; the same of `right` without
// constant, if *accuracy is wanted. weight: *weighed, if that is not null.
template <class S>
void mean_loss(std::int64_t rows, const RowMean& loss, double constant, S* mean, const RowMean& right, double* accuracy,
               double weight, const double* weighed, cudaStream_t stream);

}  // namespace fnnfast::cuda
