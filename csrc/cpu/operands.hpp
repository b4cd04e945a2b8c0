// What the operations of dense.cpp and convolution.cpp prepare for the kernels: packed weights, and gradients before
// the activation.
#pragma once

#include <algorithm>

#include "affine.hpp"
#include "buffer.hpp"
#include "dense.hpp"
#include "interrupt.hpp"
#include "threads.hpp"

namespace fnnfast::cpu {

template <class T>
ElementwiseTask<T> elementwise(const ActivationUse& use, ptrdiff_t rows, ptrdiff_t columns, const T* in, T* out) {
  ElementwiseTask<T> t{};
  t.rows = rows;
  t.columns = columns;
  t.in = in;
  t.in_row = columns;
  t.out = out;
  t.out_row = columns;
  t.parameter = static_cast<const T*>(use.parameter);
  t.parameter_step = use.by_unit ? 1 : 0;
  return t;
}

// Memory for packed weights: this thread's scratch, unless they are large, since scratch is never freed.
template <class T>
class PackedWeights {
 public:
  explicit PackedWeights(ptrdiff_t n) {
    constexpr ptrdiff_t kKept = ptrdiff_t{1} << 22;
    if (n > kKept) own_ = Buffer<T>::uninitialized(n);
    data_ = n > kKept ? own_.data() : thread_scratch<T>(Scratch::kRows, n);
  }
  T* data() const { return data_; }

 private:
  Buffer<T> own_;
  T* data_;
};

// f(blocks) for the blocks of a layout, shared between threads if there is much to copy.
template <class F>
void for_blocks(const PanelLayout& layout, F&& f) {
  constexpr ptrdiff_t kTask = ptrdiff_t{1} << 16;  // elements
  const ptrdiff_t blocks = layout.blocks();
  if (blocks == 0) return;
  const ptrdiff_t each = std::clamp(kTask * blocks / std::max(layout.size(), ptrdiff_t{1}), ptrdiff_t{1}, blocks);
  parallel_for(divide_up(blocks, each),
               [&](ptrdiff_t i) { f(BlockRange{i * each, std::min(blocks, (i + 1) * each)}); });
}

template <class T>
void pack_shared(const PanelLayout& layout, const WeightView<const T>& weight, const BiasView<const T>& bias,
                 T* panels) {
  for_blocks(layout, [&](BlockRange blocks) { pack_weight(layout, blocks, weight, panels); });
  pack_bias(layout, bias, panels);
}

// dz = dy f'(z), rows of dz_row. To dparameter (units), if not null, the sums over blocks of sum_rows rows are added
// in order.
template <class T>
void activation_backward(const Kernels<T>& k, const ActivationUse& use, ptrdiff_t sum_rows, ptrdiff_t rows,
                         ptrdiff_t units, const T* dy, const T* saved, T* dz, ptrdiff_t dz_row, T* dparameter) {
  const ptrdiff_t blocks = divide_up(rows, sum_rows);
  Buffer<T> sums(dparameter ? blocks * units : 0);
  long_parallel_for(blocks, static_cast<double>(sum_rows * units) * kValueWork, [&](ptrdiff_t block) {
    const ptrdiff_t first = block * sum_rows;
    ElementwiseTask<T> t =
        elementwise(use, std::min(sum_rows, rows - first), units, saved + first * units, dz + first * dz_row);
    t.dy = dy + first * units;
    t.dy_row = units;
    t.out_row = dz_row;
    t.dparameter = dparameter ? sums.data() + block * units : nullptr;
    k.activation[use.activation].backward(t);
  });
  if (dparameter == nullptr) return;
  for (ptrdiff_t block = 0; block < blocks; ++block)
    for (ptrdiff_t u = 0; u < units; ++u) dparameter[u] += sums[block * units + u];
}

}  // namespace fnnfast::cpu
