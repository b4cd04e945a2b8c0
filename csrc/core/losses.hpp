// The losses: their registry, and the elementwise ones, as value and derivative of one output (or one vector of them).
// V and M are as in activations.hpp. Losses over whole rows are in loss_rows.hpp.
#pragma once

#include "macros.hpp"

namespace fnnfast {

enum class LossKind {
  kCategoricalCrossEntropy,
  kBinaryCrossEntropy,
  kSquaredError,
  kGaussian,
  kGaussianLearned,
  kHinge,
  kMulticlassHinge,
  kPoisson
};

struct LossInfo {
  const char* name;
  bool from_logits;      // reads the last layer before its activation
  bool labels;           // targets are class indices
  bool over_outputs;     // the mean is over the outputs as well as over the batch
  int outputs_each;      // outputs per target: two for a mean and a log precision
  bool takes_precision;  // a fixed one per target
  bool classifies;       // targets are classes: outputs have an accuracy
};

inline constexpr LossInfo kLossInfo[] = {{"categorical_cross_entropy", true, true, false, 1, false, true},
                                         {"binary_cross_entropy", true, false, false, 1, false, true},
                                         {"squared_error", false, false, true, 1, false, false},
                                         {"gaussian", false, false, false, 1, true, false},
                                         {"gaussian_learned", false, false, false, 2, false, false},
                                         {"hinge", true, false, false, 1, false, true},
                                         {"multiclass_hinge", true, true, false, 1, false, true},
                                         {"poisson", true, false, false, 1, false, false}};
inline constexpr int kLosses = sizeof(kLossInfo) / sizeof(kLossInfo[0]);

// Of the logit z and the target t in [0, 1]: -t log s(z) - (1 - t) log(1 - s(z)) = softplus(z) - t z, since the log
// cancels the exp of the sigmoid s. Computed as max(z, 0) - t z + log(1 + exp(-|z|)), it stays accurate for confident
// and correct answers.
struct BinaryCrossEntropy {
  template <class M, class V>
  static FNNFAST_INLINE V positive(V z) {
    return M::select(z < M::constant(0.0), M::constant(0.0), z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V value(V z, V t, V) {
    const V zero = M::constant(0.0), one = M::constant(1.0);
    // For the labels 0 and 1 this is max(+-z, 0). The product would make inf - inf of an infinite logit.
    const V wrong = M::select(t == one, -z, z);
    const V linear = M::select((t == zero) | (t == one), positive<M>(wrong), M::fma(-z, t, positive<M>(z)));
    return linear + M::log1p_unit(M::exp(-M::abs(z)));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V t, V) {
    return M::sigmoid(z) - t;
  }
};

// (y - t)^2
struct SquaredError {
  template <class M, class V>
  static FNNFAST_INLINE V value(V y, V t, V) {
    const V difference = y - t;
    return difference * difference;
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V y, V t, V) {
    const V difference = y - t;
    return difference + difference;
  }
};

// The part of -log N(t; y, 1 / beta) = beta (y - t)^2 / 2 - log(beta) / 2 + log(2 pi) / 2 that depends on y
struct Gaussian {
  template <class M, class V>
  static FNNFAST_INLINE V value(V y, V t, V beta) {
    const V difference = y - t;
    return (M::constant(0.5) * beta) * (difference * difference);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V y, V t, V beta) {
    return beta * (y - t);
  }
};

// max(0, 1 - z) for the label 1 and max(0, 1 + z) for 0: the margin of a binary support vector machine. The derivative
// at the kink is 0.
struct Hinge {
  template <class M, class V>
  static FNNFAST_INLINE V value(V z, V t, V) {
    const V zero = M::constant(0.0), one = M::constant(1.0);
    const V margin = M::select(t == zero, one + z, one - z);
    return M::select(margin <= zero, zero, margin);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V t, V) {
    const V zero = M::constant(0.0), one = M::constant(1.0);
    const V slope = M::select(t == zero, one, -one);
    const V margin = M::fma(slope, z, one);
    return M::select(margin > zero, slope, M::select(margin <= zero, zero, margin));
  }
};

// The part of -log Poisson(t; exp(z)) = exp(z) - t z + log(t!) that depends on z, the logarithm of the expected count
struct Poisson {
  template <class M, class V>
  static FNNFAST_INLINE V value(V z, V t, V) {
    const V rate = M::exp(z);
    // Without the product for t = 0, where it may be 0 * inf, and for infinite z, where the difference would be
    // inf - inf. Only an infinite z equals its exponential.
    return M::select((t == M::constant(0.0)) | (rate == z), rate, M::fma(-t, z, rate));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V t, V) {
    return M::exp(z) - t;
  }
};

}  // namespace fnnfast
