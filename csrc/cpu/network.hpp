// A network: its layers, their packed weights, and the plan by which a batch runs through them in one call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../core/graph.hpp"
#include "buffer.hpp"
#include "layer.hpp"

namespace fnnfast {

// A layer with its parameters.
template <class T>
struct Layer : LayerNode {
  PanelLayout layout;
  ptrdiff_t blocks = 0;  // layout.blocks(), whose divisions a small network feels
  Buffer<T> panels;
  Buffer<T> alpha;            // one a unit where learned, else one value; empty where the activation takes none
  ptrdiff_t chunk = 0;        // LayerTask::chunk
  ptrdiff_t first_panel = 0;  // its size
  InputScale input_scale{};   // int8
  Buffer<T> weight_scale;     // int8: (pieces, units)
  std::uint64_t version = 0;  // counts the writes to panels: who keeps something derived from them compares it
};

template <class T>
class Network {
 public:
  using Scalar = T;

  // std::invalid_argument for a spec that makes no sense.
  Network(ptrdiff_t inputs, const std::vector<LayerSpec>& specs, WeightFormat format = WeightFormat::kFull);

  // The same network with weights of fewer bits, for inference alone; float only. std::invalid_argument for what cannot
  // be converted.
  struct LayerScales {
    InputScale input;
    std::vector<float> weight;  // (pieces, units)
  };
  Network to_bfloat16() const;
  Network to_int8(const std::vector<LayerScales>& scales) const;

  const Graph& graph() const { return graph_; }
  ptrdiff_t inputs() const { return graph_.inputs; }
  ptrdiff_t outputs() const { return layers_.back().layout.units; }
  WeightFormat format() const { return format_; }
  const Kernels<T>& kernels() const { return *kernels_; }
  const std::vector<Layer<T>>& layers() const { return layers_; }
  std::vector<Layer<T>>& layers() { return layers_; }
  const std::vector<Perturbation>& input_perturbations() const { return graph_.input_perturbations; }
  double work() const { return work_; }  // fused multiply-adds a row

  // A layer's panels as full numbers: a copy, if they are stored otherwise.
  const T* full_panels(const Layer<T>& layer, Buffer<T>& copy) const;

  // The layer of a spec's index, for a residual block its projection; null for those without parameters.
  Layer<T>* find(ptrdiff_t spec);
  ptrdiff_t specs() const { return static_cast<ptrdiff_t>(graph_.layer_of_spec.size()); }

  // y (batch, outputs) = network(x (batch, inputs)), both dense rows. With logits the last layer's activation is left
  // out.
  void forward(const T* x, ptrdiff_t batch, T* y, bool logits) const;

  // One layer of forward for some rows, on the calling thread; z is written where the activation saves its input and z
  // is not y.
  LayerTask<T> layer_task(const Layer<T>& layer, ptrdiff_t rows, const T* x, ptrdiff_t x_row, T* z, ptrdiff_t z_row,
                          T* y, ptrdiff_t y_row, bool activate) const;

  // Tells a task which layer's weights are read next.
  void announce(LayerTask<T>& task, const Layer<T>& next) const;

  std::vector<std::string> describe_plan(ptrdiff_t batch) const;

 private:
  enum class Mode { kSerial, kRows, kLayers };
  struct Plan {
    Mode mode;
    ptrdiff_t rows_each;
  };
  Plan plan(ptrdiff_t batch) const;
  // All layers for some rows: on the calling thread, or each layer shared between threads.
  void forward_rows(const T* x, ptrdiff_t rows, T* y, bool logits, bool shared) const;
  void add_layer(const LayerNode& node);

  static Buffer<T> repacked(const Layer<T>& layer, const PanelLayout& layout);
  static void copy_alpha(const Layer<T>& from, Layer<T>& to);

  const Kernels<T>* kernels_;
  WeightFormat format_;
  LayerKernel<T> layer_kernel_;
  std::vector<LayerSpec> specs_;
  Graph graph_;
  std::vector<Layer<T>> layers_;
  double work_ = 0.0;
  ptrdiff_t widest_ = 0;
  ptrdiff_t weight_bytes_ = 0;
  ptrdiff_t block_rows_ = 0;  // the most rows of a block that goes through all layers
  ptrdiff_t slab_rows_ = 0;   // the most rows that go layer by layer
  bool streams_ = false;      // the weights are too large for a cache to hold them from block to block
};

}  // namespace fnnfast
