// The loop over k of a product, with copies and arithmetic at the same time.
#pragma once

#include "tile_copy.cuh"

namespace fnnfast::cuda {

// Adds A B over k from `first` to `last` to the tile at row m and column n. The copies of kStages - 1 steps run ahead.
// `each` sees every step's operands while they lie in shared memory.
template <class Tile, class Each>
__device__ __forceinline__ void accumulate(Tile& tile, const Source<typename Tile::Element>& a,
                                           const Source<typename Tile::Element>& b, std::int64_t m, std::int64_t n,
                                           std::int64_t first, std::int64_t last, Each each) {
  using T = typename Tile::Element;
  constexpr int kAhead = Tile::kStages - 1;
  T* const stages = reinterpret_cast<T*>(shared_memory());
  const int steps = static_cast<int>((last - first + Tile::kK - 1) / Tile::kK);
  // Steps that are whole along k take the quick way, where the operands lie for it.
  const int quick = Tile::Walk::is_possible(a, b, m, n, first) ? static_cast<int>((last - first) / Tile::kK) : 0;
  typename Tile::Walk walk(a, b, m, n, first);
  const auto copy = [&](int step) {
    T* const stage = stages + step % Tile::kStages * Tile::kStageElements;
    if (step < quick)
      walk.copy(stage);
    else if (step < steps)
      Tile::copy(stage, a, b, m, n, first + std::int64_t{step} * Tile::kK);
    copy_commit();  // an empty group, past the end, so that counting groups counts steps
  };
  FNNFAST_ROLLED
  for (int step = 0; step < kAhead; ++step) copy(step);
  FNNFAST_ROLLED
  for (int step = 0; step < steps; ++step) {
    copy_wait<kAhead - 1>();
    __syncthreads();  // all threads' copies of this step are there, and the stage of the step before is free
    copy(step + kAhead);
    const T* const stage = stages + step % Tile::kStages * Tile::kStageElements;
    tile.multiply(stage);
    each(stage);
  }
  copy_wait<0>();
  __syncthreads();  // shared memory is free for what comes
}

}  // namespace fnnfast::cuda
