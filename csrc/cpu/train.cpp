#include "train.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <new>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "interrupt.hpp"
#include "threads.hpp"

namespace fnnfast::cpu {

template <class T>
Trainer<T>::Trainer(Network<T>& network, Loss<T> loss, const OptimizerSettings& settings, std::uint64_t seed,
                    std::vector<bool> frozen)
    : network_(network),
      kernels_(network.kernels()),
      loss_(std::move(loss)),
      settings_(settings),
      seed_(seed),
      program_(network.training_program()) {
  check();
  schedule_ = schedule_training(program_, frozen, loss_.info().from_logits);
  const auto over_parameters = [](const Region& region) { return region.over == Over::kParameters; };
  updates_in_turns_ = std::ranges::count_if(schedule_.regions, over_parameters) > 1;
  const auto nodes = static_cast<NodeId>(program_.nodes.size());
  fixed_parameters_ = Buffer<T>(nodes);
  workspaces_.resize(program_.nodes.size());
  states_.resize(program_.blocks.size());
  NodeId last_affine = kNone;
  for (NodeId n = 0; n < nodes; ++n) {
    const Node& node = program_.node(n);
    fixed_parameters_[n] = static_cast<T>(node.epilogue.parameter);
    workspace(n).of = network_.constants_of(program_, node, fixed_parameters_.data() + n);
    if (const Affine* const affine = node.as<Affine>()) {
      if (last_affine != kNone) workspace(last_affine).next = n;
      last_affine = n;
      // A whole vector at the end of a slice would overwrite the next slice.
      const Value& out = program_.value(node.out);
      const bool is_slice = out.shape.c != program_.storages[static_cast<std::size_t>(out.storage)];
      workspace(n).padded = out.shape.is_vector() && !is_slice;
      const PanelLayout& layout = block(affine->block).layout;
      const bool wide = gathers_columns(layout) && !multiplies_pairs(node);
      workspace(n).gathers = wide || (layout.pieces == 1 && is_slice);
      if (block(affine->block).convolution)  // whole vectors of dz are read in place
        workspace(n).gathers = layout.pieces == 1 && (is_slice || layout.group_units() % kernels_.lanes != 0);
    }
  }
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const Block<T>& of = network.blocks()[i];
    State& s = states_[i];
    s.frozen = i < frozen.size() && frozen[i];
    if (of.panels.size() > 0) s.squares = Buffer<T>(2 * kernels_.lanes * gradient_parts(of).count());
    for (int which = 0; which < states(); ++which) {
      s.optimizer.panels[which] = Buffer<T>(of.panels.size());
      if (of.slopes) s.optimizer.alpha[which] = Buffer<T>(of.layout.padded_units());
    }
    if (of.slopes) s.alpha_gradient = Buffer<T>(of.layout.padded_units());
  }
  for (NodeId n = 0; n < nodes; ++n)
    if (program_.node(n).is<Normalize>())
      for (Buffer<T>& buffer : workspace(n).statistics)
        buffer = Buffer<T>(block(block_of(program_.node(n))).layout.padded_units());
  for (const TrainingStep& step : schedule_.steps)
    if (step.task == Task::kInput)
      if (const Affine* const affine = program_.node(step.node).template as<Affine>()) {
        if (affine->windowed)
          state(affine->block).phases =
              phase_weights<T>(*block(affine->block).convolution, kernels_.lanes, kernels_.panel_vectors);
        else
          reserve_transposed(program_.node(step.node));
      }
  buffers_.resize(schedule_.buffers.size());
  choices_.resize(schedule_.buffers.size());
}

template <class T>
void Trainer<T>::check() const {
  if (network_.is_fixed())
    throw std::invalid_argument("a bfloat16 or int8 network cannot be trained, only the one it was made from");
  check_trainable(program_);
  loss_.check(network_.outputs());
  for (const Node& node : program_.nodes)
    if (!node.template is<Affine>() && !node.template is<Pointwise>() && !node.template is<Perturb>() &&
        !node.template is<Normalize>() && !runs_on_images(node))
      throw std::invalid_argument("layer " + std::to_string(node.spec) +
                                  ": training of this operation is not supported on the CPU");
}

