// A training step: forward, loss, backward and update in one call.
//
// It runs the regions of a TrainingSchedule. In a region over samples, blocks of samples run all its steps, since
// samples are independent there. In a region over parameters, each task computes a part of one layer's weight gradient
// from the whole batch and applies the optimizer to it while it is in the cache. Sums over the batch have a fixed
// order, so the result does not depend on the threads. Clipping needs the norm of the whole gradient first: the
// gradient is then stored, and the update follows.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "../core/optimizer_settings.hpp"
#include "convolution.hpp"
#include "loss.hpp"
#include "network.hpp"
#include "parts.hpp"

namespace fnnfast::cpu {

// A batch: rows of x and their targets; with indices, those rows of x and targets. labels and sample_weights are
// always the batch's own.
template <class T>
struct Batch {
  ptrdiff_t rows;
  const T* x;
  const T* targets;            // (rows, Loss::targets(outputs)), or null
  const std::int64_t* labels;  // (rows), or null
  const T* sample_weights;     // (rows), or null: all 1
  const std::int64_t* indices;
  // If these rows are a part of a step's batch: the number of its rows before them, and the weight of all.
  ptrdiff_t rows_before = 0;
  double whole_weight = 0.0;
  bool is_part() const { return whole_weight > 0.0; }
  const RowParts* parts = nullptr;  // whose gradients are summed in a tree; only if sums_parts_at_once()
};

// Statistics of a block's parameters: |gradient|^2 and |change|^2, summed over steps.
struct Norms {
  double gradient_squares = 0.0, update_squares = 0.0;
  std::int64_t steps = 0;
};

// Statistics of a node: the share of its units that are dead, or of its pieces for maxout, of its values that are
// saturated, and of its maxout units that are linear; -1 if not counted.
struct Shares {
  double dead = -1.0, saturated = -1.0, linear = -1.0;
  bool counted() const { return dead != -1.0 || saturated != -1.0; }  // also if NaN
};

template <class T>
class Trainer {
 public:
  // std::invalid_argument if the network cannot be trained with these settings. The network must outlive the trainer,
  // at the same address. frozen: by block; missing entries are false.
  Trainer(Network<T>& network, Loss<T> loss, const OptimizerSettings& settings, std::uint64_t seed,
          std::vector<bool> frozen = {});

  // The mean loss before the update. Where that is NaN, there is none: parameters and optimizer stay as they are.
  double step(const Batch<T>& batch, double learning_rate);

  // The weighted share of the rows of the last step's batch whose class the network knew before the update; of several
  // labels per row, their share. Only if the loss classifies, and from measure_accuracy(true) on.
  double accuracy() const { return accuracy_; }
  bool measures_accuracy() const { return measures_accuracy_; }
  void measure_accuracy(bool wanted) { measures_accuracy_ = wanted && loss_.info().classifies; }

  // The same without the update; gradient(i) then holds block i's gradient, as panels, and alpha_gradient(i) its
  // learned parameter's. Of a part of a batch, loss, gradients and accuracy() are what it adds to those of the batch.
  double gradients(const Batch<T>& batch);

  // The same for parts of the rows of a batch, beside each other from parts.ends[0] on: gradient(i) holds the sum of
  // the parts' gradients in the tree of sum_tree(). Of each part that has rows, what it adds to the batch. None: no
  // rows, and no gradients.
  struct PartResult {
    ptrdiff_t part;
    double loss, accuracy;
    std::vector<double> statistics;  // batch_statistics()
  };
  std::vector<PartResult> sum_parts(const Batch<T>& batch, const RowParts& parts);
  Buffer<T>& gradient(std::size_t block) { return states_[block].gradient; }
  Buffer<T>& alpha_gradient(std::size_t block) { return states_[block].alpha_gradient; }

  // One update with the gradients that gradient(i) and alpha_gradient(i) hold.
  void apply(double learning_rate);

  // Allocates gradient(i) and alpha_gradient(i).
  void reserve_gradients();

