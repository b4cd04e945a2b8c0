// The local response norm, y = x / (k + alpha / size * sum of squares of neighbouring channels)^beta (Krizhevsky,
// Sutskever and Hinton 2012), forward and backward.
//
// Channels are in the lanes. What is summed over neighbours is first written to scratch memory, with zeros beyond the
// first and the last channel, so that every sum has the same number of terms, in ascending order.
#pragma once

#include "pool.hpp"

namespace fnnfast::FNNFAST_ISA {

// x^p for x >= 0. With x = 2^n m, it is 2^(n p) exp(p log m): only the rest of n p after its whole part, and log m <
// 0.7, are rounded, so that the error does not grow with log x: some 2 ulp for |p| of about 1.
template <class T>
class Power {
  using V = Vec<T>;
  using M = Math<T>;
  static constexpr bool kFloat = sizeof(T) == sizeof(float);
  static constexpr double kNormal = kFloat ? 0x1p-126 : 0x1p-1022;  // the smallest normal number
  static constexpr double kLift = 64;                               // makes all smaller ones normal
  static constexpr double kMost = kFloat ? 250 : 2040;              // 2^(n/2) is a normal number

 public:
  explicit FNNFAST_INLINE Power(T p)
      : p_(V::broadcast(p)),
        at_zero_(M::constant(p > 0   ? 0.0
                             : p < 0 ? __builtin_inf()
                                     : 1.0)),
        at_infinity_(M::constant(p > 0   ? __builtin_inf()
                                 : p < 0 ? 0.0
                                         : 1.0)) {}

  FNNFAST_INLINE V operator()(V x) const {
    const auto small = x < M::constant(kNormal);
    const V normal = M::select(small, x * M::constant(0x1p64), x);
    const V n = exponent(normal) - M::select(small, M::constant(kLift), M::constant(0));
    const V product = n * p_;
    const V whole = round(product);
    const V rest = M::fma(n, p_, -product) + (product - whole);
    const V fraction = M::exp(M::fma(rest, M::constant(0.69314718055994531), p_ * M::log(mantissa(normal))));
    const V y = scale(fraction, max(min(whole, M::constant(kMost)), M::constant(-kMost)));
    const V finite = M::select(x < M::constant(__builtin_inf()), y, at_infinity_);
    return M::select(x > M::constant(0), finite,
                     M::select(x == M::constant(0), at_zero_, M::constant(__builtin_nan(""))));
  }

 private:
  V p_, at_zero_, at_infinity_;
};

// Values of a pixel's channels in scratch memory, between `before` and `after` zeros.
template <class T>
class Neighbours {
 public:
  // p: before + channels + after + lanes elements.
  FNNFAST_INLINE Neighbours(T* p, ptrdiff_t before, ptrdiff_t channels, ptrdiff_t after)
      : p_(p), before_(before), terms_(before + 1 + after) {
    for (ptrdiff_t i = 0; i < before + channels + after + Vec<T>::kLanes; ++i) p[i] = T(0);
  }
  template <int kVectors>
  FNNFAST_INLINE void set(Vec<T> value, ptrdiff_t c, int v, ptrdiff_t channels) const {
    store_channels<T, kVectors>(value, p_ + before_ + c, v, channels);
  }
  // Over each channel's neighbours, in ascending order.
  FNNFAST_INLINE Vec<T> sum(ptrdiff_t c) const {
    Vec<T> sum = Vec<T>::load(p_ + c);
    for (ptrdiff_t i = 1; i < terms_; ++i) sum = sum + Vec<T>::load(p_ + c + i);
    return sum;
  }

 private:
  T* p_;
  ptrdiff_t before_, terms_;
};

template <class T>
FNNFAST_INLINE void set_squares(const Neighbours<T>& squares, const T* x, ptrdiff_t all) {
  for_channels<T>(all, [&]<int kVectors>(ptrdiff_t c, ptrdiff_t channels) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Vec<T> value = load_channels<T, kVectors>(x + c, v, channels);
      squares.template set<kVectors>(value * value, c, v, channels);
    }
  });
}

template <class T>
void local_response(const LocalResponseTask<T>& t) {
  using V = Vec<T>;
  const Neighbours<T> squares(t.scratch, t.before, t.channels, t.after);
  const Power<T> power(-t.beta);
  const V ratio = V::broadcast(t.ratio), k = V::broadcast(t.k);
  for (ptrdiff_t pixel = 0; pixel < t.pixels; ++pixel) {
    const T* const x = t.x + pixel * t.x_row;
    T* const y = t.y + pixel * t.y_row;
    set_squares(squares, x, t.channels);
    for (ptrdiff_t c = 0; c < t.channels; c += V::kLanes) {
      const ptrdiff_t rest = t.channels - c;
      const V scale = fma(ratio, squares.sum(c), k);
      store_channels<T, 1>(load_channels<T, 1>(x + c, 0, rest) * power(scale), y + c, 0, rest);
    }
  }
}

// With s = k + alpha / size * sum: dx_c = dy_c s_c^-beta - 2 alpha beta / size x_c times the sum of
// dy_j x_j s_j^(-beta - 1) over the channels j that have c for a neighbour. Those are c's neighbours with before and
// after exchanged.
template <class T>
void local_response_gradient(const LocalResponseTask<T>& t) {
  using V = Vec<T>;
  const ptrdiff_t part = t.before + t.channels + t.after + V::kLanes;
  const Neighbours<T> squares(t.scratch, t.before, t.channels, t.after);
  const Neighbours<T> shares(t.scratch + part, t.after, t.channels, t.before);
  const Power<T> power(-t.beta);
  const V ratio = V::broadcast(t.ratio), k = V::broadcast(t.k), slope = V::broadcast(-t.slope);
  for (ptrdiff_t pixel = 0; pixel < t.pixels; ++pixel) {
    const T* const x = t.x + pixel * t.x_row;
    const T* const dy = t.dy + pixel * t.dy_row;
    T* const dx = t.dx + pixel * t.dx_row;
    set_squares(squares, x, t.channels);
    for (ptrdiff_t c = 0; c < t.channels; c += V::kLanes) {
      const ptrdiff_t rest = t.channels - c;
      const V scale = fma(ratio, squares.sum(c), k);
      const V own = load_channels<T, 1>(dy + c, 0, rest) * power(scale);
      shares.template set<1>(own * load_channels<T, 1>(x + c, 0, rest) / scale, c, 0, rest);
      store_channels<T, 1>(own, dx + c, 0, rest);
    }
    for (ptrdiff_t c = 0; c < t.channels; c += V::kLanes) {
      const ptrdiff_t rest = t.channels - c;
      const V factor = slope * load_channels<T, 1>(x + c, 0, rest);
      store_channels<T, 1>(fma(factor, shares.sum(c), load_channels<T, 1>(dx + c, 0, rest)), dx + c, 0, rest);
    }
  }
}

}  // namespace fnnfast::FNNFAST_ISA