// Allocates buffers for a batch of that size, unless they exist.
template <class T>
void Trainer<T>::reserve(const Batch<T>& batch, ptrdiff_t sample_blocks) {
  const auto grow = [](auto& buffer, ptrdiff_t n) {
    if (buffer.size() >= n) return;
    poll_interrupts();
    buffer = std::remove_reference_t<decltype(buffer)>(n);
  };
  const ptrdiff_t samples = batch.rows;
  if (copies_input(batch)) grow(input_, samples * row_stride(program_.input()) * program_.input().pixels());
  if (batch.indices != nullptr && batch.targets != nullptr) grow(targets_, samples * loss_.targets(network_.outputs()));
  grow(row_loss_, samples);
  if (measures_accuracy_) grow(right_, samples);
  for (std::size_t b = 0; b < schedule_.buffers.size(); ++b) {
    const BufferShape& shape = schedule_.buffers[b];
    const ptrdiff_t size = samples * shape.row * shape.pixels;
    if (shape.bytes)
      grow(choices_[b], size);
    else
      grow(buffers_[b], size);
  }
  for (NodeId n = 0; n < static_cast<NodeId>(program_.nodes.size()); ++n) {
    const Node& node = program_.node(n);
    if (!node.is<Normalize>() || !trains(block_of(node))) continue;
    const ptrdiff_t groups = divide_up(samples, sum_samples(pixels_of(node.in)));
    for (Buffer<T>& sums : workspace(n).groups) grow(sums, groups * workspace(n).statistics[kMean].size());
  }
  for (NodeId n = schedule_.first_trained; n < static_cast<NodeId>(program_.nodes.size()); ++n) {
    const Node& node = program_.node(n);
    Workspace& w = workspace(n);
    const Shape& shape = program_.value(node.out).shape;
    const ptrdiff_t rows = samples * shape.pixels(), units = divide_up(shape.c, kernels_.lanes) * kernels_.lanes;
    // A group's last panel may end after the row.
    if (w.gathers) grow(w.columns, rows * units + kernels_.panel_width());
    if (multiplies_pairs(node) && trains(block_of(node))) {
      const PairFactors factors = pair_factors(n, batch);
      grow(w.x_words, factors.x_size());
      grow(w.dz_words, factors.dz_size());
    }
    if (const Convolution* const convolution = convolution_of(node)) {
      const SampleBlocks blocks(convolution->pixels(), samples);
      const MaxoutOrder order{blocks.rows(0), shape.c, w.of.pieces};
      grow(w.sums, blocks.count() * block(block_of(node)).layout.size());
      if (w.of.pieces > 1) grow(w.order, blocks.count() * order.size());
      if (w.of.pieces > 1) grow(w.sorted, blocks.count() * order.gradients());
      if (w.of.pieces > 1 && trains(block_of(node))) grow(w.won, order.units * order.pieces);
    } else if (node.is<Affine>() && schedule_.choice[static_cast<std::size_t>(n)].buffer != kNone) {
      const MaxoutOrder order{rows, shape.c, w.of.pieces};
      grow(w.order, order.size());
      grow(w.sorted, order.gradients());
      if (trains(block_of(node))) grow(w.won, order.units * order.pieces);
    }
    if (node.epilogue.slopes != kNone) grow(w.alpha_sums, divide_up(samples, sum_samples(shape.pixels())) * units);
    if (node.epilogue.info().watch != Watch::kNothing && w.watch.size() < sample_blocks * units) {
      Buffer<T> more(sample_blocks * units);
      std::copy_n(w.watch.data(), w.watch.size(), more.data());
      w.watch = std::move(more);
      grow(w.watched, units);
    }
  }
}

