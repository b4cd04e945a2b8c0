#include "windows.hpp"

#include <algorithm>
#include <cstdint>

namespace fnnfast::cpu {

template <class T>
void copy_window(const WindowPlan& plan, const T* x, ptrdiff_t pixel, ptrdiff_t row, ptrdiff_t first, ptrdiff_t count,
                 T* to) {
  const ptrdiff_t sample = row / plan.pixels();
  const ptrdiff_t line = row % plan.pixels() / plan.output_width, column = row % plan.output_width;
  ptrdiff_t channel = first % plan.channels;
  for (ptrdiff_t t = first / plan.channels; count > 0; ++t, channel = 0) {
    const ptrdiff_t n = std::min(plan.channels - channel, count);
    const ptrdiff_t at_y = line * plan.stride_y + plan.tap[t].y, at_x = column * plan.stride_x + plan.tap[t].x;
    if (at_y >= 0 && at_y < plan.height && at_x >= 0 && at_x < plan.width)
      std::copy_n(x + ((sample * plan.height + at_y) * plan.width + at_x) * pixel + channel, n, to);
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
