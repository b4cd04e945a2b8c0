// Plans for a whole network in one launch: its layout in shared memory, and the number of blocks. Plain arithmetic over
// sizes, no CUDA. Three kernels run such a network, each with its plan: for many rows (fused_rows.cuh), where a block
// runs a block of rows through all layers; for narrow networks (fused_registers.cuh), where a warp does so; and for few
// rows (fused_few.cuh), where the blocks share every layer's units.
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

// Instead of another layer: the network's input, or none.
inline constexpr int kNetworkInput = -1, kNoLayer = -2;

// The network.
struct FusedShape {
  struct Layer {
    int inputs, units, pieces;
    int from, add, slot;  // as in FusedLayer
    bool rowwise;         // its activation
  };
  std::int64_t rows;
  int layers, slots;
  Layer layer[kMostFusedLayers];
};

// The properties of tiles that plans depend on.
struct TileSizes {
  int m, n, k, threads, stages;
  int elements_a, elements_b;  // of a step over k
  int (*buffer)(int columns);  // elements of an A with that many columns
  int element, sum;            // bytes
};

struct FusedLimits {
  int multiprocessors;
  std::size_t shared_bytes;  // of a block
  int cluster = 0;           // blocks that can access each other's shared memory; 0: not supported
};

// Whether it fits the kernels' arguments, and no layer is wider than kWidestFused.
bool is_fused_shape(const FusedShape& shape);

// Shared memory begins with the ring of stages of the weights.
struct RowsPlan {
  int blocks = 0;         // 0: it does not fit
  bool resident = false;  // the ring has a stage for every slice of the weights, which are then read once
  int stages = 0;
  std::size_t inputs = 0;                      // the ring of slices of the network's input
  std::size_t slot[kMostFusedSlots + 1] = {};  // outputs of layers, as operands
  int last_slot = 0;                           // of the last layer: a slot that it does not read
  std::size_t sums = 0;                        // rows before softmax
  int sums_pitch = 0;                          // of them, in elements
  std::size_t shared_bytes = 0;
};
RowsPlan plan_rows(const FusedShape& shape, const TileSizes& tile, const FusedLimits& limits);

// A warp computes groups of tile.n units. Group g of a layer belongs to block g mod `blocks`, whose warps take turns. A
// single block has slots and sums in its shared memory, as has every block of a cluster, with the outputs of all. Other
// blocks have them in the workspace, whose first word is the barrier's counter.
struct FewPlan {
  int blocks = 0;  // 0: it does not fit
  bool cluster = false;
  int warps = 0;
  std::size_t weight[kMostFusedLayers] = {};  // the block's share
  std::size_t inputs = 0;                     // the layer's inputs, unless they are in a slot in shared memory
  std::size_t slot[kMostFusedSlots] = {};
  int slot_pitch[kMostFusedSlots] = {};  // in the workspace, in elements
  std::size_t sums = 0;
  int sums_pitch = 0;
  std::size_t shared_bytes = 0, workspace_bytes = 0;
};
enum class FewBlocks { kAny, kOne, kCluster, kMany };
FewPlan plan_few(const FusedShape& shape, const TileSizes& tile, const FusedLimits& limits,
                 FewBlocks blocks = FewBlocks::kAny);

// Chains of dense layers of up to kColumns inputs and units, of 2-byte elements. Shared memory begins with all weights,
// kColumns rows of kPitch elements per layer. It also holds each warp's rows of the network's input and those before
// softmax.
struct RegistersPlan {
  static constexpr int kRows = 32, kColumns = 64;  // of a warp
  static constexpr int kPitch = kColumns + 8;      // in elements, so that eight rows of ldmatrix are in different banks
  static constexpr int most_warps(bool any_activation) { return any_activation ? 8 : 16; }

  int blocks = 0;  // 0: it does not fit
  int warps = 0;
  std::size_t biases = 0, inputs = 0, sums = 0;
  int sums_pitch = 0;  // in elements
  std::size_t shared_bytes = 0;
};
// any_activation: whether there are others than ReLU and the identity.
RegistersPlan plan_registers(const FusedShape& shape, bool any_activation, const FusedLimits& limits);

}  // namespace fnnfast::cuda
