#include "lower.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace fnnfast {

namespace {

using Kind = LayerSpec::Kind;
using Branch = std::vector<LayerSpec>;

constexpr double kMostWeights = 1e12;   // of a layer: more fits no memory, and no size below can overflow
constexpr double kMostElements = 1e12;  // of a value, likewise

ptrdiff_t positive(ptrdiff_t n, const char* what) {
  if (n < 1) throw std::invalid_argument(std::string(what) + " must be at least 1, got " + std::to_string(n));
  return n;
}

std::string words(const Shape& shape) {
  if (shape.is_vector()) return std::to_string(shape.c);
  return "(" + std::to_string(shape.h) + ", " + std::to_string(shape.w) + ", " + std::to_string(shape.c) + ")";
}

// The specs of a branch, including those inside its layers.
std::int32_t count(const Branch& branch) {
  std::int32_t n = 0;
  for (const LayerSpec& spec : branch) {
    ++n;
    for (const Branch& inner : spec.branches) n += count(inner);
  }
  return n;
}

class Lowering {
 public:
  Lowering(const Shape& input, bool channels_first, const Branch& specs, Purpose purpose) : purpose_(purpose) {
    positive(input.h, "the height of the input");
    positive(input.w, "the width of the input");
    positive(input.c, "inputs");
    check_size(input);
    check_depth(specs, 1);
    program_.block_of_spec.assign(static_cast<std::size_t>(count(specs)), kNone);
    latest_ = new_value(input);
    if (channels_first && input.c > 1 && input.pixels() > 1) push(ChannelsLast{}, input, kNone);
    sequence(specs, 0);
    if (program_.nodes.empty()) throw std::invalid_argument("a network needs at least one dense or maxout layer");
    finish(specs);
  }

  Program take() { return std::move(program_); }

 private:
  static void check_depth(const Branch& branch, int depth) {
    if (depth > kDeepest) throw std::invalid_argument("layers may nest at most " + std::to_string(kDeepest) + " deep");
    for (const LayerSpec& spec : branch)
      for (const Branch& inner : spec.branches) check_depth(inner, depth + 1);
  }

  static void check_size(const Shape& shape) {
    if (static_cast<double>(shape.h) * static_cast<double>(shape.w) * static_cast<double>(shape.c) > kMostElements)
      throw std::invalid_argument("a value of shape " + words(shape) + " is too large: at most 1e12 elements");
  }

  // Values ------------------------------------------------------------------------------------------------------------
  ValueId new_value(const Shape& shape) {
    check_size(shape);
    const auto storage = static_cast<std::int32_t>(program_.storages.size());
    program_.storages.push_back(shape.c);
    program_.values.push_back({shape, storage, 0});
    readers_.push_back(0);
    return static_cast<ValueId>(program_.values.size()) - 1;
  }
  const Shape& shape_of(ValueId id) const { return program_.value(id).shape; }
  const Shape& latest_shape() const { return shape_of(latest_); }

  // Another reader than the next layer: the value must not be overwritten.
  void pin(ValueId id) { ++readers_[static_cast<std::size_t>(id)]; }
  bool is_pinned(ValueId id) const { return readers_[static_cast<std::size_t>(id)] > 0; }

  // Whether the storage of a value also has values of another shape: one of them is a flattened view.
  bool is_flat_view(ValueId id) const {
    const Value& value = program_.value(id);
    for (const Value& other : program_.values)
      if (other.storage == value.storage && other.shape.pixels() != value.shape.pixels()) return true;
    return false;
  }
  bool is_slice(ValueId id) const {
    const Value& value = program_.value(id);
    return value.shape.c != program_.storages[static_cast<std::size_t>(value.storage)];
  }

  // Nodes -------------------------------------------------------------------------------------------------------------
  Node& push(Operation op, const Shape& shape, std::int32_t spec) {
    const ValueId in = latest_;
    latest_ = new_value(shape);
    producer_.resize(program_.values.size(), kNone);
    producer_.back() = static_cast<NodeId>(program_.nodes.size());
    program_.nodes.push_back({std::move(op), in, latest_, {}, spec});
    return program_.nodes.back();
  }

