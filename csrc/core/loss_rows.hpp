// The losses over rows of outputs: values and, if requested, derivatives. Sums over a row use one tree (rows.hpp).
#pragma once

#include "losses.hpp"
#include "rows.hpp"

namespace fnnfast::FNNFAST_ISA {

// Calls loss = body(row, z, dz or null, scale of the derivative) for every row of nonzero weight. A row of weight 0 has
// no effect, even if it holds a NaN.
template <class T, class Body>
FNNFAST_INLINE void for_loss_rows(const LossTask<T>& t, Body body) {
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    const T weight = t.sample_weights ? t.sample_weights[r] : T(1);
    T* const dz = t.dz ? t.dz + r * t.dz_row : nullptr;
    if (weight == T(0)) {
      t.row_loss[r] = 0.0;
      for (ptrdiff_t c = 0; dz && c < t.columns; ++c) dz[c] = T(0);
      continue;
    }
    const T loss = body(r, t.z + r * t.z_row, dz, t.sample_weights ? weight * t.scale : t.scale);
    t.row_loss[r] = static_cast<double>(loss) * static_cast<double>(weight);
  }
}

// v with zeros in the lanes from n on, which are past the end of a row and must add nothing.
template <class V>
FNNFAST_INLINE V first_lanes(V v, ptrdiff_t n) {
  if (n == V::kLanes) return v;
  typename V::Scalar lane[V::kLanes];
  v.store(lane);
  return V::load_partial(lane, n);
}

// -log softmax(z)_label = log(sum_j exp(z_j - m)) - (z_label - m);  d/dz = softmax(z) - onehot(label)
template <class T>
FNNFAST_HOST_DEVICE void categorical_cross_entropy(const LossTask<T>& t) {
  using V = Vec<T>;
  for_loss_rows(t, [&](ptrdiff_t r, const T* z, T* dz, T row_scale) {
    const ptrdiff_t label = static_cast<ptrdiff_t>(t.labels[r]);
    const T maximum = row_maximum(z, t.columns);
    const T logit = z[label];
    T sum;
    if (dz) {
      sum = exponentials(z, dz, t.columns, maximum);
      const V total = V::broadcast(sum);
      const V scale = V::broadcast(row_scale);
      lanes_fence();
      const T own = dz[label];
      lanes_fence();
      for_vectors<V>(t.columns, [&](ptrdiff_t c, ptrdiff_t n) {
        store_lanes(load_lanes<V>(dz + c, n) / total * scale, dz + c, n);
      });
      lanes_fence();
      dz[label] = (own - sum) / sum * row_scale;
    } else {
      RowSum<V> plain;
      const V top = V::broadcast(maximum);
      plain.add(t.columns, [&](ptrdiff_t c, ptrdiff_t n) {
        const V v = load_lanes<V>(z + c, n);
        return first_lanes(select(v == top, V::broadcast(1), Math<T>::exp(v - top)), n);
      });
      sum = plain.total();
    }
    T log_sum[V::kLanes];
    collect_lanes(Math<T>::log(V::broadcast(sum)), log_sum);
    return logit == maximum ? log_sum[0] : log_sum[0] - (logit - maximum);
  });
}

template <class T, class Loss>
FNNFAST_HOST_DEVICE void elementwise_loss(const LossTask<T>& t) {
  using V = Vec<T>;
  using M = Math<T>;
  for_loss_rows(t, [&](ptrdiff_t r, const T* z, T* dz, T row_scale) {
    const T* const target = t.targets + r * t.targets_row;
    const V scale = V::broadcast(row_scale);
    RowSum<V> sum;
    sum.add(t.columns, [&](ptrdiff_t c, ptrdiff_t n) {
      const V v = load_lanes<V>(z + c, n);
      const V goal = load_lanes<V>(target + c, n);
      const V precision = t.precision ? load_lanes<V>(t.precision + c, n) : goal;
      if (dz) store_lanes(Loss::template derivative<M>(v, goal, precision) * scale, dz + c, n);
      return first_lanes(Loss::template value<M>(v, goal, precision), n);
    });
    return sum.total();
  });
}

