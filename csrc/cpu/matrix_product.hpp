// Products of low precision on a matrix unit, beside those of register tiles.
//
// Two blocks of rows by two vectors of columns share what they read. Their sums go to scratch memory, and from there
// through a register tile of no inputs, which has all sinks and epilogues.
#pragma once

#include "gemm.hpp"

#if defined(FNNFAST_MATRIX)
#include "matrix.hpp"
#endif

namespace fnnfast::FNNFAST_ISA {

FNNFAST_INLINE ptrdiff_t whole_blocks(ptrdiff_t n, ptrdiff_t block) { return (n + block - 1) / block * block; }

// Runs panels of one call.
struct TileProducts {
  static constexpr ptrdiff_t kBlockWords = 1;  // of the inputs: rows have a multiple of them, zeros after the last
  static constexpr ptrdiff_t kBlockRows = 1;   // rows of the inputs that are read together
  static FNNFAST_INLINE ptrdiff_t scratch() { return 0; }
  explicit FNNFAST_INLINE TileProducts(float*) {}

  // t: the tile of the first row.
  template <class Family>
  FNNFAST_INLINE void panel(const AffineCall<float>& task, const Panel& panel, Tile<float>& t, Ahead ahead,
                            float* argmax, bool last_chunk) {
    affine_panel<Family>(task, panel, t, ahead, argmax, last_chunk);
  }
};

#if defined(FNNFAST_MATRIX)

class MatrixProducts {
 public:
  static constexpr ptrdiff_t kBlockWords = 16, kBlockRows = 16;
  static FNNFAST_INLINE ptrdiff_t scratch() { return 2 * kBlockRows * kNR<float>; }
  explicit FNNFAST_INLINE MatrixProducts(float* sums) : sums_(sums) {}

  template <class Family>
  FNNFAST_INLINE void panel(const AffineCall<float>& task, const Panel& panel, const Tile<float>& t, Ahead,
                            float* argmax, bool last_chunk) {
    const ptrdiff_t words = whole_blocks(t.k, kBlockWords);
    AffineCall<float> part = task;
    for (ptrdiff_t row = 0; row < task.rows; row += part.rows) {
      part.rows = task.rows - row < 2 * kBlockRows ? task.rows - row : 2 * kBlockRows;
      multiply<Family>(t, row, part.rows > kBlockRows, words, panel.width);
      Tile<float> finished = t;
      finished.k = 0;
      finished.start = sums_;
      finished.start_row = panel.width;
      finished.c = t.c + row * t.c_row;
      affine_panel<Family>(part, panel, finished, ahead_of(sums_, 0), argmax, last_chunk);
      part.z += part.rows * task.z_row;
      part.y += part.rows * task.y_row;
      if (part.add) part.add += part.rows * task.add_row;
      if (part.sum) part.sum += part.rows * task.sum_row;
      if (part.argmax) part.argmax += part.rows * task.argmax_row;
    }
  }

 private:
  static constexpr int kLanes = Vec<float>::kLanes;

  template <class Family>
  FNNFAST_INLINE void multiply(const Tile<float>& t, ptrdiff_t row, bool two_rows, ptrdiff_t words, ptrdiff_t width) {
    for (ptrdiff_t column = 0; column < width; column += 2 * kLanes) {
      const bool two_columns = width - column > kLanes;
      if (two_rows && two_columns)
        blocks<Family, 2, 2>(t, row, column, words, width);
      else if (two_rows)
        blocks<Family, 2, 1>(t, row, column, words, width);
      else if (two_columns)
        blocks<Family, 1, 2>(t, row, column, words, width);
      else
        blocks<Family, 1, 1>(t, row, column, words, width);
    }
  }

  template <class Family, int kC, int kA, int kB>
  FNNFAST_INLINE void dot() {
    if constexpr (Family::kBytes)
      unit_.template dot_quads<kC, kA, kB>();
    else
      unit_.template dot_pairs<kC, kA, kB>();
  }

  // Registers 0 to 3 hold sums, 4 and 5 inputs, 6 and 7 weights.
  template <class Family, int kRows, int kColumns>
  FNNFAST_NOINLINE void blocks(const Tile<float>& t, ptrdiff_t row, ptrdiff_t column, ptrdiff_t words,
                               ptrdiff_t width) {
    constexpr auto kBytes = static_cast<ptrdiff_t>(sizeof(float));
    const float* const start = t.start + row * t.start_row + column;
    const float* const second_start = start + kBlockRows * t.start_row;
    const ptrdiff_t start_step = t.start_row * kBytes, step = width * kBytes, input_step = t.a_row * kBytes;
    unit_.load<0>(start, start_step);
    if constexpr (kColumns == 2) unit_.load<1>(start + kLanes, start_step);
    if constexpr (kRows == 2) unit_.load<2>(second_start, start_step);
    if constexpr (kRows == 2 && kColumns == 2) unit_.load<3>(second_start + kLanes, start_step);
    const float* a = t.a + row * t.a_row;
    const float* b = t.b + column;
    for (ptrdiff_t k = 0; k < words; k += kBlockWords, a += kBlockWords, b += kBlockWords * width) {
      unit_.load_inputs<4>(a, input_step);
      unit_.load<6>(b, step);
      dot<Family, 0, 4, 6>();
      if constexpr (kColumns == 2) {
        unit_.load<7>(b + kLanes, step);
        dot<Family, 1, 4, 7>();
      }
      if constexpr (kRows == 2) {
        unit_.load_inputs<5>(a + kBlockRows * t.a_row, input_step);
        dot<Family, 2, 5, 6>();
        if constexpr (kColumns == 2) dot<Family, 3, 5, 7>();
      }
    }
    float* const c = sums_ + column;
    unit_.store<0>(c, step);
    if constexpr (kColumns == 2) unit_.store<1>(c + kLanes, step);
    if constexpr (kRows == 2) unit_.store<2>(c + kBlockRows * width, step);
    if constexpr (kRows == 2 && kColumns == 2) unit_.store<3>(c + kBlockRows * width + kLanes, step);
  }

  MatrixUnit unit_;
  float* sums_;
};
using LowProducts = MatrixProducts;

#else

using LowProducts = TileProducts;

#endif

}  // namespace fnnfast::FNNFAST_ISA
