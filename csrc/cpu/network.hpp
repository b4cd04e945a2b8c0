// A network: its layers, their packed weights, and the plan by which a batch runs through them in one call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "buffer.hpp"
#include "layer.hpp"

namespace fnnfast {

// A layer as it is asked for.
struct LayerSpec {
  enum class Kind { kDense, kMaxout, kDropout, kNoise, kResidual } kind;
  ptrdiff_t units = 0;
  ptrdiff_t pieces = 1;
  int activation = kIdentity;
  double parameter = 0.0;  // fixed alpha or beta
  double rate = 0.0;       // of dropout, or the standard deviation of noise
  ptrdiff_t count = 0;  // residual: how many specs follow that belong to it; units > 0 asks for a projection to so many
};

// What training does to the outputs of a layer, or to the input: stream numbers its random draws.
struct Perturbation {
  bool noise;     // else dropout
  double amount;  // standard deviation, or rate
  std::uint32_t stream;
};

// What a layer reads beside outputs of layers.
inline constexpr ptrdiff_t kNetworkInput = -1;
inline constexpr ptrdiff_t kNoLayer = -2;

// A dense or maxout layer with its parameters; the projection of a residual block is a dense one. Layers stand in the
// order in which they run, and each reads what came before.
template <class T>
struct Layer {
  ptrdiff_t from = kNetworkInput;  // the layer whose outputs it multiplies
  ptrdiff_t add = kNoLayer;        // the layer whose outputs are added to its own: the end of a residual block
  bool projection = false;         // of a residual block: only the addition reads it
  ptrdiff_t slot = 0;              // of its outputs, while the network answers
  std::vector<Perturbation> perturbations;
  PanelLayout layout;
  bool maxout;
  int activation;
  Buffer<T> panels;
  Buffer<T> alpha;            // one a unit where learned, else one value; empty where the activation takes none
  ptrdiff_t chunk = 0;        // LayerTask::chunk
  ptrdiff_t first_panel = 0;  // its size
  InputScale input_scale{};   // int8
  Buffer<T> weight_scale;     // int8: (pieces, units)
  std::uint64_t version = 0;  // counts the writes to panels: who keeps something derived from them compares it

  const ActivationInfo& info() const { return kActivationInfo[activation]; }
  // Whether training keeps what the activation's backward reads beside the outputs: they are something else, or have
  // been added to.
  bool saves_apart() const {
    return info().saves == Saves::kInput || (info().saves == Saves::kOutput && add != kNoLayer);
  }
  ptrdiff_t parameter_step() const { return info().learned ? 1 : 0; }
  double work() const { return static_cast<double>(layout.inputs * layout.units * layout.pieces); }
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

  ptrdiff_t inputs() const { return inputs_; }
  ptrdiff_t outputs() const { return layers_.back().layout.units; }
  WeightFormat format() const { return format_; }
  const Kernels<T>& kernels() const { return *kernels_; }
  const std::vector<Layer<T>>& layers() const { return layers_; }
  std::vector<Layer<T>>& layers() { return layers_; }
  const std::vector<Perturbation>& input_perturbations() const { return input_perturbations_; }
  double work() const { return work_; }  // fused multiply-adds a row

  // A layer's panels as full numbers: a copy, if they are stored otherwise.
  const T* full_panels(const Layer<T>& layer, Buffer<T>& copy) const;

  // The layer of a spec's index, for a residual block its projection; null for those without parameters.
  Layer<T>* find(ptrdiff_t spec);
  ptrdiff_t specs() const { return static_cast<ptrdiff_t>(layer_of_spec_.size()); }

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
  void add(std::size_t spec, ptrdiff_t from);
  std::size_t add_residual(std::size_t spec);
  void add_layer(const LayerSpec& spec, ptrdiff_t from);
  void assign_slots();

  ptrdiff_t latest() const { return static_cast<ptrdiff_t>(layers_.size()) - 1; }
  ptrdiff_t width_of(ptrdiff_t layer) const {
    return layer == kNetworkInput ? inputs_ : layers_[static_cast<std::size_t>(layer)].layout.units;
  }

  static Buffer<T> repacked(const Layer<T>& layer, const PanelLayout& layout);
  static void copy_alpha(const Layer<T>& from, Layer<T>& to);

  const Kernels<T>* kernels_;
  WeightFormat format_;
  LayerKernel<T> layer_kernel_;
  ptrdiff_t inputs_;
  std::vector<LayerSpec> specs_;
  std::vector<Layer<T>> layers_;
  std::vector<ptrdiff_t> layer_of_spec_;
  std::vector<Perturbation> input_perturbations_;
  ptrdiff_t slots_ = 0;
  double work_ = 0.0;
  ptrdiff_t widest_ = 0;
  ptrdiff_t weight_bytes_ = 0;
  ptrdiff_t block_rows_ = 0;  // the most rows of a block that goes through all layers
  ptrdiff_t slab_rows_ = 0;   // the most rows that go layer by layer
  bool streams_ = false;      // the weights are too large for a cache to hold them from block to block
};

}  // namespace fnnfast
