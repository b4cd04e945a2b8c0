// The activations: one struct each, and the list of all of them.
//
// This file is the only fast definition of every activation. The scalar, AVX2, AVX-512, NEON and CUDA kernels are
// instantiations of these bodies: V is a Vec of float or double, and M has the mathematics for it (csrc/core/math.hpp).
// Each struct has
//
//   kName        its name in the registry; fnnfast.reference.ACTIVATIONS has the oracle of the same name
//   kStart       the initial weights of a layer with it
//   kSaves       what backward needs: the input z, the output y, or nothing
//   kParameter   whether forward takes a parameter p (a slope, alpha, beta); kDefault is its default
//   kLearned     whether p has a gradient
//   forward<M>(z, p)
//   derivative<M>(z, p)               from the input
//   derivative_from_output<M>(y, p)   if kSaves is kOutput: used by backward
//   parameter_derivative<M>(z, p)     if kLearned: d forward / d p
//   kExact       whether forward and derivative round at most once, so that there is no accurate form
//   kInRegisters whether it is short enough for a product to apply it before its sums are stored
//   kWatch       which statistic of its derivatives training counts (see Watch); kSteepest: the largest derivative
//
// NaN gives NaN, an infinity the mathematical limit. To add one, write its struct here, add it to Activations at the
// end of this file, and define its oracle in python/fnnfast/reference/activations.py. The rest follows from the
// registry.
#pragma once

#include <cstddef>

#include "macros.hpp"
#include "type_list.hpp"

namespace fnnfast {

enum class Saves { kNothing, kInput, kOutput };

// The initial distribution that keeps the scale of the signal: He normal for activations that pass about half of it,
// LeCun normal for self-normalizing ones, else Xavier uniform. There is no default, so that a new rectifier does not
// start with Xavier by mistake.
enum class Start { kXavier, kHe, kLecun };

// A unit is dead if its derivative is small for all rows, so that it no longer learns; a value is saturated if its
// derivative is small. Small is below 1e-3 and, for saturation, below a tenth of the steepest derivative.
enum class Watch { kNothing, kDead, kSaturated };
inline constexpr double kDeadDerivative = 1e-3;
inline constexpr double kSaturatedShare = 0.1;

// The defaults: differentiable, elementwise, without a parameter.
struct Elementwise {
  static constexpr Watch kWatch = Watch::kNothing;
  static constexpr double kSteepest = 1.0;
  static constexpr Saves kSaves = Saves::kInput;
  static constexpr bool kParameter = false;
  static constexpr double kDefault = 1.0;
  static constexpr bool kLearned = false;
  static constexpr bool kDifferentiable = true;
  static constexpr bool kRowwise = false;
  static constexpr bool kExact = false;
  static constexpr bool kInRegisters = false;
};

// above where z > 0, below where z <= 0, and z itself where it is NaN.
template <class M, class V>
FNNFAST_INLINE V gate(V z, V above, V below) {
  return M::select(z > M::constant(0.0), above, M::select(z <= M::constant(0.0), below, z));
}

// z * factor, or a zero with the sign of z if factor has underflowed to 0: the limit of -inf * 0 is -0, not NaN.
template <class M, class V>
FNNFAST_INLINE V times_vanishing(V z, V factor) {
  const V zero = M::constant(0.0);
  return M::select(factor == zero, M::copysign(zero, z), z * factor);
}

// z limited to [-1000, 1000]: beyond, every density below has underflowed to 0, and 0 * inf would be NaN.
template <class M, class V>
FNNFAST_INLINE V clamp(V z) {
  const V limit = M::constant(1000.0);
  return M::select(z > limit, limit, M::select(z < -limit, -limit, z));
}

// z limited to [low, high]. A zero equal to low gets the sign of low.
template <class M, class V>
FNNFAST_INLINE V clip(V z, V low, V high) {
  return M::select(z <= low, low, M::select(z >= high, high, z));
}

// inside where low < z < high, else 0, and z itself where it is NaN: the derivative of a clipped function.
template <class M, class V>
FNNFAST_INLINE V between(V z, V low, V high, V inside) {
  const V zero = M::constant(0.0);
  return M::select(z <= low, zero, M::select(z >= high, zero, M::select(z == z, inside, z)));
}

// sigmoid(z) and 1 - sigmoid(z), each to full relative precision, from one exponential and one division.
template <class M, class V>
struct SigmoidPair {
  V s, complement;
  static FNNFAST_INLINE SigmoidPair of(V z) {
    const V one = M::constant(1.0);
    const V e = M::exp(-M::abs(z));
    const V large = M::reciprocal(one + e);
    const V small = e * large;
    const auto positive = z >= M::constant(0.0);
    return {M::select(positive, large, small), M::select(positive, small, large)};
  }
};

// f(z) = z
struct Identity : Elementwise {
  static constexpr const char* kName = "identity";
  static constexpr bool kExact = true;
  static constexpr Start kStart = Start::kXavier;
  static constexpr Saves kSaves = Saves::kNothing;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    return z;
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    return M::select(z == z, M::constant(1.0), z);
  }
};

