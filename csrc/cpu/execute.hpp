// Runs a network's forward schedule over blocks of samples.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../core/schedule.hpp"
#include "affine.hpp"
#include "images.hpp"

namespace fnnfast::cpu {

// The place of a value, as far as it is known before a call.
struct BoundPlace {
  enum Base : std::uint8_t { kX, kY, kArena };
  Base base = kX;
  ptrdiff_t start = 0;  // of its buffer, in elements per sample
  ptrdiff_t channel = 0, row = 0;
};

// A ForwardStep with all lookups done, since they would be noticeable in a call of a small network.
template <class T>
struct BoundStep {
  enum class Kind : std::uint8_t { kAffine, kPointwise, kImages } kind;
  bool rowwise = false;    // the activation needs whole rows
  bool is_output = false;  // writes the network's output
  bool padded = false;     // rows may be written in whole vectors
  bool has_add = false;
  bool has_words = false;   // reads words (AffineCall)
  ptrdiff_t words_row = 0;  // of its output, if that is words; else 0
  ptrdiff_t pixels = 1;     // rows per sample
  ptrdiff_t channels = 0;
  BoundPlace in, add, out;
  const AffineConstants<T>* of = nullptr;       // of a pointwise step: those of its epilogue
  ElementwiseFunction<T> activation = nullptr;  // may be rowwise
  const T* next = nullptr;                      // the weights that are read next
  ptrdiff_t next_size = 0;
  ImageOperation images;  // a pool or a local response norm
};

template <class T>
class Executor {
 public:
  Executor() = default;
  // constants: by node. Nodes, values and constants must stay where they are.
  Executor(const Program& program, const Kernels<T>& kernels, const AffineKernel<T>& affine, WeightFormat format,
           const std::vector<AffineConstants<T>>& constants);

  // y = program(x), both dense: on the calling thread, or with each step shared between threads. logits: without the
  // activation of the output.
  void run(const T* x, ptrdiff_t samples, T* y, bool logits) const { run_steps<false>(x, samples, y, logits); }
  void run_shared(const T* x, ptrdiff_t samples, T* y, bool logits) const { run_steps<true>(x, samples, y, logits); }

  // The memory between input and output, in elements per sample.
  ptrdiff_t elements() const { return elements_; }

  // Whether a node stores its output rounded to bfloat16, as its readers multiply it.
  bool stores_words(std::size_t node) const { return steps_[node].words_row > 0; }

 private:
  template <bool kShared>
  void run_steps(const T* x, ptrdiff_t samples, T* y, bool logits) const;

  const Kernels<T>* kernels_ = nullptr;
  AffineKernel<T> affine_{};
  std::vector<BoundStep<T>> steps_;
  ptrdiff_t elements_ = 0;
};

template <class T>
void copy_rows(ptrdiff_t rows, ptrdiff_t columns, const T* from, ptrdiff_t from_row, T* to, ptrdiff_t to_row) {
  for (ptrdiff_t r = 0; r < rows; ++r) std::copy_n(from + r * from_row, columns, to + r * to_row);
}

// out = a + b; out may be one of them.
template <class T>
void add_rows(ptrdiff_t rows, ptrdiff_t columns, const T* a, ptrdiff_t a_row, const T* b, ptrdiff_t b_row, T* out,
              ptrdiff_t out_row) {
  for (ptrdiff_t r = 0; r < rows; ++r)
    for (ptrdiff_t c = 0; c < columns; ++c) out[r * out_row + c] = a[r * a_row + c] + b[r * b_row + c];
}

// out = f(r) + add, or f(r + add), over rows of matrices, with r = in or scale in + shift: an epilogue without a
// product.
template <class T>
struct PointwiseCall {
  ptrdiff_t rows, columns;
  const T* in;
  ptrdiff_t in_row;
  const T* add;  // or null
  ptrdiff_t add_row;
  T* z;  // receives what f reads, for backward; else equal to y
  ptrdiff_t z_row;
  T* y;  // f(...)
  ptrdiff_t y_row;
  T* out;
  ptrdiff_t out_row;
  bool add_first;
  ElementwiseFunction<T> activation;  // null: identity
  const T* parameter;
  ptrdiff_t parameter_step;
  const T *scale = nullptr, *shift = nullptr;  // of a normalization of `in`, which comes first
  void (*scale_rows)(const NormalizeTask<T>&) = nullptr;
};
template <class T>
void pointwise(const PointwiseCall<T>& call);

}  // namespace fnnfast::cpu