// Whether the gradients of a node are products of bfloat16 in pairs: of a dense layer. Those of maxout skip most
// products, and those of images read windows.
template <class T>
bool Trainer<T>::multiplies_pairs(const Node& node) const {
  const Affine* const affine = node.template as<Affine>();
  return affine != nullptr && multiplies_pairs(network_.blocks()[static_cast<std::size_t>(affine->block)]);
}
template <class T>
bool Trainer<T>::multiplies_pairs(const Block<T>& of) const {
  return network_.format() == WeightFormat::kBfloat16Pairs && of.layout.pieces == 1 && !of.convolution;
}

// In pairs, the inputs are the rows of a product, whose weights are the gradients.
template <class T>
GradientParts Trainer<T>::gradient_parts(const Block<T>& of) const {
  GradientParts parts(of.layout);
  if (multiplies_pairs(of)) parts.inputs_each = std::max(parts.inputs_each, network_.affine_kernel().shared_rows);
  return parts;
}

template <class T>
void Trainer<T>::reserve_transposed(const Node& node) {
  State& s = state(block_of(node));
  const PanelLayout& layout = block(block_of(node)).layout;
  if (!multiplies_pairs(node)) {
    s.transposed = Buffer<T>(TransposedLayout(layout).size());
    return;
  }
  constexpr WeightFormat kPairs = WeightFormat::kBfloat16Pairs;
  const PanelLayout of = transposed_pairs_layout(layout);
  s.transposed = Buffer<T>(stored_layout(of, kPairs).size());
  set_sizes(s.pairs, of, kPairs);
  s.pairs.panels = s.transposed.data();
}

// Whether the batch is copied to input_: gathered, perturbed, or with zeros for rows of weight 0.
template <class T>
bool Trainer<T>::copies_input(const Batch<T>& batch) const {
  return batch.indices != nullptr || batch.sample_weights != nullptr || schedule_.input_in_place;
}

template <class T>
typename Trainer<T>::Rows Trainer<T>::rows_at(const Place& place, const Batch<T>& batch, ptrdiff_t first) {
  if (place.buffer == kNone) return {};
  if (place.buffer == kInputBuffer) {
    if (copies_input(batch)) return {input_.data() + first * place.elements() + place.channel, place.row};
    // The caller's rows are dense. They are only read.
    const ptrdiff_t inputs = network_.inputs();
    return {const_cast<T*>(batch.x) + first * inputs + place.channel, inputs / place.pixels};
  }
  return {buffers_[static_cast<std::size_t>(place.buffer)].data() + first * place.elements() + place.channel,
          place.row};
}

template <class T>
std::uint8_t* Trainer<T>::choice_at(NodeId node, ptrdiff_t first) {
  const Place& place = schedule_.choice[static_cast<std::size_t>(node)];
  if (place.buffer == kNone) return nullptr;
  return choices_[static_cast<std::size_t>(place.buffer)].data() + first * place.elements();
}

