#include "windows.hpp"

#include <algorithm>
#include <cstdint>

namespace fnnfast::cpu {

template <class T>
void copy_window(const WindowPlan& plan, const T* x, ptrdiff_t pixel, ptrdiff_t row, ptrdiff_t first, ptrdiff_t count,
                 T* to) {
  const OutputPixel at(plan, row);
  ptrdiff_t channel = first % plan.channels;
  for (ptrdiff_t t = first / plan.channels; count > 0; ++t, channel = 0) {
    const ptrdiff_t n = std::min(plan.channels - channel, count);
    const ptrdiff_t from = at.read_by(plan, plan.tap[t]);
    if (from >= 0)
      std::copy_n(x + from * pixel + channel, n, to);
    else
      std::fill_n(to, n, T(0));
    to += n;
    count -= n;
  }
}

#define FNNFAST_INSTANTIATE(T) \
  template void copy_window<T>(const WindowPlan&, const T*, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, T*);
FNNFAST_INSTANTIATE(float)
FNNFAST_INSTANTIATE(double)
FNNFAST_INSTANTIATE(std::uint8_t)
#undef FNNFAST_INSTANTIATE

}  // namespace fnnfast::cpu
