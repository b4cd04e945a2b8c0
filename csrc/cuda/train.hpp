// A training step on the device: forward, loss, backward and update, in launches one after the other on one stream.
//
// It owns no memory, allocates none and waits for nothing, so that a step can be captured in a graph; what changes from
// step to step (how many there were, and what follows from that) is in device memory. Sums over the batch are taken in
// slices whose number depends on sizes and device alone, and added in order: the same bits in every run.
//
// T, E and S as in network.hpp. Products and activations are in E; the loss, gradients of parameters and optimizer
// states in S.
#pragma once

#include <vector>

#include "../core/loss.hpp"
#include "../core/optimizer_settings.hpp"
#include "arena.hpp"
#include "network.hpp"
#include "update.hpp"

namespace fnnfast {

// A batch: rows of x and their targets; with indices, those rows of x, targets and labels. weights are the batch's own.
template <class T>
struct DeviceBatch {
  std::int64_t rows;
  const Stored<T>* x;
  const Sum<T>* targets;        // or null
  const std::int64_t* labels;   // or null
  const Sum<T>* weights;        // or null
  const std::int64_t* indices;  // or null
};

template <class T>
class DeviceTrainer {
 public:
  using E = Stored<T>;
  using S = Sum<T>;
  using Parameters = typename DeviceNetwork<T>::Parameters;

  // std::invalid_argument where the network cannot be trained so. loss.precision is checked and counted; its values are
  // read from Memory::precision. frozen: for each of the network's layers; those after the last are not.
  DeviceTrainer(const DeviceNetwork<T>& network, Loss<S> loss, const OptimizerSettings& settings, std::uint64_t seed,
                std::vector<bool> frozen);

  // All that lies in device memory, the caller's.
  struct Memory {
    Parameters parameters;
    S* states[2];         // as many elements as parameters each; the second null for SGD
    StepState<S>* state;  // zero before the first step
    S* gradient;          // as many elements as parameters; gradients() writes it, apply() reads it
    const S* precision;   // one a target, or null
    char* workspace;      // workspace_bytes()
  };
  int states() const { return settings_.kind == OptimizerKind::kAdam ? Adam::kStates : Sgd::kStates; }
  std::size_t workspace_bytes(std::int64_t rows, bool indices, bool weights) const;

  // *loss = the mean loss before the update.
  void step(const Memory& memory, const DeviceBatch<T>& batch, double learning_rate, S* loss, cudaStream_t stream);
  // The same without the update.
  void gradients(const Memory& memory, const DeviceBatch<T>& batch, S* loss, cudaStream_t stream);
  // One update with memory.gradient.
  void apply(const Memory& memory, double learning_rate, cudaStream_t stream);
  void set_l2(double l2) { settings_.l2 = l2; }
  const Loss<S>& loss() const { return loss_; }

 private:
  // What a layer keeps from the forward to the backward pass, for a whole batch.
  struct Kept {
    Matrix<E> y, saved, perturbed, dz, skip;
    Matrix<std::uint8_t> winners;
    S* partial = nullptr;  // slices of the gradient, each laid out as the layer's parameters
    Slices slices{};
  };
  struct Room {
    std::vector<Kept> layers;
    Matrix<E> input;
    Matrix<S> outputs, doutputs;  // of the network, where E is narrower
    Matrix<S> targets;
    std::int64_t* labels = nullptr;
    double* row_loss = nullptr;
    double* squares = nullptr;
    S* wide = nullptr;  // softmax's backward pass, where E is narrower
  };
  Room arrange(Arena& arena, std::int64_t rows, bool indices, bool weights) const;

  void run(const Memory& memory, const Room& room, const DeviceBatch<T>& batch, S* loss, cudaStream_t stream) const;
  void forward(const Memory& memory, const Room& room, const DeviceBatch<T>& batch, cudaStream_t stream) const;
  void loss(const Memory& memory, const Room& room, const DeviceBatch<T>& batch, S* loss, cudaStream_t stream) const;
  void backward(const Memory& memory, const Room& room, const DeviceBatch<T>& batch, cudaStream_t stream) const;
  void activation_gradient_of(std::size_t layer, const Memory& memory, const Room& room, std::int64_t rows,
                              cudaStream_t stream) const;
  void weight_gradient(std::size_t layer, const Room& room, const DeviceBatch<T>& batch, cudaStream_t stream) const;
  void perturb_all(const std::vector<Perturbation>& all, const Memory& memory, std::int64_t rows, std::int64_t columns,
                   Matrix<const E> from, Matrix<E> to, cudaStream_t stream) const;
  UpdateTaskOf<E> update_task(std::size_t layer, const Memory& memory) const;
  UpdateTaskOf<E> sliced_update_task(std::size_t layer, const Memory& memory, const Room& room) const;

  Matrix<const E> outputs_of(ptrdiff_t layer, const Room& room, const DeviceBatch<T>& batch) const;
  bool copies_input(bool indices, bool weights) const;
  bool takes_logits(std::size_t layer) const;
  bool differentiates_in_product(std::size_t layer) const;

  const DeviceNetwork<T>& network_;
  Loss<S> loss_;
  OptimizerSettings settings_;
  std::uint64_t seed_;
  std::vector<bool> frozen_, skips_;
  std::size_t first_trained_ = 0;  // gradients go back to this layer
};

}  // namespace fnnfast
