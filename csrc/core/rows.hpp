// Kernels over the rows of a block: activations, softmax, sums of columns, updates.
#pragma once

#include "activations.hpp"
#include "math.hpp"
#include "tasks.hpp"

namespace fnnfast::FNNFAST_ISA {

// Calls body(column, n) for the vectors of a row, of which n lanes are used.
template <class V, class Body>
FNNFAST_INLINE void for_vectors(ptrdiff_t columns, Body body) {
  ptrdiff_t c = 0;
  for (; c + V::kLanes <= columns; c += V::kLanes) body(c, ptrdiff_t{V::kLanes});
  if (c < columns) body(c, columns - c);
}

// Copies all lanes of v to an array. Where lanes are threads, each thread gets those of the others.
template <class V>
FNNFAST_INLINE void collect_lanes(V v, typename V::Scalar* lanes) {
#if defined(FNNFAST_LANES_ARE_THREADS)
  Lanes::collect(v.v, lanes);
#else
  v.store(lanes);
#endif
}

// Makes what other lanes have stored visible.
FNNFAST_INLINE void lanes_fence() {
#if defined(FNNFAST_LANES_ARE_THREADS)
  Lanes::fence();
#endif
}

template <class V>
FNNFAST_INLINE V load_lanes(const typename V::Scalar* p, ptrdiff_t n) {
  return n == V::kLanes ? V::load(p) : V::load_partial(p, n);
}
template <class V>
FNNFAST_INLINE void store_lanes(V v, typename V::Scalar* p, ptrdiff_t n) {
  if (n == V::kLanes)
    v.store(p);
  else
    v.store_partial(p, n);
}

// An activation's parameter: one value, or one per column.
template <class Act, class V>
struct Parameter {
  const typename V::Scalar* p;
  bool by_column;
  V value;
  explicit FNNFAST_INLINE Parameter(const ElementwiseTask<typename V::Scalar>& t)
      : p(t.parameter),
        by_column(Act::kParameter && t.parameter_step != 0),
        value(V::broadcast(Act::kParameter ? *t.parameter : 0)) {}
  FNNFAST_INLINE V at(ptrdiff_t column, ptrdiff_t n) const { return by_column ? load_lanes<V>(p + column, n) : value; }
};

// Calls body(row, column, n) for the vectors of a block, whole ones first. One loop instead of two: activations have
// more constants than there are registers, and an inner loop over the few vectors of a row would reload them for each
// row.
template <class V, class Body>
FNNFAST_INLINE void for_block(ptrdiff_t rows, ptrdiff_t columns, Body body) {
  const ptrdiff_t whole = columns / V::kLanes * V::kLanes;
  ptrdiff_t row = 0, column = 0;
  for (ptrdiff_t i = rows * (whole / V::kLanes); i > 0; --i) {
    body(row, column, ptrdiff_t{V::kLanes});
    column += V::kLanes;
    if (column == whole) {
      column = 0;
      ++row;
    }
  }
  if (whole < columns)
    for (row = 0; row < rows; ++row) body(row, whole, columns - whole);
}

template <class T, class Act>
FNNFAST_HOST_DEVICE void activation_forward(const ElementwiseTask<T>& t) {
  using V = Vec<T>;
  const Parameter<Act, V> parameter(t);
  for_block<V>(t.rows, t.columns, [&](ptrdiff_t r, ptrdiff_t c, ptrdiff_t n) {
    const V z = load_lanes<V>(t.in + r * t.in_row + c, n);
    store_lanes(Act::template forward<Math<T>>(z, parameter.at(c, n)), t.out + r * t.out_row + c, n);
  });
}

template <class T, class Act>
FNNFAST_HOST_DEVICE void activation_derivative(const ElementwiseTask<T>& t) {
  using V = Vec<T>;
  const Parameter<Act, V> parameter(t);
  for_block<V>(t.rows, t.columns, [&](ptrdiff_t r, ptrdiff_t c, ptrdiff_t n) {
    const V z = load_lanes<V>(t.in + r * t.in_row + c, n);
    store_lanes(Act::template derivative<Math<T>>(z, parameter.at(c, n)), t.out + r * t.out_row + c, n);
  });
}

// The statistic of a unit's derivatives over the rows: the largest, or the number of small ones.
template <class Act, class V>
FNNFAST_INLINE V watched(V derivative, V before) {
  if constexpr (Act::kWatch == Watch::kSaturated) {
    const V limit = V::broadcast(static_cast<typename V::Scalar>(small_derivative<Act>()));
    return before + select(derivative < limit, V::broadcast(1), V::broadcast(0));
  } else {
    const V size = abs(derivative);
    return select((before == before) & !(size <= before), size, before);  // a NaN stays
  }
}

// Some rows at a time, column by column, so that sums over these rows stay in registers.
template <class T, class Act>
FNNFAST_HOST_DEVICE void activation_backward(const ElementwiseTask<T>& t) {
  using V = Vec<T>;
  using M = Math<T>;
  constexpr ptrdiff_t kRows = 16;
  const Parameter<Act, V> parameter(t);
  const bool watches = Act::kWatch != Watch::kNothing && t.watch != nullptr;
  const bool learns = Act::kLearned && t.dparameter != nullptr;
  for (ptrdiff_t first = 0; first < t.rows; first += kRows) {
    const ptrdiff_t last = first + kRows < t.rows ? first + kRows : t.rows;
    for_vectors<V>(t.columns, [&](ptrdiff_t c, ptrdiff_t n) {
      V watch = watches ? V::load(t.watch + c) : V::broadcast(0);
      V sum = learns ? load_lanes<V>(t.dparameter + c, n) : V::broadcast(0);
      const V p = parameter.at(c, n);
      for (ptrdiff_t r = first; r < last; ++r) {
        const V gradient = load_lanes<V>(t.dy + r * t.dy_row + c, n);
        T* const out = t.out + r * t.out_row + c;
        if constexpr (Act::kSaves == Saves::kNothing) {
          store_lanes(gradient, out, n);
        } else {
          const V saved = load_lanes<V>(t.in + r * t.in_row + c, n);
          V derivative;
          if constexpr (Act::kSaves == Saves::kOutput)
            derivative = Act::template derivative_from_output<M>(saved, p);
          else
            derivative = Act::template derivative<M>(saved, p);
          if constexpr (Act::kWatch != Watch::kNothing) watch = watched<Act>(derivative, watch);
          if constexpr (Act::kLearned) sum = fma(gradient, Act::template parameter_derivative<M>(saved, p), sum);
          store_lanes(gradient * derivative, out, n);
        }
      }
      if (watches) watch.store(t.watch + c);
      if (learns) store_lanes(sum, t.dparameter + c, n);
    });
  }
}

// The sum over a row as one fixed tree: element j belongs to lane j mod 16, each lane adds in ascending order, and the
// lanes are added in halves.
template <class V>
struct RowSum {
  static constexpr int kLanes = 16;
  static constexpr int kParts = kLanes / V::kLanes;
  V part[kParts];

