#include "network.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "interrupt.hpp"
#include "isa.hpp"
#include "threads.hpp"

namespace fnnfast::cpu {

namespace {

constexpr ptrdiff_t kLeastRows = 12;  // of a block: with fewer, its multiply-adds wait for the weights
constexpr ptrdiff_t kMostRows = 96;
constexpr ptrdiff_t kMostNarrowRows = 384;  // of bfloat16 in pairs
constexpr ptrdiff_t kGoodRows = 48;         // a smaller limit would read the weights too often

template <class T>
AffineKernel<T> kernel_of(const Kernels<T>& k, WeightFormat format) {
  if (format == WeightFormat::kFull) return k.affine;
  if constexpr (std::is_same_v<T, float>) {
    if (format == WeightFormat::kBfloat16) return k.bfloat16_affine;
    if (format == WeightFormat::kInt8) return int8_affine();
    if (const AffineKernel<float>* const pairs = pairs_affine()) return *pairs;
    throw std::invalid_argument("this instruction set does not multiply bfloat16");
  } else {
    throw std::invalid_argument("bfloat16 and int8 networks are made from float32 networks, got float64");
  }
}

}  // namespace

template <class T>
Network<T>::Network(const Shape& input, bool channels_first, std::vector<LayerSpec> specs, WeightFormat format,
                    bool fixed)
    : kernels_(&cpu::kernels<T>()),
      format_(format),
      fixed_(fixed),
      affine_kernel_(kernel_of(*kernels_, format)),
      channels_first_(channels_first),
      specs_(std::move(specs)),
      program_(lower(input, channels_first, specs_, Purpose::kInference)),
      outputs_(program_.output().size()),
      work_(program_.work()) {
  for (const Node& node : program_.nodes) {
    if (runs_on_images(node)) work_ += images_work(node, program_.value(node.out).shape);
    effort_ += kValueWork * static_cast<double>(program_.value(node.out).shape.size());
  }
  effort_ += work_;
  for (const ParameterBlock& block : program_.blocks) static_cast<ParameterBlock&>(blocks_.emplace_back()) = block;
  for (const Node& node : program_.nodes) add_windows(node);
  for (Block<T>& block : blocks_) allocate(block);
  fixed_parameters_ = Buffer<T>(static_cast<ptrdiff_t>(program_.nodes.size()));
  for (std::size_t n = 0; n < program_.nodes.size(); ++n)
    fixed_parameters_[static_cast<ptrdiff_t>(n)] = static_cast<T>(program_.nodes[n].epilogue.parameter);
  for (const Node& node : program_.nodes)  // the initial values of learned parameters
    if (const Epilogue& e = node.epilogue; e.slopes != kNone) {
      Block<T>& block = blocks_[static_cast<std::size_t>(e.slopes)];
      std::fill_n(block.alpha.data(), block.units, static_cast<T>(e.parameter));
    }
  bind();
  size_plan();
}

template <class T>
void Network<T>::allocate(Block<T>& block) const {
  const ptrdiff_t groups = block.convolution ? block.convolution->panel_groups() : 1;
  block.layout = {block.inputs, block.units, block.pieces, affine_kernel_.lanes, affine_kernel_.panel_vectors, groups};
  if (block.kind == ParameterBlock::Kind::kAffine) {
    if (format_ == WeightFormat::kInt8 && block.inputs > kInt8MostInputs)
      throw std::invalid_argument("int8 supports at most " + std::to_string(kInt8MostInputs) +
                                  " inputs per layer, got " + std::to_string(block.inputs));
    if (!fixed_) block.panels = Buffer<T>(block.layout.size());
    if (format_ != WeightFormat::kFull) block.words = Buffer<T>(stored_layout(block.layout, format_).size());
  }
  if (block.slopes) block.alpha = Buffer<T>(block.layout.padded_units());
  if (block.kind == ParameterBlock::Kind::kNormalize) {
    block.panels = Buffer<T>(block.layout.size());
    for (Buffer<T>* const buffer : {&block.mean, &block.variance, &block.scale, &block.shift})
      *buffer = Buffer<T>(block.layout.padded_units());
    std::fill_n(block.variance.data(), block.units, T(1));
    const std::vector<T> ones(static_cast<std::size_t>(block.units), T(1));
    pack_weight(block.layout, contiguous_weight(ones.data(), block.layout), block.panels.data());
    refresh(block);
  }
}

template <class T>
void Network<T>::refresh(Block<T>& block) const {
  if constexpr (std::is_same_v<T, float>)
    if (block.words.size() > 0) pack_bfloat16(block.layout, format_, block.panels.data(), block.words.data());
  if (block.kind != ParameterBlock::Kind::kNormalize) return;
  for (ptrdiff_t b = 0; b < block.layout.blocks(); ++b) {
    const Panel panel = block.layout.panel(b, 0);
    const T* const beta = block.panels.data() + panel.offset;
    const T* const gamma = beta + panel.width;
    for (ptrdiff_t u = 0; u < panel.units; ++u) {
      const ptrdiff_t unit = panel.unit + u;
      const double scale =
          static_cast<double>(gamma[u]) / std::sqrt(static_cast<double>(block.variance[unit]) + block.eps);
      block.scale[unit] = static_cast<T>(scale);
      block.shift[unit] = static_cast<T>(static_cast<double>(beta[u]) - static_cast<double>(block.mean[unit]) * scale);
    }
  }
}

template <class T>
void Network<T>::add_windows(const Node& node) {
  const Affine* const affine = node.as<Affine>();
  if (affine == nullptr) return;
  const Shape& in = program_.value(node.in).shape;
  if (!affine->windowed && in.is_vector()) return;
  Block<T>& block = blocks_[static_cast<std::size_t>(affine->block)];
  const Windows windows = affine->windowed ? affine->windows : Windows{};
  block.convolution =
      std::make_unique<const Convolution>(Convolution{in, windows, block.units, block.groups, block.pieces});
  block.windows = std::make_unique<const OwnedPlan<T>>(forward_plan<T>(*block.convolution));
}

template <class T>
void Network<T>::size_plan() {
  const CacheSizes& caches = cache_sizes();
  ptrdiff_t widest = 1, weight_bytes = 0;
  for (const Node& node : program_.nodes) {
    const Shape& shape = program_.value(node.out).shape;
    widest = std::max(widest, row_stride(shape) * shape.pixels());
  }
  for (const Block<T>& block : blocks_)
    weight_bytes += (block.words.size() > 0 ? block.words : block.panels).size() * static_cast<ptrdiff_t>(sizeof(T));
  const ptrdiff_t element = static_cast<ptrdiff_t>(sizeof(T));
  // The live values of a block take half of L2. An image is already many rows.
  double rows = 0.0;
  for (const Node& node : program_.nodes)
    if (const Affine* const affine = node.as<Affine>()) {
      const double pixels = static_cast<double>(program_.value(node.out).shape.pixels());
      rows += program_.block(affine->block).work() * pixels * pixels;
    }
  const double work = program_.work();  // of products, since only they wait for weights
  const ptrdiff_t rows_each = std::max(ptrdiff_t{1}, static_cast<ptrdiff_t>(work > 0.0 ? rows / work : 1.0));
  least_samples_ = divide_up(kLeastRows, rows_each);
  const ptrdiff_t sample_bytes = std::max(executor_.elements(), 2 * widest) * element;
  // A product of pairs has more to prepare (rounded rows, a matrix unit), which more rows of a narrow network make up
  // for: 32-64-64-64-1 takes 10 to 23 % less time.
  const ptrdiff_t narrow = static_cast<ptrdiff_t>(caches.l2 / 8) / (sample_bytes + inputs() * element);
  const ptrdiff_t most =
      format_ == WeightFormat::kBfloat16Pairs ? std::clamp(narrow, kMostRows, kMostNarrowRows) : kMostRows;
  block_samples_ = std::clamp(static_cast<ptrdiff_t>(caches.l2 / 2) / sample_bytes, least_samples_, most);
  // Step by step, as many samples at a time as bound the memory between two steps, and enough to make up for reading
  // all weights.
  constexpr ptrdiff_t kSlabBytes = ptrdiff_t{1} << 25;
  slab_samples_ = std::max(divide_up(1024, rows_each), kSlabBytes / (widest * element));
  // Blocks do not pay if they read their weights from memory, or if few samples fit.
  const ptrdiff_t shared = weight_bytes > static_cast<ptrdiff_t>(caches.l2) ? affine_kernel_.shared_rows : 0;
  streams_ = weight_bytes > static_cast<ptrdiff_t>(std::max(caches.l3 / 2, caches.l2)) ||
             block_samples_ < divide_up(std::max(kGoodRows, shared), rows_each);
}

template <class T>
AffineConstants<T> Network<T>::constants_of(const Program& program, const Node& node, const T* fixed_parameter) const {
  AffineConstants<T> of;
  const Epilogue& e = node.epilogue;
  if (const Affine* const affine = node.as<Affine>()) {
    const Block<T>& block = blocks_[static_cast<std::size_t>(affine->block)];
    set_sizes(of, block.layout, format_);
    of.panels = (block.words.size() > 0 ? block.words : block.panels).data();
    if (affine->windowed) set_windows(of, *block.windows);
    if (format_ == WeightFormat::kInt8) {
      of.inverse_scale = 1.0f / block.input_scale.scale;
      of.zero_point = static_cast<float>(block.input_scale.zero_point);
    }
  } else {
    of.units = program.value(node.out).shape.c;
  }
  set_activation(of, *kernels_, e.activation);
  of.add_first = e.add_first;
  of.parameter = e.slopes != kNone ? blocks_[static_cast<std::size_t>(e.slopes)].alpha.data() : fixed_parameter;
  of.parameter_step = e.slopes != kNone ? 1 : 0;
  if (e.norm != kNone) {
    const Block<T>& block = blocks_[static_cast<std::size_t>(e.norm)];
    of.scale = block.scale.data();
    of.shift = block.shift.data();
  }
  return of;
}

template <class T>
void Network<T>::bind() {
  constants_.clear();
  for (std::size_t n = 0; n < program_.nodes.size(); ++n)
    constants_.push_back(constants_of(program_, program_.nodes[n], fixed_parameters_.data() + n));
  executor_ = Executor<T>(program_, *kernels_, affine_kernel_, format_, constants_);
}

template <class T>
Block<T>* Network<T>::find(std::int64_t spec) {
  const BlockId id = program_.find(spec);
  return id == kNone ? nullptr : &blocks_[static_cast<std::size_t>(id)];
}

template <class T>
const T* Network<T>::full_panels(const Block<T>& block, Buffer<T>& copy) const {
  if constexpr (std::is_same_v<T, float>) {
    if (block.is_fixed()) {
      copy = Buffer<T>(block.layout.size());
      if (format_ == WeightFormat::kInt8)
        unpack_int8(block.layout, block.words.data(), block.weight_scale.data(), copy.data());
      else
        unpack_bfloat16(block.layout, format_, block.words.data(), copy.data());
      return copy.data();
    }
  }
  return block.panels.data();
}

// A block's parameters as panels of another layout, perhaps of another instruction set.
template <class T>
Buffer<T> Network<T>::repacked(const Block<T>& block, const PanelLayout& layout) {
  const PanelLayout& from = block.layout;
  Buffer<T> weight(from.inputs * from.pieces * from.units), bias(from.pieces * from.units), panels(layout.size());
  unpack_weight(from, block.panels.data(), contiguous_weight(weight.data(), from));
  unpack_bias(from, block.panels.data(), contiguous_bias(bias.data(), from));
  pack_weight(layout, contiguous_weight<const T>(weight.data(), from), panels.data());
  pack_bias(layout, contiguous_bias<const T>(bias.data(), from), panels.data());
  return panels;
}

template <class T>
void Network<T>::copy_rest(const Block<T>& from, Block<T>& to) const {
  if (from.slopes) std::copy_n(from.alpha.data(), from.units, to.alpha.data());
  if (from.kind != ParameterBlock::Kind::kNormalize) return;
  to.panels = repacked(from, to.layout);
  std::copy_n(from.mean.data(), from.units, to.mean.data());
  std::copy_n(from.variance.data(), from.units, to.variance.data());
  refresh(to);
}

template <class T>
Network<T> Network<T>::to_bfloat16(bool pairs) const {
  Network to(program_.input(), channels_first_, specs_, pairs ? WeightFormat::kBfloat16Pairs : WeightFormat::kBfloat16,
             true);
  if constexpr (std::is_same_v<T, float>)
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      Block<T>& block = to.blocks_[i];
      copy_rest(blocks_[i], block);
      if (block.kind == ParameterBlock::Kind::kAffine)
        pack_bfloat16(block.layout, to.format_, repacked(blocks_[i], block.layout).data(), block.words.data());
    }
  return to;
}

