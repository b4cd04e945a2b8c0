#include "plan.hpp"

#include <algorithm>

namespace fnnfast::cuda {

namespace {

std::int64_t parts(std::int64_t n, std::int64_t of) { return (n + of - 1) / of; }

// A slice's rows are a multiple of this, so that no step of a product over k spans two slices.
constexpr std::int64_t kSliceUnit = 64;
constexpr std::int64_t kShortestSlice = 512;
constexpr std::int64_t kMostSlices = 64;

constexpr int kHopperTall = 128;

}  // namespace

TileGrid tile_grid(std::int64_t m, std::int64_t n, std::int64_t layers, int multiprocessors, int large, int small) {
  const std::int64_t count = parts(m, large) * parts(n, large) * layers;
  const bool is_large = count >= multiprocessors && n > small;
  const int side = is_large ? large : small;
  return {is_large, std::max<std::int64_t>(parts(m, side), 1), std::max<std::int64_t>(parts(n, side), 1)};
}

Slices slices(std::int64_t rows, std::int64_t tiles, int multiprocessors) {
  // At most as many as run at once, two blocks per multiprocessor: one more would run alone, after all others.
  const std::int64_t wanted = std::int64_t{2} * multiprocessors / std::max<std::int64_t>(tiles, 1);
  const std::int64_t most = std::min(kMostSlices, std::max<std::int64_t>(rows / kShortestSlice, 1));
  const std::int64_t count = std::clamp<std::int64_t>(wanted, 1, most);
  const std::int64_t each = std::max(parts(parts(rows, count), kSliceUnit) * kSliceUnit, kSliceUnit);
  return {static_cast<int>(std::max<std::int64_t>(parts(rows, each), 1)), each};
}

bool hopper_pays(std::int64_t m, std::int64_t n, std::int64_t layers, int multiprocessors, int wide) {
  return n > wide / 2 && 2 * parts(m, kHopperTall) * parts(n, wide) * layers >= multiprocessors;
}

bool hopper_is_wide(std::int64_t m, std::int64_t n, int multiprocessors) {
  const auto time = [&](int wide) { return parts(parts(m, kHopperTall) * parts(n, wide), multiprocessors) * wide; };
  return time(256) <= time(128);
}

}  // namespace fnnfast::cuda