  // The node that wrote the latest value, if its epilogue can be extended: nothing else reads the value as it is.
  Node* open() {
    if (latest_ >= static_cast<ValueId>(producer_.size()) || is_pinned(latest_) || is_flat_view(latest_))
      return nullptr;
    const NodeId id = producer_[static_cast<std::size_t>(latest_)];
    if (id == kNone) return nullptr;
    Node& node = program_.nodes[static_cast<std::size_t>(id)];
    return traits(node.op).takes_epilogue && !node.epilogue.info().rowwise ? &node : nullptr;
  }
  Node& open_or_pointwise(std::int32_t spec, bool (*fits)(const Epilogue&)) {
    Node* const node = open();
    return node != nullptr && fits(node->epilogue) ? *node : push(Pointwise{}, latest_shape(), spec);
  }

  BlockId add_block(ParameterBlock block) {
    if (static_cast<double>(block.inputs + 1) * static_cast<double>(block.units) * static_cast<double>(block.pieces) >
        kMostWeights)
      throw std::invalid_argument("a layer of " + std::to_string(block.inputs) + " x " + std::to_string(block.units) +
                                  " x " + std::to_string(block.pieces) + " weights is too large: at most 1e12 weights");
    const auto id = static_cast<BlockId>(program_.blocks.size());
    program_.block_of_spec[static_cast<std::size_t>(block.spec)] = id;
    program_.blocks.push_back(block);
    return id;
  }

  void activate(Epilogue& epilogue, int activation, double parameter, BlockId slopes, std::int32_t spec) {
    epilogue.activation = activation;
    epilogue.spec = spec;
    epilogue.parameter = parameter;
    epilogue.slopes = kActivationInfo[activation].learned ? slopes : kNone;
  }

  // Layers ------------------------------------------------------------------------------------------------------------
  void sequence(const Branch& branch, std::int32_t first) {
    std::int32_t spec = first;
    for (const LayerSpec& layer : branch) {
      add(layer, spec++);
      for (const Branch& inner : layer.branches) spec += count(inner);
    }
  }

  void add(const LayerSpec& layer, std::int32_t spec) {
    switch (layer.kind) {
      case Kind::kDense:
      case Kind::kMaxout:
        flatten(spec);
        affine(layer, spec, latest_shape().c, {1, 1, positive(layer.units, "units")}, false);
        break;
      case Kind::kConvolution:
        convolution(layer, spec);
        break;
      case Kind::kMaxPool:
      case Kind::kAveragePool:
        pool(layer, spec);
        break;
      case Kind::kNormalize:
        normalize(layer, spec);
        break;
      case Kind::kLocalResponse:
        positive(layer.size, "the size of a local response");
        push(LocalResponse{layer.size, layer.alpha, layer.beta, layer.offset}, latest_shape(), spec);
        break;
      case Kind::kActivation:
        activation(layer, spec);
        break;
      case Kind::kFlatten:
        flatten(spec);
        break;
      case Kind::kDropout:
      case Kind::kNoise:
        perturb(layer, spec);
        break;
      case Kind::kResidual:
        residual(layer, spec);
        break;
      case Kind::kParallel:
        parallel(layer, spec);
        break;
    }
  }

  // The last node writes the result, and its activation is that of the last layer, so that leaving it out gives the
  // logits. If another layer's activation, an addition or a view comes last, a copy follows.
  void finish(const Branch& specs) {
    std::int32_t layer = count(specs) - 1;
    for (const Branch& inner : specs.back().branches) layer -= count(inner);
    const Node& last = program_.nodes.back();
    const Epilogue& e = last.epilogue;
    const bool own = e.activation == kIdentity || (e.spec == layer && (e.add == kNone || e.add_first));
    if (last.out != latest_ || !own) push(Pointwise{}, latest_shape(), layer);
    program_.result = latest_;
  }