template <class T>
Network<T> Network<T>::to_int8(const std::vector<BlockScales>& scales) const {
  Network to(program_.input(), channels_first_, specs_, WeightFormat::kInt8, true);
  // In the order of the layers: those of a shortcut follow those of its block, but run before them.
  std::vector<std::size_t> affine;
  for (const BlockId block : program_.block_of_spec)
    if (block != kNone && program_.block(block).kind == ParameterBlock::Kind::kAffine)
      affine.push_back(static_cast<std::size_t>(block));
  if (scales.size() != affine.size())
    throw std::invalid_argument("expected scales for " + std::to_string(affine.size()) + " layers, got " +
                                std::to_string(scales.size()));
  if constexpr (std::is_same_v<T, float>) {
    for (std::size_t i = 0; i < blocks_.size(); ++i) copy_rest(blocks_[i], to.blocks_[i]);
    for (std::size_t next = 0; next < affine.size(); ++next) {
      const std::size_t i = affine[next];
      Block<T>& block = to.blocks_[i];
      const BlockScales& of = scales[next];
      if (static_cast<ptrdiff_t>(of.weight.size()) != block.pieces * block.units)
        throw std::invalid_argument("expected " + std::to_string(block.pieces * block.units) +
                                    " weight scales for the pieces and units of layer " + std::to_string(block.spec) +
                                    ", got " + std::to_string(of.weight.size()));
      block.input_scale = of.input;
      block.weight_scale = Buffer<T>(static_cast<ptrdiff_t>(of.weight.size()));
      std::copy(of.weight.begin(), of.weight.end(), block.weight_scale.data());
      pack_int8(block.layout, repacked(blocks_[i], block.layout).data(), block.input_scale, block.weight_scale.data(),
                block.words.data());
    }
    to.bind();
  }
  return to;
}

