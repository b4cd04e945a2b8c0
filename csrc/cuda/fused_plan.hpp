// How a whole network in one launch lies in shared memory, and on how many blocks: plain arithmetic over sizes, no
// CUDA. Three kernels run such a network, and each has its plan: for many rows (fused_rows.cuh), where a block takes a
// block of rows through all layers, the same for narrow networks (fused_registers.cuh), where a warp does, and for few
// rows (fused_few.cuh), where the blocks share out every layer's outputs.
//
// Places are in bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fnnfast::cuda {

inline constexpr int kMostFusedLayers = 16;
inline constexpr int kMostFusedSlots = 4;
inline constexpr int kWidestFused = 256;
inline constexpr int kFewRows = 16;

// What a layer reads instead of another layer's outputs.
inline constexpr int kNetworkInput = -1, kNoLayer = -2;

// The network.
struct FusedShape {
  struct Layer {
    int inputs, outputs, pieces;
    int from, add, slot;  // as in FusedLayer
    bool rowwise;         // its activation
  };
  std::int64_t rows;
  int layers, slots;
  Layer layer[kMostFusedLayers];
};

// What a plan must know of the tiles that it cuts products into.
struct TileSizes {
  int m, n, k, threads, stages;
  int elements_a, elements_b;  // of a step over k
  int (*buffer)(int columns);  // elements of an A of so many columns
  int element, sum;            // bytes
};

struct FusedLimits {
  int multiprocessors;
  std::size_t shared_bytes;  // of a block
  int cluster = 0;           // blocks that can reach each other's shared memory; 0: none can
};

// Whether there is a place for everything in the kernels' arguments, and outputs are no wider than kWidestFused.
bool is_fused_shape(const FusedShape& shape);

// The weights' ring of stages begins shared memory.
struct RowsPlan {
  int blocks = 0;         // 0: it does not fit
  bool resident = false;  // the ring has a stage for every slice of the weights, which are read but once
  int stages = 0;
  std::size_t inputs = 0;                      // the ring of slices of the network's input
  std::size_t slot[kMostFusedSlots + 1] = {};  // outputs of layers, as operands
  int last_slot = 0;                           // of the last layer: one that it does not read
  std::size_t sums = 0;                        // rows that wait for softmax
  int sums_pitch = 0;                          // of them, in elements
  std::size_t shared_bytes = 0;
};
RowsPlan plan_rows(const FusedShape& shape, const TileSizes& tile, const FusedLimits& limits);

// A warp makes groups of tile.n outputs: group g of a layer is a matter of block g mod `blocks`, whose warps take
// turns. One block keeps slots and sums in its shared memory, as does every block of a cluster, with the outputs of
// all; other blocks keep them in the workspace, whose first word is the barrier's counter.
struct FewPlan {
  int blocks = 0;  // 0: it does not fit
  bool cluster = false;
  int warps = 0;
  std::size_t weight[kMostFusedLayers] = {};  // the block's share
  std::size_t inputs = 0;                     // what the layer multiplies, unless it lies in a slot of shared memory
  std::size_t slot[kMostFusedSlots] = {};
  int slot_pitch[kMostFusedSlots] = {};  // in the workspace, in elements
  std::size_t sums = 0;
  int sums_pitch = 0;
  std::size_t shared_bytes = 0, workspace_bytes = 0;
};
enum class FewBlocks { kAny, kOne, kCluster, kMany };
FewPlan plan_few(const FusedShape& shape, const TileSizes& tile, const FusedLimits& limits,
                 FewBlocks blocks = FewBlocks::kAny);

// Chains of dense layers of up to kColumns inputs and outputs, of elements of 2 bytes. All weights begin shared memory,
// kColumns rows of kPitch elements a layer; a warp has there its rows of the network's input, and of what waits for
// softmax.
struct RegistersPlan {
  static constexpr int kRows = 32, kColumns = 64;  // of a warp
  static constexpr int kPitch = kColumns + 8;      // in elements: ldmatrix finds eight rows in different banks
  static constexpr int most_warps(bool any_activation) { return any_activation ? 8 : 16; }

  int blocks = 0;  // 0: it does not fit
  int warps = 0;
  std::size_t biases = 0, inputs = 0, sums = 0;
  int sums_pitch = 0;  // in elements
  std::size_t shared_bytes = 0;
};
// any_activation: beside relu and the identity.
RegistersPlan plan_registers(const FusedShape& shape, bool any_activation, const FusedLimits& limits);

}  // namespace fnnfast::cuda