  // The same numbers as a vector: a view, or a copy of a slice.
  void flatten(std::int32_t spec) {
    const Shape shape = latest_shape();
    if (shape.is_vector()) return;
    if (is_slice(latest_)) push(Pointwise{}, shape, spec);
    const Value image = program_.value(latest_);
    program_.values.push_back({{1, 1, shape.size()}, image.storage, 0});
    readers_.push_back(0);
    latest_ = static_cast<ValueId>(program_.values.size()) - 1;
  }

  Node& affine(const LayerSpec& layer, std::int32_t spec, ptrdiff_t inputs, const Shape& shape, bool windowed) {
    const bool maxout = layer.kind == Kind::kMaxout || layer.maxout;
    ParameterBlock block{ParameterBlock::Kind::kAffine, spec};
    block.inputs = inputs;
    block.units = shape.c;
    block.pieces = positive(layer.pieces, "pieces");
    block.groups = layer.groups;
    block.bias = layer.bias;
    block.maxout = maxout;
    if (layer.kind == Kind::kConvolution) std::copy_n(layer.windows.kernel, 2, block.kernel);
    const int activation = maxout ? kIdentity : layer.activation;
    block.slopes = kActivationInfo[activation].learned;
    const BlockId id = add_block(block);
    Node& node = push(Affine{id, windowed, layer.windows}, shape, spec);
    activate(node.epilogue, activation, layer.parameter, id, spec);
    return node;
  }

  void convolution(const LayerSpec& layer, std::int32_t spec) {
    const Shape in = latest_shape();
    const ptrdiff_t groups = positive(layer.groups, "groups"), filters = positive(layer.units, "filters");
    check_windows(layer.windows);
    if (in.c % groups != 0 || filters % groups != 0)
      throw std::invalid_argument("groups must divide the channels and the filters, got " + std::to_string(groups) +
                                  " groups, " + std::to_string(in.c) + " channels and " + std::to_string(filters) +
                                  " filters");
    affine(layer, spec, layer.windows.taps() * (in.c / groups), layer.windows.output(in, filters),
           groups > 1 || !layer.windows.is_pointwise());
  }

  static void check_windows(const Windows& windows) {
    for (int axis = 0; axis < 2; ++axis) {
      positive(windows.kernel[axis], "the size of a window");
      positive(windows.stride[axis], "strides");
      positive(windows.dilation[axis], "dilation");
      if (windows.before[axis] < 0 || windows.after[axis] < 0)
        throw std::invalid_argument("padding must be at least 0, got " + std::to_string(windows.before[axis] < 0
                                                                                            ? windows.before[axis]
                                                                                            : windows.after[axis]));
    }
  }

  void pool(const LayerSpec& layer, std::int32_t spec) {
    const Shape in = latest_shape();
    const Windows& windows = layer.windows;
    const bool maximum = layer.kind == Kind::kMaxPool;
    check_windows(windows);
    for (int axis = 0; axis < 2; ++axis)  // a window of padding only has no maximum and no mean
      if (windows.before[axis] >= windows.extent(axis) || windows.after[axis] >= windows.extent(axis))
        throw std::invalid_argument(
            "the padding of a pool must be smaller than its window of " + std::to_string(windows.extent(axis)) +
            " pixels, got " + std::to_string(windows.before[axis]) + " and " + std::to_string(windows.after[axis]));
    if (maximum && windows.taps() > kMaxPiecesSaved)
      throw std::invalid_argument("the windows of a max pool have at most " + std::to_string(kMaxPiecesSaved) +
                                  " pixels, got " + std::to_string(windows.taps()));
    push(Pool{maximum, layer.count_padding, windows}, windows.output(in, in.c), spec);
  }

