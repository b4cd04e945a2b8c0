// The loop over k of a product, in which copies and arithmetic overlap.
#pragma once

#include "tile_copy.cuh"

namespace fnnfast::cuda {

// Adds A B over k in [first, last) to the tile at row m and column n. Copies run kStages - 1 steps ahead. Calls
// each(stage) for the operands of every step in shared memory.
template <class Tile, class Each>
__device__ __forceinline__ void accumulate(Tile& tile, const Source<typename Tile::Element>& a,
                                           const Source<typename Tile::Element>& b, std::int64_t m, std::int64_t n,
                                           std::int64_t first, std::int64_t last, Each each) {
  using T = typename Tile::Element;
  constexpr int kAhead = Tile::kStages - 1;
  T* const stages = reinterpret_cast<T*>(shared_memory());
  const int steps = static_cast<int>((last - first + Tile::kK - 1) / Tile::kK);
  // Steps that are whole along k use the fast copy, if the operands' alignment allows it.
  const int quick = Tile::Walk::is_possible(a, b, m, n, first) ? static_cast<int>((last - first) / Tile::kK) : 0;
  typename Tile::Walk walk(a, b, m, n, first);
  const auto copy = [&](int step) {
    T* const stage = stages + step % Tile::kStages * Tile::kStageElements;
    if (step < quick)
      walk.copy(stage);
    else if (step < steps)
      Tile::copy(stage, a, b, m, n, first + std::int64_t{step} * Tile::kK);
    copy_commit();  // also past the end, so that there is one group per step
  };
  FNNFAST_ROLLED
  for (int step = 0; step < kAhead; ++step) copy(step);
  FNNFAST_ROLLED
  for (int step = 0; step < steps; ++step) {
    copy_wait<kAhead - 1>();
    __syncthreads();  // all threads' copies of this step are complete, and the stage of the previous step is free
    copy(step + kAhead);
    const T* const stage = stages + step % Tile::kStages * Tile::kStageElements;
    tile.multiply(stage);
    each(stage);
  }
  copy_wait<0>();
  __syncthreads();  // shared memory is free
}

}  // namespace fnnfast::cuda
