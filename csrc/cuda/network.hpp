// A network on the device: where its parameters lie, and how a batch runs through its program. It owns no memory.
//
// T as in product.hpp, E = Stored<T>, S = Sum<T>. All parameters stand in one array: of S, and, where E is a narrower
// type, in a second one of E, rounded, that products read. Rows of weights are padded to whole 16 bytes, so that the
// kernels copy whole chunks whatever the widths; the padding is zero and stays so.
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

// An operation that the GPU does not have, of the layer with that index in the tree.
class OperationError : public std::invalid_argument {
 public:
  explicit OperationError(std::int32_t layer)
      : std::invalid_argument("the GPU does not have the operation of layer " + std::to_string(layer)), spec(layer) {}
  std::int32_t spec;
};

// Where a block's parameters begin, in elements, and how they are laid out: weight (pieces, inputs, row), bias (pieces,
// row), alpha (row), the learned parameter of an activation.
struct ParameterPlace {
  std::int64_t row;
  std::int64_t weight, bias, alpha, end;
};

// The rows of weights: padded to whole 16 bytes.
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

  // std::invalid_argument for layers that make no network; OperationError.
  Network(const Shape& input, bool channels_first, std::vector<LayerSpec> specs);

  const Program& program() const { return program_; }
  Program training_program() const { return lower(program_.input(), channels_first_, specs_, Purpose::kTraining); }
  const ParameterPlace& place(BlockId block) const { return places_[static_cast<std::size_t>(block)]; }
  std::int64_t parameters() const { return parameters_; }  // elements, padding and constants included
  std::int64_t inputs() const { return program_.input().size(); }
  std::int64_t outputs() const { return program_.output().size(); }

  // What the array of all parameters holds beside parameters, and what learned ones start from: (offset, value).
  const std::vector<std::pair<std::int64_t, double>>& constants() const { return constants_; }

  struct Parameters {
    S* full;
    E* products;  // of E: full itself where that is S
  };

  // A product of this program or of the one for training, but for what it reads and writes.
  ForwardTask<T> product(const Node& node, const Parameters& parameters, std::int64_t rows) const;
  // The parameter of a node's activation, null where it takes none.
  const S* activation_parameter(const Node& node, const Parameters& parameters) const;

  // y (rows, outputs) = network(x (rows, inputs)), both dense rows. With logits the last layer's activation is left
  // out.
  void forward(const Parameters& parameters, const E* x, std::int64_t rows, E* y, bool logits,
               const Allocator& allocator, cudaStream_t stream) const;

  // What forward does with so many rows, in words.
  std::vector<std::string> describe_plan(std::int64_t rows) const;

 private:
  void place_parameters();
  // The whole network as one launch; without layers if it cannot be.
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

// OperationError for the first operation of a program that the GPU does not have.
void check_operations(const Program& program);

}  // namespace fnnfast::cuda
