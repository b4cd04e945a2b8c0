// The plans of whole networks in one launch, over thousands of networks: what is promised to fit fits, nothing that is
// needed at the same time overlaps, and all work is somebody's.
//
//   g++ -std=c++20 -fsanitize=address,undefined tests/cuda/test_fused_plan.cpp csrc/cuda/fused_plan.cpp && ./a.out
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <utility>
#include <vector>

#include "../../csrc/cuda/fused_plan.hpp"

using namespace fnnfast::cuda;

namespace {

#define CHECK(condition) \
  ((condition) ? void() : (std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), std::exit(1)))

// Tiles as fused.cu has them: of two-byte elements on tensor cores, and of floats and doubles on CUDA cores.
const TileSizes kRowsTiles[] = {
    {64, 64, 32, 128, 4, 64 * 40, 32 * 72, [](int columns) { return 64 * (columns + 8); }, 2, 4},
    {64, 64, 16, 256, 3, 16 * 68, 16 * 68, [](int columns) { return columns * 68; }, 4, 4},
    {32, 32, 16, 64, 3, 16 * 34, 16 * 34, [](int columns) { return columns * 34; }, 8, 8}};
const TileSizes kFewTiles[] = {
    {16, 16, 32, 32, 4, 16 * 40, 32 * 24, [](int columns) { return 16 * (columns + 8); }, 2, 4},
    {4, 8, 32, 32, 1, 4 * 36, 8 * 36, [](int columns) { return 4 * (columns + 4); }, 4, 4},
    {16, 2, 16, 32, 1, 16 * 18, 2 * 18, [](int columns) { return 16 * (columns + 2); }, 8, 8}};
// sm_90, sm_80, sm_86, and one that is short of everything.
const FusedLimits kDevices[] = {{132, 232448}, {108, 166912}, {84, 101376}, {1, 49152}};

std::mt19937 generator(1);
int random(int least, int most) { return std::uniform_int_distribution<int>(least, most)(generator); }

// A chain, with some softmax, whose outputs take two slots in turn; at times one is added to the one after the next.
FusedShape random_shape() {
  FusedShape shape{};
  shape.rows = random(0, 1) != 0 ? random(1, 16) : random(1, 1 << 18);
  shape.layers = random(1, kMostFusedLayers);
  shape.slots = shape.layers > 1 ? 3 : 0;
  int inputs = random(1, 8) == 1 ? random(257, 1000) : random(1, 256);
  for (int i = 0; i < shape.layers; ++i) {
    FusedShape::Layer& layer = shape.layer[i];
    layer = {inputs, random(1, 256), random(1, 6) == 1 ? random(2, 5) : 1, i - 1, kNoLayer, i % 3, random(1, 8) == 1};
    if (i > 1 && random(0, 3) == 0 && !layer.rowwise) {
      layer.add = i - 2;
      layer.units = shape.layer[i - 2].units;
    }
    inputs = layer.units;
  }
  return shape;
}

using Spans = std::vector<std::pair<std::size_t, std::size_t>>;

void check_apart(const Spans& spans, std::size_t end) {
  for (std::size_t i = 0; i < spans.size(); ++i) {
    CHECK(spans[i].first % 128 == 0 && spans[i].first + spans[i].second <= end);
    for (std::size_t j = 0; j < i; ++j)
      CHECK(spans[i].second == 0 || spans[j].second == 0 || spans[i].first + spans[i].second <= spans[j].first ||
            spans[j].first + spans[j].second <= spans[i].first);
  }
}

std::size_t bytes(std::int64_t elements, int size) { return static_cast<std::size_t>(elements * size); }
int parts(int n, int of) { return (n + of - 1) / of; }

