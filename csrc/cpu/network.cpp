#include "network.hpp"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "isa.hpp"
#include "threads.hpp"

namespace fnnfast {

namespace {

constexpr ptrdiff_t kLeastRows = 12;  // of a block: under that, its multiply-adds wait for the weights
constexpr ptrdiff_t kMostRows = 96;
constexpr ptrdiff_t kGoodRows = 48;  // that a block must be allowed: fewer rows read the weights too often

// A chain uses two, a residual block keeps its input and that through the projection as well.
constexpr ptrdiff_t kMostSlots = static_cast<ptrdiff_t>(Scratch::kCount) - static_cast<ptrdiff_t>(Scratch::kOutputs);

template <class T>
LayerKernel<T> layer_kernel(const Kernels<T>& k, WeightFormat format) {
  if (format == WeightFormat::kFull) return k.layer;
  if constexpr (std::is_same_v<T, float>)
    return format == WeightFormat::kInt8 ? int8_layer() : k.bfloat16_layer;
  else
    throw std::invalid_argument("bfloat16 and int8 are made from a float32 network");
}

}  // namespace

template <class T>
Network<T>::Network(ptrdiff_t inputs, const std::vector<LayerSpec>& specs, WeightFormat format)
    : kernels_(&fnnfast::kernels<T>()),
      format_(format),
      layer_kernel_(layer_kernel(*kernels_, format)),
      specs_(specs),
      graph_(make_graph(inputs, specs)) {
  for (const LayerNode& node : graph_.layers) add_layer(node);
  const CacheSizes& caches = cache_sizes();
  // A block's activations, of as many layers as are kept at a time, in half of L2.
  const ptrdiff_t row_bytes = widest_ * static_cast<ptrdiff_t>(sizeof(T));
  block_rows_ = std::clamp(static_cast<ptrdiff_t>(caches.l2 / 2) / (std::max(graph_.slots, ptrdiff_t{2}) * row_bytes),
                           kLeastRows, kMostRows);
  // Layer by layer, so many rows at a time that the activations between two layers stay bounded, and enough of them to
  // repay reading all weights.
  constexpr ptrdiff_t kSlabBytes = ptrdiff_t{1} << 25;
  slab_rows_ = std::max(ptrdiff_t{1024}, kSlabBytes / row_bytes);
  streams_ = weight_bytes_ > static_cast<ptrdiff_t>(std::max(caches.l3 / 2, caches.l2));
}

template <class T>
void Network<T>::add_layer(const LayerNode& node) {
  Layer<T> layer;
  static_cast<LayerNode&>(layer) = node;
  layer.layout = {node.inputs, node.units, node.pieces, layer_kernel_.lanes, layer_kernel_.panel_vectors};
  layer.blocks = layer.layout.blocks();
  if (format_ == WeightFormat::kInt8 && node.inputs > kInt8MostInputs)
    throw std::invalid_argument("int8 takes at most " + std::to_string(kInt8MostInputs) + " inputs a layer, got " +
                                std::to_string(node.inputs));
  const PanelLayout stored = stored_layout(layer.layout, format_);
  layer.panels = Buffer<T>(stored.size());
  layer.first_panel = (stored.inputs + 1) * stored.panel(0, 0).width;
  layer.chunk = chunk_inputs<T>(stored.panel(0, 0).width, node.inputs);
  if (layer.info().parameter) {
    layer.alpha = Buffer<T>(layer.info().learned ? layer.layout.padded_units() : 1);
    std::fill_n(layer.alpha.data(), layer.info().learned ? node.units : 1, static_cast<T>(node.parameter));
  }
  widest_ = std::max(widest_, leading_dimension(node.units));
  weight_bytes_ += layer.panels.size() * static_cast<ptrdiff_t>(sizeof(T));
  work_ += layer.work();
  layers_.push_back(std::move(layer));
}

template <class T>
Layer<T>* Network<T>::find(ptrdiff_t spec) {
  const ptrdiff_t at = graph_.find(spec);
  return at == kNoLayer ? nullptr : &layers_[static_cast<std::size_t>(at)];
}

template <class T>
LayerTask<T> Network<T>::layer_task(const Layer<T>& layer, ptrdiff_t rows, const T* x, ptrdiff_t x_row, T* z,
                                    ptrdiff_t z_row, T* y, ptrdiff_t y_row, bool activate) const {
  LayerTask<T> t;  // not {}, which clears all of it first: 30 cycles
  t.rows = rows;
  t.x = x;
  t.x_row = x_row;
  t.inputs = layer.layout.inputs;
  t.units = layer.layout.units;
  t.pieces = layer.layout.pieces;
  t.chunk = layer.chunk;
  t.panels = layer.panels.data();
  t.last_block = layer.blocks;
  t.z = z;
  t.z_row = z_row;
  t.y = y;
  t.y_row = y_row;
  if (activate && layer.activation != kIdentity && !layer.info().rowwise)
    t.activation = kernels_->activation[layer.activation].forward;
  t.parameter = layer.alpha.data();
  t.parameter_step = layer.parameter_step();
  if (format_ == WeightFormat::kInt8) {
    t.inverse_scale = 1.0f / layer.input_scale.scale;
    t.zero_point = static_cast<float>(layer.input_scale.zero_point);
  }
  return t;
}

template <class T>
void Network<T>::announce(LayerTask<T>& task, const Layer<T>& next) const {
  task.next = next.panels.data();
  task.next_size = next.first_panel;
}

template <class T>
const T* Network<T>::full_panels(const Layer<T>& layer, Buffer<T>& copy) const {
  if constexpr (std::is_same_v<T, float>) {
    if (format_ != WeightFormat::kFull) {
      copy = Buffer<T>(layer.layout.size());
      if (format_ == WeightFormat::kBfloat16)
        unpack_bfloat16(layer.layout, layer.panels.data(), copy.data());
      else
        unpack_int8(layer.layout, layer.panels.data(), layer.weight_scale.data(), copy.data());
      return copy.data();
    }
  }
  return layer.panels.data();
}

// A layer's parameters as panels of another network's layout: that of another instruction set, perhaps.
template <class T>
Buffer<T> Network<T>::repacked(const Layer<T>& layer, const PanelLayout& layout) {
  const PanelLayout& from = layer.layout;
  Buffer<T> weight(from.inputs * from.pieces * from.units), bias(from.pieces * from.units), panels(layout.size());
  unpack_weight(from, layer.panels.data(), contiguous_weight(weight.data(), from));
  unpack_bias(from, layer.panels.data(), contiguous_bias(bias.data(), from));
  pack_weight(layout, contiguous_weight<const T>(weight.data(), from), panels.data());
  pack_bias(layout, contiguous_bias<const T>(bias.data(), from), panels.data());
  return panels;
}

template <class T>
void Network<T>::copy_alpha(const Layer<T>& from, Layer<T>& to) {
  if (from.alpha.size() > 0)
    std::copy_n(from.alpha.data(), from.info().learned ? from.layout.units : 1, to.alpha.data());
}

template <class T>
Network<T> Network<T>::to_bfloat16() const {
  Network to(inputs(), specs_, WeightFormat::kBfloat16);
  if constexpr (std::is_same_v<T, float>)
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      Layer<T>& layer = to.layers_[i];
      copy_alpha(layers_[i], layer);
      pack_bfloat16(layer.layout, repacked(layers_[i], layer.layout).data(), layer.panels.data());
    }
  return to;
}

