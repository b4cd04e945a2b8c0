#include "pair_factors.hpp"

#include <algorithm>

#include "affine.hpp"

namespace fnnfast::cpu {

namespace {

constexpr WeightFormat kPairs = WeightFormat::kBfloat16Pairs;

// f(first, the row after it or null) for pairs of `count` rows.
template <class F>
void for_pairs(const float* from, ptrdiff_t from_row, ptrdiff_t count, F&& f) {
  for (ptrdiff_t r = 0; r < count; r += 2)
    f(r / 2, from + r * from_row, r + 1 < count ? from + (r + 1) * from_row : nullptr);
}

}  // namespace

// A few inputs at a time, whose words of a block of samples take a few lines.
void PairFactors::round_x(const float* from, ptrdiff_t from_row, ptrdiff_t first, ptrdiff_t count) const {
  constexpr ptrdiff_t kInputs = 16;
  for (ptrdiff_t i0 = 0; i0 < layer.inputs; i0 += kInputs) {
    const ptrdiff_t n = std::min(kInputs, layer.inputs - i0);
    float* const to = x + i0 * x_row() + first / 2;
    for_pairs(from + i0, from_row, count, [&](ptrdiff_t pair, const float* lower, const float* upper) {
      float words[kInputs];
      for (ptrdiff_t i = 0; i < n; ++i) words[i] = word_of_pair(lower[i], upper ? upper[i] : 0.0f);
      for (ptrdiff_t i = 0; i < n; ++i) to[i * x_row() + pair] = words[i];
    });
    const ptrdiff_t words = words_of(rows, kPairs), end = dz_stored().inputs;
    for (ptrdiff_t i = 0; i < n && first + count == rows; ++i)
      std::fill_n(x + (i0 + i) * x_row() + words, end - words, 0.0f);
  }
}

void PairFactors::round_dz(const float* from, ptrdiff_t from_row, ptrdiff_t first, ptrdiff_t count) const {
  const PanelLayout layout = dz_layout(), stored = dz_stored();
  for (ptrdiff_t block = 0; block < layout.blocks(); ++block) {
    const Panel panel = layout.panel(block, 0);
    float* const to = dz + stored.panel(block, 0).row(first / 2);
    for_pairs(from + panel.unit, from_row, count, [&](ptrdiff_t pair, const float* lower, const float* upper) {
      float* const words = to + pair * panel.width;
      for (ptrdiff_t u = 0; u < panel.units; ++u) words[u] = word_of_pair(lower[u], upper ? upper[u] : 0.0f);
      std::fill(words + panel.units, words + panel.width, 0.0f);
    });
    const ptrdiff_t words = words_of(rows, kPairs);
    if (first == 0) std::fill_n(dz + stored.panel(block, 0).offset, panel.width, 0.0f);
    if (first + count == rows)
      std::fill_n(dz + stored.panel(block, 0).row(words), (stored.inputs - words) * panel.width, 0.0f);
  }
}

ptrdiff_t PairFactors::scratch(const Panel& panel, ptrdiff_t count) const {
  AffineConstants<float> of;
  set_sizes(of, {rows, panel.units, 1, layer.lanes, layer.vectors}, kPairs);
  AffineCall<float> call{};
  call.of = &of;
  call.rows = count;
  call.has_words = true;
  return kernel.scratch(call);
}

void PairFactors::multiply(const Panel& panel, ptrdiff_t first, ptrdiff_t count, float* gradient) const {
  AffineConstants<float> of;
  set_sizes(of, {rows, panel.units, 1, layer.lanes, layer.vectors}, kPairs);
  const ptrdiff_t block = panel.unit / dz_layout().block_units();
  of.panels = dz + dz_stored().panel(block, 0).offset;
  AffineCall<float> call{};
  call.of = &of;
  call.rows = count;
  call.x = x + first * x_row();
  call.x_row = x_row();
  call.has_words = true;
  call.z = call.y = gradient;
  call.z_row = call.y_row = panel.width;
  call.last_block = 1;
  call.activate = false;
  call.padded = true;
  affine_forward_serial(kernel, call);
}

}  // namespace fnnfast::cpu