  // What the next update moves running statistics by: of each normalization in order the number of values, then the
  // means and the sums of squared deviations of its channels. gradients() makes them; those of a batch in parts are to
  // be joined and set before apply().
  std::vector<double> batch_statistics() const;
  std::vector<ptrdiff_t> normalized_units() const;  // the number of channels of each
  void set_batch_statistics(const std::vector<double>& statistics);

  // The optimizer's states, as panels and one per unit; the second ones are empty if it has one state.
  struct OptimizerState {
    Buffer<T> panels[2], alpha[2];
  };
  OptimizerState& optimizer_state(std::size_t block) { return states_[block].optimizer; }
  int states() const { return settings_.kind == OptimizerKind::kAdam ? Adam::kStates : Sgd::kStates; }
  std::int64_t steps() const { return steps_; }
  void set_l2(double l2) { settings_.l2 = l2; }

  // The squares of all weights (not biases), summed over the steps since the last call, each before its update; only
  // from sum_weight_squares(true) on.
  void sum_weight_squares(bool wanted) {
    sums_weight_squares_ = wanted;
    weight_squares_ = 0.0;
  }
  double take_weight_squares() { return std::exchange(weight_squares_, 0.0); }

  void set_steps(std::int64_t steps) { steps_ = steps; }

  const Program& program() const { return program_; }

  // The statistics since the last call. Shares are by node.
  Norms take_norms(std::size_t block);
  std::vector<Shares> take_shares();

 private:
  // By block: its gradient and the optimizer's states.
  struct State {
    bool frozen = false;
    Buffer<T> transposed;                 // for the gradient of the node's input; words, if that multiplies pairs
    AffineConstants<T> pairs;             // of these words
    std::vector<PhaseWeights<T>> phases;  // the same for a convolution
    std::uint64_t version = ~0ull;        // that of the weights in transposed or phases
    Buffer<T> gradient, alpha_gradient;
    OptimizerState optimizer;
    Buffer<T> squares;  // UpdateTask::squares for each part of the gradient, since the last fold_squares()
    Norms norms;
  };
  // What a batch normalization keeps for each channel, from one region to another.
  enum Statistic { kMean, kInverse, kScale, kShift, kFirst, kSecond, kBetaGradient, kGammaGradient, kStatistics };
  // By node: its memory besides the buffers of the schedule.
  struct Workspace {
    AffineConstants<T> of;
    NodeId next = kNone;                // the next Affine node in forward order
    bool padded = false;                // its output's rows may be written in whole vectors
    bool gathers = false;               // the gradient of r is copied by columns, for the weight gradient
    Buffer<T> columns;                  // that copy
    Buffer<T> x_words, dz_words;        // for PairFactors
    Buffer<std::uint8_t> order;         // of maxout: the rows sorted by argmax
    Buffer<T> sorted;                   // their gradients in that order
    Buffer<std::uint8_t> won;           // of maxout, by unit and piece: whether it won since the last take_shares()
    Buffer<T> sums;                     // over images: the parameters' gradients by blocks of samples (SampleBlocks)
    Buffer<T> alpha_sums;               // one row for each sum_samples()
    Buffer<T> watch;                    // one row for each block of samples, since the last fold_watch()
    Buffer<double> watched;             // since the last take_shares()
    Buffer<T> statistics[kStatistics];  // padded to vectors
    Buffer<T> groups[2];                // sums of groups of samples
    std::vector<double> batch_mean, batch_squares;  // of the batch, for the running statistics
    double count = 0.0;                             // of its values per channel; 0 when they have been used
  };
  // A value or gradient for the samples from `first` on: rows `row` apart.
  struct Rows {
    T* data = nullptr;
    ptrdiff_t row = 0;
    explicit operator bool() const { return data != nullptr; }
  };

  // The sums of a product over images for the gradient of its parameters: one for each block of samples.
  struct ImageSums {
    NodeId id;
    SampleBlocks blocks;
    PanelLayout layout;
    std::optional<WindowGradientTasks> windows;  // none for maxout
    MaxoutOrder order;                           // of the first block, the largest
    ptrdiff_t sorts, count;                      // tasks: of sorting for maxout, and of summing
  };

