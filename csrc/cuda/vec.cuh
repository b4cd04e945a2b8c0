// The elementary functions and row kernels on the device: those of the CPU, with vectors of one number. All their steps
// are correctly rounded operations, so the bits are the CPU's.
#pragma once

#define FNNFAST_ISA cuda::device

#include "../core/vec_scalar.hpp"  // before the kernels, which use it

#include "../core/rows.hpp"
#include "platform.hpp"

namespace fnnfast::cuda {

// Calls f(Act()) for the activation of that index in the list.
template <class F, class... A>
FNNFAST_INLINE void visit_activation(int index, F f, TypeList<A...>) {
  int i = 0;
  ((i++ == index && (f(A()), true)) || ...);
}
template <class F>
FNNFAST_INLINE void visit_activation(int index, F f) {
  visit_activation(index, f, Activations());
}

// An activation's index in the list.
template <class Act, class... A>
FNNFAST_INLINE constexpr int index_of(TypeList<A...>) {
  int i = 0, found = -1;
  ((found = std::is_same_v<Act, A> ? i : found, ++i), ...);
  return found;
}
template <class Act>
FNNFAST_INLINE constexpr int index_of() {
  return index_of<Act>(Activations());
}

// An activation with its parameter: one value (step 0), or one per column (step 1).
template <class S>
struct ActivationOf {
  int index = 0;
  const S* parameter = nullptr;
  int parameter_step = 0;

  template <class Act>
  FNNFAST_INLINE device::Vec<S> at(std::int64_t column) const {
    if constexpr (Act::kParameter)
      return {parameter[column * parameter_step]};
    else
      return {S(0)};
  }
};

// The derivative, from what the forward pass saved.
template <class Act, class M, class V>
FNNFAST_INLINE V saved_derivative(V saved, V parameter) {
  if constexpr (Act::kSaves == Saves::kOutput)
    return Act::template derivative_from_output<M>(saved, parameter);
  else
    return Act::template derivative<M>(saved, parameter);
}

}  // namespace fnnfast::cuda
