// The products of product.hpp with Hopper's own instructions: bulk copies, and products of warpgroups, which are twice
// as fast as those of warps. Where one takes a task it gives the bits of product_kernels.cuh.
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

// Whether the task was launched. It is not on another device, nor where it is too small to pay, has operands that the
// copy engine cannot read, or wants what only the general kernel does: softmax, the gradients of maxout, several
// results at once. FNNFAST_CUDA_PRODUCT in the environment: hopper takes small ones too, hopper_only refuses what
// cannot be taken (so that tests know what ran), general takes none.
template <class T>
bool hopper_forward(const ForwardTask<T>& task, cudaStream_t stream);
template <class T>
bool hopper_input_gradient(const InputGradientTask<T>& task, cudaStream_t stream);
template <class T>
bool hopper_weight_gradient(const WeightGradientTask<T>& task, cudaStream_t stream);

}  // namespace fnnfast::cuda