  // While it lives, derivatives are counted; also where a step is ended from outside.
  struct Watching {
    explicit Watching(bool& on) : on(on) { on = true; }
    ~Watching() { on = false; }
    bool& on;
  };
  // What a node's forward step writes: its value; r or f(r), whichever backward reads, which may be the value itself;
  // and f(r).
  struct Results {
    Rows out, saved, y;
  };

  // train.cpp: the step as a whole
  void check() const;
  void reserve(const Batch<T>& batch, ptrdiff_t sample_blocks);
  Batch<T> part_of(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t last) const;
  bool sums_parts_at_once() const;
  void swap_gradients(std::size_t level);
  template <class F>
  void for_sums(std::size_t level, F&& f);
  double run(const Batch<T>& batch, const UpdateStep<T>* weights, const UpdateStep<T>* others);
  void run_samples(const Region& region, const Batch<T>& batch, ptrdiff_t samples_each, ptrdiff_t blocks,
                   ptrdiff_t threads);
  void run_once(const Region& region, const Batch<T>& batch);
  void run_parameters(const Region& region, const Batch<T>& batch, const UpdateStep<T>* weights,
                      const UpdateStep<T>* others, ptrdiff_t threads);
  template <class RunGroup>
  void update_whole(const Region& region, const Batch<T>& batch, ptrdiff_t groups, const RunGroup& run_group);
  ptrdiff_t parameter_tasks(NodeId node) const;
  bool copies_input(const Batch<T>& batch) const;
  Rows rows_at(const Place& place, const Batch<T>& batch, ptrdiff_t first);
  std::uint8_t* choice_at(NodeId node, ptrdiff_t first);
  ptrdiff_t pixels_of(ValueId id) const { return program_.value(id).shape.pixels(); }
  bool is_output(const Node& node) const { return node.out == program_.result; }
  // Whether the activation of a node is applied and differentiated: not if the loss reads the logits instead.
  bool activates(const Node& node) const { return !(is_output(node) && loss_.info().from_logits); }