template <class T>
Network<T> Network<T>::to_int8(const std::vector<LayerScales>& scales) const {
  Network to(inputs(), specs_, WeightFormat::kInt8);
  if (scales.size() != layers_.size())
    throw std::invalid_argument("expected scales for " + std::to_string(layers_.size()) + " layers, got " +
                                std::to_string(scales.size()));
  if constexpr (std::is_same_v<T, float>)
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      Layer<T>& layer = to.layers_[i];
      const std::vector<float>& weight_scale = scales[i].weight;
      if (static_cast<ptrdiff_t>(weight_scale.size()) != layer.layout.pieces * layer.layout.units)
        throw std::invalid_argument("expected one weight scale for each piece and unit of a layer");
      copy_alpha(layers_[i], layer);
      layer.input_scale = scales[i].input;
      layer.weight_scale = Buffer<T>(static_cast<ptrdiff_t>(weight_scale.size()));
      std::copy(weight_scale.begin(), weight_scale.end(), layer.weight_scale.data());
      pack_int8(layer.layout, repacked(layers_[i], layer.layout).data(), layer.input_scale, layer.weight_scale.data(),
                layer.panels.data());
    }
  return to;
}

// Which way a batch runs. Rows: every thread takes blocks of rows through all layers while they are in its cache,
// without a barrier; each block reads all weights, so they must come from a cache, and there must be rows enough.
// Layers: one layer after the other, shared over rows and columns.
template <class T>
typename Network<T>::Plan Network<T>::plan(ptrdiff_t batch) const {
  // Several blocks each, so that a thread that is held up does not hold up the call; but each block widens bfloat16
  // weights anew.
  const ptrdiff_t blocks_each = format_ == WeightFormat::kBfloat16 ? 2 : 4;
  const ptrdiff_t threads = num_threads();
  if (streams_ || block_rows_ < kGoodRows) return {Mode::kLayers, slab_rows_};
  if (threads == 1 || !worth_threads(batch, work_)) return {Mode::kSerial, block_rows_};
  if (batch < kLeastRows * threads) return {Mode::kLayers, slab_rows_};
  // The same number of blocks for each thread, of equal size.
  const ptrdiff_t needed = divide_up(batch, threads * block_rows_);
  const ptrdiff_t each = std::max(needed, std::min(blocks_each, batch / (threads * 2 * kLeastRows)));
  return {Mode::kRows, divide_up(batch, threads * std::max(each, ptrdiff_t{1}))};
}