// The first half of a row holds the means y, the second half the logarithms s of the precisions, so any output is
// valid: exp(s) (y - t)^2 / 2 - s / 2, without log(2 pi) / 2;  d/dy = exp(s) (y - t), d/ds = (exp(s) (y - t)^2 - 1) / 2
template <class T>
FNNFAST_HOST_DEVICE void gaussian_learned(const LossTask<T>& t) {
  using V = Vec<T>;
  const ptrdiff_t means = t.columns / 2;
  const V half = V::broadcast(T(0.5));
  for_loss_rows(t, [&](ptrdiff_t r, const T* z, T* dz, T row_scale) {
    const T* const target = t.targets + r * t.targets_row;
    const V scale = V::broadcast(row_scale);
    RowSum<V> sum;
    sum.add(means, [&](ptrdiff_t c, ptrdiff_t n) {
      const V difference = load_lanes<V>(z + c, n) - load_lanes<V>(target + c, n);
      const V log_precision = load_lanes<V>(z + means + c, n);
      const V weighted = Math<T>::exp(log_precision) * difference;
      const V square = weighted * difference;
      if (dz) {
        store_lanes(weighted * scale, dz + c, n);
        store_lanes(half * (square - V::broadcast(1)) * scale, dz + means + c, n);
      }
      return first_lanes(half * (square - log_precision), n);
    });
    return sum.total();
  });
}

// The sum over the wrong classes j of max(0, z_j - z_label + 1) (Weston and Watkins 1999, as in CS231n)
template <class T>
FNNFAST_HOST_DEVICE void multiclass_hinge(const LossTask<T>& t) {
  using V = Vec<T>;
  const V zero = V::broadcast(0), one = V::broadcast(1);
  for_loss_rows(t, [&](ptrdiff_t r, const T* z, T* dz, T row_scale) {
    const ptrdiff_t label = static_cast<ptrdiff_t>(t.labels[r]);
    const V own = V::broadcast(z[label]);
    const V scale = V::broadcast(row_scale);
    RowSum<V> sum, count;
    // Equal logits have the margin 1, also if they are infinite.
    const auto margin = [&](ptrdiff_t c, ptrdiff_t n) {
      const V v = load_lanes<V>(z + c, n);
      return select(v == own, one, v - own + one);
    };
    const auto above = [&](V m) { return select(m > zero, one, select(m <= zero, zero, m)); };
    sum.add(t.columns, [&](ptrdiff_t c, ptrdiff_t n) {
      const V m = margin(c, n);
      if (dz) store_lanes(above(m) * scale, dz + c, n);
      return first_lanes(select(m <= zero, zero, m), n);
    });
    if (dz) {
      count.add(t.columns, [&](ptrdiff_t c, ptrdiff_t n) { return first_lanes(above(margin(c, n)), n); });
      lanes_fence();
      dz[label] = (T(1) - count.total()) * row_scale;  // the label's own margin, 1, is among those counted
    }
    return sum.total() - T(1);
  });
}

template <class T>
FNNFAST_HOST_DEVICE void loss(LossKind kind, const LossTask<T>& t) {
  switch (kind) {
    case LossKind::kCategoricalCrossEntropy:
      return categorical_cross_entropy(t);
    case LossKind::kBinaryCrossEntropy:
      return elementwise_loss<T, BinaryCrossEntropy>(t);
    case LossKind::kSquaredError:
      return elementwise_loss<T, SquaredError>(t);
    case LossKind::kGaussian:
      return elementwise_loss<T, Gaussian>(t);
    case LossKind::kGaussianLearned:
      return gaussian_learned(t);
    case LossKind::kHinge:
      return elementwise_loss<T, Hinge>(t);
    case LossKind::kMulticlassHinge:
      return multiclass_hinge(t);
    case LossKind::kPoisson:
      return elementwise_loss<T, Poisson>(t);
  }
}

}  // namespace fnnfast::FNNFAST_ISA
