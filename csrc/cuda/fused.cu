#include "fused.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "fused_few.cuh"
#include "fused_registers.cuh"
#include "fused_rows.cuh"
#include "fused_warpgroups.cuh"
#include "launch.hpp"
#include "tile_chain.cuh"
#include "tile_mma.cuh"
#include "tile_row.cuh"
#include "tile_simt.cuh"

namespace fnnfast::cuda {

namespace {

// Small tiles, so that the activations of a wide network fit shared memory. For few rows: one, up to 4, and up to 16.
template <class T>
struct FusedTiles {
  using Rows = MmaTile<T, 64, 64, 32, 32, false, false>;
  using Few = MmaTile<T, 16, 16, 16, 16, false, false>;
  using Fewest = Few;
  using One = Few;
};
template <>
struct FusedTiles<float> {
  using Rows = SimtTile<float, 64, 64, 16, 4, 4, false, false>;
  using Few = ChainTile<float, 16>;
  using Fewest = ChainTile<float, 4>;
  using One = RowTile<float>;
};
template <>
struct FusedTiles<double> {
  using Rows = SimtTile<double, 32, 32, 16, 4, 4, false, false>;
  using Few = ChainTile<double, 16>;
  using Fewest = ChainTile<double, 4>;
  using One = RowTile<double>;
};

template <class Tile>
TileSizes sizes_of() {
  return {Tile::kM,
          Tile::kN,
          Tile::kK,
          Tile::kThreads,
          Tile::kStages,
          Tile::kElementsA,
          Tile::kElementsB,
          [](int columns) { return Tile::elements_a(columns); },
          static_cast<int>(sizeof(typename Tile::Element)),
          static_cast<int>(sizeof(typename Tile::Value))};
}

// Whether there is a kernel that keeps activations in registers.
template <class T>
constexpr bool kInRegisters = std::is_same_v<T, Half> || std::is_same_v<T, Bfloat16>;

// Whether a layer has another activation than identity and ReLU.
template <class T>
bool has_any_activation(const FusedTask<T>& task) {
  return std::any_of(task.layer, task.layer + task.layers, [](const FusedLayer<T>& layer) {
    return layer.activation != kIdentity && layer.activation != index_of<Relu>();
  });
}

template <class T>
FusedShape shape_of(const FusedTask<T>& task) {
  FusedShape shape{task.rows, task.layers, task.slots, {}};
  for (int i = 0; i < task.layers; ++i) {
    const FusedLayer<T>& layer = task.layer[i];
    shape.layer[i] = {layer.inputs,
                      layer.units,
                      layer.pieces,
                      layer.from,
                      layer.add,
                      layer.slot,
                      kActivationInfo[layer.activation].rowwise};
  }
  return shape;
}

// How a task runs: by the plan whose blocks are not 0.
struct Choice {
  FusedShape shape;
  FewPlan few;
  RegistersPlan registers;
  RowsPlan rows;
};

template <class T>
struct Tag {};

// Calls f(Tag<Tile>()) with the tile for the task's rows.
template <class T, class F>
void with_few_tile(const FusedTask<T>& task, F f) {
  using Tiles = FusedTiles<T>;
  const char* const value = std::getenv("FNNFAST_CUDA_ROW_TILE");
  const bool one = value == nullptr || std::string_view(value) != "off";
  if (one && task.rows <= Tiles::One::kM)
    f(Tag<typename Tiles::One>());
  else if (task.rows <= Tiles::Fewest::kM)
    f(Tag<typename Tiles::Fewest>());
  else
    f(Tag<typename Tiles::Few>());
}

// The most blocks of a cluster for few rows. The environment variable FNNFAST_CUDA_CLUSTER may lower it.
template <class T, class Tile>
int few_cluster(std::size_t bytes) {
  const auto kernel = reinterpret_cast<const void*>(fused_few_kernel<T, Tile, true>);
  const int most = largest_cluster(kernel, kMostFewThreads, bytes, "fused");
  const char* const value = std::getenv("FNNFAST_CUDA_CLUSTER");
  return value == nullptr ? most : std::min(most, std::atoi(value));
}

template <class T>
Choice choose(const FusedTask<T>& task) {
  using Tiles = FusedTiles<T>;
  const char* const forced = std::getenv("FNNFAST_CUDA_FUSED");
  const std::string_view way = forced == nullptr ? "" : forced;
  Choice choice;
  choice.shape = shape_of(task);
  if (way == "off") return choice;
  FusedLimits limits{device_info().multiprocessors, static_cast<std::size_t>(device_info().shared_bytes)};
  if (way != "rows" && way != "registers" && task.rows <= kFewRows) {
    const FewBlocks blocks = way == "block"     ? FewBlocks::kOne
                             : way == "grid"    ? FewBlocks::kMany
                             : way == "cluster" ? FewBlocks::kCluster
                                                : FewBlocks::kAny;
    with_few_tile(task, [&]<class Tile>(Tag<Tile>) {
      limits.cluster = few_cluster<T, Tile>(limits.shared_bytes);
      choice.few = plan_few(choice.shape, sizes_of<Tile>(), limits, blocks);
    });
  }
  if (choice.few.blocks > 0) return choice;
  if (kInRegisters<T> && way != "rows")
    choice.registers = plan_registers(choice.shape, has_any_activation(task), limits);
  if (choice.registers.blocks == 0) choice.rows = plan_rows(choice.shape, sizes_of<typename Tiles::Rows>(), limits);
  return choice;
}

template <class Tile, class T>
void launch_few(const FusedTask<T>& task, const Choice& choice, cudaStream_t stream) {
  const FewPlan& plan = choice.few;
  const FusedFewArguments<T> arguments{task, choice.shape, plan, source<T>(task.x, task.rows, task.layer[0].inputs)};
  const dim3 grid(static_cast<unsigned>(plan.blocks));
  if (plan.cluster)
    return launch<Blocks::kCluster>("fused", fused_few_kernel<T, Tile, true>, grid, 32 * plan.warps, plan.shared_bytes,
                                    stream, arguments);
  const auto kernel = fused_few_kernel<T, Tile, false>;
  if (plan.blocks == 1) return launch("fused", kernel, grid, 32 * plan.warps, plan.shared_bytes, stream, arguments);
  check_device(cudaMemsetAsync(task.workspace, 0, sizeof(unsigned), stream), "fused");
  launch<Blocks::kCooperative>("fused", kernel, grid, 32 * plan.warps, plan.shared_bytes, stream, arguments);
}

template <class T>
void launch_registers(const FusedTask<T>& task, const Choice& choice, cudaStream_t stream) {
  const RegistersPlan& plan = choice.registers;
  const FusedRegistersArguments<T> arguments{task, plan, is_aligned(task.x.data, 0),
                                             is_aligned(task.x.data, task.x.stride)};
  const bool any = has_any_activation(task);
  RegistersKernel<T> kernel = any ? nullptr : warpgroups_kernel(task);
  if (kernel == nullptr) kernel = any ? fused_registers_kernel<T, true> : fused_registers_kernel<T, false>;
  launch("fused", kernel, dim3(static_cast<unsigned>(plan.blocks)), 32 * plan.warps, plan.shared_bytes, stream,
         arguments);
}

template <class T>
void launch_rows(const FusedTask<T>& task, const Choice& choice, cudaStream_t stream) {
  using Tile = typename FusedTiles<T>::Rows;
  const RowsPlan& plan = choice.rows;
  FusedRowsArguments<T> arguments{task, choice.shape, plan, source<T>(task.x, task.rows, task.layer[0].inputs)};
  arguments.task.layer[task.layers - 1].slot = plan.last_slot;
  bool maxout = false;
  for (int i = 0; i < task.layers; ++i) maxout = maxout || task.layer[i].pieces > 1;
  launch("fused", maxout ? fused_rows_kernel<T, Tile, true> : fused_rows_kernel<T, Tile, false>,
         dim3(static_cast<unsigned>(plan.blocks)), Tile::kThreads, plan.shared_bytes, stream, arguments);
}

}  // namespace

template <class T>
FusedPlace fused_place(const FusedTask<T>& task) {
  const Choice choice = choose(task);
  if (choice.registers.blocks > 0) return FusedPlace::kRegisters;
  return choice.few.blocks > 0 || choice.rows.blocks > 0 ? FusedPlace::kSharedMemory : FusedPlace::kNone;
}

template <class T>
bool try_fused_forward(FusedTask<T> task, const Allocator& allocator, cudaStream_t stream) {
  const Choice choice = choose(task);
  if (choice.few.workspace_bytes > 0) task.workspace = allocator(choice.few.workspace_bytes);
  if (choice.few.blocks > 0)
    with_few_tile(task, [&]<class Tile>(Tag<Tile>) { launch_few<Tile>(task, choice, stream); });
  else if (choice.rows.blocks > 0)
    launch_rows(task, choice, stream);
  else if (choice.registers.blocks == 0)
    return false;
  else if constexpr (kInRegisters<T>)
    launch_registers(task, choice, stream);
  return true;
}

#define FNNFAST_FUSED(T)                                \
  template FusedPlace fused_place(const FusedTask<T>&); \
  template bool try_fused_forward(FusedTask<T>, const Allocator&, cudaStream_t);
FNNFAST_FUSED(float)
FNNFAST_FUSED(double)
FNNFAST_FUSED(Tf32)
FNNFAST_FUSED(Half)
FNNFAST_FUSED(Bfloat16)
#undef FNNFAST_FUSED

}  // namespace fnnfast::cuda