// f(z) = 1 if z >= 0 else 0
struct Step : Elementwise {
  static constexpr const char* kName = "step";
  static constexpr bool kExact = true;
  static constexpr Start kStart = Start::kXavier;
  static constexpr Saves kSaves = Saves::kNothing;
  static constexpr bool kDifferentiable = false;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    const V zero = M::constant(0.0);
    return M::select(z >= zero, M::constant(1.0), M::select(z < zero, zero, z));
  }
};

// f(z) = 1 if z >= 0 else -1
struct Sign : Elementwise {
  static constexpr const char* kName = "sign";
  static constexpr bool kExact = true;
  static constexpr Start kStart = Start::kXavier;
  static constexpr Saves kSaves = Saves::kNothing;
  static constexpr bool kDifferentiable = false;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    const V zero = M::constant(0.0);
    return M::select(z >= zero, M::constant(1.0), M::select(z < zero, M::constant(-1.0), z));
  }
};

// f(z) = 1 / (1 + exp(-z));  f' = f (1 - f)
struct Sigmoid : Elementwise {
  static constexpr const char* kName = "sigmoid";
  static constexpr Start kStart = Start::kXavier;
  static constexpr Watch kWatch = Watch::kSaturated;
  static constexpr double kSteepest = 0.25;
  static constexpr Saves kSaves = Saves::kOutput;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    return M::sigmoid(z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    const auto pair = SigmoidPair<M, V>::of(z);
    return pair.s * pair.complement;
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V) {
    return y * (M::constant(1.0) - y);
  }
};

// f(z) = tanh z;  f' = 1 - f^2 = 4 s(2z) (1 - s(2z)), s the sigmoid
struct Tanh : Elementwise {
  static constexpr const char* kName = "tanh";
  static constexpr Start kStart = Start::kXavier;
  static constexpr Watch kWatch = Watch::kSaturated;
  static constexpr Saves kSaves = Saves::kOutput;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    return M::tanh(z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    const auto pair = SigmoidPair<M, V>::of(z + z);
    return M::constant(4.0) * (pair.s * pair.complement);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V) {
    return M::fma(-y, y, M::constant(1.0));
  }
};

// f(z) = max(0, z);  f'(0) = 0
struct Relu : Elementwise {
  static constexpr const char* kName = "relu";
  static constexpr bool kExact = true;
  static constexpr Start kStart = Start::kHe;
  static constexpr bool kInRegisters = true;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr Saves kSaves = Saves::kOutput;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    const V zero = M::constant(0.0);
    return M::select(z <= zero, zero, z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    return gate<M>(z, M::constant(1.0), M::constant(0.0));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V) {
    return gate<M>(y, M::constant(1.0), M::constant(0.0));
  }
};