  FNNFAST_INLINE RowSum() {
    for (int i = 0; i < kParts; ++i) part[i] = V::broadcast(0);
  }
  // Adds value(column, n) over the row; lanes past the end add zero.
  template <class Value>
  FNNFAST_INLINE void add(ptrdiff_t columns, Value value) {
    for (ptrdiff_t c = 0; c < columns; c += kLanes) FNNFAST_UNROLL(16)
    for (int i = 0; i < kParts; ++i) {
      const ptrdiff_t at = c + i * V::kLanes;
      const ptrdiff_t rest = columns - at;
      if (rest > 0) part[i] = part[i] + value(at, rest < V::kLanes ? rest : V::kLanes);
    }
  }
  FNNFAST_INLINE typename V::Scalar total() const {
    typename V::Scalar lane[kLanes];
    for (int i = 0; i < kParts; ++i) collect_lanes(part[i], lane + i * V::kLanes);
    for (int half = kLanes / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
    return lane[0];
  }
};

template <class T>
FNNFAST_INLINE T row_maximum(const T* z, ptrdiff_t columns) {
  T maximum = z[0];
  ptrdiff_t c = 0;
  if constexpr (Vec<T>::kLanes > 1) {
    using V = Vec<T>;
    if (columns >= V::kLanes) {
      V best = V::load(z);
      for (c = V::kLanes; c + V::kLanes <= columns; c += V::kLanes) {
        const V v = V::load(z + c);
        best = select(v > best, v, best);
      }
      T lane[V::kLanes];
      collect_lanes(best, lane);
      for (int i = 0; i < V::kLanes; ++i) maximum = lane[i] > maximum ? lane[i] : maximum;
    }
  }
  for (; c < columns; ++c) maximum = z[c] > maximum ? z[c] : maximum;
  lanes_fence();  // the row may be overwritten next
  return maximum;
}

// exp(z - max z) of a row, written to e (may be z), and their sum. A NaN makes the sum NaN, and so the row. A logit
// equal to the maximum gives 1 even if it is infinite.
template <class T>
FNNFAST_INLINE T exponentials(const T* z, T* e, ptrdiff_t columns, T maximum) {
  using V = Vec<T>;
  const V top = V::broadcast(maximum);
  RowSum<V> sum;
  sum.add(columns, [&](ptrdiff_t c, ptrdiff_t n) {
    const V v = load_lanes<V>(z + c, n);
    const V value = select(v == top, V::broadcast(1), Math<T>::exp(v - top));
    store_lanes(value, e + c, n);
    return n == V::kLanes ? value : load_lanes<V>(e + c, n);  // lanes past the end must add zero
  });
  return sum.total();
}

template <class T>
FNNFAST_HOST_DEVICE void softmax_forward(const ElementwiseTask<T>& t) {
  using V = Vec<T>;
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    const T* z = t.in + r * t.in_row;
    T* y = t.out + r * t.out_row;
    const V sum = V::broadcast(exponentials(z, y, t.columns, row_maximum(z, t.columns)));
    for_vectors<V>(t.columns, [&](ptrdiff_t c, ptrdiff_t n) { store_lanes(load_lanes<V>(y + c, n) / sum, y + c, n); });
  }
}

// The Jacobian-vector product: dz = y (dy - sum_j dy_j y_j)
template <class T>
FNNFAST_HOST_DEVICE void softmax_backward(const ElementwiseTask<T>& t) {
  using V = Vec<T>;
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    const T* y = t.in + r * t.in_row;
    const T* dy = t.dy + r * t.dy_row;
    T* dz = t.out + r * t.out_row;
    RowSum<V> sum;
    sum.add(t.columns, [&](ptrdiff_t c, ptrdiff_t n) { return load_lanes<V>(y + c, n) * load_lanes<V>(dy + c, n); });
    const V mean = V::broadcast(sum.total());
    for_vectors<V>(t.columns, [&](ptrdiff_t c, ptrdiff_t n) {
      store_lanes(load_lanes<V>(y + c, n) * (load_lanes<V>(dy + c, n) - mean), dz + c, n);
    });
  }
}

