// A whole network in one launch: the activations stay in shared memory, or in registers, from layer to layer.
#pragma once

#include "fused_plan.hpp"
#include "product.hpp"
#include "workspace.hpp"

namespace fnnfast::cuda {

// A dense or maxout layer. from and add: the layers whose outputs it multiplies and adds, -1 the network's input, -2
// none (kNetworkInput, kNoLayer).
template <class T>
struct FusedLayer {
  int inputs, outputs, pieces;
  int from, add;
  int slot;                 // where its outputs are kept while they are read
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
  void* workspace;  // where blocks exchange outputs; fused_forward asks for it
};

// Where a network that can run so has its activations: kNone is for one that cannot, since a layer but its input is
// wider than kWidestFused, or what is kept does not fit.
//
// FNNFAST_CUDA_FUSED=off | rows | registers | block | grid | cluster in the environment says how it runs, for tests:
// not so, or by one way where that is possible. For comparisons, FNNFAST_CUDA_CLUSTER is the most blocks of a cluster,
// and FNNFAST_CUDA_ROW_TILE=off has one row run as a few.
enum class FusedPlace { kNone, kSharedMemory, kRegisters };
template <class T>
FusedPlace fused_place(const FusedTask<T>& task);

// Runs a network that can run so; false, and nothing done, for any other. May be captured.
template <class T>
bool fused_forward(FusedTask<T> task, const Allocator& allocator, cudaStream_t stream);

}  // namespace fnnfast::cuda
