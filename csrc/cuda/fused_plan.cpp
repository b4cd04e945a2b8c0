#include "fused_plan.hpp"

#include <algorithm>

namespace fnnfast::cuda {

namespace {

// Shared memory that a multiprocessor reserves for each block.
constexpr std::size_t kReservedBytes = 1024;
// Limits of fused_rows_kernel by its registers: up to 200 per thread, and launch bounds for two blocks.
constexpr int kThreadsOfMultiprocessor = 320, kFewestBlocks = 2;
// Up to this size, one block reads the weights faster than several blocks synchronize after every layer.
constexpr std::size_t kOneBlockBytes = std::size_t{64} << 10;
constexpr int kFewestWarps = 8, kMostWarps = 16;
constexpr std::size_t kCounterBytes = 256;

int parts(int n, int of) { return (n + of - 1) / of; }
int up(int n, int unit) { return parts(n, unit) * unit; }

// Allocates places in order, each aligned for tensor and copy instructions.
class Places {
 public:
  explicit Places(std::size_t first) : end_(first) {}
  std::size_t take(std::size_t bytes) {
    const std::size_t place = end_;
    end_ += (bytes + 127) / 128 * 128;
    return place;
  }
  std::size_t end() const { return end_; }

 private:
  std::size_t end_;
};

// The width of the widest softmax layer, or 0.
int widest_rowwise(const FusedShape& shape) {
  int widest = 0;
  for (int i = 0; i < shape.layers; ++i)
    if (shape.layer[i].rowwise) widest = std::max(widest, shape.layer[i].units);
  return widest;
}

// The columns of a slot: those of the widest of the first `layers` layers that use it, in whole steps over k.
int slot_columns(const FusedShape& shape, int layers, int slot, int step) {
  int widest = 0;
  for (int i = 0; i < layers; ++i)
    if (shape.layer[i].slot == slot) widest = std::max(widest, up(shape.layer[i].units, step));
  return widest;
}

std::size_t bytes_of(int elements, int size) {
  return static_cast<std::size_t>(elements) * static_cast<std::size_t>(size);
}

// Successive rows are 8 banks apart, so that a tensor core's fragments are stored without conflicts.
int sums_pitch(int columns, int sum) { return up(columns, 128 / sum) + 32 / sum; }

// Gives the last layer a slot: one that it does not read, or a new one.
void give_last_slot(FusedShape& shape) {
  FusedShape::Layer& last = shape.layer[shape.layers - 1];
  const auto reads = [&](int slot) {
    const auto is_in = [&](int layer) { return layer >= 0 && shape.layer[layer].slot == slot; };
    return is_in(last.from) || is_in(last.add);
  };
  last.slot = 0;
  while (last.slot < shape.slots && reads(last.slot)) ++last.slot;
  shape.slots = std::max(shape.slots, last.slot + 1);
}

RowsPlan place_rows(const FusedShape& shape, const TileSizes& tile, int stages) {
  RowsPlan plan;
  plan.stages = stages;
  Places places(0);
  places.take(bytes_of(stages * tile.elements_b, tile.element));
  plan.inputs = places.take(bytes_of(tile.stages * tile.elements_a, tile.element));
  for (int s = 0; s < shape.slots; ++s)
    plan.slot[s] = places.take(bytes_of(tile.buffer(slot_columns(shape, shape.layers, s, tile.k)), tile.element));
  plan.last_slot = shape.layer[shape.layers - 1].slot;
  if (const int widest = widest_rowwise(shape); widest > 0) {
    plan.sums_pitch = sums_pitch(widest, tile.sum);
    plan.sums = places.take(bytes_of(tile.m * plan.sums_pitch, tile.sum));
  }
  plan.shared_bytes = places.end();
  return plan;
}

int blocks_of_multiprocessor(std::size_t bytes, const TileSizes& tile, const FusedLimits& limits) {
  const std::size_t fit = (limits.shared_bytes + kReservedBytes) / (bytes + kReservedBytes);
  return std::min(static_cast<int>(fit), std::max(kThreadsOfMultiprocessor / tile.threads, kFewestBlocks));
}

}  // namespace

bool is_fused_shape(const FusedShape& shape) {
  if (shape.layers < 1 || shape.layers > kMostFusedLayers || shape.slots > kMostFusedSlots || shape.rows < 1)
    return false;
  return std::all_of(shape.layer, shape.layer + shape.layers, [](const FusedShape::Layer& layer) {
    return layer.units <= kWidestFused && !(layer.rowwise && layer.add != kNoLayer);
  });
}

RowsPlan plan_rows(const FusedShape& network, const TileSizes& tile, const FusedLimits& limits) {
  if (!is_fused_shape(network)) return {};
  FusedShape shape = network;
  give_last_slot(shape);
  std::int64_t slices = 0;
  for (int i = 0; i < shape.layers; ++i) {
    const FusedShape::Layer& layer = shape.layer[i];
    slices += std::int64_t{parts(layer.units, tile.n)} * layer.pieces * parts(layer.inputs, tile.k);
  }
  RowsPlan plan = place_rows(shape, tile, tile.stages);
  const int streamed = blocks_of_multiprocessor(plan.shared_bytes, tile, limits);
  if (streamed < 1) return {};
  const std::int64_t row_blocks = (shape.rows + tile.m - 1) / tile.m;
  int each = streamed;
  // Weights are resident if a block has several blocks of rows, and a second block still fits to hide latencies.
  if (row_blocks > limits.multiprocessors && slices * tile.elements_b <= (1 << 20)) {
    RowsPlan kept = place_rows(shape, tile, std::max(static_cast<int>(slices), tile.stages));
    const int fit = blocks_of_multiprocessor(kept.shared_bytes, tile, limits);
    if (fit >= std::min(2, streamed)) {
      plan = kept;
      plan.stages = static_cast<int>(slices);
      plan.resident = true;
      each = fit;
    }
  }
  plan.blocks = static_cast<int>(std::min(row_blocks, std::int64_t{limits.multiprocessors} * each));
  return plan;
}

namespace {

int groups(const FusedShape::Layer& layer, const TileSizes& tile) { return parts(layer.units, tile.n); }

// A block's share of the weights, in bytes.
std::int64_t share(const FusedShape::Layer& layer, const TileSizes& tile, int blocks) {
  return std::int64_t{parts(groups(layer, tile), blocks)} * layer.pieces * parts(layer.inputs, tile.k) *
         tile.elements_b * tile.element;
}

FewPlan place_few(const FusedShape& shape, const TileSizes& tile, int blocks, bool cluster) {
  const bool exchanged = blocks > 1 && !cluster;  // through the workspace
  FewPlan plan;
  plan.blocks = blocks;
  plan.cluster = cluster;
  plan.warps = kFewestWarps;
  Places shared(0), workspace(kCounterBytes);
  int inputs = 0;
  for (int i = 0; i < shape.layers; ++i) {
    const FusedShape::Layer& layer = shape.layer[i];
    plan.weight[i] = shared.take(static_cast<std::size_t>(share(layer, tile, blocks)));
    plan.warps = std::max(plan.warps, std::min(parts(groups(layer, tile), blocks), kMostWarps));
    if (exchanged || layer.from == kNetworkInput) inputs = std::max(inputs, parts(layer.inputs, tile.k));
  }
  plan.inputs = shared.take(bytes_of(inputs * tile.elements_a, tile.element));
  Places& home = exchanged ? workspace : shared;
  for (int s = 0; s < shape.slots; ++s) {
    plan.slot_pitch[s] = slot_columns(shape, shape.layers - 1, s, tile.k);
    const int elements = exchanged ? tile.m * plan.slot_pitch[s] : tile.buffer(plan.slot_pitch[s]);
    plan.slot[s] = home.take(bytes_of(elements, tile.element));
  }
  plan.sums_pitch = widest_rowwise(shape);
  plan.sums = home.take(bytes_of(tile.m * plan.sums_pitch, tile.sum));
  plan.shared_bytes = shared.end();
  plan.workspace_bytes = exchanged ? workspace.end() : 0;
  return plan;
}

}  // namespace

FewPlan plan_few(const FusedShape& shape, const TileSizes& tile, const FusedLimits& limits, FewBlocks blocks) {
  if (!is_fused_shape(shape) || shape.rows > tile.m) return {};
  std::int64_t weights = 0;
  int most = 1;
  for (int i = 0; i < shape.layers; ++i) {
    weights += share(shape.layer[i], tile, 1);
    most = std::max(most, groups(shape.layer[i], tile));
  }
  const auto fits = [&](const FewPlan& plan) { return plan.shared_bytes <= limits.shared_bytes; };
  constexpr std::int64_t kMostBytes = 1 << 30;  // more than fits; the sizes below are then ints
  if (weights > kMostBytes) return {};
  if (blocks == FewBlocks::kOne || (blocks == FewBlocks::kAny && weights <= std::int64_t{kOneBlockBytes})) {
    const FewPlan plan = place_few(shape, tile, 1, false);
    if (fits(plan)) return plan;
  }
  if (blocks == FewBlocks::kOne) return {};
  if (blocks != FewBlocks::kMany && std::min(limits.cluster, most) > 1) {
    const FewPlan plan = place_few(shape, tile, std::min(limits.cluster, most), true);
    if (fits(plan)) return plan;
  }
  if (blocks == FewBlocks::kCluster) return {};
  const int many = std::min(limits.multiprocessors, most);
  if (many < 2) return {};
  const FewPlan plan = place_few(shape, tile, many, false);
  return fits(plan) ? plan : FewPlan{};
}

RegistersPlan plan_registers(const FusedShape& shape, bool any_activation, const FusedLimits& limits) {
  constexpr int kRows = RegistersPlan::kRows, kColumns = RegistersPlan::kColumns, kPitch = RegistersPlan::kPitch;
  constexpr int kElement = 2, kSum = 4, kFewestWarps = 4;
  if (!is_fused_shape(shape)) return {};
  for (int i = 0; i < shape.layers; ++i) {
    const FusedShape::Layer& layer = shape.layer[i];
    const bool chained = layer.from == (i == 0 ? kNetworkInput : i - 1) && layer.add == kNoLayer;
    const bool waits = layer.rowwise && i + 1 < shape.layers;
    if (!chained || waits || layer.pieces != 1 || layer.inputs > kColumns || layer.units > kColumns) return {};
  }
  const std::int64_t row_blocks = (shape.rows + kRows - 1) / kRows;
  for (int warps = RegistersPlan::most_warps(any_activation); warps >= kFewestWarps; warps -= 4) {
    RegistersPlan plan;
    plan.warps = warps;
    Places places(0);
    places.take(bytes_of(shape.layers * kColumns * kPitch, kElement));
    plan.biases = places.take(bytes_of(shape.layers * kColumns * 2, kSum));
    plan.inputs = places.take(bytes_of(warps * kRows * kPitch, kElement));
    // Odd, so that a warp's lanes, one per row, access different banks.
    if (const int widest = widest_rowwise(shape); widest > 0) plan.sums_pitch = widest | 1;
    plan.sums = places.take(bytes_of(warps * kRows * plan.sums_pitch, kSum));
    plan.shared_bytes = places.end();
    if (plan.shared_bytes > limits.shared_bytes) continue;
    plan.blocks = static_cast<int>(std::min(row_blocks, std::int64_t{limits.multiprocessors}));
    return plan;
  }
  return {};
}

}  // namespace fnnfast::cuda