template <class T>
double Trainer<T>::run(const Batch<T>& batch, const UpdateStep<T>* weights, const UpdateStep<T>* others) {
  for (std::size_t b = 0; b < states_.size(); ++b) refresh_transposed(static_cast<BlockId>(b));
  const double own_weight = total_weight(batch.rows, batch.sample_weights);
  batch_weight_ = batch.is_part() ? batch.whole_weight : own_weight;
  // A step moves weights and activations between threads, a line at a time. On cores that share no cache, this pays
  // only with more work than in a forward pass.
  constexpr double kExchange = 0.25;
  const ptrdiff_t threads = worth_threads(batch.rows, network_.work() * 3 * kExchange) ? num_threads() : 1;
  // Blocks of samples: equal, up to four per thread, and not small, since each block reads all weights twice. Rows that
  // are summed or sorted together stay together.
  constexpr ptrdiff_t kMostRows = 256, kBlocksEach = 4;
  const ptrdiff_t least = network_.affine_kernel().shared_rows;
  const ptrdiff_t pair = network_.format() == WeightFormat::kBfloat16Pairs ? 2 : 1;
  const ptrdiff_t multiple = std::lcm(schedule_.samples_multiple, pair);
  const ptrdiff_t each = std::max({ptrdiff_t{1}, std::min(kBlocksEach, batch.rows / (threads * least)),
                                   divide_up(batch.rows, threads * kMostRows)});
  const ptrdiff_t samples_each = divide_up(divide_up(batch.rows, threads * each), multiple) * multiple;
  const ptrdiff_t blocks = divide_up(batch.rows, samples_each);
  reserve(batch, blocks);
  std::optional<double> loss;  // before the first parameter changes
  const double share = batch.is_part() ? own_weight / batch_weight_ : 1.0;
  const auto mean = [&] { return loss_.mean(batch.rows, row_loss_.data(), batch_weight_, network_.outputs(), share); };
  for (const Region& region : schedule_.regions) switch (region.over) {
      case Over::kSamples:
        run_samples(region, batch, samples_each, blocks, threads);
        break;
      case Over::kParameters:
        if (!loss) loss = mean();
        if (weights != nullptr && std::isnan(*loss)) return *loss;  // such a step would make all parameters NaN
        run_parameters(region, batch, weights, others, threads);
        break;
      case Over::kOnce:
        run_once(region, batch);
        break;
    }
  return loss ? *loss : mean();  // none before: everything is frozen
}

template <class T>
void Trainer<T>::run_samples(const Region& region, const Batch<T>& batch, ptrdiff_t samples_each, ptrdiff_t blocks,
                             ptrdiff_t threads) {
  const auto run_block = [&](ptrdiff_t block) {
    const ptrdiff_t first = block * samples_each, samples = std::min(samples_each, batch.rows - first);
    if (region.first == 0) take_input(batch, first, samples);
    for (std::int32_t s = region.first; s < region.last; ++s) {
      const TrainingStep& step = schedule_.steps[static_cast<std::size_t>(s)];
      switch (step.task) {
        case Task::kForward:
          forward_step(step.node, batch, first, samples);
          break;
        case Task::kLoss:
          loss_step(batch, first, samples);
          break;
        case Task::kEpilogue:
          epilogue_step(step, batch, block, first, samples);
          break;
        case Task::kInput:
          input_step(step, batch, first, samples);
          break;
        case Task::kStatistics:
          statistics_step(step.node, batch, first, samples);
          break;
        case Task::kSums:
          sums_step(step.node, batch, first, samples);
          break;
        case Task::kMerge:
        case Task::kMergeSums:
        case Task::kWeights:
          break;
      }
    }
  };
  const double work_each = static_cast<double>(samples_each) * network_.effort() * 2;  // forward, and back to the input
  if (threads == 1)
    long_serial_for(blocks, work_each, run_block);
  else
    long_parallel_for(blocks, work_each, run_block);
}

template <class T>
void Trainer<T>::run_once(const Region& region, const Batch<T>& batch) {
  for (std::int32_t s = region.first; s < region.last; ++s) {
    const TrainingStep& step = schedule_.steps[static_cast<std::size_t>(s)];
    if (step.task == Task::kMerge) merge_step(step.node, batch);
    if (step.task == Task::kMergeSums) merge_sums_step(step.node, batch);
  }
}

// The tasks of a node's parameters: the parts of its weights, then its slopes, which may belong to another block.
template <class T>
ptrdiff_t Trainer<T>::parameter_tasks(NodeId id) const {
  const Node& node = program_.node(id);
  const Affine* const affine = node.template as<Affine>();
  ptrdiff_t parts = trains(node.epilogue.slopes) ? 1 : 0;
  if (node.template is<Normalize>() && trains(block_of(node))) ++parts;
  if (affine != nullptr && trains(affine->block))
    parts += gradient_parts(network_.blocks()[static_cast<std::size_t>(affine->block)]).count();
  return parts;
}

