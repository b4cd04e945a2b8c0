// What a network is made of, whatever runs it: its layers in the order in which they run, and which outputs each reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "activations.hpp"

namespace fnnfast {

using std::ptrdiff_t;

// A layer as it is asked for.
struct LayerSpec {
  enum class Kind { kDense, kMaxout, kDropout, kNoise, kResidual } kind;
  ptrdiff_t units = 0;
  ptrdiff_t pieces = 1;
  int activation = kIdentity;
  double parameter = 0.0;  // fixed alpha or beta
  double rate = 0.0;       // of dropout, or the standard deviation of noise
  ptrdiff_t count = 0;  // residual: how many specs follow that belong to it; units > 0 asks for a projection to so many
};

// What training does to the outputs of a layer, or to the input: stream numbers its random draws.
struct Perturbation {
  bool noise;     // else dropout
  double amount;  // standard deviation, or rate
  std::uint32_t stream;
};

// What a layer reads beside outputs of layers.
inline constexpr ptrdiff_t kNetworkInput = -1;
inline constexpr ptrdiff_t kNoLayer = -2;

// A dense or maxout layer; the projection of a residual block is a dense one. Each reads what came before it.
struct LayerNode {
  ptrdiff_t from = kNetworkInput;  // the layer whose outputs it multiplies
  ptrdiff_t add = kNoLayer;        // the layer whose outputs are added to its own: the end of a residual block
  bool projection = false;         // of a residual block: only the addition reads it
  ptrdiff_t slot = 0;              // of its outputs, while the network answers
  std::vector<Perturbation> perturbations;
  ptrdiff_t inputs = 0, units = 0, pieces = 1;
  bool maxout = false;
  int activation = kIdentity;
  double parameter = 0.0;  // fixed, or what a learned one starts from

  const ActivationInfo& info() const { return kActivationInfo[activation]; }
  // Whether training keeps what the activation's backward reads beside the outputs: they are something else, or have
  // been added to.
  bool saves_apart() const {
    return info().saves == Saves::kInput || (info().saves == Saves::kOutput && add != kNoLayer);
  }
  ptrdiff_t parameter_step() const { return info().learned ? 1 : 0; }
  double work() const { return static_cast<double>(inputs * units * pieces); }  // multiply-adds a row
};

struct Graph {
  ptrdiff_t inputs = 0;
  std::vector<LayerNode> layers;
  std::vector<ptrdiff_t> layer_of_spec;  // for a residual block its projection; kNoLayer for those without parameters
  std::vector<Perturbation> input_perturbations;
  ptrdiff_t slots = 0;  // for the outputs of layers, but the last's

  ptrdiff_t width_of(ptrdiff_t layer) const {
    return layer == kNetworkInput ? inputs : layers[static_cast<std::size_t>(layer)].units;
  }
  // The layer of a spec's index, or kNoLayer; std::out_of_range.
  ptrdiff_t find(ptrdiff_t spec) const;
};

// std::invalid_argument for specs that make no network.
Graph make_graph(ptrdiff_t inputs, const std::vector<LayerSpec>& specs);

// std::invalid_argument, with the reason, where gradients cannot pass the network.
void check_trainable(const Graph& graph);

}  // namespace fnnfast