// How a batch runs. By samples: every thread runs blocks of samples through all steps while they are in its cache,
// without a barrier. Each block reads all weights, so they must fit a cache, and there must be enough samples. By
// steps: one after the other, each shared over rows and columns.
template <class T>
typename Network<T>::Plan Network<T>::plan(ptrdiff_t batch) const {
  // Several blocks per thread, so that a delayed thread does not delay the call; fewer for bfloat16, whose weights each
  // block widens.
  const ptrdiff_t blocks_each = format_ == WeightFormat::kBfloat16 ? 2 : 4;
  const ptrdiff_t threads = num_threads();
  if (streams_) return {Mode::kSteps, slab_samples_};
  if (threads == 1 || !worth_threads(batch, work_)) return {Mode::kSerial, block_samples_};
  if (batch < least_samples_ * threads) return {Mode::kSteps, slab_samples_};
  // The same number of blocks for each thread, of equal size.
  const ptrdiff_t needed = divide_up(batch, threads * block_samples_);
  const ptrdiff_t each = std::max(needed, std::min(blocks_each, batch / (threads * 2 * least_samples_)));
  return {Mode::kSamples, divide_up(batch, threads * std::max(each, ptrdiff_t{1}))};
}

template <class T>
void Network<T>::forward(const T* x, ptrdiff_t batch, T* y, bool logits) const {
  if (batch == 0) return;
  const Plan p = plan(batch);
  const ptrdiff_t inputs = this->inputs(), outputs = outputs_;
  const ptrdiff_t blocks = divide_up(batch, p.samples_each);
  const double work_each = static_cast<double>(p.samples_each) * effort_;
  const auto run = [&](ptrdiff_t block) {
    const ptrdiff_t first = block * p.samples_each, samples = std::min(p.samples_each, batch - first);
    executor_.run(x + first * inputs, samples, y + first * outputs, logits);
  };
  switch (p.mode) {
    case Mode::kSerial:
      long_serial_for(blocks, work_each, run);
      break;
    case Mode::kSamples:
      long_parallel_for(blocks, work_each, run);
      break;
    case Mode::kSteps:
      for (ptrdiff_t first = 0; first < batch; first += p.samples_each) {
        if (first > 0) poll_interrupts();
        executor_.run_shared(x + first * inputs, std::min(p.samples_each, batch - first), y + first * outputs, logits);
      }
      break;
  }
}