template <class T>
void Trainer<T>::run_parameters(const Region& region, const Batch<T>& batch, const UpdateStep<T>* weights,
                                const UpdateStep<T>* others, ptrdiff_t threads) {
  sum_images(region, batch);
  ptrdiff_t tasks = 0;
  for (std::int32_t s = region.first; s < region.last; ++s)
    tasks += parameter_tasks(schedule_.steps[static_cast<std::size_t>(s)].node);
  // Tasks [first, last) of those of all nodes, one after the other.
  const auto run_tasks = [&](ptrdiff_t first, ptrdiff_t last) {
    for (std::int32_t s = region.first; s < region.last && last > 0; ++s) {
      const NodeId node = schedule_.steps[static_cast<std::size_t>(s)].node;
      const ptrdiff_t own = parameter_tasks(node);
      if (first < own) parameter_task(node, std::max(first, ptrdiff_t{0}), std::min(last, own), batch, weights, others);
      first -= own;
      last -= own;
    }
  };
  // Few enough groups of neighbouring parts that each goes to the same thread in every step (threads.hpp): weights and
  // states then stay in that core's cache instead of moving between cores, which costs as much as the arithmetic.
  constexpr ptrdiff_t kGroups = 48;
  const bool updates = weights != nullptr;
  const double work = updates ? 0.0 : static_cast<double>(batch.rows) * network_.work();
  const auto most = static_cast<ptrdiff_t>(kPollWork * static_cast<double>(tasks) / std::max(work, 1.0));
  const ptrdiff_t group = std::max(ptrdiff_t{1}, std::min(divide_up(tasks, kGroups), most));
  const auto run_group = [&](ptrdiff_t i) { run_tasks(i * group, std::min(tasks, (i + 1) * group)); };
  const ptrdiff_t groups = divide_up(tasks, group);
  const double work_each = work / static_cast<double>(std::max(groups, ptrdiff_t{1}));
  if (updates && threads == 1)
    update_whole(region, batch, 1, [&](ptrdiff_t) { run_tasks(0, tasks); });
  else if (updates)
    update_whole(region, batch, groups, run_group);
  else if (threads == 1)
    long_serial_for(groups, work_each, run_group);
  else
    long_parallel_for(groups, work_each, run_group);
}

// All groups of tasks or none: half of an update would be neither the old weights nor the new ones. Nothing is asked in
// between, and this thread, which has its memory before it begins, does what others have no memory for.
template <class T>
template <class RunGroup>
void Trainer<T>::update_whole(const Region& region, const Batch<T>& batch, ptrdiff_t groups,
                              const RunGroup& run_group) {
  GradientScratch scratch;
  for (std::int32_t s = region.first; s < region.last; ++s) {
    const Node& node = program_.node(schedule_.steps[static_cast<std::size_t>(s)].node);
    if (!node.template is<Affine>() || convolution_of(node) != nullptr) continue;  // those of images are summed already
    const GradientParts parts = gradient_parts(block(block_of(node)));
    const bool in_pairs = multiplies_pairs(node);
    const PairFactors factors =
        in_pairs ? pair_factors(schedule_.steps[static_cast<std::size_t>(s)].node, batch) : PairFactors{};
    scratch.include(gradient_scratch(kernels_, parts, batch.rows * pixels_of(node.out), batch.parts,
                                     in_pairs ? &factors : nullptr));
  }
  scratch.template reserve<T>();
  std::atomic<std::uint64_t> left{0};
  parallel_for(groups, [&](ptrdiff_t i) {
    try {
      scratch.template reserve<T>();
    } catch (const std::bad_alloc&) {
      left.fetch_or(std::uint64_t{1} << i, std::memory_order_relaxed);
      return;
    }
    run_group(i);
  });
  for (std::uint64_t rest = left.load(std::memory_order_relaxed); rest != 0; rest &= rest - 1)
    run_group(std::countr_zero(rest));
}

