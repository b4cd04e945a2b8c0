// The losses that work element by element: value and derivative of one output (or one vector of them). V and M are as
// in activations.hpp. Categorical cross-entropy needs whole rows and shares its sums with softmax: csrc/cpu/rows.hpp.
#pragma once

#include "macros.hpp"

namespace fnnfast {

enum class LossKind { kCategoricalCrossEntropy, kBinaryCrossEntropy, kSquaredError };

// From the logit z and the target t in [0, 1]: -t log s(z) - (1 - t) log(1 - s(z)) = softplus(z) - t z, where the log
// cancels the exp of the sigmoid s; as max(z, 0) - t z + log(1 + exp(-|z|)) nothing is lost where the answer is certain
// and right.
struct BinaryCrossEntropy {
  template <class M, class V>
  static FNNFAST_INLINE V positive(V z) {
    return M::select(z < M::constant(0.0), M::constant(0.0), z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V value(V z, V t) {
    const V zero = M::constant(0.0), one = M::constant(1.0);
    // For the labels 0 and 1 max(+-z, 0), without the product, which an infinite logit would turn into inf - inf.
    const V wrong = M::select(t == one, -z, z);
    const V linear = M::select((t == zero) | (t == one), positive<M>(wrong), M::fma(-z, t, positive<M>(z)));
    return linear + M::log1p_unit(M::exp(-M::abs(z)));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V t) {
    return M::sigmoid(z) - t;
  }
};

// (y - t)^2
struct SquaredError {
  template <class M, class V>
  static FNNFAST_INLINE V value(V y, V t) {
    const V difference = y - t;
    return difference * difference;
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V y, V t) {
    const V difference = y - t;
    return difference + difference;
  }
};

}  // namespace fnnfast
