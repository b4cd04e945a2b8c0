// A training step: forward, loss, backward and update in one call.
//
// It has two parallel regions. In the first, blocks of rows run forward through all layers, through the loss and
// backward through all layers, since rows do not meet there. In the second, each task makes a part of one layer's
// weight gradient from the whole batch and applies the optimizer to it while it is in the cache. Whatever is summed
// over the batch is summed in one fixed order, so the threads do not show in the result. Clipping needs the norm of the
// whole gradient first: the gradient is then stored, and the update is a third region.
#pragma once

#include <cstdint>
#include <vector>

#include "../core/optimizer_settings.hpp"
#include "loss.hpp"
#include "network.hpp"

namespace fnnfast {

// A batch: rows of x and their targets; with indices, those rows of x and targets. labels and weights are always the
// batch's own.
template <class T>
struct Batch {
  ptrdiff_t rows;
  const T* x;
  const T* targets;            // (rows, Loss::targets(outputs)), or null
  const std::int64_t* labels;  // (rows), or null
  const T* weights;            // (rows), or null: all count alike
  const std::int64_t* indices;
};

// What was counted of a layer since it was last asked.
struct LayerDiagnosis {
  double gradient_squares = 0.0, update_squares = 0.0;  // |gradient|^2 and |change of the weights|^2, summed over steps
  std::int64_t steps = 0, rows = 0;
  double dead = -1.0, saturated = -1.0;  // shares of the units, and of the values; -1 where that is not counted
};

template <class T>
class Trainer {
 public:
  // std::invalid_argument where the network cannot be trained so. The network must outlive the trainer and keep its
  // place. frozen: for each of the network's layers; those after the last are not.
  Trainer(Network<T>& network, Loss<T> loss, const OptimizerSettings& settings, std::uint64_t seed,
          std::vector<bool> frozen = {});

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

  // The optimizer's states, as panels and one a unit; the second are empty where it has one.
  struct OptimizerState {
    Buffer<T> panels[2], alpha[2];
  };
  OptimizerState& optimizer_state(std::size_t layer) { return state_[layer].optimizer; }
  std::int64_t steps() const { return steps_; }
  void set_l2(double l2) { settings_.l2 = l2; }
  void set_steps(std::int64_t steps) { steps_ = steps; }

  // What was counted since the last call, of a layer; counting begins anew.
  LayerDiagnosis take_diagnosis(std::size_t layer);

 private:
  // What a layer keeps from the forward to the backward pass, for a whole batch, and its optimizer's state.
  struct State {
    Buffer<T> saved, y, perturbed, dz;   // saved: what backward reads, where that is not y
    Buffer<T> skip;                      // the gradient that comes by a skip connection
    Buffer<T> dz_panels;                 // where gathers_columns()
    Buffer<std::uint8_t> argmax, order;  // of maxout
    Buffer<T> sorted_dz;                 // dz in that order
    Buffer<T> dalpha;                    // one row for each kAlphaRows rows
    Buffer<T> transposed;
    Buffer<T> gradient, alpha_gradient;
    OptimizerState optimizer;
    Buffer<T> watch;         // one row for each block of rows, since the last fold_watch()
    Buffer<double> watched;  // since the last take_diagnosis()
    Buffer<T> squares;       // UpdateTask::squares for each part of the gradient, since the last fold_squares()
    LayerDiagnosis diagnosis;
    ptrdiff_t row = 0;              // leading dimension
    std::uint64_t version = ~0ull;  // of the weights that transposed was made from
    bool frozen = false, skips = false;
  };

  // train.cpp: the step as a whole
  void check() const;
  void reserve(const Batch<T>& batch, ptrdiff_t row_blocks);
  double run(const Batch<T>& batch, const UpdateStep<T>* weights, const UpdateStep<T>* others);
  bool copies_input(const Batch<T>& batch) const;
  const T* outputs_of(ptrdiff_t layer, const Batch<T>& batch, ptrdiff_t* row) const;

  // train_rows.cpp: a block of rows, forward and backward
  void rows_task(const Batch<T>& batch, ptrdiff_t block, ptrdiff_t first, ptrdiff_t last);
  void perturb(const std::vector<Perturbation>& all, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t columns, const T* in,
               T* out, ptrdiff_t row) const;
  void forward_rows(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t rows);
  void loss_rows(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t rows);
  void backward_rows(const Batch<T>& batch, ptrdiff_t block, ptrdiff_t first, ptrdiff_t rows);
  void activation_gradient(std::size_t layer, ptrdiff_t block, ptrdiff_t first, ptrdiff_t rows);

  // train_update.cpp: gradients of the weights, and what the optimizer makes of them
  void weights_task(std::size_t layer, ptrdiff_t first, ptrdiff_t last, const Batch<T>& batch,
                    const UpdateStep<T>* weights, const UpdateStep<T>* others);
  void alpha_task(std::size_t layer, ptrdiff_t rows, const UpdateStep<T>* others);
  void update_rows(std::size_t layer, ptrdiff_t offset, ptrdiff_t n, const T* gradient, const UpdateStep<T>& step,
                   T* squares);
  void update_alpha(std::size_t layer, const UpdateStep<T>& step);
  void refresh_transposed(std::size_t layer);
  UpdateStep<T> update_step(double learning_rate, bool weights, double scale) const;
  double gradient_norm();
  double gradient_norm(T factor);
  T* squares_of(std::size_t layer, ptrdiff_t part);
  void count_update();
  void fold_squares(std::size_t layer);
  void fold_watch(std::size_t layer);

  Network<T>& network_;
  const Kernels<T>& kernels_;
  Loss<T> loss_;
  OptimizerSettings settings_;
  std::uint64_t seed_;
  std::int64_t steps_ = 0;
  std::vector<State> state_;
  std::size_t first_trained_ = 0;  // gradients go back to this layer
  double batch_weight_ = 0.0;
  bool watching_ = false;
  Buffer<T> input_, targets_;  // gathered or perturbed input, gathered targets
  Buffer<double> row_loss_;
  ptrdiff_t input_row_ = 0;
};

}  // namespace fnnfast
