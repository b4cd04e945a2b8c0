// The loop over k of a product, with copies and arithmetic at the same time.
#pragma once

#include "tile_copy.cuh"

namespace fnnfast {

// Adds A B over k from `first` to `last` to the tile at row m and column n. The copies of kStages - 1 steps run ahead.
// `each` sees every step's operands while they lie in shared memory.
template <class Tile, class Each>
__device__ __forceinline__ void accumulate(Tile& tile, const Source<typename Tile::Element>& a,
                                           const Source<typename Tile::Element>& b, std::int64_t m, std::int64_t n,
                                           std::int64_t first, std::int64_t last, Each each) {
  using T = typename Tile::Element;
  constexpr int kAhead = Tile::kStages - 1;
  T* const stages = reinterpret_cast<T*>(shared_memory());
  const auto copy = [&](int step) {
    const std::int64_t k = first + std::int64_t{step} * Tile::kK;
    if (k < last) Tile::copy(stages + step % Tile::kStages * Tile::kStageElements, a, b, m, n, k);
    copy_commit();  // an empty group, past the end, so that counting groups counts steps
  };
  for (int step = 0; step < kAhead; ++step) copy(step);
  const int steps = static_cast<int>((last - first + Tile::kK - 1) / Tile::kK);
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

}  // namespace fnnfast
