// A network on the device: the layout of its parameters, and running a batch. It owns no memory.
//
// T as in product.hpp, E = Stored<T>, S = Sum<T>. All parameters are in one array of S. If E is a narrower type, a
// second array of E has them rounded, for products. Rows of weights are padded to multiples of 16 bytes, so that
// kernels copy whole chunks for any width. The padding is always zero.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "../core/lower.hpp"
#include "../core/schedule.hpp"
#include "fused.hpp"
#include "product.hpp"
#include "workspace.hpp"

namespace fnnfast::cuda {

// The operation of a layer, by its index in the tree, is not supported on the GPU.
class OperationError : public std::invalid_argument {
 public:
  explicit OperationError(std::int32_t layer)
      : std::invalid_argument("layer " + std::to_string(layer) + ": operation not supported on the GPU"), spec(layer) {}
  std::int32_t spec;
};

// The places of a block's parameters, in elements: weight (pieces, inputs, row), bias (pieces, row), and alpha (row),
// the learned parameter of an activation.
struct ParameterPlace {
  std::int64_t row;
  std::int64_t weight, bias, alpha, end;
};

// The row stride of weights: padded to a multiple of 16 bytes.
template <class T>
std::int64_t padded_row(std::int64_t columns) {
  constexpr std::int64_t kSize = 16 / static_cast<std::int64_t>(sizeof(T));
  return (columns + kSize - 1) / kSize * kSize;
}

template <class T>
class Network {
 public:
  using E = Stored<T>;
  using S = Sum<T>;
  static constexpr bool kMixed = !std::is_same_v<E, S>;

  // std::invalid_argument for layers that do not form a network; OperationError.
  Network(const Shape& input, bool channels_first, std::vector<LayerSpec> specs);

  const Program& program() const { return program_; }
  Program training_program() const { return lower(program_.input(), channels_first_, specs_, Purpose::kTraining); }
  const ParameterPlace& place(BlockId block) const { return places_[static_cast<std::size_t>(block)]; }
  std::int64_t parameters() const { return parameters_; }  // elements, including padding and constants
  std::int64_t inputs() const { return program_.input().size(); }
  std::int64_t outputs() const { return program_.output().size(); }

  // Fixed activation parameters, and initial values of learned ones, in the array of all parameters: (offset, value).
  const std::vector<std::pair<std::int64_t, double>>& constants() const { return constants_; }

  struct Parameters {
    S* full;
    E* products;  // rounded; full itself if E is S
  };

  // The product of a node of this program or of the one for training, without its inputs and outputs.
  ForwardTask<T> product(const Node& node, const Parameters& parameters, std::int64_t rows) const;
  // The parameter of a node's activation; null if it takes none.
  const S* activation_parameter(const Node& node, const Parameters& parameters) const;

  // y (rows, outputs) = network(x (rows, inputs)), both dense rows. logits: without the last layer's activation.
  void forward(const Parameters& parameters, const E* x, std::int64_t rows, E* y, bool logits,
               const Allocator& allocator, cudaStream_t stream) const;

  // Describes how forward() runs that many rows.
  std::vector<std::string> describe_plan(std::int64_t rows) const;

 private:
  void place_parameters();
  // The arguments of one launch for the whole network; without layers if not possible.
  FusedTask<T> fused(const Parameters& parameters, const E* x, std::int64_t rows, E* y, bool logits) const;

  bool channels_first_;
  std::vector<LayerSpec> specs_;
  Program program_;
  ForwardSchedule schedule_;
  std::vector<ParameterPlace> places_;  // by block
  std::vector<std::int64_t> fixed_;     // by node of the program for training and of this one: see fixed_parameter()
  std::vector<std::pair<std::int64_t, double>> constants_;
  std::int64_t parameters_ = 0;
};

// OperationError for the first operation of a program that is not supported.
void check_operations(const Program& program);

}  // namespace fnnfast::cuda
