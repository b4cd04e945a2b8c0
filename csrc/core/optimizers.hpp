// The optimizers' arithmetic for one element (or one vector of them): weight w, gradient g, state.
//
// V and M are as in activations.hpp. The coefficients of a step (UpdateStep) are computed once, in double precision.
//
// States that decay to subnormal numbers are slow: a multiplication takes a hundred cycles. After a batch was
// memorized, or a unit had died, a step was several times slower. States below the smallest normal number therefore
// become 0, and so do gradients whose squares would be below it.
#pragma once

#include "macros.hpp"

namespace fnnfast {

enum class OptimizerKind { kSgd, kAdam };

// The coefficients of one step, in the network's type.
template <class T>
struct UpdateStep {
  T learning_rate;  // Adam: divided by 1 - beta1^t
  T decay;          // 1 - learning_rate * weight_decay: decoupled (Loshchilov & Hutter 2019); 1 for biases and slopes
  T scale;          // of the gradient, applied first: clipping
  T l2;             // added to the gradient as l2 * w; 0 for biases and slopes
  T momentum;       // SGD: mu
  T nesterov;       // 1 or 0
  T beta1, beta2;   // Adam
  T one_minus_beta1, one_minus_beta2;
  T second_scale;    // Adam: 1 / sqrt(1 - beta2^t)
  T eps;             // Adam: outside the root
  T least_state;     // smaller states become 0: the smallest normal number
  T least_gradient;  // smaller gradients become 0; Adam: the root of least_state / (1 - beta2)
};

// v, or 0 where |v| < least. NaN stays.
template <class M, class V>
FNNFAST_INLINE V flushed(V v, V least) {
  return M::select(M::abs(v) < least, M::constant(0.0), v);
}

// v <- mu v + g;  w <- w - lr v, or with Nesterov w - lr (g + mu v)  (Sutskever et al. 2013, in the form PyTorch
// documents)
struct Sgd {
  static constexpr int kStates = 1;
  template <class M, class V>
  struct Step {
    V learning_rate, decay, scale, l2, momentum, nesterov, least_state;
    template <class T>
    explicit FNNFAST_INLINE Step(const UpdateStep<T>& s)
        : learning_rate(M::constant(s.learning_rate)),
          decay(M::constant(s.decay)),
          scale(M::constant(s.scale)),
          l2(M::constant(s.l2)),
          momentum(M::constant(s.momentum)),
          nesterov(M::constant(s.nesterov)),
          least_state(M::constant(s.least_state)) {}
    FNNFAST_INLINE void update(V& w, V g, V& velocity, V&) const {
      g = M::fma(l2, w, scale * g);
      velocity = flushed<M>(M::fma(momentum, velocity, g), least_state);
      const V ahead = M::fma(momentum, velocity, g);
      const V direction = M::select(nesterov == M::constant(1.0), ahead, velocity);
      w = M::fma(-learning_rate, direction, decay * w);
    }
  };
};

// m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - lr m^ / (sqrt(v^) + eps), m^ = m / (1 - b1^t), v^ = v /
// (1 - b2^t) (Kingma & Ba 2015, algorithm 1)
struct Adam {
  static constexpr int kStates = 2;
  template <class M, class V>
  struct Step {
    V learning_rate, decay, scale, l2, beta1, beta2, one_minus_beta1, one_minus_beta2, second_scale, eps, least_state,
        least_gradient;
    template <class T>
    explicit FNNFAST_INLINE Step(const UpdateStep<T>& s)
        : learning_rate(M::constant(s.learning_rate)),
          decay(M::constant(s.decay)),
          scale(M::constant(s.scale)),
          l2(M::constant(s.l2)),
          beta1(M::constant(s.beta1)),
          beta2(M::constant(s.beta2)),
          one_minus_beta1(M::constant(s.one_minus_beta1)),
          one_minus_beta2(M::constant(s.one_minus_beta2)),
          second_scale(M::constant(s.second_scale)),
          eps(M::constant(s.eps)),
          least_state(M::constant(s.least_state)),
          least_gradient(M::constant(s.least_gradient)) {}
    FNNFAST_INLINE void update(V& w, V g, V& first, V& second) const {
      g = flushed<M>(M::fma(l2, w, scale * g), least_gradient);
      first = flushed<M>(M::fma(beta1, first, one_minus_beta1 * g), least_state);
      second = flushed<M>(M::fma(beta2, second, (one_minus_beta2 * g) * g), least_state);
      const V direction = first / M::fma(M::sqrt(second), second_scale, eps);
      w = M::fma(-learning_rate, direction, decay * w);
    }
  };
};

}  // namespace fnnfast
