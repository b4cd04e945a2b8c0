// The accurate forms of the activations in float32: computed by the kernels of float64, a few values at a time on the
// stack, and rounded once, so that the error is half an ulp.
#pragma once

#include "../core/rows.hpp"

namespace fnnfast::FNNFAST_ISA {

inline constexpr ptrdiff_t kWidened = 256;  // values at a time: 2 KiB

FNNFAST_INLINE void widen(const float* from, ptrdiff_t n, double* to) {
  for (ptrdiff_t i = 0; i < n; ++i) to[i] = from[i];
}
FNNFAST_INLINE void narrow(const double* from, ptrdiff_t n, float* to) {
  for (ptrdiff_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i]);
}

// t, by the same function of float64.
template <void (*kFunction)(const ElementwiseTask<double>&)>
void in_double(const ElementwiseTask<float>& t) {
  double values[kWidened], parameters[kWidened];
  ElementwiseTask<double> wide{};
  wide.in = wide.out = values;
  wide.parameter = parameters;
  wide.parameter_step = t.parameter_step;
  if (t.parameter != nullptr) parameters[0] = *t.parameter;
  for (ptrdiff_t c = 0; c < t.columns; c += kWidened) {
    const ptrdiff_t n = t.columns - c < kWidened ? t.columns - c : kWidened;
    if (t.parameter_step != 0) widen(t.parameter + c, n, parameters);
    wide.columns = wide.in_row = wide.out_row = n;
    const ptrdiff_t step = kWidened / n;
    for (ptrdiff_t r = 0; r < t.rows; r += step) {
      wide.rows = t.rows - r < step ? t.rows - r : step;
      for (ptrdiff_t i = 0; i < wide.rows; ++i) widen(t.in + (r + i) * t.in_row + c, n, values + i * n);
      kFunction(wide);
      for (ptrdiff_t i = 0; i < wide.rows; ++i) narrow(values + i * n, n, t.out + (r + i) * t.out_row + c);
    }
  }
}

// A row may be longer than what fits the stack: its exponentials are computed for their sum, and again.
inline void softmax_in_double(const ElementwiseTask<float>& t) {
  double values[kWidened];
  const auto size = [&](ptrdiff_t c) { return t.columns - c < kWidened ? t.columns - c : kWidened; };
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    const float* const z = t.in + r * t.in_row;
    const double maximum = row_maximum(z, t.columns);
    const auto exponentials_from = [&](ptrdiff_t c) {
      widen(z + c, size(c), values);
      return exponentials(values, values, size(c), maximum);
    };
    double sum = 0;
    for (ptrdiff_t c = 0; c < t.columns; c += kWidened) sum += exponentials_from(c);
    for (ptrdiff_t c = 0; c < t.columns; c += kWidened) {
      exponentials_from(c);
      for (ptrdiff_t i = 0; i < size(c); ++i) values[i] /= sum;
      narrow(values, size(c), t.out + r * t.out_row + c);
    }
  }
}

}  // namespace fnnfast::FNNFAST_ISA