template <class T>
void Network<T>::forward_rows(const T* x, ptrdiff_t rows, T* y, bool logits, bool shared) const {
  const std::size_t last = layers_.size() - 1;
  T* slots[kMostSlots];
  for (ptrdiff_t slot = 0; slot < graph_.slots; ++slot)
    slots[slot] =
        thread_scratch<T>(static_cast<Scratch>(static_cast<ptrdiff_t>(Scratch::kOutputs) + slot), rows * widest_);
  const auto outputs_of = [&](ptrdiff_t layer) -> const T* {
    return layer == kNetworkInput ? x : slots[layers_[static_cast<std::size_t>(layer)].slot];
  };
  const auto row_of = [&](ptrdiff_t layer) {
    return layer == kNetworkInput ? graph_.inputs : leading_dimension(graph_.width_of(layer));
  };
  for (std::size_t i = 0; i <= last; ++i) {
    const Layer<T>& layer = layers_[i];
    T* const out = i == last ? y : slots[layer.slot];
    const ptrdiff_t out_row = i == last ? layer.layout.units : leading_dimension(layer.layout.units);
    const bool activate = !(logits && i == last);
    LayerTask<T> task =
        layer_task(layer, rows, outputs_of(layer.from), row_of(layer.from), out, out_row, out, out_row, activate);
    task.padded = i < last;
    if (layer.add != kNoLayer) {
      task.add = outputs_of(layer.add);
      task.add_row = row_of(layer.add);
      task.sum = out;
      task.sum_row = out_row;
    }
    if (shared) {
      layer_forward(layer_kernel_, task);
    } else {
      announce(task, layers_[i == last ? 0 : i + 1]);  // the first again, for the next block of rows
      layer_forward_serial(layer_kernel_, task);
    }
    if (!activate || !layer.info().rowwise) continue;
    const auto rowwise = [&](ptrdiff_t first, ptrdiff_t count) {
      T* const from = out + first * out_row;
      activate_rows(kernels_->activation[layer.activation].forward, count, layer.layout.units, from, out_row, from,
                    out_row);
    };
    if (shared)
      for_row_blocks(rows, layer.layout.units, rowwise);
    else
      rowwise(0, rows);
  }
}

template <class T>
void Network<T>::forward(const T* x, ptrdiff_t batch, T* y, bool logits) const {
  if (batch == 0) return;
  const Plan p = plan(batch);
  if (p.mode == Mode::kLayers) {
    for (ptrdiff_t first = 0; first < batch; first += p.rows_each)
      forward_rows(x + first * graph_.inputs, std::min(p.rows_each, batch - first), y + first * outputs(), logits,
                   true);
    return;
  }
  const ptrdiff_t outputs = this->outputs();
  const auto run = [&](ptrdiff_t block) {
    const ptrdiff_t first = block * p.rows_each;
    forward_rows(x + first * graph_.inputs, std::min(p.rows_each, batch - first), y + first * outputs, logits, false);
  };
  const ptrdiff_t blocks = divide_up(batch, p.rows_each);
  if (p.mode == Mode::kSerial)
    for (ptrdiff_t block = 0; block < blocks; ++block) run(block);
  else
    parallel_for(blocks, run);
}

template <class T>
std::vector<std::string> Network<T>::describe_plan(ptrdiff_t batch) const {
  const Plan p = plan(batch);
  const std::string rows = std::to_string(p.rows_each);
  std::vector<std::string> lines;
  switch (p.mode) {
    case Mode::kSerial:
      lines.push_back("one thread, blocks of " + rows + " rows through all layers");
      break;
    case Mode::kRows:
      lines.push_back("up to " + std::to_string(num_threads()) + " threads, blocks of " + rows +
                      " rows through all layers, no barrier");
      break;
    case Mode::kLayers:
      lines.push_back("layer by layer, up to " + rows + " rows at a time, each shared over rows and columns by up to " +
                      std::to_string(num_threads()) + " threads");
      break;
  }
  for (const Layer<T>& layer : layers_) {
    const PanelLayout& l = layer.layout;
    lines.push_back(
        (layer.maxout ? "maxout " : "dense ") + std::to_string(l.inputs) + " -> " + std::to_string(l.units) +
        (layer.maxout ? " x " + std::to_string(l.pieces) + " pieces" : std::string(" ") + layer.info().name) + ": " +
        std::to_string(l.blocks() * l.groups()) + " panels, " +
        std::to_string(layer.panels.size() * static_cast<ptrdiff_t>(sizeof(T))) + " bytes");
  }
  return lines;
}

template class Network<float>;
template class Network<double>;

}  // namespace fnnfast
