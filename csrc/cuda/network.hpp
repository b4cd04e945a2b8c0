// A network on the device: where its parameters lie, and how a batch runs through its layers. It owns no memory.
//
// T as in product.hpp, E = Stored<T>, S = Sum<T>. All parameters stand in one array: of S, and, where E is a narrower
// type, in a second one of E, rounded, that products read. Rows of weights are padded to whole 16 bytes, so that the
// kernels copy whole chunks whatever the widths; the padding is zero and stays so.
#pragma once

#include <string>
#include <vector>

#include "../core/graph.hpp"
#include "fused.hpp"
#include "product.hpp"
#include "workspace.hpp"

namespace fnnfast {

// Where a layer's parameters begin, in elements, and how they are laid out: weight (pieces, inputs, row), bias (pieces,
// row), alpha (row).
struct ParameterPlace {
  std::int64_t row;
  std::int64_t weight, bias, alpha, end;
};

// The rows of activations between layers: padded as those of weights.
template <class T>
std::int64_t padded_row(std::int64_t columns) {
  constexpr std::int64_t kSize = 16 / static_cast<std::int64_t>(sizeof(T));
  return (columns + kSize - 1) / kSize * kSize;
}

template <class T>
class DeviceNetwork {
 public:
  using E = Stored<T>;
  using S = Sum<T>;
  static constexpr bool kMixed = !std::is_same_v<E, S>;

  // std::invalid_argument for specs that make no network.
  explicit DeviceNetwork(Graph graph);

  const Graph& graph() const { return graph_; }
  const ParameterPlace& place(std::size_t layer) const { return places_[layer]; }
  std::int64_t parameters() const { return places_.back().end; }  // elements, padding included
  std::int64_t inputs() const { return graph_.inputs; }
  std::int64_t outputs() const { return graph_.layers.back().units; }

  struct Parameters {
    S* full;
    E* products;  // of E: full itself where that is S
  };

  // One layer of forward, but for what it reads and writes.
  ForwardTask<T> layer_task(std::size_t layer, const Parameters& parameters, std::int64_t rows) const;

  // y (rows, outputs) = network(x (rows, inputs)), both dense rows. With logits the last layer's activation is left
  // out.
  void forward(const Parameters& parameters, const E* x, std::int64_t rows, E* y, bool logits,
               const Allocator& allocator, cudaStream_t stream) const;

  // What forward does with so many rows, in words.
  std::vector<std::string> describe_plan(std::int64_t rows) const;

 private:
  FusedTask<T> fused(const Parameters& parameters, const E* x, std::int64_t rows, E* y, bool logits) const;

  Graph graph_;
  std::vector<ParameterPlace> places_;
};

}  // namespace fnnfast
