// Elementary functions over Vec, for float and double: the Math policy of the activations in csrc/core.
//
// Every step is one correctly rounded operation in a fixed order (fma only where written, never by contraction; true
// division), and a branch only skips what no lane needs, so all instruction sets give the same bits. NaN gives NaN, an
// infinity the limit; subnormal results are rounded once.
//
// Largest errors in ulp, over all floats (tanh: every 64th) and over twelve million doubles per function:
//
//            exp   expm1  log1p_unit  log   tanh  sigmoid  softplus  normal_cdf  normal_pdf
//   float    0.91  1.44   1.06        0.84  0.89  1.65     1.72      1.96        0.77
//   double   0.86  1.81   1.05        0.82  0.84  1.66     1.63      1.73        0.75
#pragma once

#include "coefficients.hpp"
#include "macros.hpp"

namespace fnnfast::FNNFAST_ISA {

template <class T>
struct Vec;

// Arguments beyond which a function has reached its limit, and numbers that depend on the exponent's width.
template <class T>
struct Range;
template <>
struct Range<float> {
  static constexpr float kExpHigh = 89.0f;     // exp overflows above 128 ln 2 = 88.72
  static constexpr float kExpLow = -104.0f;    // exp rounds to zero below -150 ln 2 = -103.97
  static constexpr float kExpm1Low = -20.0f;   // expm1 rounds to -1 below -25 ln 2 = -17.3
  static constexpr float kNormalHigh = 14.5f;  // Phi(-z) rounds to zero above 14.17, the density above 14.36
  static constexpr float kLargest = 127.0f;    // the largest exponent
  static constexpr float kTailHigh = -60.0f;   // below, 1 + exp z rounds to 1, and exp z is still normal for a while
  static constexpr float kTailLow = -170.0f;   // below, z exp z rounds to zero; 2^(n/2) is a number down to n = -252
};
template <>
struct Range<double> {
  static constexpr double kExpHigh = 710.0;    // 1024 ln 2 = 709.78
  static constexpr double kExpLow = -746.0;    // -1075 ln 2 = -745.13
  static constexpr double kExpm1Low = -40.0;   // -54 ln 2 = -37.4
  static constexpr double kNormalHigh = 39.0;  // Phi(-z) rounds to zero above 38.49, the density above 38.58
  static constexpr double kLargest = 1023.0;
  static constexpr double kTailHigh = -600.0;
  static constexpr double kTailLow = -1200.0;
};

// Vec's functions are found by argument-dependent lookup, which members of the same name would prevent. Math calls them
// by these names.
template <class V>
FNNFAST_INLINE V vec_fma(V a, V b, V c) {
  return fma(a, b, c);
}
// 1 / b and a / b for normal numbers, far from the limits of the exponent, and quotients likewise: the bits of a
// division, in fewer instructions if Vec has a way.
template <class V>
FNNFAST_INLINE V vec_reciprocal(V b) {
  if constexpr (requires { reciprocal(b); })
    return reciprocal(b);
  else
    return V::broadcast(1) / b;
}
template <class V>
FNNFAST_INLINE V vec_quotient(V a, V b) {
  if constexpr (requires { quotient(a, b); })
    return quotient(a, b);
  else
    return a / b;
}
template <class V>
FNNFAST_INLINE V vec_abs(V a) {
  return abs(a);
}
template <class V>
FNNFAST_INLINE V vec_sqrt(V a) {
  return sqrt(a);
}
template <class V>
FNNFAST_INLINE V vec_copysign(V a, V sign) {
  return copysign(a, sign);
}
template <class M, class V>
FNNFAST_INLINE V vec_select(M m, V a, V b) {
  return select(m, a, b);
}

template <class T>
struct Math {
  using Vector = Vec<T>;
  using Scalar = T;
  using Mask = typename Vector::Mask;

  static FNNFAST_INLINE Vector constant(double c) { return Vector::broadcast(static_cast<T>(c)); }
  // c + tail minus constant(c); tail: what c, rounded to float64, lacks.
  static FNNFAST_INLINE Vector rest(double c, double tail = 0.0) {
    return constant(c - static_cast<double>(static_cast<T>(c)) + tail);
  }
  static FNNFAST_INLINE Vector select(Mask m, Vector a, Vector b) { return vec_select(m, a, b); }
  static FNNFAST_INLINE Vector fma(Vector a, Vector b, Vector c) { return vec_fma(a, b, c); }
  static FNNFAST_INLINE Vector reciprocal(Vector b) { return vec_reciprocal(b); }
  static FNNFAST_INLINE Vector abs(Vector a) { return vec_abs(a); }
  static FNNFAST_INLINE Vector sqrt(Vector a) { return vec_sqrt(a); }
  static FNNFAST_INLINE Vector copysign(Vector a, Vector sign) { return vec_copysign(a, sign); }

