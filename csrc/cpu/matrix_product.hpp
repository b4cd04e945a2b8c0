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
      advance_outputs(part, part.rows);
    }
  }

 private:
  static constexpr ptrdiff_t kBlockRows = 16;
  static constexpr int kLanes = Vec<float>::kLanes;
  static constexpr ptrdiff_t kLine = 64, kMostLines = 4;
  static constexpr ptrdiff_t kNearBlocks = 4;  // whose weights are in L1 when the next rows come

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
  FNNFAST_NOINLINE void blocks(const Operands& of) {  // a copy would read as a whole what was just written in parts
    start_sums<kRows, kColumns>(of.partial);
    const float *a = of.a, *b = of.b;
    for (ptrdiff_t k = 0; k < words_; k += kBlockWords, a += kBlockWords, b += kBlockWords * width_) {
      for (ptrdiff_t line = 0; line < lines_; ++line) __builtin_prefetch(ahead_.at + line * kLine, 0, 2);
      ahead_.at += lines_ * kLine;
      if (words_ > kNearBlocks * kBlockWords) fetch_weights<kColumns>(b + kBlockWords * width_);
      step<Family, kRows, kColumns>(a, of.a_row, b);
    }
    ahead_.bytes -= lines_ * kLine * (words_ / kBlockWords);
    store_sums<kRows, kColumns>(of.sums);
  }

  // Those of the next block of words, into L1.
  template <int kColumns>
  FNNFAST_INLINE void fetch_weights(const float* b) {
#pragma GCC unroll 16
    for (ptrdiff_t word = 0; word < kBlockWords; ++word, b += width_)
#pragma GCC unroll 4
      for (int column = 0; column < kColumns; ++column) __builtin_prefetch(b + column * kLanes, 0, 3);
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

  // Adds the products of a block of words. All loads come before the products: that is 3 % faster than a load between
  // two products, and 8 to 17 % in the slow state that a shared core is in at times (docs/decisions.md, 2026-11-28).
  template <class Family, int kRows, int kColumns, int kColumn = 0>
  FNNFAST_INLINE void step(const float* a, ptrdiff_t a_row, const float* b) {
    constexpr bool kTwo = kColumn + 1 < kColumns;
    if constexpr (kColumn == 0) unit_.template load_inputs<4>(a, a_row * kBytes);
    if constexpr (kColumn == 0 && kRows == 2) unit_.template load_inputs<5>(a + kBlockRows * a_row, a_row * kBytes);
    unit_.template load<6>(b + kColumn * kLanes, width_ * kBytes);
    if constexpr (kTwo) unit_.template load<7>(b + (kColumn + 1) * kLanes, width_ * kBytes);
    dot<Family, kColumn, 4, 6>();
    if constexpr (kRows == 2) dot<Family, 2 + kColumn, 5, 6>();
    if constexpr (kTwo) dot<Family, kColumn + 1, 4, 7>();
    if constexpr (kTwo && kRows == 2) dot<Family, 3 + kColumn, 5, 7>();
    if constexpr (kColumn + 2 < kColumns) step<Family, kRows, kColumns, kColumn + 2>(a, a_row, b);
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