// f(z) = z if z > 0 else alpha z, alpha >= 0 (so that the output has the sign of the input)
struct LeakyRelu : Elementwise {
  static constexpr const char* kName = "leaky_relu";
  static constexpr bool kExact = true;
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr Saves kSaves = Saves::kOutput;
  static constexpr bool kParameter = true;
  static constexpr double kDefault = 0.01;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V alpha) {
    return gate<M>(z, z, times_vanishing<M>(z, alpha));  // with alpha 0, -inf has the limit 0
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V alpha) {
    return gate<M>(z, M::constant(1.0), alpha);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V alpha) {
    return gate<M>(y, M::constant(1.0), alpha);
  }
};

// f(z) = z if z > 0 else a_j z, a_j learned, of either sign (He et al. 2015)
struct Prelu : Elementwise {
  static constexpr const char* kName = "prelu";
  static constexpr bool kExact = true;
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr bool kParameter = true;
  static constexpr double kDefault = 0.25;
  static constexpr bool kLearned = true;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V slope) {
    return LeakyRelu::forward<M>(z, slope);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V slope) {
    return gate<M>(z, M::constant(1.0), slope);
  }
  template <class M, class V>
  static FNNFAST_INLINE V parameter_derivative(V z, V) {
    return M::select(z > M::constant(0.0), M::constant(0.0), z);
  }
};

// f(z) = z if z > 0 else alpha (exp z - 1), alpha > 0 (Clevert et al. 2016)
struct Elu : Elementwise {
  static constexpr const char* kName = "elu";
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr Saves kSaves = Saves::kOutput;
  static constexpr bool kParameter = true;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V alpha) {
    return M::select(z > M::constant(0.0), z, alpha * M::expm1(z));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V alpha) {
    return gate<M>(z, M::constant(1.0), alpha * M::exp(z));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V alpha) {
    return gate<M>(y, M::constant(1.0), y + alpha);
  }
};

// ELU with a learned alpha per unit, of either sign
struct EluLearned : Elementwise {
  static constexpr const char* kName = "elu_learned";
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr bool kParameter = true;
  static constexpr bool kLearned = true;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V alpha) {
    return Elu::forward<M>(z, alpha);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V alpha) {
    return Elu::derivative<M>(z, alpha);
  }
  template <class M, class V>
  static FNNFAST_INLINE V parameter_derivative(V z, V) {
    return M::select(z > M::constant(0.0), M::constant(0.0), M::expm1(z));
  }
};

// f(z) = lambda elu(z, alpha) with the constants of Klambauer et al. 2017
struct Selu : Elementwise {
  static constexpr const char* kName = "selu";
  static constexpr Start kStart = Start::kLecun;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr Saves kSaves = Saves::kOutput;
  static constexpr double kLambda = 1.0507009873554804934193349852946;
  static constexpr double kLambdaAlpha = kLambda * 1.6732632423543772848170429916717;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    const V above = M::fma(M::constant(kLambda - 1.0), z, z);  // lambda has fewer digits in T than lambda - 1
    return M::select(z > M::constant(0.0), above, M::times_expm1(kLambdaAlpha, z));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    return gate<M>(z, M::constant(kLambda), M::constant(kLambdaAlpha) * M::exp(z));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V) {
    return gate<M>(y, M::constant(kLambda), y + M::constant(kLambdaAlpha));
  }
};

// f(z) = z Phi(z), Phi the normal distribution function (Hendrycks & Gimpel 2016);  f' = Phi + z phi
struct Gelu : Elementwise {
  static constexpr const char* kName = "gelu";
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    return M::times_normal_cdf(z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    const V c = clamp<M>(z);
    return M::fma(c, M::normal_pdf(c), M::normal_cdf(c));
  }
};