template <class T>
void Network<T>::trace(const T* x, ptrdiff_t samples, const std::function<void(const Seen&)>& see) const {
  const ForwardSchedule schedule = schedule_forward(program_, Keep::kAll);
  Buffer<T> memory(samples * schedule.elements), y(samples * outputs_);
  const auto at = [&](const Place& place) -> T* {
    if (place.buffer == kNone) return nullptr;
    if (place.buffer == kInputBuffer) return const_cast<T*>(x) + place.channel;  // only read
    if (place.buffer == kOutputBuffer) return y.data() + place.channel;
    return memory.data() + samples * schedule.start[static_cast<std::size_t>(place.buffer)] + place.channel;
  };
  for (const ForwardStep& step : schedule.steps) {
    const Node& node = program_.node(step.node);
    const Epilogue& e = node.epilogue;
    const AffineConstants<T>& of = constants_[static_cast<std::size_t>(step.node)];
    const ptrdiff_t rows = samples * program_.value(node.out).shape.pixels();
    T* const out = at(step.out);
    const T* const add = at(step.add);
    const Buffer<T> apart(of.activation != nullptr ? rows * step.out.row : 0);
    T* const z = of.activation != nullptr ? apart.data() : out;
    if (node.is<Affine>()) {
      AffineCall<T> call;
      call.of = &of;
      call.rows = rows;
      call.x = at(step.in);
      call.x_row = step.in.row;
      call.z = z;
      call.y = out;
      call.z_row = call.y_row = call.sum_row = step.out.row;
      call.add = add;
      call.add_row = step.add.row;
      call.sum = add == nullptr ? nullptr : out;
      call.last_block = of.blocks;
      affine_forward_serial(affine_kernel_, call);
    } else if (node.is<Pointwise>()) {
      pointwise<T>({rows, of.units, at(step.in), step.in.row, add, step.add.row, z, step.out.row, out, step.out.row,
                    out, step.out.row, e.add_first, of.activation, of.parameter, of.parameter_step, of.scale, of.shift,
                    kernels_->scale_rows});
    } else if (runs_on_images(node)) {
      const ImageForward<T> task{{&node, &program_.value(node.in).shape, &program_.value(node.out).shape},
                                 at(step.in),
                                 step.in.row,
                                 out,
                                 step.out.row};
      images_forward(*kernels_, task, 0, task.lines(samples));
    } else {
      throw std::logic_error("trace: this operation has no kernel here");
    }
    if (e.info().rowwise)
      activate_rows(kernels_->activation[e.activation].forward, rows, of.units, out, step.out.row, out, step.out.row);
    see({&node, rows, at(step.in), step.in.row, z, step.out.row});
  }
}

