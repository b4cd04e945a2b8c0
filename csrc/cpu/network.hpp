// A network: its program, its packed parameters, and the plan for running a batch in one call.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../core/lower.hpp"
#include "buffer.hpp"
#include "convolution_plan.hpp"
#include "execute.hpp"

namespace fnnfast::cpu {

// The parameters of a layer.
template <class T>
struct Block : ParameterBlock {
  PanelLayout layout{};
  Buffer<T> panels;           // weights and biases; none where a network for inference only has words
  Buffer<T> words;            // the same in the network's format, if that is not kFull: what products read
  Buffer<T> alpha;            // learned parameters of the activation: one per unit, padded to vectors
  InputScale input_scale{};   // int8
  Buffer<T> weight_scale;     // int8: (pieces, units)
  std::uint64_t version = 0;  // counts the writes to panels, so that copies derived from them notice
  bool is_fixed() const { return words.size() > 0 && panels.size() == 0; }
  // Of a batch normalization, one per unit, padded to vectors: its running statistics, and the scale and shift that
  // they give. The panels hold beta in row 0 and gamma in row 1.
  Buffer<T> mean, variance, scale, shift;
  // Of a product over images.
  std::unique_ptr<const Convolution> convolution;
  std::unique_ptr<const OwnedPlan<T>> windows;
};

template <class T>
class Network {
 public:
  using Scalar = T;

  // std::invalid_argument for layers that do not form a network. fixed: with words alone, for inference only.
  Network(const Shape& input, bool channels_first, std::vector<LayerSpec> specs,
          WeightFormat format = WeightFormat::kFull, bool fixed = false);

  // The same network with weights of fewer bits, for inference only; float only. std::invalid_argument if it cannot be
  // converted.
  struct BlockScales {
    InputScale input;
    std::vector<float> weight;  // (pieces, units)
  };
  // pairs: their inputs are rounded as well, and both multiplied in pairs.
  Network to_bfloat16(bool pairs) const;
  Network to_int8(const std::vector<BlockScales>& scales) const;  // in the order of the layers

  const Program& program() const { return program_; }
  // The program of a training step over the same blocks.
  Program training_program() const { return lower(program_.input(), channels_first_, specs_, Purpose::kTraining); }
  ptrdiff_t inputs() const { return program_.input().size(); }
  ptrdiff_t outputs() const { return outputs_; }
  WeightFormat format() const { return format_; }
  bool is_fixed() const { return fixed_; }
  const Kernels<T>& kernels() const { return *kernels_; }
  const AffineKernel<T>& affine_kernel() const { return affine_kernel_; }
  const std::vector<Block<T>>& blocks() const { return blocks_; }
  std::vector<Block<T>>& blocks() { return blocks_; }
  double work() const { return work_; }      // multiply-adds per sample, with the comparisons and additions of pools
  double effort() const { return effort_; }  // the same with what each value costs besides (interrupt.hpp)

  // A block's panels in full precision: a copy, if it has words alone.
  const T* full_panels(const Block<T>& block, Buffer<T>& copy) const;

  // Makes what is derived from a block's parameters. To be called after each change of them.
  void refresh(Block<T>& block) const;

  // The block of a layer in the tree, for a residual block its projection; null for layers without parameters.
  Block<T>* find(std::int64_t spec);
  std::int32_t specs() const { return program_.specs(); }

  // y (batch, outputs) = network(x (batch, inputs)), both dense rows. logits: without the last layer's activation.
  void forward(const T* x, ptrdiff_t batch, T* y, bool logits) const;

  // What trace() shows of a node: the pixels that it has read, and the rows that its activation has read.
  struct Seen {
    const Node* node;
    ptrdiff_t rows;  // of z
    const T* x;
    ptrdiff_t x_row;
    const T* z;
    ptrdiff_t z_row;
  };
  // Runs the samples on the calling thread and calls see() after each node.
  void trace(const T* x, ptrdiff_t samples, const std::function<void(const Seen&)>& see) const;

  std::vector<std::string> describe_plan(ptrdiff_t batch) const;

  // The constants of a node over this network's blocks.
  AffineConstants<T> constants_of(const Program& program, const Node& node, const T* fixed_parameter) const;

 private:
  enum class Mode { kSerial, kSamples, kSteps };
  struct Plan {
    Mode mode;
    ptrdiff_t samples_each;
  };
  Plan plan(ptrdiff_t batch) const;
  void add_windows(const Node& node);
  // Of a block with its windows, if it has any: the layout and the memory.
  void allocate(Block<T>& block) const;
  void size_plan();
  // Makes the constants and the executor from the blocks.
  void bind();

  static Buffer<T> repacked(const Block<T>& block, const PanelLayout& layout);
  // All but the weights of a product.
  void copy_rest(const Block<T>& from, Block<T>& to) const;

  const Kernels<T>* kernels_;
  WeightFormat format_;
  bool fixed_;
  AffineKernel<T> affine_kernel_;
  bool channels_first_;
  std::vector<LayerSpec> specs_;
  Program program_;
  std::vector<Block<T>> blocks_;
  Buffer<T> fixed_parameters_;                 // of activations, by node
  std::vector<AffineConstants<T>> constants_;  // by node
  Executor<T> executor_;
  ptrdiff_t outputs_ = 0;
  double work_ = 0.0, effort_ = 0.0;
  ptrdiff_t least_samples_ = 1;  // of a block that runs all steps: with fewer, products wait for the weights
  ptrdiff_t block_samples_ = 0;  // the most of such a block
  ptrdiff_t slab_samples_ = 0;   // the most that run step by step
  bool streams_ = false;         // the weights do not stay in a cache from block to block
};

}  // namespace fnnfast::cpu