// f(z) = z/2 (1 + tanh u) = z s(2u), u = sqrt(2/pi) (z + 0.044715 z^3), s the sigmoid
struct GeluTanh : Elementwise {
  static constexpr const char* kName = "gelu_tanh";
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr double kScale = 1.5957691216057307117597842397375;  // 2 sqrt(2/pi)
  static constexpr double kScaleTail = -9.96930880911092e-17;
  static constexpr double kCubic = 0.0713548162726002487763387522798635;  // kScale * 0.044715
  static constexpr double kCubicTail = -6.175149918155315e-19;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    // 2u = z (scale + cubic z^2), with the rounding errors kept separately: exp magnifies them, by 87 at z = -10. The
    // errors of product and sum are computed exactly: scale is the larger term for |z| < 4.7, then the product.
    const V c = clamp<M>(z);
    const V square = c * c;
    const V cubic = M::constant(kCubic), scale = M::constant(kScale);
    const V product = cubic * square;
    const V sum = product + scale;
    const auto small = product < scale;
    const V larger = M::select(small, scale, product), smaller = M::select(small, product, scale);
    const V lost_square = M::fma(c, c, -square);
    const V lost_product = M::fma(cubic, lost_square, M::fma(cubic, square, -product));
    const V lost_constants = M::fma(M::rest(kCubic, kCubicTail), square, M::rest(kScale, kScaleTail));
    const V lost = (smaller - (sum - larger)) + (lost_product + lost_constants);
    const V twice_u = c * sum;
    return M::times_sigmoid(z, twice_u, M::fma(c, sum, -twice_u) + c * lost);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    const V c = clamp<M>(z);
    const V square = c * c;
    const auto pair = SigmoidPair<M, V>::of(c * M::fma(M::constant(kCubic), square, M::constant(kScale)));
    const V slope = M::fma(M::constant(3.0 * kCubic), square, M::constant(kScale));
    return M::fma(pair.s, (c * slope) * pair.complement, pair.s);
  }
};

// f(z) = log(1 + exp z) = -log s(-z);  f' = s(z) = 1 - exp(-f), s the sigmoid
struct Softplus : Elementwise {
  static constexpr const char* kName = "softplus";
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr Saves kSaves = Saves::kOutput;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    return M::softplus(z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    return M::sigmoid(z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V) {
    return -M::expm1(-y);
  }
};

// f(z) = z s(beta z), s the sigmoid (Ramachandran et al. 2017);  f' = s + beta z s (1 - s)
struct Swish : Elementwise {
  static constexpr const char* kName = "swish";
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr bool kParameter = true;
  template <class M, class V>
  static FNNFAST_INLINE V argument(V z, V beta) {
    return M::select(beta == M::constant(0.0), beta, beta * z);  // beta = 0 is z / 2, at infinity too
  }
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V beta) {
    return M::times_sigmoid(z, argument<M>(z, beta));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V beta) {
    const V t = M::select(z == z, clamp<M>(argument<M>(z, beta)), z);
    const auto pair = SigmoidPair<M, V>::of(t);
    return M::fma(pair.s, t * pair.complement, pair.s);
  }
};

// f(z)_i = exp(z_i - max z) / sum_j exp(z_j - max z) over a row: a separate kernel (rows.hpp)
struct Softmax : Elementwise {
  static constexpr const char* kName = "softmax";
  static constexpr Start kStart = Start::kXavier;
  static constexpr Saves kSaves = Saves::kOutput;
  static constexpr bool kRowwise = true;
};

// f(z) = min(max(0, z), 6);  f' = 1 in between, 0 at 0 and 6
struct Relu6 : Elementwise {
  static constexpr const char* kName = "relu6";
  static constexpr bool kExact = true;
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr Saves kSaves = Saves::kOutput;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    return clip<M>(z, M::constant(0.0), M::constant(6.0));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    return between<M>(z, M::constant(0.0), M::constant(6.0), M::constant(1.0));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V) {
    return derivative<M>(y, y);
  }
};

// f(z) = max(-1, min(z, 1));  f' = 1 in between, 0 at -1 and 1
struct HardTanh : Elementwise {
  static constexpr const char* kName = "hard_tanh";
  static constexpr bool kExact = true;
  static constexpr Start kStart = Start::kXavier;
  static constexpr Watch kWatch = Watch::kSaturated;
  static constexpr Saves kSaves = Saves::kOutput;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    return clip<M>(z, M::constant(-1.0), M::constant(1.0));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    return between<M>(z, M::constant(-1.0), M::constant(1.0), M::constant(1.0));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V) {
    return derivative<M>(y, y);
  }
};