template <class T>
double Trainer<T>::step(const Batch<T>& batch, double learning_rate) {
  // A step that is ended from outside, or for want of memory, leaves everything as it was: once weights are being
  // updated, nothing ends it. If gradients then take long, or if those of other layers follow, all are made first.
  constexpr double kLongUpdate = 4e9;  // multiply-adds of one thread, a tenth of a second
  const bool is_long = static_cast<double>(batch.rows) * network_.work() > kLongUpdate * num_threads();
  const Watching watching(watching_);
  const double squares = sums_weight_squares_ ? weight_squares() : 0.0;
  double loss;
  if (settings_.clip_norm > 0.0 || is_long || updates_in_turns_) {
    loss = gradients(batch);
    if (!std::isnan(loss)) apply(learning_rate);
  } else {
    const UpdateStep<T> weights = update_step(learning_rate, true, 1.0);
    const UpdateStep<T> others = update_step(learning_rate, false, 1.0);
    loss = run(batch, &weights, &others);
    if (!std::isnan(loss)) {
      ++steps_;
      for (std::size_t i = 0; i < states_.size(); ++i)  // the update has also refreshed the transposed weights
        if (!states_[i].frozen) states_[i].version = ++network_.blocks()[i].version;
      count_update();
    }
  }
  if (measures_accuracy_) accuracy_ = batch_accuracy(batch);
  for (NodeId n = 0; n < static_cast<NodeId>(workspaces_.size()); ++n)
    if (workspace(n).won.size() > 0) note_winners(n, batch.rows);
  weight_squares_ += squares;
  constexpr std::int64_t kFoldRows = std::int64_t{1} << 22;  // a float counts to 2^24
  const std::int64_t before = watched_rows_;
  watched_rows_ += batch.rows;
  if (before / kFoldRows != watched_rows_ / kFoldRows)
    for (NodeId n = 0; n < static_cast<NodeId>(workspaces_.size()); ++n) fold_watch(n);
  return loss;
}

template <class T>
void Trainer<T>::reserve_gradients() {
  for (std::size_t i = 0; i < states_.size(); ++i)
    if (states_[i].gradient.size() == 0) states_[i].gradient = Buffer<T>(network_.blocks()[i].panels.size());
}

template <class T>
double Trainer<T>::gradients(const Batch<T>& batch) {
  reserve_gradients();
  for (State& s : states_)
    if (s.frozen) {
      std::fill_n(s.gradient.data(), s.gradient.size(), T(0));
      std::fill_n(s.alpha_gradient.data(), s.alpha_gradient.size(), T(0));
    }
  const double loss = run(batch, nullptr, nullptr);
  if (batch.is_part() && measures_accuracy_) accuracy_ = batch_accuracy(batch);
  return loss;
}

template <class T>
Batch<T> Trainer<T>::part_of(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t last) const {
  Batch<T> part = batch;
  part.rows = last - first;
  part.rows_before = first;
  if (batch.whole_weight <= 0.0) part.whole_weight = total_weight(batch.rows, batch.sample_weights);
  if (batch.indices != nullptr) part.indices += first;
  if (batch.indices == nullptr) part.x += first * network_.inputs();
  if (batch.indices == nullptr && batch.targets != nullptr) part.targets += first * loss_.targets(network_.outputs());
  if (batch.labels != nullptr) part.labels += first;
  if (batch.sample_weights != nullptr) part.sample_weights += first;
  return part;
}

// Whether gradients of parts differ from those of a whole batch in the sums of dense layers alone. Else each part has a
// step of its own, in which sums over images, pieces or slopes, and statistics, are those of its rows.
template <class T>
bool Trainer<T>::sums_parts_at_once() const {
  if (network_.format() == WeightFormat::kBfloat16Pairs) return false;
  for (const Node& node : program_.nodes) {
    if (trains(node.epilogue.slopes) || (node.template is<Normalize>() && trains(block_of(node)))) return false;
    if (!node.template is<Affine>() || !trains(block_of(node))) continue;
    const Block<T>& of = network_.blocks()[static_cast<std::size_t>(block_of(node))];
    if (of.convolution || of.layout.pieces > 1) return false;
  }
  return true;
}

