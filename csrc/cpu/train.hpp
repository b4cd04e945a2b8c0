// A training step: forward, loss, backward and update in one call.
//
// It has two parallel regions. In the first, blocks of rows run forward through all layers, through the loss and
// backward through all layers, since rows do not meet there. In the second, each task makes a part of one layer's
// weight gradient from the whole batch and applies the optimizer to it while it is in the cache. Whatever is summed
// over the batch is summed in one fixed order, so the threads do not show in the result.
#pragma once

#include <cstdint>
#include <vector>

#include "network.hpp"

namespace fnnfast {

struct OptimizerSettings {
  OptimizerKind kind = OptimizerKind::kSgd;
  double momentum = 0.0;
  bool nesterov = false;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double l2 = 0.0;            // coupled, weights only
  double weight_decay = 0.0;  // decoupled, weights only
};

// A batch: rows of x and their targets; with indices, those rows of x and targets. labels are always the batch's own.
template <class T>
struct Batch {
  ptrdiff_t rows;
  const T* x;
  const T* targets;            // (rows, outputs), or null
  const std::int64_t* labels;  // (rows), or null
  const std::int64_t* indices;
};

template <class T>
class Trainer {
 public:
  // std::invalid_argument where the network cannot be trained so. The network must outlive the trainer and keep its
  // place.
  Trainer(Network<T>& network, LossKind loss, const OptimizerSettings& settings, std::uint64_t seed);

  // The mean loss before the update.
  double step(const Batch<T>& batch, double learning_rate);

  // The same without the update; gradient(i) then holds layer i's gradient, as panels, and alpha_gradient(i) its
  // learned parameter's.
  double gradients(const Batch<T>& batch);
  Buffer<T>& gradient(std::size_t layer) { return state_[layer].gradient; }
  Buffer<T>& alpha_gradient(std::size_t layer) { return state_[layer].alpha_gradient; }

  // One update with the gradients that gradient(i) and alpha_gradient(i) hold.
  void apply(double learning_rate);

  // Makes gradient(i) and alpha_gradient(i) exist.
  void reserve_gradients();

  std::int64_t steps() const { return steps_; }

 private:
  // What a layer keeps from the forward to the backward pass, for a whole batch, and its optimizer's state.
  struct State {
    Buffer<T> z, y, dropped, dz;  // z: where the activation saves its input; dropped: the output after dropout
    Buffer<T> dz_panels;          // where gathers_columns()
    Buffer<std::uint8_t> argmax, order;
    Buffer<T> dalpha;  // one row for each kAlphaRows rows
    Buffer<T> transposed;
    Buffer<T> gradient, alpha_gradient;
    Buffer<T> first, second, alpha_first, alpha_second;
    ptrdiff_t row = 0;              // leading dimension
    std::uint64_t version = ~0ull;  // of the weights that transposed was made from
  };

  void reserve(const Batch<T>& batch);
  double terms(const Batch<T>& batch) const;
  double run(const Batch<T>& batch, const UpdateStep<T>* weights, const UpdateStep<T>* others);
  void rows_task(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t last);
  void loss_rows(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t rows);
  void backward_rows(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t rows);
  void weights_task(std::size_t layer, ptrdiff_t first, ptrdiff_t last, const Batch<T>& batch,
                    const UpdateStep<T>* weights, const UpdateStep<T>* others);
  void alpha_task(std::size_t layer, ptrdiff_t rows, const UpdateStep<T>* others);
  void update_rows(std::size_t layer, ptrdiff_t offset, ptrdiff_t n, const T* gradient, const UpdateStep<T>& step);
  void refresh_transposed(std::size_t layer);
  UpdateStep<T> update_step(double learning_rate, bool weights) const;
  bool copies_input(const Batch<T>& batch) const;
  const T* input_of(std::size_t layer, const Batch<T>& batch, ptrdiff_t* row) const;

  Network<T>& network_;
  const Kernels<T>& kernels_;
  LossKind loss_;
  OptimizerSettings settings_;
  std::uint64_t seed_;
  std::int64_t steps_ = 0;
  std::vector<State> state_;
  Buffer<T> input_, targets_;  // gathered or dropped input, gathered targets
  Buffer<double> row_loss_;
  ptrdiff_t input_row_ = 0;
};

}  // namespace fnnfast