// f(z) = max(0, min(z / 6 + 1/2, 1)), from z + 3, which is exact where the sum would cancel;  f' = 1/6 in between, 0 at
// -3 and 3. Computed from the output, f' would be 0 as soon as the output rounds to 1.
struct HardSigmoid : Elementwise {
  static constexpr const char* kName = "hard_sigmoid";
  static constexpr Start kStart = Start::kXavier;
  static constexpr Watch kWatch = Watch::kSaturated;
  static constexpr double kSteepest = 1.0 / 6.0;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    return clip<M>((z + M::constant(3.0)) * M::constant(1.0 / 6.0), M::constant(0.0), M::constant(1.0));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    return between<M>(z, M::constant(-3.0), M::constant(3.0), M::constant(1.0 / 6.0));
  }
};

// f(z) = z h(z), h the hard sigmoid (Howard et al. 2019);  f' = (z + 3/2) / 3 in between, 0 at -3, 1 at 3
struct HardSwish : Elementwise {
  static constexpr const char* kName = "hard_swish";
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V p) {
    return times_vanishing<M>(z, HardSigmoid::forward<M>(z, p));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    const V inside = (z + M::constant(1.5)) * M::constant(1.0 / 3.0);
    return M::select(z <= M::constant(-3.0), M::constant(0.0),
                     M::select(z >= M::constant(3.0), M::constant(1.0), inside));
  }
};

// f(z) = z tanh(log(1 + exp z)) (Misra 2020). With e = exp(-|z|) the tanh is n / (n + 2), n = e^2 + 2 e, for z < 0,
// else (1 + 2 e) / (1 + 2 e + 2 e^2). In the form b - b r / d, with b = n / 2 or 1, the quotient's errors weigh little.
struct Mish : Elementwise {
  static constexpr const char* kName = "mish";
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  template <class M, class V>
  struct Quotient {
    V e, base, r, d;
    static FNNFAST_INLINE Quotient of(V z) {
      const V one = M::constant(1.0), two = M::constant(2.0);
      const V e = M::exp(-M::abs(z));
      const auto negative = z < M::constant(0.0);
      const V r = M::fma(e, e, M::select(negative, e + e, e * e));
      const V base = M::select(negative, M::constant(0.5) * r, one);
      return {e, base, r, r + M::select(negative, two, one + (e + e))};
    }
  };
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    const auto of = Quotient<M, V>::of(z);
    const V product = z * M::fma(-of.base, of.r / of.d, of.base);
    const auto tail = z < M::constant(-40.0);  // there the tanh is the sigmoid, and may be subnormal
    if (!tail.any()) [[likely]]
      return product;
    return M::select(tail, M::times_sigmoid(z, z), product);
  }
  // tanh + z (1 - tanh^2) s(z), s the sigmoid: the latter is 4 z e (1 + e) / d^2, for z > 0 times e once more.
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    const V c = clamp<M>(z);
    const auto of = Quotient<M, V>::of(c);
    const V inverse = M::constant(1.0) / of.d;
    const V tanh = M::fma(-of.base, of.r * inverse, of.base);
    const V falling = M::select(c < M::constant(0.0), of.e, of.e * of.e);
    const V steepness = (M::constant(4.0) * inverse) * (inverse * (M::constant(1.0) + of.e));
    return M::fma(c * falling, steepness, tanh);
  }
};

// f(z) = z / (1 + |z|) (Glorot & Bengio 2010);  f' = 1 / (1 + |z|)^2, which falls so slowly that 1 - |f| would cancel
struct Softsign : Elementwise {
  static constexpr const char* kName = "softsign";
  static constexpr Start kStart = Start::kXavier;
  static constexpr Watch kWatch = Watch::kSaturated;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    const V one = M::constant(1.0), size = M::abs(z);
    const V quotient = z / (one + size);
    return M::select(size > M::constant(1e30), M::copysign(one, z), quotient);  // infinity, too
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    const V one = M::constant(1.0);
    const V root = one / (one + M::abs(z));
    return root * root;
  }
};

