// The kernels, compiled once for each instruction set (FNNFAST_ISA, set by fnnfast_add_isa in CMakeLists.txt) and
// exported as tables.
//
// No std:: templates and no shared inline functions are allowed here: the linker keeps one of their weak symbols, which
// could be this file's, with instructions that an older CPU does not have. The build checks it
// (cmake/check_symbols.cmake).
#include "gemm.hpp"
#if defined(FNNFAST_QUADS)
#include "int8.hpp"
#endif
#include "../core/loss_rows.hpp"
#include "../core/random.hpp"
#include "accurate.hpp"
#include "local_response.hpp"
#include "maxout_backward.hpp"
#include "normalize.hpp"
#include "pool.hpp"
#include "probe.hpp"

namespace fnnfast::FNNFAST_ISA {

template <class T, class Act>
constexpr ActivationKernels<T> activation_kernels() {
  if constexpr (Act::kRowwise) {
    return {softmax_forward<T>, nullptr, softmax_backward<T>, false};
  } else {
    ActivationKernels<T> k{activation_forward<T, Act>, nullptr, nullptr, Act::kInRegisters};
    if constexpr (Act::kDifferentiable) {
      k.derivative = activation_derivative<T, Act>;
      k.backward = activation_backward<T, Act>;
    }
    return k;
  }
}

// The accurate form, which differs in float32 only, and not in the backward pass.
template <class T, class Act>
constexpr ActivationKernels<T> accurate_kernels() {
  ActivationKernels<T> k = activation_kernels<T, Act>();
  if constexpr (sizeof(T) == sizeof(float) && !Act::kExact) {
    if constexpr (Act::kRowwise) {
      k.forward = softmax_in_double;
    } else {
      k.forward = in_double<activation_forward<double, Act>>;
      if constexpr (Act::kDifferentiable) k.derivative = in_double<activation_derivative<double, Act>>;
    }
  }
  return k;
}

template <class T>
constexpr AffineKernel<T> bfloat16_affine() {
  if constexpr (sizeof(T) == sizeof(float))
    return {Vec<T>::kLanes,
            kPanelVectors,
            false,
            kSharedRows,
            affine_scratch<T, WeightFormat::kBfloat16>,
            affine<T, WeightFormat::kBfloat16>};
  else
    return {};
}

template <class T, class... Act>
constexpr Kernels<T> make_kernels(TypeList<Act...>) {
  return {Vec<T>::kLanes,
          kPanelVectors,
          {Vec<T>::kLanes, kPanelVectors, false, kSharedRows, affine_scratch<T, WeightFormat::kFull>,
           affine<T, WeightFormat::kFull>},
          bfloat16_affine<T>(),
          product<T>,
          window_product<T>,
          column_sums<T>,
          column_squares<T>,
          maxout_data<T>,
          maxout_weight<T>,
          column_moments<T>,
          normalize_sums<T>,
          scale_rows<T>,
          normalize_backward<T>,
          pool<T>,
          pool_gradient<T>,
          local_response<T>,
          local_response_gradient<T>,
          loss<T>,
          {update<T, Sgd>, update<T, Adam>},
          dropout<T>,
          noise<T>,
          fma_peak<T>,
          read_buffer<T>,
          {activation_kernels<T, Act>()..., accurate_kernels<T, Act>()...}};
}

#if defined(FNNFAST_QUADS)
constexpr const AffineKernel<float>* kInt8 = &kInt8Affine;
#else
constexpr const AffineKernel<float>* kInt8 = nullptr;
#endif

extern const IsaKernels kIsaKernels;
constinit const IsaKernels kIsaKernels{make_kernels<float>(Activations{}), make_kernels<double>(Activations{}), kInt8};

}  // namespace fnnfast::FNNFAST_ISA