  void normalize(const LayerSpec& layer, std::int32_t spec) {
    ParameterBlock block{ParameterBlock::Kind::kNormalize, spec};
    block.inputs = 1;
    block.units = latest_shape().c;
    block.eps = layer.eps;
    if (!(layer.eps > 0.0)) throw std::invalid_argument("eps must be positive, got " + std::to_string(layer.eps));
    if (!(layer.momentum >= 0.0 && layer.momentum <= 1.0))
      throw std::invalid_argument("momentum must be in [0, 1], got " + std::to_string(layer.momentum));
    const BlockId id = add_block(block);
    if (purpose_ == Purpose::kTraining) {
      push(Normalize{id, layer.eps, layer.momentum}, latest_shape(), spec);
      return;
    }
    const auto fits = [](const Epilogue& e) { return e.norm == kNone && e.activation == kIdentity && e.add == kNone; };
    Node* const node = open();
    const bool after_product = node != nullptr && node->is<Affine>() && fits(node->epilogue);
    if (purpose_ == Purpose::kFolded && after_product && program_.block(node->as<Affine>()->block).pieces == 1) return;
    (after_product ? *node : push(Pointwise{}, latest_shape(), spec)).epilogue.norm = id;
  }

  void activation(const LayerSpec& layer, std::int32_t spec) {
    const ActivationInfo& info = kActivationInfo[layer.activation];
    BlockId slopes = kNone;
    if (info.learned) {
      ParameterBlock block{ParameterBlock::Kind::kSlopes, spec};
      block.units = latest_shape().c;
      block.bias = false;
      block.slopes = true;
      slopes = add_block(block);
    }
    if (layer.activation == kIdentity) return;
    apply(layer.activation, layer.parameter, slopes, spec);
  }

  // An activation on the latest value, in the epilogue that wrote it if possible.
  void apply(int activation, double parameter, BlockId slopes, std::int32_t spec) {
    Node& node =
        open_or_pointwise(spec, [](const Epilogue& e) { return e.activation == kIdentity && e.slopes == kNone; });
    node.epilogue.add_first = node.epilogue.add != kNone;
    activate(node.epilogue, activation, parameter, slopes, spec);
  }

  void perturb(const LayerSpec& layer, std::int32_t spec) {
    const bool noise = layer.kind == Kind::kNoise;
    if (!(layer.amount >= 0.0 && (noise || layer.amount < 1.0)))
      throw std::invalid_argument((noise ? "the standard deviation of noise must be at least 0, got "
                                         : "the dropout rate must be in [0, 1), got ") +
                                  std::to_string(layer.amount));
    if (layer.amount > 0.0 && purpose_ == Purpose::kTraining)
      push(Perturb{noise, layer.amount, static_cast<std::uint32_t>(spec)}, latest_shape(), spec);
  }

  // activation(block(x) + shortcut(x)). The nodes of the shortcut, or of the projection, come before those of the
  // block.
  void residual(const LayerSpec& layer, std::int32_t spec) {
    if (layer.branches.empty() || layer.branches.size() > 2)
      throw std::invalid_argument("a residual block takes a block of layers and at most one shortcut, got " +
                                  std::to_string(layer.branches.size()) + " branches");
    const Branch& block = layer.branches[0];
    if (block.empty()) throw std::invalid_argument("a residual block needs at least one layer");
    const ValueId input = latest_;
    pin(input);
    if (layer.branches.size() == 2) {
      if (layer.units > 0) throw std::invalid_argument("a residual block takes a projection or a shortcut, not both");
      sequence(layer.branches[1], spec + 1 + count(block));
    } else if (layer.units > 0) {
      LayerSpec projection{Kind::kDense};
      Shape shape = latest_shape();
      const ptrdiff_t inputs = shape.c;
      shape.c = layer.units;
      affine(projection, spec, inputs, shape, false);
    }
    const ValueId skip = latest_;
    pin(skip);
    latest_ = input;
    sequence(block, spec + 1);
    if (latest_shape() != shape_of(skip))
      throw std::invalid_argument("the block and the shortcut of a residual block must have the same shape, got " +
                                  words(latest_shape()) + " and " + words(shape_of(skip)) +
                                  " (a projection changes that of the shortcut)");
    Node& last = open_or_pointwise(spec, [](const Epilogue& e) { return e.add == kNone; });
    last.epilogue.add = skip;
    if (layer.activation == kIdentity) return;
    if (kActivationInfo[layer.activation].learned)
      throw std::invalid_argument(
          std::string("the activation of a residual block must not have a learned parameter, got ") +
          kActivationInfo[layer.activation].name);
    if (last.epilogue.activation == kIdentity) {
      last.epilogue.add_first = true;
      activate(last.epilogue, layer.activation, layer.parameter, kNone, spec);
    } else {
      activate(push(Pointwise{}, latest_shape(), spec).epilogue, layer.activation, layer.parameter, kNone, spec);
    }
  }