  static FNNFAST_INLINE Vector exp(Vector z) {
    const Reduced x = reduce(at_most(at_least(z, Limits::kExpLow), Limits::kExpHigh));
    return scale(exp_reduced(x.r), x.n);
  }

  // exp(z) - 1 = 2^n q + (2^n - 1) with q = exp(r) - 1. If 2^n would overflow, half the result is computed and doubled.
  // The sign restores -0.
  static FNNFAST_INLINE Vector expm1(Vector z) {
    const Reduced x = reduce(at_most(at_least(z, Limits::kExpm1Low), Limits::kExpHigh));
    const Mask top = x.n > constant(Limits::kLargest);
    const Vector power = pow2(select(top, constant(Limits::kLargest), x.n));
    const Vector y = fma(power, expm1_reduced(x.r), power - constant(1));
    return copysign(select(top, y + y, y), z);
  }

  // c (exp(z) - 1) for z <= 0, that is c 2^n (r + r^2 P(r)) + c (2^n - 1) with what c, r^2 and the last product were
  // rounded by, and the largest term added last.
  static FNNFAST_INLINE Vector times_expm1(double c, Vector z) {
    const Reduced x = reduce(at_least(z, Limits::kExpm1Low));
    const Vector factor = constant(c), power = pow2(x.n), less = power - constant(1);
    const Vector large = factor * less;
    const Vector lost = fma(rest(c), less, fma(factor, less, -large));
    const Vector square = x.r * x.r;
    const Vector half = fma(x.r, x.r, -square) * constant(0.5);
    const Vector scaled = factor * power;
    const Vector small = fma(scaled, fma(square, polynomial<Table::kExpm1>(x.r), half), lost);
    return copysign(fma(scaled, x.r, small) + large, z);
  }

  // log(1 + u) for u in [0, 1]. With s = u / (2 + u): log(1 + u) = 2 atanh(s) = 2 s + s R(s^2), and 2 s = u - s u,
  // which makes it u - s (u - R): only the outer difference rounds at full weight.
  static FNNFAST_INLINE Vector log1p_unit(Vector u) {
    const Vector s = u / (u + constant(2));
    const Vector v = s * s;
    return fma(s, fma(v, polynomial<Table::kLog1p>(v), -u), u);
  }

  // log(x) for x positive and normal, and the limits at 0 and inf. x = 2^n m with m in (sqrt(1/2), sqrt(2)]; f = m - 1
  // is exact; s = f / (2 + f): log(1 + f) = 2 s + s R(s^2) = f - (f^2/2 - s (f^2/2 + R)), the arrangement of FreeBSD's
  // e_log.c.
  static FNNFAST_INLINE Vector log(Vector x) {
    const Vector whole = mantissa(x);
    const Mask upper = whole > constant(1.4142135623730951);
    const Vector f = select(upper, whole * constant(0.5), whole) - constant(1);
    const Vector n = select(upper, exponent(x) + constant(1), exponent(x));
    const Vector s = f / (f + constant(2));
    const Vector v = s * s;
    const Vector half_square = constant(0.5) * f * f;
    const Vector small = fma(s, fma(v, polynomial<Table::kLog>(v), half_square), n * constant(Table::kLn2Low));
    const Vector y = fma(n, constant(Table::kLn2High), f - (half_square - small));
    const Vector infinity = constant(__builtin_inf());
    return select(x > constant(0), select(x < infinity, y, x), select(x == constant(0), -infinity, x));
  }

  // 2 / (1 + e) - 1 with e = exp(-2 |z|); where that would cancel, |z| + |z|^3 P(z^2) / Q(z^2). One division serves
  // both. With q near 1 / (1 + e), 2 q - 1 is exact, and what 1 + e and q were rounded by is added last.
  static FNNFAST_INLINE Vector tanh(Vector z) {
    const Vector a = abs(z);
    const Reduced x = reduce(at_least(a * constant(-2), Limits::kExpm1Low));
    const Vector e = scale_normal(exp_reduced(x.r), x.n);
    const Vector v = a * a;
    const Vector one = constant(1);
    const Vector sum = e + one;
    const Mask near = a < constant(Table::kTanhEdge);
    const Vector numerator = select(near, polynomial<Table::kTanhNumerator>(v) * (a * v), one);
    const Vector q = numerator / select(near, polynomial<Table::kTanhDenominator>(v), sum);
    const Vector lost = fma(-sum, q, one) - (e - (sum - one)) * q;
    const Vector twice = q + q;
    return copysign(select(near, a + q, fma(twice, lost, twice - one)), z);
  }

