// Batch normalization: column statistics, and passes over rows. Columns are channels, rows are pixels of all samples.
#pragma once

#include "../core/rows.hpp"
#include "kernels.hpp"
#include "vec.hpp"

namespace fnnfast::FNNFAST_ISA {

// Calls body(column, n) for the vectors of a row.
template <class V, class Body>
FNNFAST_INLINE void for_columns(ptrdiff_t columns, Body body) {
  for (ptrdiff_t c = 0; c < columns; c += V::kLanes)
    body(c, columns - c < V::kLanes ? columns - c : ptrdiff_t{V::kLanes});
}

// The means of some rows, and the sums of squares about them, in two passes while the rows are in the cache.
template <class T>
void column_moments(const NormalizeTask<T>& t) {
  using V = Vec<T>;
  const V count = V::broadcast(static_cast<T>(t.rows));
  for_columns<V>(t.columns, [&](ptrdiff_t c, ptrdiff_t n) {
    V sum = V::broadcast(0);
    for (ptrdiff_t r = 0; r < t.rows; ++r) sum = sum + load_lanes<V>(t.z + r * t.z_row + c, n);
    const V mean = sum / count;
    V squares = V::broadcast(0);
    for (ptrdiff_t r = 0; r < t.rows; ++r) {
      const V off = load_lanes<V>(t.z + r * t.z_row + c, n) - mean;
      squares = fma(off, off, squares);
    }
    store_lanes(mean, t.first + c, n);
    store_lanes(squares, t.second + c, n);
  });
}

// The sums of g and of g xhat, xhat = (z - mean) inverse.
template <class T>
void normalize_sums(const NormalizeTask<T>& t) {
  using V = Vec<T>;
  for_columns<V>(t.columns, [&](ptrdiff_t c, ptrdiff_t n) {
    const V mean = load_lanes<V>(t.mean + c, n), inverse = load_lanes<V>(t.inverse + c, n);
    V sum = V::broadcast(0), product = V::broadcast(0);
    for (ptrdiff_t r = 0; r < t.rows; ++r) {
      const V g = load_lanes<V>(t.g + r * t.g_row + c, n);
      sum = sum + g;
      product = fma(g, (load_lanes<V>(t.z + r * t.z_row + c, n) - mean) * inverse, product);
    }
    store_lanes(sum, t.first + c, n);
    store_lanes(product, t.second + c, n);
  });
}

// out = scale z + shift
template <class T>
void scale_rows(const NormalizeTask<T>& t) {
  using V = Vec<T>;
  for_block<V>(t.rows, t.columns, [&](ptrdiff_t r, ptrdiff_t c, ptrdiff_t n) {
    const V z = load_lanes<V>(t.z + r * t.z_row + c, n);
    store_lanes(fma(z, load_lanes<V>(t.scale + c, n), load_lanes<V>(t.shift + c, n)), t.out + r * t.out_row + c, n);
  });
}

// out = scale (g - first - xhat second), where first and second are the means of g and of g xhat over the batch.
template <class T>
void normalize_backward(const NormalizeTask<T>& t) {
  using V = Vec<T>;
  for_block<V>(t.rows, t.columns, [&](ptrdiff_t r, ptrdiff_t c, ptrdiff_t n) {
    const V xhat =
        (load_lanes<V>(t.z + r * t.z_row + c, n) - load_lanes<V>(t.mean + c, n)) * load_lanes<V>(t.inverse + c, n);
    const V g = load_lanes<V>(t.g + r * t.g_row + c, n) - load_lanes<V>(t.first + c, n);
    store_lanes(load_lanes<V>(t.scale + c, n) * fma(-xhat, load_lanes<V>(t.second + c, n), g),
                t.out + r * t.out_row + c, n);
  });
}

}  // namespace fnnfast::FNNFAST_ISA