template <class T>
std::vector<typename Trainer<T>::PartResult> Trainer<T>::sum_parts(const Batch<T>& batch, const RowParts& parts) {
  std::vector<PartResult> results;
  const auto add_result = [&](ptrdiff_t part, double loss) {
    results.push_back({part, loss, accuracy_, batch_statistics()});
  };
  if (sums_parts_at_once()) {
    const ptrdiff_t begin = parts.ends[0];
    std::vector<ptrdiff_t> ends(parts.ends, parts.ends + parts.count + 1);
    for (ptrdiff_t& end : ends) end -= begin;
    if (ends.back() == 0) return results;
    Batch<T> rows = part_of(batch, begin, begin + ends.back());
    const RowParts own{ends.data(), parts.count, parts.round};
    rows.parts = &own;
    gradients(rows);
    for (ptrdiff_t i = 0; i < parts.count; ++i) {
      if (parts.ends[i] == parts.ends[i + 1]) continue;
      const Batch<T> part = part_of(batch, parts.ends[i], parts.ends[i + 1]);
      const ptrdiff_t first = parts.ends[i] - begin;
      const double share = total_weight(part.rows, part.sample_weights) / part.whole_weight;
      if (measures_accuracy_) accuracy_ = batch_accuracy(part, first);
      add_result(i, loss_.mean(part.rows, row_loss_.data() + first, part.whole_weight, network_.outputs(), share));
    }
    return results;
  }
  reserve_gradients();
  const auto leaf = [&](ptrdiff_t i, ptrdiff_t level) {
    swap_gradients(static_cast<std::size_t>(level));
    const double loss = gradients(part_of(batch, parts.ends[i], parts.ends[i + 1]));
    swap_gradients(static_cast<std::size_t>(level));
    add_result(i, loss);
    if (parts.round)
      for_sums(static_cast<std::size_t>(level), [](T* sum, const T*, ptrdiff_t n) { round_bits(sum, n); });
  };
  sum_tree(parts, 0, parts.count, 0, leaf, [&](ptrdiff_t level) {
    for_sums(static_cast<std::size_t>(level),
             [&](T* sum, const T* next, ptrdiff_t n) { add_sums(sum, next, n, parts.round); });
  });
  return results;
}

// Exchanges the gradients with the sums of a level. Those of level 0 are where gradients are.
template <class T>
void Trainer<T>::swap_gradients(std::size_t level) {
  if (held_.size() < level + 1) held_.resize(level + 1);  // one more than there are levels, for for_sums()
  for (std::vector<Buffer<T>>& held : held_)
    for (std::size_t i = held.size() / 2; i < states_.size(); ++i) {
      held.emplace_back(states_[i].gradient.size());
      held.emplace_back(states_[i].alpha_gradient.size());
    }
  if (level == 0) return;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    std::swap(states_[i].gradient, held_[level - 1][2 * i]);
    std::swap(states_[i].alpha_gradient, held_[level - 1][2 * i + 1]);
  }
}

// f(sum, the next level's, elements) for parts of all sums of a level.
template <class T>
template <class F>
void Trainer<T>::for_sums(std::size_t level, F&& f) {
  constexpr ptrdiff_t kEach = ptrdiff_t{1} << 15;
  const auto run = [&](const Buffer<T>& sums, const Buffer<T>& next) {
    parallel_for(divide_up(sums.size(), kEach), [&](ptrdiff_t i) {
      f(sums.data() + i * kEach, next.data() + i * kEach, std::min(kEach, sums.size() - i * kEach));
    });
  };
  for (std::size_t i = 0; i < states_.size(); ++i) {
    run(level == 0 ? states_[i].gradient : held_[level - 1][2 * i], held_[level][2 * i]);
    run(level == 0 ? states_[i].alpha_gradient : held_[level - 1][2 * i + 1], held_[level][2 * i + 1]);
  }
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace fnnfast::cpu
