// How work is cut for the device: plain arithmetic over sizes, no CUDA.
#pragma once

#include <cstdint>

namespace fnnfast::cuda {

// A grid of tiles over rows and columns, and of layers of tiles (pieces, slices).
struct TileGrid {
  bool large;  // the large tile, else the small one
  std::int64_t rows, columns;
};

// Tiles of either shape for an (m, n) product. The large one reads least memory for its arithmetic; the small one is
// taken where too few large ones would leave multiprocessors idle. The choice never shows in the bits.
TileGrid tile_grid(std::int64_t m, std::int64_t n, std::int64_t layers, int multiprocessors, int large, int small);

// How a sum over rows is cut into slices that are summed side by side, then added in order: so that there is work for
// all multiprocessors, and a slice is long against the cost of adding it.
struct Slices {
  int count;
  std::int64_t rows;  // of all but the last
};
Slices slices(std::int64_t rows, std::int64_t tiles, int multiprocessors);

// Hopper's own product has blocks that stay, one a multiprocessor, and only large tiles: it pays where half of the
// multiprocessors or more have one. `wide`: columns of a tile; rows are 128.
bool hopper_pays(std::int64_t m, std::int64_t n, std::int64_t layers, int multiprocessors, int wide);

// Whether tiles 256 wide end no later than those 128 wide. They read less memory, and there are fewer of them.
bool hopper_is_wide(std::int64_t m, std::int64_t n, int multiprocessors);

}  // namespace fnnfast::cuda
