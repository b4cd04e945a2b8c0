// Tiling of the work on the device: plain arithmetic over sizes, no CUDA.
#pragma once

#include <cstdint>

namespace fnnfast::cuda {

// A grid of tiles over rows and columns, and of layers of tiles (pieces, slices).
struct TileGrid {
  bool large;  // the large tile, else the small one
  std::int64_t rows, columns;
};

// The tiles of an (m, n) product. Large tiles read less memory per multiply-add; small ones are used if the large ones
// would leave multiprocessors idle. The bits do not depend on the choice.
TileGrid tile_grid(std::int64_t m, std::int64_t n, std::int64_t layers, int multiprocessors, int large, int small);

// A sum over rows is split into slices that are summed in parallel, then added in order, so that there is work for all
// multiprocessors. Slices are long compared with the cost of adding them.
struct Slices {
  int count;
  std::int64_t rows;  // of each except the last
};
Slices slices(std::int64_t rows, std::int64_t tiles, int multiprocessors);

// Hopper's product has persistent blocks, one per multiprocessor, and only large tiles. It pays if at least half of the
// multiprocessors have one. `wide`: the columns of a tile, which has 128 rows.
bool hopper_pays(std::int64_t m, std::int64_t n, std::int64_t layers, int multiprocessors, int wide);

// Whether tiles of 256 columns finish no later than those of 128. They read less memory, but there are fewer of them.
bool hopper_is_wide(std::int64_t m, std::int64_t n, int multiprocessors);

}  // namespace fnnfast::cuda