  // Branches on one input, joined along the channels: the last node of each writes its slice of the joined storage.
  void parallel(const LayerSpec& layer, std::int32_t spec) {
    if (layer.branches.empty()) throw std::invalid_argument("parallel needs at least one branch");
    const ValueId input = latest_;
    pin(input);
    std::vector<ValueId> ends;
    std::int32_t first = spec + 1;
    ptrdiff_t channels = 0;
    for (const Branch& branch : layer.branches) {
      latest_ = input;
      sequence(branch, first);
      first += count(branch);
      // A value that is read elsewhere, or is a flattened view, is copied.
      const NodeId writer =
          latest_ < static_cast<ValueId>(producer_.size()) ? producer_[static_cast<std::size_t>(latest_)] : kNone;
      if (writer == kNone || is_pinned(latest_) || is_flat_view(latest_) ||
          program_.nodes[static_cast<std::size_t>(writer)].is<Perturb>())
        if (!is_joined(latest_)) push(Pointwise{}, latest_shape(), spec);
      const Shape& shape = latest_shape();
      if (!ends.empty()) {
        const Shape& before = shape_of(ends.front());
        if (shape.h != before.h || shape.w != before.w)
          throw std::invalid_argument("parallel branches end in images of different sizes: " + words(before) + " and " +
                                      words(shape));
      }
      channels += shape.c;
      ends.push_back(latest_);
    }
    Shape joined = shape_of(ends.front());
    joined.c = channels;
    latest_ = new_value(joined);
    producer_.resize(program_.values.size(), kNone);
    joined_.push_back(latest_);
    const std::int32_t storage = program_.value(latest_).storage;
    ptrdiff_t channel = 0;
    for (const ValueId end : ends) {
      const Value value = program_.value(end);
      for (Value& other : program_.values)  // a joined value brings its slices along
        if (other.storage == value.storage) other.storage = storage, other.channel += channel;
      program_.storages[static_cast<std::size_t>(value.storage)] = 0;
      channel += value.shape.c;
    }
  }
  bool is_joined(ValueId id) const {
    for (const ValueId joined : joined_)
      if (joined == id) return !is_pinned(id) && !is_flat_view(id);
    return false;
  }

  Purpose purpose_;
  Program program_;
  ValueId latest_ = kInputValue;
  std::vector<int> readers_;      // by value: readers other than the next layer
  std::vector<NodeId> producer_;  // by value: the node that wrote it
  std::vector<ValueId> joined_;
};

}  // namespace

void check_trainable(const Program& training) {
  const auto writes_output = [&](const Node& node) {
    return training.value(node.out).storage == training.value(training.result).storage;
  };
  for (const Node& node : training.nodes)
    if (node.is<Perturb>() && writes_output(node))
      throw std::invalid_argument("a network with dropout or noise as its last layer cannot be trained");
  for (const Node& node : training.nodes) {
    const ActivationInfo& info = node.epilogue.info();
    if (!info.differentiable) throw std::invalid_argument(std::string(info.name) + " is not differentiable");
    if (info.rowwise && node.out != training.result)
      throw std::invalid_argument("softmax can be trained in the last layer only");
    if (const Affine* const affine = node.as<Affine>();
        affine && training.block(affine->block).pieces > kMaxPiecesSaved)
      throw std::invalid_argument("training supports at most " + std::to_string(kMaxPiecesSaved) +
                                  " pieces of maxout, got " + std::to_string(training.block(affine->block).pieces));
  }
}

Program lower(const Shape& input, bool channels_first, const std::vector<LayerSpec>& specs, Purpose purpose) {
  return Lowering(input, channels_first, specs, purpose).take();
}

}  // namespace fnnfast