  // With e = exp(-|z|) and w = e / (1 + e): 1 - w for z >= 0, else e / (1 + e) = e (1 - w). One division for both, and
  // its error and that of 1 + e weigh no more than w.
  static FNNFAST_INLINE Vector sigmoid(Vector z) {
    const Vector e = exp_nonpositive(-abs(z));
    const Vector base = select(z < constant(0), e, constant(1));
    return fma(-base, e / (e + constant(1)), base);
  }

  // y sigmoid(z). A small sigmoid is exp(z) = 2^n p, which may be subnormal, with few bits left, while y times it is
  // not: then y p is rounded first and scaled last. Only for |y| >= 1, so that scale rounds once. Far below, the
  // product has underflowed, and for infinite y its limit is zero.
  static FNNFAST_INLINE Vector times_sigmoid(Vector y, Vector z) {
    return times_sigmoid_of(y, z, [&](T limit) { return reduce(at_least(-abs(z), limit)); });
  }
  // y sigmoid(z + rest), where rest is the rounding error of z.
  static FNNFAST_INLINE Vector times_sigmoid(Vector y, Vector z, Vector rest) {
    return times_sigmoid_of(y, z, [&](T limit) {
      Reduced x = reduce(at_least(-abs(z), limit));
      x.r = x.r + select(z < constant(0), rest, -rest);
      return x;
    });
  }
  // log(1 + exp z) = max(z, 0) + log(1 + exp(-|z|))
  static FNNFAST_INLINE Vector softplus(Vector z) {
    return select(z < constant(0), constant(0), z) + log1p_unit(exp_nonpositive(-abs(z)));
  }

  // The standard normal distribution
  static FNNFAST_INLINE Vector normal_cdf(Vector z) {
    const Vector a = at_most(abs(z), Limits::kNormalHigh);
    const Scaled far = normal_tail(a);
    const Vector tail = unless_near(a, constant(1), scale(far.value, far.n));
    return select(z < constant(0), tail, constant(1) - tail);
  }

  // z Phi(z) = max(z, 0) - |z| Phi(-|z|), scaled last, since Phi may be subnormal while the product is not. -0 for z <
  // 0.
  static FNNFAST_INLINE Vector times_normal_cdf(Vector z) {
    const Vector a = at_most(abs(z), Limits::kNormalHigh);
    const Scaled far = normal_tail(a);
    return at_least(z, T(-0.0)) - unless_near(a, a, scale(a * far.value, far.n));
  }

  // exp(-z^2/2) / sqrt(2 pi)
  static FNNFAST_INLINE Vector normal_pdf(Vector z) {
    const Vector k = constant(Table::kInverseSqrt2PiHigh);
    const Vector rest = constant(Table::kInverseSqrt2PiLow / Table::kInverseSqrt2PiHigh);
    const Split x = reduce_square(at_most(abs(z), Limits::kNormalHigh), rest);
    return scale(times_exp(k, constant(0), x), x.n);
  }

 private:
  using Limits = Range<T>;
  using Table = Coefficients<T>;

  // The argument of exp is n ln 2 + r.
  struct Reduced {
    Vector n;
    Vector r;
  };

  // NaN passes through both.
  static FNNFAST_INLINE Vector at_most(Vector z, T limit) { return min(constant(limit), z); }
  static FNNFAST_INLINE Vector at_least(Vector z, T limit) { return max(constant(limit), z); }

  // sum of c[i] x^i, by Horner's rule; unrolled by recursion, since compilers stop unrolling loops at sixteen or so.
  template <const auto& C, int I = 0>
  static FNNFAST_INLINE Vector polynomial(Vector x) {
    constexpr T c = C[I];
    if constexpr (I + 1 == sizeof(C) / sizeof(T))
      return Vector::broadcast(c);
    else
      return fma(polynomial<C, I + 1>(x), x, Vector::broadcast(c));
  }

  // z = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite). z - n kLn2High is exact: it is a multiple of the last bit of
  // z or of kLn2High, and small.
  static FNNFAST_INLINE Reduced reduce(Vector z) {
    const Vector n = round(z * constant(Table::kLog2e));
    return {n, fma(n, constant(-Table::kLn2Low), fma(n, constant(-Table::kLn2High), z))};
  }

