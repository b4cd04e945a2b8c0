// BFMMLA and BFDOT, of the extension BF16 of aarch64.
#pragma once

#include "pack.hpp"
#include "tile.hpp"

namespace fnnfast::FNNFAST_ISA {

struct PairWeights {
  static constexpr bool kInBlocks = true;
  bfloat16x8_t v;
  static FNNFAST_INLINE PairWeights load(const float* p) { return {vreinterpretq_bf16_f32(vld1q_f32(p))}; }
};

struct PairInputs {
  bfloat16x8_t v;
  static FNNFAST_INLINE PairInputs broadcast(const float* p) { return {vreinterpretq_bf16_f32(vld1q_dup_f32(p))}; }
  static FNNFAST_INLINE PairInputs of(Vec<float> lo, Vec<float> hi) {
    const uint16x4_t low = vreinterpret_u16_bf16(vcvt_bf16_f32(lo.v)),
                     high = vreinterpret_u16_bf16(vcvt_bf16_f32(hi.v));
    return {vreinterpretq_bf16_u16(vcombine_u16(vzip1_u16(low, high), vzip2_u16(low, high)))};
  }
};

FNNFAST_INLINE Vec<float> dot(Vec<float> sum, PairInputs x, PairWeights w) { return {vbfdotq_f32(sum.v, x.v, w.v)}; }

// Two words at a time by BFMMLA: the sums of two rows by two columns, each as by two BFDOT one after the other, and so
// with their bits. A word that is left, and a single row, by BFDOT.
template <int kRows, int kVectors>
FNNFAST_INLINE void multiply_blocks(const Tile<float>& t, Vec<float> (&sum)[kRows][kVectors]) {
  constexpr int kPairs = (kRows + 1) / 2;  // of rows; the last one may be one row twice
  constexpr auto second = [](int p) { return 2 * p + 1 < kRows ? 2 * p + 1 : 2 * p; };
  float32x4_t block[kPairs][kVectors][2];  // of columns 0 and 1, and 2 and 3, of a vector
#pragma GCC unroll 6
  for (int p = 0; p < kPairs; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const float32x4_t upper = sum[2 * p][v].v, lower = sum[second(p)][v].v;
      block[p][v][0] = vcombine_f32(vget_low_f32(upper), vget_low_f32(lower));
      block[p][v][1] = vcombine_f32(vget_high_f32(upper), vget_high_f32(lower));
    }
  RowPointers<float, kRows> row(t);
  const float* b = t.b;
  Fetch<kRows> fetch(t);
  for (ptrdiff_t k = t.k; k > 1; k -= 2) {
    fetch(2);
    bfloat16x8_t x[kPairs];
#pragma GCC unroll 6
    for (int p = 0; p < kPairs; ++p)
      x[p] = vreinterpretq_bf16_f32(vcombine_f32(vld1_f32(row.at(2 * p)), vld1_f32(row.at(second(p)))));
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const float32x4_t first = vld1q_f32(b + 4 * v), next = vld1q_f32(b + t.b_step + 4 * v);
      const bfloat16x8_t w[2] = {vreinterpretq_bf16_f32(vzip1q_f32(first, next)),
                                 vreinterpretq_bf16_f32(vzip2q_f32(first, next))};
#pragma GCC unroll 6
      for (int p = 0; p < kPairs; ++p)
        for (int half = 0; half < 2; ++half) block[p][v][half] = vbfmmlaq_f32(block[p][v][half], x[p], w[half]);
    }
    row.advance(2);
    b += 2 * t.b_step;
  }
#pragma GCC unroll 6
  for (int p = 0; p < kPairs; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const float32x4_t left = block[p][v][0], right = block[p][v][1];
      sum[2 * p][v] = {vcombine_f32(vget_low_f32(left), vget_low_f32(right))};
      if (2 * p + 1 < kRows) sum[2 * p + 1][v] = {vcombine_f32(vget_high_f32(left), vget_high_f32(right))};
    }
  if (t.k % 2 == 0) return;
  Tile<float> rest = t;
  rest.k = 1;
  rest.a += t.k - 1;
  rest.b = b;
  multiply_words<PairWeights, PairInputs, Vec<float>::kLanes>(rest, sum);
}

// Subnormal numbers stay what they are: the products take them for zeros.
FNNFAST_INLINE void round_to_pairs(const float* x, std::ptrdiff_t n, std::uint16_t* to) {
  std::ptrdiff_t i = 0;
  for (; i + 8 <= n; i += 8)
    vst1q_u16(to + i,
              vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(vld1q_f32(x + i)), vld1q_f32(x + i + 4))));
  for (; i < n; ++i) to[i] = static_cast<std::uint16_t>(round_to_bfloat16(x[i]));
}
FNNFAST_INLINE void round_to_pairs(Vec<float> v, std::uint16_t* to) {
  vst1_u16(to, vreinterpret_u16_bf16(vcvt_bf16_f32(v.v)));
}

}  // namespace fnnfast::FNNFAST_ISA