  // train_samples.cpp: the steps of a block of samples
  void take_input(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void forward_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  Results results_at(NodeId id, const Batch<T>& batch, ptrdiff_t first);
  void affine_forward_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void pointwise_forward_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void images_forward_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void images_input_step(const TrainingStep& step, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void perturb(const Perturb& op, ptrdiff_t first, ptrdiff_t samples, const Shape& shape, Rows in, Rows out) const;
  void loss_step(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void count_right_outputs(const LossTask<T>& task, ptrdiff_t first);
  double batch_accuracy(const Batch<T>& batch, ptrdiff_t first = 0) const;  // first: its place in right_
  void epilogue_step(const TrainingStep& step, const Batch<T>& batch, ptrdiff_t block, ptrdiff_t first,
                     ptrdiff_t samples);
  void pass_gradient(const TrainingStep& step, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void activation_gradient(NodeId id, const Batch<T>& batch, ptrdiff_t block, ptrdiff_t first, ptrdiff_t samples);
  void input_step(const TrainingStep& step, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void phase_step(const PhaseWeights<T>& weights, const Convolution& of, bool apart, ptrdiff_t samples, const Rows& dz,
                  const Rows& to);

  // train_normalize.cpp: batch normalization
  NormalizeTask<T> normalize_task(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void statistics_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void merge_step(NodeId id, const Batch<T>& batch);
  void normalize_forward_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void sums_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples);
  void merge_sums_step(NodeId id, const Batch<T>& batch);
  void normalize_input_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples, Rows g, Rows to);
  void normalize_update(NodeId id, const UpdateStep<T>* others);
  void update_running();

  // train_parameters.cpp: gradients of the parameters, and updates
  void parameter_task(NodeId id, ptrdiff_t first, ptrdiff_t last, const Batch<T>& batch, const UpdateStep<T>* weights,
                      const UpdateStep<T>* others);
  void weights_task(NodeId id, ptrdiff_t first, ptrdiff_t last, const Batch<T>& batch, const UpdateStep<T>* weights,
                    const UpdateStep<T>* others);
  void alpha_task(NodeId id, ptrdiff_t groups, const UpdateStep<T>* others);
  void sum_images(const Region& region, const Batch<T>& batch);
  ImageSums image_sums(NodeId id, ptrdiff_t samples);
  void sort_images(const ImageSums& sums, const Batch<T>& batch, ptrdiff_t task);
  void sum_windows(const ImageSums& sums, const Batch<T>& batch, ptrdiff_t task);
  void sum_maxout(const ImageSums& sums, const Batch<T>& batch, ptrdiff_t task);
  void update_rows(BlockId block, ptrdiff_t offset, ptrdiff_t n, const T* gradient, const UpdateStep<T>& step,
                   T* squares);
  void update_alpha(BlockId block, const UpdateStep<T>& step);
  bool multiplies_pairs(const Node& node) const;
  bool multiplies_pairs(const Block<T>& of) const;
  GradientParts gradient_parts(const Block<T>& of) const;
  void reserve_transposed(const Node& node);
  PairFactors pair_factors(NodeId id, const Batch<T>& batch);
  void derive_weights(BlockId block, const Panel& panel, ptrdiff_t first, ptrdiff_t last);
  void transpose_weights(BlockId block, const Panel& panel, ptrdiff_t first, ptrdiff_t last);
  void pair_input_step(BlockId block, ptrdiff_t rows, const Rows& dz, const Rows& to);
  void refresh_transposed(BlockId block);
  UpdateStep<T> update_step(double learning_rate, bool weights, double scale) const;
  double gradient_norm();
  double gradient_norm(T factor);
  double add_squares(double sum, const PanelLayout& layout, const T* panels, ptrdiff_t first_row, T factor) const;
  double weight_squares() const;
  T* squares_of(BlockId block, ptrdiff_t part);
  void count_update();
  void fold_squares(std::size_t block);
  void fold_watch(NodeId id);
  void note_winners(NodeId id, ptrdiff_t samples);
  Shares shares_of(NodeId id);
  Shares maxout_shares(Workspace& w);

  // The convolution of a product over images, else null.
  const Convolution* convolution_of(const Node& node) const {
    const Affine* const affine = node.template as<Affine>();
    return affine ? network_.blocks()[static_cast<std::size_t>(affine->block)].convolution.get() : nullptr;
  }
  bool trains(BlockId block) const { return block != kNone && !states_[static_cast<std::size_t>(block)].frozen; }
  State& state(BlockId block) { return states_[static_cast<std::size_t>(block)]; }
  Workspace& workspace(NodeId node) { return workspaces_[static_cast<std::size_t>(node)]; }
  Block<T>& block(BlockId id) { return network_.blocks()[static_cast<std::size_t>(id)]; }

  Network<T>& network_;
  const Kernels<T>& kernels_;
  Loss<T> loss_;
  OptimizerSettings settings_;
  std::uint64_t seed_;
  std::int64_t steps_ = 0;
  Program program_;
  TrainingSchedule schedule_;
  bool updates_in_turns_ = false;              // some parameters while the gradients of others are not made
  std::vector<State> states_;                  // by block
  std::vector<Workspace> workspaces_;          // by node
  Buffer<T> fixed_parameters_;                 // by node
  std::vector<Buffer<T>> buffers_;             // of the schedule: those of elements
  std::vector<Buffer<std::uint8_t>> choices_;  // of the schedule: those of bytes
  double batch_weight_ = 0.0;
  bool watching_ = false, sums_weight_squares_ = false;
  double weight_squares_ = 0.0;
  std::int64_t watched_rows_ = 0;             // since the last take_shares()
  std::vector<std::vector<Buffer<T>>> held_;  // by level of sum_parts(), from 1 on: two for each block
  Buffer<T> input_, targets_;                 // gathered or perturbed input, gathered targets
  Buffer<double> row_loss_;
  Buffer<std::int32_t> right_;  // outputs of each row
  double accuracy_ = 0.0;
  bool measures_accuracy_ = false;
};

}  // namespace fnnfast::cpu