// out[column] = the sum over the rows, in ascending order.
template <class T>
FNNFAST_HOST_DEVICE void column_sums(ptrdiff_t rows, ptrdiff_t columns, const T* in, ptrdiff_t in_row, T* out) {
  using V = Vec<T>;
  for_vectors<V>(columns, [&](ptrdiff_t c, ptrdiff_t n) {
    V sum = V::broadcast(0);
    for (ptrdiff_t r = 0; r < rows; ++r) sum = sum + load_lanes<V>(in + r * in_row + c, n);
    store_lanes(sum, out + c, n);
  });
}

// out[column] = the sum over the rows, in ascending order, of the squares of factor times the element.
template <class T>
FNNFAST_HOST_DEVICE void column_squares(ptrdiff_t rows, ptrdiff_t columns, const T* in, ptrdiff_t in_row, T factor,
                                        T* out) {
  using V = Vec<T>;
  for_vectors<V>(columns, [&](ptrdiff_t c, ptrdiff_t n) {
    V sum = V::broadcast(0);
    for (ptrdiff_t r = 0; r < rows; ++r) {
      const V v = load_lanes<V>(in + r * in_row + c, n) * V::broadcast(factor);
      sum = fma(v, v, sum);
    }
    store_lanes(sum, out + c, n);
  });
}

template <class T, class Optimizer>
FNNFAST_HOST_DEVICE void update(const UpdateTask<T>& t) {
  using V = Vec<T>;
  const typename Optimizer::template Step<Math<T>, V> step(*t.step);
  V gradients = V::broadcast(0), changes = V::broadcast(0);
  for (ptrdiff_t i = 0; i < t.n; i += V::kLanes) {
    const V before = V::load(t.weight + i);
    const V gradient = V::load(t.gradient + i);
    V w = before;
    V s1 = V::load(t.state1 + i);
    V s2 = Optimizer::kStates > 1 ? V::load(t.state2 + i) : s1;
    step.update(w, gradient, s1, s2);
    gradients = fma(gradient, gradient, gradients);
    changes = fma(w - before, w - before, changes);
    w.store(t.weight + i);
    s1.store(t.state1 + i);
    if constexpr (Optimizer::kStates > 1) s2.store(t.state2 + i);
  }
  if (t.squares == nullptr) return;
  (V::load(t.squares) + gradients).store(t.squares);
  (V::load(t.squares + V::kLanes) + changes).store(t.squares + V::kLanes);
}

}  // namespace fnnfast::FNNFAST_ISA
