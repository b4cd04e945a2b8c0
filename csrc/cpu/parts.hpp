// Sums over the rows of a batch in parts, which are added in a binary tree.
//
// The left subtree has as many leaves as the largest power of two below their number. So the sum of a range of parts
// that is a subtree has the same bits whether it is computed with the others or somewhere else: what several processes
// add is what one does.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "pack.hpp"

namespace fnnfast::cpu {

using std::ptrdiff_t;

// Part i has the rows ends[i] to ends[i + 1], which are none if these are equal.
struct RowParts {
  const ptrdiff_t* ends;
  ptrdiff_t count;
  bool round;  // every sum of the tree, leaves too, to 8 significant bits, as bfloat16 has them
};

// Levels of the tree: how many sums there are at a time.
inline ptrdiff_t levels(const RowParts& parts) {
  ptrdiff_t found = 1;
  for (ptrdiff_t leaves = 1; leaves < parts.count; leaves *= 2) ++found;
  return found;
}

// leaf(part, level) makes the sum of a part that has rows, add(level) adds that of the next level to it; the sum of all
// is then at `level`. False if there are no rows.
template <class Leaf, class Add>
bool sum_tree(const RowParts& parts, ptrdiff_t first, ptrdiff_t last, ptrdiff_t level, Leaf&& leaf, Add&& add) {
  if (last - first == 1) {
    if (parts.ends[first] == parts.ends[last]) return false;
    leaf(first, level);
    return true;
  }
  ptrdiff_t half = 1;
  while (2 * half < last - first) half *= 2;
  const bool left = sum_tree(parts, first, first + half, level, leaf, add);
  const bool right = sum_tree(parts, first + half, last, left ? level + 1 : level, leaf, add);
  if (left && right) add(level);
  return left || right;
}

// To the nearest number of 8 significant bits, ties to even; NaN stays NaN. float64 is never asked for.
template <class T>
void round_bits(T* values, ptrdiff_t count) {
  if constexpr (std::is_same_v<T, float>)
    for (ptrdiff_t i = 0; i < count; ++i) values[i] = std::bit_cast<float>(round_to_bfloat16(values[i]) << 16);
}

template <class T>
void add_sums(T* to, const T* from, ptrdiff_t count, bool round) {
  for (ptrdiff_t i = 0; i < count; ++i) to[i] += from[i];
  if (round) round_bits(to, count);
}

}  // namespace fnnfast::cpu