// f(z) = z if z > 0 else alpha (exp(z / alpha) - 1), alpha > 0 (Barron 2017)
struct Celu : Elementwise {
  static constexpr const char* kName = "celu";
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr Saves kSaves = Saves::kOutput;
  static constexpr bool kParameter = true;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V alpha) {
    const V t = z / alpha;  // if it is small, f is z, which alpha t may not be exactly
    return M::select(t > M::constant(-1e-20), z, alpha * M::expm1(t));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V alpha) {
    // exp(t + lost), where lost is the rounding error of the division, which exp magnifies.
    const V t = z / alpha;
    const V e = M::exp(t);
    const V lost = M::fma(-t, alpha, z) / alpha;
    return gate<M>(z, M::constant(1.0), M::select(M::abs(t) < M::constant(1000.0), M::fma(e, lost, e), e));
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V alpha) {
    return gate<M>(y, M::constant(1.0), y / alpha + M::constant(1.0));
  }
};

// f(z) = exp z = f'
struct Exponential : Elementwise {
  static constexpr const char* kName = "exponential";
  static constexpr Start kStart = Start::kXavier;
  static constexpr Saves kSaves = Saves::kOutput;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    return M::exp(z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    return M::exp(z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V) {
    return y;
  }
};

// f(z) = log s(z) = -log(1 + exp(-z)), s the sigmoid;  f' = s(-z) = 1 - exp f
struct LogSigmoid : Elementwise {
  static constexpr const char* kName = "log_sigmoid";
  static constexpr Start kStart = Start::kHe;
  static constexpr Watch kWatch = Watch::kDead;
  static constexpr Saves kSaves = Saves::kOutput;
  template <class M, class V>
  static FNNFAST_INLINE V forward(V z, V) {
    return -M::softplus(-z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative(V z, V) {
    return M::sigmoid(-z);
  }
  template <class M, class V>
  static FNNFAST_INLINE V derivative_from_output(V y, V) {
    return -M::expm1(y);
  }
};

using Activations = TypeList<Identity, Step, Sign, Sigmoid, Tanh, Relu, LeakyRelu, Prelu, Elu, EluLearned, Selu, Gelu,
                             GeluTanh, Softplus, Swish, Softmax, Relu6, HardTanh, HardSigmoid, HardSwish, Mish,
                             Softsign, Celu, Exponential, LogSigmoid>;

// A row of the registry.
struct ActivationInfo {
  const char* name;
  Start start;
  Saves saves;
  bool parameter, learned, differentiable, rowwise, exact;
  Watch watch;
  double small;  // the derivative under which Watch counts
  double parameter_default;
};

template <class Act>
FNNFAST_INLINE constexpr double small_derivative() {
  return Act::kWatch == Watch::kSaturated ? kSaturatedShare * Act::kSteepest : kDeadDerivative;
}

template <class... A>
struct ActivationRegistry;
template <class... A>
struct ActivationRegistry<TypeList<A...>> {
  template <class Act>
  static constexpr ActivationInfo kRow = {
      Act::kName,    Act::kStart, Act::kSaves, Act::kParameter,         Act::kLearned, Act::kDifferentiable,
      Act::kRowwise, Act::kExact, Act::kWatch, small_derivative<Act>(), Act::kDefault};
  static constexpr ActivationInfo kRows[] = {kRow<A>..., kRow<A>...};
};

// The number of activation i's accurate form, which only the CPU has, is i + kActivations.
inline constexpr int kActivations = Activations::kSize;
inline constexpr const ActivationInfo* kActivationInfo = ActivationRegistry<Activations>::kRows;
inline constexpr int kIdentity = 0;  // the first of Activations

inline constexpr std::ptrdiff_t kMaxPiecesSaved = 256;  // maxout's argmax is a byte

}  // namespace fnnfast