template <class T>
std::vector<std::string> Network<T>::describe_plan(ptrdiff_t batch) const {
  const Plan p = plan(batch);
  const std::string rows = std::to_string(p.samples_each);
  std::vector<std::string> lines;
  switch (p.mode) {
    case Mode::kSerial:
      lines.push_back("one thread, blocks of " + rows + " rows through all layers");
      break;
    case Mode::kSamples:
      lines.push_back("up to " + std::to_string(num_threads()) + " threads, blocks of " + rows +
                      " rows through all layers, no barrier");
      break;
    case Mode::kSteps:
      lines.push_back("layer by layer, up to " + rows + " rows at a time, each shared over rows and columns by up to " +
                      std::to_string(num_threads()) + " threads");
      break;
  }
  for (std::size_t n = 0; n < program_.nodes.size(); ++n) {
    const Node& node = program_.nodes[n];
    const Affine* const affine = node.as<Affine>();
    if (affine == nullptr) continue;
    const Block<T>& block = blocks_[static_cast<std::size_t>(affine->block)];
    const PanelLayout& l = block.layout;
    lines.push_back(
        std::string(block.maxout ? "maxout " : "dense ") + (block.kernel[0] > 0 ? "convolution " : "") +
        std::to_string(l.inputs) + " -> " + std::to_string(l.units) +
        (block.maxout ? " x " + std::to_string(l.pieces) + " pieces" : std::string(" ") + node.epilogue.info().name) +
        ": " + std::to_string(l.blocks() * l.groups()) + " panels, " +
        std::to_string((block.panels.size() + block.words.size()) * static_cast<ptrdiff_t>(sizeof(T))) + " bytes" +
        (executor_.stores_words(n) ? ", outputs in bfloat16" : ""));
  }
  return lines;
}

template class Network<float>;
template class Network<double>;

}  // namespace fnnfast::cpu
