// Products of low precision on a matrix unit, beside those of register tiles.
//
// Two blocks of rows by two vectors of columns share what they read; a block alone is multiplied by four. Sums start
// from zero. Those of the last chunk go to scratch memory, and from there through a register tile that adds what they
// should have started from (Family::Sums), and has all sinks and epilogues.
#pragma once

#include "gemm.hpp"

#if defined(FNNFAST_MATRIX)
#include "matrix.hpp"
#endif

namespace fnnfast::FNNFAST_ISA {

FNNFAST_INLINE ptrdiff_t whole_blocks(ptrdiff_t n, ptrdiff_t block) { return (n + block - 1) / block * block; }

// Runs panels of one call.
struct TileProducts {
  static constexpr ptrdiff_t kSharedRows = FNNFAST_ISA::kSharedRows;
  static constexpr ptrdiff_t kBlockWords = 1;   // of the inputs: rows have a multiple of them, zeros after the last
  static constexpr ptrdiff_t kRowsAtOnce = 48;  // whole tiles, whose outputs stay in L1
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
  // 256 rows of 4096-4096 go at 400 billion multiply-adds a second (Emerald Rapids, one core), blocks of 64 rows of
  // 784-2048-2048-10 at 150.
  static constexpr ptrdiff_t kSharedRows = 256;
  static constexpr ptrdiff_t kBlockWords = 16, kRowsAtOnce = 32;
  static FNNFAST_INLINE ptrdiff_t scratch() { return 2 * kBlockRows * kNR<float>; }
  explicit FNNFAST_INLINE MatrixProducts(float* sums) : sums_(sums) {}

  template <class Family>
  FNNFAST_INLINE void panel(const AffineCall<float>& task, const Panel& panel, const Tile<float>& t, Ahead ahead,
                            float* argmax, bool last_chunk) {
    words_ = whole_blocks(t.k, kBlockWords);
    width_ = panel.width;
    ahead_ = ahead;
    lines_ = lines_each(ahead, task.rows);
    AffineCall<float> part = task;
    for (ptrdiff_t row = 0; row < task.rows; row += part.rows) {
      part.rows = task.rows - row < 2 * kBlockRows ? task.rows - row : 2 * kBlockRows;
      if (!last_chunk) {
        multiply<Family>(t, row, part.rows, t.c + row * t.c_row);
        continue;
      }
      multiply<Family>(t, row, part.rows, sums_);
      Tile<float> finished = t;
      finished.k = 0;
      finished.b = task.of->panels + panel.offset + Family::kHeader * width_;
      finished.start = sums_;
      finished.start_row = width_;
      affine_panel<typename Family::Sums>(part, panel, finished, ahead_of(sums_, 0), argmax + row * kNR<float>, true);
      part.z += part.rows * task.z_row;
      part.y += part.rows * task.y_row;
      if (part.add) part.add += part.rows * task.add_row;
      if (part.sum) part.sum += part.rows * task.sum_row;
      if (part.argmax) part.argmax += part.rows * task.argmax_row;
    }
  }

 private:
  static constexpr ptrdiff_t kBlockRows = 16;
  static constexpr int kLanes = Vec<float>::kLanes;
  static constexpr ptrdiff_t kLine = 64, kMostLines = 4;

  // How many lines of what is read next are prefetched for each block of words; a burst would delay the loads.
  FNNFAST_INLINE ptrdiff_t lines_each(Ahead ahead, ptrdiff_t rows) const {
    const ptrdiff_t pairs = (rows + 2 * kBlockRows - 1) / (2 * kBlockRows) * ((width_ + 2 * kLanes - 1) / (2 * kLanes));
    const ptrdiff_t steps = pairs * (words_ / kBlockWords);
    const ptrdiff_t even = steps > 0 ? (ahead.bytes + kLine * steps - 1) / (kLine * steps) : 0;
    return even < kMostLines ? even : kMostLines;
  }