bool check_rows(const FusedShape& shape, const TileSizes& tile, const FusedLimits& limits) {
  const RowsPlan plan = plan_rows(shape, tile, limits);
  if (plan.blocks == 0) return false;
  CHECK(plan.shared_bytes <= limits.shared_bytes && (plan.blocks - 1) * std::int64_t{tile.m} < shape.rows);
  const FusedShape::Layer& last = shape.layer[shape.layers - 1];
  for (const int read : {last.from, last.add}) CHECK(read < 0 || shape.layer[read].slot != plan.last_slot);
  std::int64_t slices = 0;
  Spans spans{{plan.inputs, bytes(tile.stages * tile.elements_a, tile.element)}};
  std::size_t slot[kMostFusedSlots + 1] = {}, sums = 0;
  for (int i = 0; i < shape.layers; ++i) {
    const FusedShape::Layer& layer = shape.layer[i];
    slices += std::int64_t{parts(layer.units, tile.n)} * layer.pieces * parts(layer.inputs, tile.k);
    std::size_t& most = slot[i + 1 == shape.layers ? plan.last_slot : layer.slot];
    most = std::max(most, bytes(tile.buffer(parts(layer.units, tile.k) * tile.k), tile.element));
    if (layer.rowwise) {
      CHECK(layer.units <= plan.sums_pitch);
      sums = bytes(tile.m * plan.sums_pitch, tile.sum);
    }
  }
  CHECK(plan.stages == (plan.resident ? slices : tile.stages));
  spans.push_back({0, bytes(plan.stages * std::int64_t{tile.elements_b}, tile.element)});
  spans.push_back({plan.sums, sums});
  for (int s = 0; s <= kMostFusedSlots; ++s) spans.push_back({plan.slot[s], slot[s]});
  check_apart(spans, plan.shared_bytes);
  return true;
}

bool check_few(const FusedShape& shape, const TileSizes& tile, const FusedLimits& limits, FewBlocks blocks) {
  const FewPlan plan = plan_few(shape, tile, limits, blocks);
  if (plan.blocks == 0) return false;
  CHECK(shape.rows <= tile.m && plan.blocks <= limits.multiprocessors && plan.shared_bytes <= limits.shared_bytes);
  CHECK(plan.warps >= 1 && plan.warps <= 16);
  CHECK(blocks == FewBlocks::kAny || (blocks == FewBlocks::kOne) == (plan.blocks == 1));
  CHECK(blocks == FewBlocks::kAny || (blocks == FewBlocks::kCluster) == plan.cluster);
  CHECK(!plan.cluster || (plan.blocks > 1 && plan.blocks <= limits.cluster));
  const bool exchanged = plan.blocks > 1 && !plan.cluster;
  Spans shared, workspace{{0, 4}};  // the counter
  Spans& home = exchanged ? workspace : shared;
  int steps = 0;
  std::size_t slot[kMostFusedSlots] = {}, sums = 0;
  for (int i = 0; i < shape.layers; ++i) {
    const FusedShape::Layer& layer = shape.layer[i];
    const int own = parts(parts(layer.units, tile.n), plan.blocks), of_layer = parts(layer.inputs, tile.k);
    shared.push_back(
        {plan.weight[i], bytes(std::int64_t{own} * layer.pieces * of_layer * tile.elements_b, tile.element)});
    if (exchanged || layer.from < 0) steps = std::max(steps, of_layer);
    if (layer.rowwise) sums = std::max(sums, bytes(tile.m * layer.units, tile.sum));
    CHECK(!layer.rowwise || layer.units <= plan.sums_pitch);
    if (i + 1 == shape.layers) continue;
    const int columns = parts(layer.units, tile.k) * tile.k;
    CHECK(columns <= plan.slot_pitch[layer.slot] && plan.slot_pitch[layer.slot] * tile.element % 16 == 0);
    const int elements = exchanged ? tile.m * plan.slot_pitch[layer.slot] : tile.buffer(columns);
    slot[layer.slot] = std::max(slot[layer.slot], bytes(elements, tile.element));
  }
  shared.push_back({plan.inputs, bytes(steps * tile.elements_a, tile.element)});
  for (int s = 0; s < kMostFusedSlots; ++s) home.push_back({plan.slot[s], slot[s]});
  home.push_back({plan.sums, sums});
  for (Spans* spans : {&shared, &workspace}) std::erase_if(*spans, [](const auto& span) { return span.second == 0; });
  check_apart(shared, plan.shared_bytes);
  if (exchanged) check_apart(workspace, plan.workspace_bytes);
  return true;
}