  // times_sigmoid with exp(-|z|) = 2^n exp(r), where reduced(limit) gives n and r for max(-|z|, limit). The tail is a
  // branch, which changes no other lane's bits.
  template <class ReduceTo>
  static FNNFAST_INLINE Vector times_sigmoid_of(Vector y, Vector z, ReduceTo reduced) {
    const Reduced x = reduced(Limits::kTailHigh);
    const Vector e = scale_normal(exp_reduced(x.r), x.n);
    const Vector base = select(z < constant(0), e, constant(1));
    const Vector product = y * fma(-base, vec_quotient(e, e + constant(1)), base);  // e > 2^-87
    const Mask tail = z < constant(Limits::kTailHigh);
    if (!tail.any()) [[likely]]
      return product;
    const Reduced far = reduced(Limits::kTailLow);
    const Vector p = exp_reduced(far.r);
    const Vector s = scale(p, far.n);  // 1 + exp z is 1
    const Vector small = select(abs(y) >= constant(1), scale(y * p, far.n), y * s);
    return select(z < constant(Limits::kTailLow), copysign(constant(0), y), select(tail, small, product));
  }

  // value 2^n
  struct Scaled {
    Vector value;
    Vector n;
  };

  // Phi(-a) = exp(-a^2/2) F(u) u with u = 1 / (a + c), where F = (a + c) Phi(-a) exp(a^2/2) is smooth and far from zero
  // (the variable of Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x", Math. Comp. 36
  // (1981)). Rounding errors are computed and added again: those of the square, of a + c and of the division in the
  // exponent, those of F and of the product F u in the last sum. If u is too large by the factor 1 + d, then F(u) u is
  // too large by 1 + d (1 + u F'/F), and F'/F is nearly constant.
  static FNNFAST_INLINE Scaled normal_tail(Vector a) {
    const Vector c = constant(Table::kNormalShift);
    const Vector sum = a + c;
    const Vector u = reciprocal(sum);
    const Vector excess = fma(a - (sum - c), u, fma(sum, u, constant(-1)));
    const Split x = reduce_square(a, excess * fma(u, constant(-Table::kNormalGrowth), constant(-1)));
    const Vector t = u - constant(Table::kNormalCentre);
    const Vector first = constant(Table::kNormalFar[0]);
    const Vector slope = polynomial<Table::kNormalFar, 1>(t);
    const Vector f = fma(slope, t, first);
    const Vector product = f * u;
    const Vector lost = fma(fma(slope, t, first - f), u, fma(f, u, -product));
    return {times_exp(product, lost, x), x.n};
  }

  // In float64, F for all a would need too long a polynomial: near zero, factor Phi(-a) = factor (1/2 - a P(a^2)).
  static FNNFAST_INLINE Vector unless_near(Vector a, Vector factor, Vector far) {
    if constexpr (sizeof(T) == sizeof(float)) {
      return far;
    } else {
      const Vector near = fma(-a, polynomial<Table::kNormalNear>(a * a), constant(0.5));
      return select(a < constant(Table::kNormalEdge), factor * near, far);
    }
  }

  // The same for -a^2/2 + small, without a rounding error: the square is split into its rounded value and the rest, and
  // r is the sum of high, which is exact, and low.
  struct Split {
    Vector n;
    Vector high;
    Vector low;
  };
  static FNNFAST_INLINE Split reduce_square(Vector a, Vector small) {
    const Vector square = a * a;
    const Vector half = square * constant(-0.5);
    const Vector rest = fma(fma(a, a, -square), constant(-0.5), small);
    const Vector n = round(half * constant(Table::kLog2e));
    return {n, fma(n, constant(-Table::kLn2High), half), fma(n, constant(-Table::kLn2Low), rest)};
  }

  // (v + small) exp(r) = v + v high + v (low + r^2 P(r)) + small, the largest last.
  static FNNFAST_INLINE Vector times_exp(Vector v, Vector small, Split x) {
    const Vector r = x.high + x.low;
    return fma(v, x.high, fma(v, fma(r * r, polynomial<Table::kExpm1>(r), x.low), small)) + v;
  }

  // exp(r) = 1 + r (1 + r P(r)) and exp(r) - 1 = r + r^2 P(r)
  static FNNFAST_INLINE Vector exp_reduced(Vector r) {
    return fma(r, fma(r, polynomial<Table::kExp>(r), constant(1)), constant(1));
  }
  static FNNFAST_INLINE Vector expm1_reduced(Vector r) { return fma(r * r, polynomial<Table::kExpm1>(r), r); }

  static FNNFAST_INLINE Vector exp_nonpositive(Vector z) {
    const Reduced x = reduce(at_least(z, Limits::kExpLow));
    return scale(exp_reduced(x.r), x.n);
  }
};

}  // namespace fnnfast::FNNFAST_ISA
