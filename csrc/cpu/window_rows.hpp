// Addresses of windows: by rows for the product, by columns for the gradient of the weights.
#pragma once

#include <cstdint>

#include "../core/macros.hpp"
#include "windows.hpp"

namespace fnnfast::FNNFAST_ISA {

inline constexpr ptrdiff_t kMostTileRows = 12;  // of a register tile

// The windows of successive output pixels. Addresses are integers, so that they are computed without branches.
template <class T>
class WindowRows {
 public:
  // Begins at row `row` of the product. x: the first image, with `pixel` elements from one pixel to the next. zeros: as
  // many as a tap has channels. table: receives the addresses.
  FNNFAST_INLINE WindowRows(const WindowPlan& plan, const T* x, ptrdiff_t pixel, ptrdiff_t row, const T* zeros,
                            std::intptr_t* table)
      : plan_(plan), x_(x), pixel_(pixel), zeros_(zeros), table_(table), next_(plan, row) {}

  FNNFAST_INLINE ptrdiff_t channels() const { return plan_.channels; }

  // Writes the addresses of the next n rows, and returns them: [tap][row], kMostTileRows per tap. After n rows, the
  // last one is repeated, so that the loops below have a fixed length.
  FNNFAST_INLINE const std::intptr_t* next(ptrdiff_t n) {
    ptrdiff_t ys[kMostTileRows], xs[kMostTileRows];
    std::intptr_t starts[kMostTileRows];
    ptrdiff_t y = 0, x = 0, start = 0;
    for (ptrdiff_t r = 0; r < kMostTileRows; ++r) {
      if (r < n) {
        y = next_.line * plan_.stride_y;
        x = next_.column * plan_.stride_x;
        start = ((next_.sample * plan_.height + y) * plan_.width + x) * pixel_ * kBytes;
        next_.advance(plan_, 1);
      }
      ys[r] = y;
      xs[r] = x;
      starts[r] = reinterpret_cast<std::intptr_t>(x_) + start;
    }
    const ptrdiff_t taps = plan_.taps, height = plan_.height, width = plan_.width;
    const std::intptr_t zeros = reinterpret_cast<std::intptr_t>(zeros_);
    std::intptr_t* row = table_;
    for (ptrdiff_t t = 0; t < taps; ++t, row += kMostTileRows) {
      const Tap tap = plan_.tap[t];
      const ptrdiff_t offset = (tap.y * width + tap.x) * pixel_ * kBytes;
      for (ptrdiff_t r = 0; r < kMostTileRows; ++r) {
        const unsigned inside = is_index(ys[r] + tap.y, height) & is_index(xs[r] + tap.x, width);
        row[r] = inside != 0 ? starts[r] + offset : zeros;
      }
    }
    return table_;
  }

 private:
  static constexpr auto kBytes = static_cast<ptrdiff_t>(sizeof(T));

  const WindowPlan& plan_;
  const T* x_;
  ptrdiff_t pixel_;
  const T* zeros_;
  std::intptr_t* table_;
  OutputPixel next_;
};

// One tap of successive output pixels: `count` addresses, `step` elements apart.
template <class T>
struct Run {
  const T* a;
  ptrdiff_t step, count;
};

// Writes the runs of `rows` output pixels, at most one per pixel, and moves on.
template <class T>
FNNFAST_INLINE void tap_runs(const WindowPlan& plan, const Tap& tap, const T* x, ptrdiff_t pixel, const T* zeros,
                             OutputPixel at, ptrdiff_t rows, Run<T>* runs) {
  Run<T>* last = nullptr;
  const auto add = [&](const T* a, ptrdiff_t step, ptrdiff_t count) {
    if (count <= 0) return;
    if (last && last->step == step && last->a + last->count * step == a)
      last->count += count;
    else
      *(last = last ? last + 1 : runs) = {a, step, count};
  };
  // The columns whose tap is inside the image: first <= column < end.
  const auto at_least = [&](ptrdiff_t x_position) {  // the first column at or after it
    const ptrdiff_t column = (x_position - tap.x + plan.stride_x - 1) / plan.stride_x;
    return x_position <= tap.x ? 0 : column < plan.output_width ? column : plan.output_width;
  };
  const ptrdiff_t first = at_least(0), end = at_least(plan.width);
  while (rows > 0) {
    const ptrdiff_t rest = plan.output_width - at.column;
    const ptrdiff_t n = rest < rows ? rest : rows;
    const ptrdiff_t y = at.line * plan.stride_y + tap.y;
    const auto clamped = [&](ptrdiff_t column) {
      return column < at.column ? at.column : column > at.column + n ? at.column + n : column;
    };
    const bool inside = is_index(y, plan.height) != 0;
    const ptrdiff_t from = inside ? clamped(first) : at.column + n, to = inside ? clamped(end) : from;
    add(zeros, 0, from - at.column);
    add(x + ((at.sample * plan.height + y) * plan.width + from * plan.stride_x + tap.x) * pixel, plan.stride_x * pixel,
        to - from);
    add(zeros, 0, at.column + n - to);
    at.advance(plan, n);
    rows -= n;
  }
}

}  // namespace fnnfast::FNNFAST_ISA
