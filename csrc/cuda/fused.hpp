// A whole network in one launch: activations stay in shared memory or in registers from layer to layer.
#pragma once

#include "fused_plan.hpp"
#include "product.hpp"
#include "workspace.hpp"

namespace fnnfast::cuda {

// A dense or maxout layer. from and add: the layers whose outputs it multiplies and adds, or kNetworkInput or kNoLayer.
template <class T>
struct FusedLayer {
  int inputs, units, pieces;
  int from, add;
  int slot;                 // the place of its outputs until they have been read
  const Stored<T>* weight;  // (pieces, inputs, row), aligned to 16 bytes, as are its rows
  std::int64_t row;
  const Sum<T>* bias;  // (pieces, row)
  int activation;
  const Sum<T>* parameter;
  int parameter_step;
};

template <class T>
struct FusedTask {
  std::int64_t rows;
  Matrix<const Stored<T>> x;
  Matrix<Stored<T>> y;
  int slots;
  int layers;
  FusedLayer<T> layer[kMostFusedLayers];
  void* workspace;  // for outputs that blocks exchange; allocated by try_fused_forward
};

// The place of the activations. kNone: the network cannot run in one launch, since a layer is wider than kWidestFused
// (the input may be wider), or its activations do not fit.
//
// Environment variables, for tests: FNNFAST_CUDA_FUSED=off | rows | registers | block | grid | cluster disables it, or
// requests one way if possible. For comparisons, FNNFAST_CUDA_CLUSTER is the most blocks of a cluster, and with
// FNNFAST_CUDA_ROW_TILE=off one row uses the tile for a few rows.
enum class FusedPlace { kNone, kSharedMemory, kRegisters };
template <class T>
FusedPlace fused_place(const FusedTask<T>& task);

// Runs the network in one launch, if it can; else returns false, with nothing done. May be captured.
template <class T>
bool try_fused_forward(FusedTask<T> task, const Allocator& allocator, cudaStream_t stream);

}  // namespace fnnfast::cuda
