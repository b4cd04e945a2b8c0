// The products of product.hpp with Hopper's instructions: bulk copies, and products of warpgroups, which are twice as
// fast as those of warps. The bits are those of product_kernels.cuh.
#pragma once

#include "product.hpp"

namespace fnnfast::cuda {

// FNNFAST_HOPPER: the build has code for sm_90a.
#if defined(FNNFAST_HOPPER)
template <class T>
inline constexpr bool kHopperHas = std::is_same_v<T, Half> || std::is_same_v<T, Bfloat16>;
#else
template <class T>
inline constexpr bool kHopperHas = false;
#endif

// Launches the task and returns true, or returns false on other devices, if the task is too small to pay, if the copy
// engine cannot read its operands, or if it needs what only the general kernel has: softmax, the gradients of maxout,
// several results at once. The environment variable FNNFAST_CUDA_PRODUCT: with hopper, small tasks are launched, too;
// with hopper_only, unsupported ones are an error (so that tests know what ran); with general, none is launched.
template <class T>
bool try_hopper_forward(const ForwardTask<T>& task, cudaStream_t stream);
template <class T>
bool try_hopper_input_gradient(const InputGradientTask<T>& task, cudaStream_t stream);
template <class T>
bool try_hopper_weight_gradient(const WeightGradientTask<T>& task, cudaStream_t stream);

}  // namespace fnnfast::cuda