// Of the chains above, and of narrower ones.
bool check_registers(FusedShape shape, bool narrow, bool any_activation, const FusedLimits& limits) {
  constexpr int kRows = RegistersPlan::kRows, kColumns = RegistersPlan::kColumns, kPitch = RegistersPlan::kPitch;
  for (int i = 0; narrow && i < shape.layers; ++i) {
    FusedShape::Layer& layer = shape.layer[i];
    layer.inputs = i == 0 ? random(1, kColumns) : shape.layer[i - 1].units;
    layer.units = random(1, kColumns);
    layer.pieces = 1;
    layer.add = kNoLayer;
    layer.rowwise = layer.rowwise && i + 1 == shape.layers;
  }
  const RegistersPlan plan = plan_registers(shape, any_activation, limits);
  if (plan.blocks == 0) return false;
  CHECK(plan.shared_bytes <= limits.shared_bytes && plan.blocks <= limits.multiprocessors);
  CHECK((plan.blocks - 1) * std::int64_t{kRows} < shape.rows);
  CHECK(plan.warps >= 4 && plan.warps <= RegistersPlan::most_warps(any_activation));
  for (int i = 0; i < shape.layers; ++i) {
    const FusedShape::Layer& layer = shape.layer[i];
    CHECK(layer.inputs <= kColumns && layer.units <= kColumns && layer.pieces == 1 && layer.add == kNoLayer);
    CHECK(!layer.rowwise || (i + 1 == shape.layers && layer.units <= plan.sums_pitch));
  }
  Spans spans{{0, bytes(shape.layers * kColumns * kPitch, 2)},
              {plan.biases, bytes(shape.layers * kColumns * 2, 4)},
              {plan.inputs, bytes(plan.warps * kRows * kPitch, 2)},
              {plan.sums, bytes(plan.warps * kRows * plan.sums_pitch, 4)}};
  check_apart(spans, plan.shared_bytes);
  return true;
}

}  // namespace

int main() {
  int rows = 0, resident = 0, one = 0, cluster = 0, many = 0, registers = 0;
  for (int i = 0; i < 20000; ++i) {
    const FusedShape shape = random_shape();
    for (const FusedLimits& limits : kDevices) {
      check_registers(shape, false, i % 2 != 0, limits);
      registers += check_registers(shape, true, i % 2 != 0, limits);
      for (const TileSizes& tile : kRowsTiles) {
        rows += check_rows(shape, tile, limits);
        resident += plan_rows(shape, tile, limits).resident;
      }
      for (const TileSizes& tile : kFewTiles) {
        one += check_few(shape, tile, limits, FewBlocks::kOne);
        many += check_few(shape, tile, limits, FewBlocks::kMany);
        FusedLimits clusters = limits;
        clusters.cluster = std::min(limits.multiprocessors, 16);
        cluster += check_few(shape, tile, clusters, FewBlocks::kCluster);
        check_few(shape, tile, clusters, FewBlocks::kAny);
        check_few(shape, tile, limits, FewBlocks::kAny);
      }
    }
  }
  FusedShape wide = random_shape();
  wide.layer[0].units = kWidestFused + 1;
  CHECK(!is_fused_shape(wide) && plan_rows(wide, kRowsTiles[0], kDevices[0]).blocks == 0);
  std::printf(
      "%d plans for many rows, %d with resident weights; for few, %d of one block, %d of a cluster, %d of more; %d in "
      "registers\n",
      rows, resident, one, cluster, many, registers);
  CHECK(registers > 1000 && rows > 1000 && resident > 100 && one > 100 && cluster > 1000 && many > 1000);
}