  // All columns of one or two blocks of rows.
  template <class Family>
  FNNFAST_INLINE void multiply(const Tile<float>& t, ptrdiff_t row, ptrdiff_t rows, float* sums) {
    const bool two_rows = rows > kBlockRows;
    unit_.configure(static_cast<int>(two_rows ? kBlockRows : rows), static_cast<int>(two_rows ? rows - kBlockRows : 0));
    const ptrdiff_t most = two_rows ? 2 : 4;
    for (ptrdiff_t column = 0; column < width_; column += most * kLanes) {
      const float* const partial = t.start_row > 0 ? t.start + row * t.start_row + column : nullptr;
      const Operands of{partial, t.a + row * t.a_row, t.a_row, t.b + column, sums + column};
      const ptrdiff_t vectors = (width_ - column) / kLanes;
      if (two_rows)
        vectors > 1 ? blocks<Family, 2, 2>(of) : blocks<Family, 2, 1>(of);
      else if (vectors > 2)
        vectors > 3 ? blocks<Family, 1, 4>(of) : blocks<Family, 1, 3>(of);
      else
        vectors > 1 ? blocks<Family, 1, 2>(of) : blocks<Family, 1, 1>(of);
      if (ahead_.bytes <= 0) lines_ = 0;
    }
  }

  struct Operands {
    const float* partial;  // sums so far, in rows of the panel's width, or null
    const float* a;
    ptrdiff_t a_row;
    const float* b;
    float* sums;  // rows of the panel's width
  };

  template <class Family, int kRows, int kColumns>
  FNNFAST_NOINLINE void blocks(Operands of) {
    start_sums<kRows, kColumns>(of.partial);
    for (ptrdiff_t k = 0; k < words_; k += kBlockWords, of.a += kBlockWords, of.b += kBlockWords * width_) {
      for (ptrdiff_t line = 0; line < lines_; ++line) __builtin_prefetch(ahead_.at + line * kLine, 0, 2);
      ahead_.at += lines_ * kLine;
      step<Family, kRows, kColumns>(of);
    }
    ahead_.bytes -= lines_ * kLine * (words_ / kBlockWords);
    store_sums<kRows, kColumns>(of.sums);
  }

  // Registers 0 to 3 hold sums, those of a second block of rows from 2 on.
  template <int kRows, int kColumns, int kColumn = 0>
  FNNFAST_INLINE void start_sums(const float* partial) {
    start<kColumn>(partial, kColumn * kLanes);
    if constexpr (kRows == 2) start<2 + kColumn>(partial, kBlockRows * width_ + kColumn * kLanes);
    if constexpr (kColumn + 1 < kColumns) start_sums<kRows, kColumns, kColumn + 1>(partial);
  }
  template <int kR>
  FNNFAST_INLINE void start(const float* partial, ptrdiff_t at) {
    if (partial == nullptr)
      unit_.template clear<kR>();
    else
      unit_.template load<kR>(partial + at, width_ * kBytes);
  }
  template <int kRows, int kColumns, int kColumn = 0>
  FNNFAST_INLINE void store_sums(float* sums) {
    unit_.template store<kColumn>(sums + kColumn * kLanes, width_ * kBytes);
    if constexpr (kRows == 2)
      unit_.template store<2 + kColumn>(sums + kBlockRows * width_ + kColumn * kLanes, width_ * kBytes);
    if constexpr (kColumn + 1 < kColumns) store_sums<kRows, kColumns, kColumn + 1>(sums);
  }

  // Adds the products of a block of words.
  template <class Family, int kRows, int kColumns, int kColumn = 0>
  FNNFAST_INLINE void step(const Operands& of) {
    constexpr int kWeights = 6 + kColumn % 2;
    if constexpr (kColumn == 0) unit_.template load_inputs<4>(of.a, of.a_row * kBytes);
    unit_.template load<kWeights>(of.b + kColumn * kLanes, width_ * kBytes);
    dot<Family, kColumn, 4, kWeights>();
    if constexpr (kRows == 2) {
      if constexpr (kColumn == 0) unit_.template load_inputs<5>(of.a + kBlockRows * of.a_row, of.a_row * kBytes);
      dot<Family, 2 + kColumn, 5, kWeights>();
    }
    if constexpr (kColumn + 1 < kColumns) step<Family, kRows, kColumns, kColumn + 1>(of);
  }

  template <class Family, int kC, int kA, int kB>
  FNNFAST_INLINE void dot() {
    if constexpr (Family::kBytes)
      unit_.template dot_quads<kC, kA, kB>();
    else
      unit_.template dot_pairs<kC, kA, kB>();
  }

  static constexpr auto kBytes = static_cast<ptrdiff_t>(sizeof(float));
  MatrixUnit unit_;
  float* sums_;
  ptrdiff_t words_ = 0, width_ = 0, lines_ = 0;  // of the panel
  Ahead ahead_{};
};
using LowProducts = MatrixProducts;

#else

using LowProducts = TileProducts;

#endif

}  // namespace fnnfast::FNNFAST_ISA
