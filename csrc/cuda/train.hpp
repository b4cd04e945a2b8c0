// A training step on the device: forward, loss, backward and update, in launches one after the other on one stream.
//
// The steps are those of a TrainingSchedule, in order; regions have no meaning here, since launches on a stream are
// ordered. It owns no memory, allocates none and does not wait, so that a step can be captured in a graph; the state
// that changes from step to step is in device memory. Sums over the batch are computed in slices, whose number depends
// only on sizes and device, and added in order: every run gives the same bits.
//
// T, E and S as in network.hpp. Products and activations are in E; the loss, gradients of parameters and optimizer
// states in S.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <vector>

#include "../core/loss.hpp"
#include "../core/optimizer_settings.hpp"
#include "arena.hpp"
#include "network.hpp"
#include "update.hpp"

namespace fnnfast::cuda {

// A batch: rows of x and their targets; with indices, those rows of x, targets and labels. sample_weights are the
// batch's own.
template <class T>
struct Batch {
  std::int64_t rows;
  const Stored<T>* x;
  const Sum<T>* targets;         // or null
  const std::int64_t* labels;    // or null
  const Sum<T>* sample_weights;  // or null
  const std::int64_t* indices;   // or null
};

template <class T>
class Trainer {
 public:
  using E = Stored<T>;
  using S = Sum<T>;
  using Parameters = typename Network<T>::Parameters;

  // std::invalid_argument if the network cannot be trained with these settings. Of loss.precision only the size is
  // used; its values are read from Memory::precision. frozen: by block; missing entries are false.
  Trainer(const Network<T>& network, Loss<S> loss, const OptimizerSettings& settings, std::uint64_t seed,
          std::vector<bool> frozen);

  // The caller's device memory.
  struct Memory {
    Parameters parameters;
    S* states[2];         // as many elements as parameters each; the second null for SGD
    StepState<S>* state;  // zero before the first step
    S* gradient;          // as many elements as parameters; gradients() writes it, apply() reads it
    const S* precision;   // one per target, or null
    char* workspace;      // workspace_bytes()
    char* tally;          // tally_bytes(), or null: nothing is counted
  };
  int states() const { return settings_.kind == OptimizerKind::kAdam ? Adam::kStates : Sgd::kStates; }
  std::size_t workspace_bytes(std::int64_t rows, bool indices, bool sample_weights) const;

  // *loss = the mean loss before the update. Where that is NaN, parameters and optimizer stay as they are, and with
  // `follows` also where the step before was skipped. accuracy: of the batch, before the update, where the loss
  // classifies; or null.
  void step(const Memory& memory, const Batch<T>& batch, std::optional<double> learning_rate, S* loss, double* accuracy,
            bool follows, cudaStream_t stream);
  // The same without the update.
  void gradients(const Memory& memory, const Batch<T>& batch, S* loss, cudaStream_t stream);
  // One update with memory.gradient.
  void apply(const Memory& memory, std::optional<double> learning_rate, cudaStream_t stream);
  // Of later updates, also of those that are captured in a graph: these have no learning_rate of their own, and read
  // both from memory.state.
  void set_rates(const Memory& memory, double learning_rate, double l2, cudaStream_t stream) {
    settings_.l2 = l2;
    store_rates(memory.state, learning_rate, l2, stream);
  }
  const Loss<S>& loss() const { return loss_; }

  // What steps and updates count in memory.tally, zero at first, and a copy of it on the host in numbers: by layer, the
  // root mean squares over the steps of the norms of gradient and update, the dead, the saturated and the linear share,
  // -1 if not counted. They are those of cpu::Trainer.
  std::size_t tally_bytes() const;
  using Statistics = std::map<std::int32_t, std::array<double, 5>>;
  Statistics statistics(char* tally) const;

 private:
  // The gradient of a block's parameters: slices of it, each laid out as the parameters.
  struct Partial {
    S* data = nullptr;
    Slices slices{};
  };
  // The memory for a batch, in the workspace.
  struct Room {
    std::vector<void*> buffers;     // of the schedule
    std::vector<Partial> partials;  // by block
    Matrix<E> input;
    Matrix<S> outputs, doutputs;  // of the network, where E is narrower
    Matrix<S> targets;
    std::int64_t* labels = nullptr;
    double* row_loss = nullptr;
    double* row_right = nullptr;
    double* squares = nullptr;
    S* wide = nullptr;  // softmax's backward pass, where E is narrower
  };
  // The places of memory.tally; null where nothing is counted.
  struct Tally {
    Counted* counted = nullptr;
    std::vector<double*> squares;           // by block
    std::vector<unsigned long long*> seen;  // by node: of derivatives
    std::vector<std::uint8_t*> won;         // by node: pieces of maxout
  };
  Tally tally(Arena& arena) const;
  Tally tally_of(const Memory& memory) const;
  bool watches(NodeId id) const;
  // What a step records besides its loss.
  struct Record {
    Tally tally;
    double* accuracy = nullptr;
    bool follows = false;
  };
  // One call's arguments, for all its steps.
  struct Call {
    const Memory& memory;
    const Room& room;
    const Batch<T>& batch;
    const Record& record;
    cudaStream_t stream;
  };
  Room arrange(Arena& arena, std::int64_t rows, bool indices, bool sample_weights) const;

  void run(const Call& call, S* loss) const;
  void gradients(const Memory& memory, const Batch<T>& batch, S* loss, const Record& record, cudaStream_t stream);
  void apply(const Memory& memory, std::optional<double> learning_rate, const S* loss, std::int64_t rows,
             const Record& record, cudaStream_t stream);
  void take_input(const Call& call) const;
  void forward_step(const Call& call, NodeId id) const;
  void affine_forward(const Call& call, NodeId id) const;
  void loss_step(const Call& call, S* loss) const;
  void epilogue_step(const Call& call, const TrainingStep& step) const;
  void pass_gradient(const Call& call, const TrainingStep& step) const;
  void activation_gradient_of(const Call& call, NodeId id) const;
  void watch_step(const Call& call, NodeId id) const;
  void input_step(const Call& call, const TrainingStep& step) const;
  void weights_step(const Call& call, NodeId id) const;
  std::int64_t elements(BlockId block) const;
  UpdateTaskOf<E> update_task(BlockId block, const Memory& memory, const Tally& tally) const;
  UpdateTaskOf<E> sliced_update_task(BlockId block, const Memory& memory, const Room& room, const Tally& tally) const;

  Matrix<E> at(const Call& call, const Place& place) const;
  Matrix<E> value(const Call& call, ValueId id) const { return at(call, schedule_.value_at(id)); }
  Matrix<E> gradient(const Call& call, ValueId id) const { return at(call, schedule_.gradient_at(id)); }
  Matrix<std::uint8_t> choice(const Call& call, NodeId id) const;
  std::int64_t rows_of(const Call& call, ValueId id) const;
  bool copies_input(bool indices, bool sample_weights) const;
  bool activates(const Node& node) const;
  bool is_frozen(BlockId block) const { return frozen_[static_cast<std::size_t>(block)]; }

  const Network<T>& network_;
  Loss<S> loss_;
  OptimizerSettings settings_;
  std::uint64_t seed_;
  std::vector<bool> frozen_;  // by block
  Program program_;
  TrainingSchedule schedule_;
  std::vector<NodeId> node_of_;  // by block
  std::vector<NodeId>
      differentiated_;            // by node: the previous node, if its derivative is part of this node's input gradient
  std::vector<bool> in_product_;  // by node: whether its derivative is part of another node's input gradient
};

}  // namespace fnnfast::cuda
