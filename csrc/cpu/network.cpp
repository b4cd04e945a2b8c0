#include "network.hpp"

#include <algorithm>
#include <stdexcept>

#include "isa.hpp"
#include "threads.hpp"

namespace fnnfast {

namespace {

constexpr ptrdiff_t kLeastRows = 12;  // of a block: under that, its multiply-adds wait for the weights
constexpr ptrdiff_t kMostRows = 96;
constexpr ptrdiff_t kGoodRows = 48;

constexpr double kMostWeights = 1e12;  // of a layer: more fits no memory, and every size below stays far from overflow

ptrdiff_t positive(ptrdiff_t n, const char* what) {
  if (n < 1) throw std::invalid_argument(std::string(what) + " must be at least 1, got " + std::to_string(n));
  return n;
}

}  // namespace

template <class T>
Network<T>::Network(ptrdiff_t inputs, const std::vector<LayerSpec>& specs)
    : kernels_(&fnnfast::kernels<T>()), inputs_(positive(inputs, "inputs")) {
  ptrdiff_t width = inputs;
  for (const LayerSpec& spec : specs) {
    if (spec.kind == LayerSpec::Kind::kDropout) {
      if (!(spec.rate >= 0.0 && spec.rate < 1.0))
        throw std::invalid_argument("a dropout rate lies in [0, 1), got " + std::to_string(spec.rate));
      // Two rates in a row keep an element with the product of their probabilities.
      double& rate = layers_.empty() ? input_dropout_ : layers_.back().dropout;
      rate = 1.0 - (1.0 - rate) * (1.0 - spec.rate);
      layer_of_spec_.push_back(-1);
      continue;
    }
    layer_of_spec_.push_back(static_cast<ptrdiff_t>(layers_.size()));
    Layer<T> layer;
    layer.layout = {width, positive(spec.units, "units"), positive(spec.pieces, "pieces"), kernels_->lanes,
                    kernels_->panel_vectors};
    if (static_cast<double>(width + 1) * static_cast<double>(spec.units) * static_cast<double>(spec.pieces) >
        kMostWeights)
      throw std::invalid_argument("a layer of " + std::to_string(width) + " x " + std::to_string(spec.units) + " x " +
                                  std::to_string(spec.pieces) + " weights is too large");
    layer.maxout = spec.kind == LayerSpec::Kind::kMaxout;
    layer.activation = spec.activation;
    layer.panels = Buffer<T>(layer.layout.size());
    if (layer.info().parameter) {
      layer.alpha = Buffer<T>(layer.info().learned ? layer.layout.padded_units() : 1);
      std::fill_n(layer.alpha.data(), layer.info().learned ? layer.layout.units : 1, static_cast<T>(spec.parameter));
    }
    width = spec.units;
    widest_ = std::max(widest_, leading_dimension(width));
    weight_bytes_ += layer.layout.size() * static_cast<ptrdiff_t>(sizeof(T));
    work_ += layer.work();
    layers_.push_back(std::move(layer));
  }
  if (layers_.empty()) throw std::invalid_argument("a network needs a dense or maxout layer");
  const CacheSizes& caches = cache_sizes();
  // A block's activations, two layers of them, in half of L2.
  const ptrdiff_t row_bytes = widest_ * static_cast<ptrdiff_t>(sizeof(T));
  block_rows_ = std::clamp(static_cast<ptrdiff_t>(caches.l2 / 4) / row_bytes, kLeastRows, kMostRows);
  // Layer by layer, so many rows at a time that the activations between two layers stay bounded, and enough of them to
  // repay reading all weights.
  constexpr ptrdiff_t kSlabBytes = ptrdiff_t{1} << 25;
  slab_rows_ = std::max(ptrdiff_t{1024}, kSlabBytes / row_bytes);
  streams_ = weight_bytes_ > static_cast<ptrdiff_t>(std::max(caches.l3 / 2, caches.l2));
}

template <class T>
Layer<T>* Network<T>::find(ptrdiff_t spec) {
  if (spec < 0 || spec >= static_cast<ptrdiff_t>(layer_of_spec_.size()))
    throw std::out_of_range("the network has " + std::to_string(layer_of_spec_.size()) + " layers, got index " +
                            std::to_string(spec));
  const ptrdiff_t at = layer_of_spec_[static_cast<std::size_t>(spec)];
  return at < 0 ? nullptr : &layers_[static_cast<std::size_t>(at)];
}

template <class T>
LayerTask<T> Network<T>::layer_task(const Layer<T>& layer, ptrdiff_t rows, const T* x, ptrdiff_t x_row, T* z,
                                    ptrdiff_t z_row, T* y, ptrdiff_t y_row, bool activate) const {
  LayerTask<T> t{};
  t.rows = rows;
  t.x = x;
  t.x_row = x_row;
  t.inputs = layer.layout.inputs;
  t.units = layer.layout.units;
  t.pieces = layer.layout.pieces;
  t.panels = layer.panels.data();
  t.z = z;
  t.z_row = z_row;
  t.y = y;
  t.y_row = y_row;
  if (activate && layer.activation != kIdentity && !layer.info().rowwise)
    t.activation = kernels_->activation[layer.activation].forward;
  t.parameter = layer.alpha.data();
  t.parameter_step = layer.parameter_step();
  return t;
}

// Which way a batch runs. Rows: every thread takes blocks of rows through all layers while they are in its cache,
// without a barrier; each block reads all weights, so they must come from a cache, and there must be rows enough.
// Layers: one layer after the other, shared over rows and columns.
template <class T>
typename Network<T>::Plan Network<T>::plan(ptrdiff_t batch) const {
  constexpr ptrdiff_t kBlocksEach = 4;  // so that a thread that is held up does not hold up the call
  const ptrdiff_t threads = num_threads();
  if (streams_ || block_rows_ < kGoodRows) return {Mode::kLayers, slab_rows_};
  if (threads == 1 || !worth_threads(batch, work_)) return {Mode::kSerial, block_rows_};
  if (batch < kLeastRows * threads) return {Mode::kLayers, slab_rows_};
  // The same number of blocks for each thread, of equal size.
  const ptrdiff_t needed = divide_up(batch, threads * block_rows_);
  const ptrdiff_t each = std::max(needed, std::min(kBlocksEach, batch / (threads * 2 * kLeastRows)));
  return {Mode::kRows, divide_up(batch, threads * std::max(each, ptrdiff_t{1}))};
}

template <class T>
void Network<T>::forward_rows(const T* x, ptrdiff_t rows, T* y, bool logits) const {
  const std::size_t last = layers_.size() - 1;
  T* const ping[2] = {thread_scratch<T>(Scratch::kPing, rows * widest_),
                      thread_scratch<T>(Scratch::kPong, rows * widest_)};
  ptrdiff_t x_row = inputs_;
  for (std::size_t i = 0; i <= last; ++i) {
    const Layer<T>& layer = layers_[i];
    T* const out = i == last ? y : ping[i % 2];
    const ptrdiff_t out_row = i == last ? layer.layout.units : leading_dimension(layer.layout.units);
    const bool activate = !(logits && i == last);
    LayerTask<T> task = layer_task(layer, rows, x, x_row, out, out_row, out, out_row, activate);
    task.padded = i < last;
    const Layer<T>& next = layers_[i == last ? 0 : i + 1];  // or the next block of rows
    task.next = next.panels.data();
    task.next_size = next.first_panel();
    layer_forward_serial(*kernels_, task, 0, layer.layout.blocks());
    if (activate && layer.info().rowwise)
      activate_rows(kernels_->activation[layer.activation].forward, rows, layer.layout.units, out, out_row, out,
                    out_row);
    x = out;
    x_row = out_row;
  }
}

template <class T>
void Network<T>::forward_layers(const T* x, ptrdiff_t batch, T* y, bool logits) const {
  const std::size_t last = layers_.size() - 1;
  T* ping[2] = {nullptr, nullptr};
  if (last > 0) ping[0] = thread_scratch<T>(Scratch::kPing, batch * widest_);
  if (last > 1) ping[1] = thread_scratch<T>(Scratch::kPong, batch * widest_);
  ptrdiff_t x_row = inputs_;
  for (std::size_t i = 0; i <= last; ++i) {
    const Layer<T>& layer = layers_[i];
    T* const out = i == last ? y : ping[i % 2];
    const ptrdiff_t out_row = i == last ? layer.layout.units : leading_dimension(layer.layout.units);
    const bool activate = !(logits && i == last);
    LayerTask<T> task = layer_task(layer, batch, x, x_row, out, out_row, out, out_row, activate);
    task.padded = i < last;
    layer_forward(*kernels_, task);
    if (activate && layer.info().rowwise) {
      constexpr ptrdiff_t kRows = 64;
      parallel_for(divide_up(batch, kRows), [&](ptrdiff_t block) {
        T* const from = out + block * kRows * out_row;
        activate_rows(kernels_->activation[layer.activation].forward, std::min(kRows, batch - block * kRows),
                      layer.layout.units, from, out_row, from, out_row);
      });
    }
    x = out;
    x_row = out_row;
  }
}

template <class T>
void Network<T>::forward(const T* x, ptrdiff_t batch, T* y, bool logits) const {
  if (batch == 0) return;
  const Plan p = plan(batch);
  if (p.mode == Mode::kLayers) {
    for (ptrdiff_t first = 0; first < batch; first += p.rows_each)
      forward_layers(x + first * inputs_, std::min(p.rows_each, batch - first), y + first * outputs(), logits);
    return;
  }
  const ptrdiff_t outputs = this->outputs();
  const auto run = [&](ptrdiff_t block) {
    const ptrdiff_t first = block * p.rows_each;
    forward_rows(x + first * inputs_, std::min(p.rows_each, batch - first), y + first * outputs, logits);
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
        std::to_string(l.size() * static_cast<ptrdiff_t>(sizeof(T))) + " bytes");
  }
  return lines;
}

template class Network<float>;
template class Network<double>;

}  // namespace fnnfast
