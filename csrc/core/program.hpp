// What a network computes: a list of operations over shaped values.
//
// Every operation reads one value and writes one. An addition (a skip connection) and an activation form the epilogue
// of an operation. Concatenating and flattening are views of one storage, not operations. Memory is decided by
// schedules (schedule.hpp), and how an operation is computed by csrc/cpu and csrc/cuda.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "activations.hpp"
#include "shape.hpp"

namespace fnnfast {

using ValueId = std::int32_t;
using NodeId = std::int32_t;
using BlockId = std::int32_t;
inline constexpr std::int32_t kNone = -1;

// The value that the caller passes in.
inline constexpr ValueId kInputValue = 0;

// A tensor per sample. The values of one storage are slices of its channels, or the same numbers in another shape.
struct Value {
  Shape shape;
  std::int32_t storage = kNone;
  ptrdiff_t channel = 0;  // of the storage, at which this value begins
};

// The parameters and buffers of one layer, numbered in order of execution.
struct ParameterBlock {
  enum class Kind : std::uint8_t { kAffine, kNormalize, kSlopes } kind;
  std::int32_t spec;                                        // the index of its layer in the tree, in preorder
  ptrdiff_t inputs = 0, units = 0, pieces = 1, groups = 1;  // inputs: of one unit, taps * channels / groups
  bool bias = true;                                         // if false, the kernels read zeros
  bool maxout = false;     // also with one piece, where the weights still have an axis for it
  bool slopes = false;     // has a learned activation parameter, one per unit
  int kernel[2] = {0, 0};  // of a convolution: its weights have axes for them
  double eps = 0.0;        // of a normalization, which has one input per unit: its scale

  double work() const { return static_cast<double>(inputs) * static_cast<double>(units * pieces); }  // per row
};

// What follows a product, a normalization or a copy, element by element, on its result r:
//   r = fma(r, scale, shift) with the scale and shift of `norm`; then f(r) + add or, with add_first, f(r + add).
struct Epilogue {
  BlockId norm = kNone;
  int activation = kIdentity;
  double parameter = 0.0;  // fixed alpha or beta, or the initial value of a learned one
  BlockId slopes = kNone;  // the block with the activation's learned parameter
  ValueId add = kNone;
  bool add_first = false;
  std::int32_t spec = kNone;  // the layer that the activation comes from

  const ActivationInfo& info() const { return kActivationInfo[activation]; }
};

// r = x W + b; with several pieces, the largest of them. If not windowed, over rows: of vectors, or of all pixels.
struct Affine {
  BlockId block;
  bool windowed = false;
  Windows windows{};
};
struct Pool {
  bool maximum;
  bool count_padding;  // in an average
  Windows windows;
};
// Batch normalization in training. In inference it is an Epilogue::norm.
struct Normalize {
  BlockId block;
  double eps, momentum;
};
// x / (k + alpha / size * sum of squares over neighbouring channels) ^ beta
struct LocalResponse {
  int size;
  double alpha, beta, k;
};
// The epilogue alone.
struct Pointwise {};
// Dropout or noise, in training; `stream` numbers its random draws.
struct Perturb {
  bool noise;
  double amount;  // the standard deviation of the noise, or the rate of dropout
  std::uint32_t stream;
};
// Transposes the caller's image from channels first to channels last.
struct ChannelsLast {};

using Operation = std::variant<Affine, Pool, Normalize, LocalResponse, Pointwise, Perturb, ChannelsLast>;

struct Node {
  Operation op;
  ValueId in = kNone, out = kNone;
  Epilogue epilogue{};
  std::int32_t spec = kNone;  // the layer it comes from

  template <class Op>
  bool is() const {
    return std::holds_alternative<Op>(op);
  }
  template <class Op>
  const Op* as() const {
    return std::get_if<Op>(&op);
  }
};

// All that scheduling knows about an operation.
struct Traits {
  bool batch = false;  // training reduces over the whole batch
  bool takes_epilogue = false;
  bool gradient_in_place = false;     // the gradient of its input may replace that of its output
  bool reads_input_backward = false;  // for gradients of its parameters or of its input
  bool saves_choice = false;          // a byte per output: maxout's argmax, or the tap of a maximum
};
Traits traits(const Operation& op);
// The same, with those that depend on the node's parameters: a product of several pieces saves a choice.
struct Program;
Traits traits(const Program& program, const Node& node);

// Immutable once made.
struct Program {
  std::vector<Value> values;        // values[kInputValue] is the input
  std::vector<ptrdiff_t> storages;  // channels of each
  std::vector<ParameterBlock> blocks;
  std::vector<Node> nodes;             // in order of execution
  std::vector<BlockId> block_of_spec;  // kNone for layers without parameters
  ValueId result = kNone;              // the output

  std::int32_t specs() const { return static_cast<std::int32_t>(block_of_spec.size()); }

  const Value& value(ValueId id) const { return values[static_cast<std::size_t>(id)]; }
  const Node& node(NodeId id) const { return nodes[static_cast<std::size_t>(id)]; }
  const ParameterBlock& block(BlockId id) const { return blocks[static_cast<std::size_t>(id)]; }
  const Shape& input() const { return values.front().shape; }
  const Shape& output() const { return value(result).shape; }
  // Multiply-adds per sample.
  double work() const;
  // The block of a layer in the tree, or kNone; std::out_of_range for an invalid index.
  BlockId find(std::int64_t spec) const;
};

// The block with a node's weights, normalization or slopes; kNone for a node without parameters.
BlockId block_of(const Node& node);

// One line per node, for tests and for people.
std::string describe(const Program& program);

}  // namespace fnnfast
