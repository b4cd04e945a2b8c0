// The gradients of the parameters, and the updates.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "threads.hpp"
#include "train.hpp"

namespace fnnfast::cpu {

template <class T>
UpdateStep<T> Trainer<T>::update_step(double learning_rate, bool weights, double scale) const {
  return fnnfast::update_step<T>(settings_, steps_, learning_rate, weights, scale);
}

template <class T>
void Trainer<T>::update_rows(BlockId id, ptrdiff_t offset, ptrdiff_t n, const T* gradient, const UpdateStep<T>& step,
                             T* squares) {
  OptimizerState& o = state(id).optimizer;
  T* const second = o.panels[1].size() ? o.panels[1].data() + offset : nullptr;
  kernels_.update[static_cast<int>(settings_.kind)](
      {n, block(id).panels.data() + offset, gradient, o.panels[0].data() + offset, second, &step, squares});
}

template <class T>
void Trainer<T>::update_alpha(BlockId id, const UpdateStep<T>& step) {
  State& s = state(id);
  kernels_.update[static_cast<int>(settings_.kind)]({block(id).layout.padded_units(), block(id).alpha.data(),
                                                     s.alpha_gradient.data(), s.optimizer.alpha[0].data(),
                                                     s.optimizer.alpha[1].data(), &step, nullptr});
}

namespace {

// The destination of a finished part of a layer's gradient: the update, or the gradient's own panels.
template <class T, class Update>
struct Destination {
  bool bias;  // if false, the gradient of the bias is dropped
  T* gradient;
  Update update;
  static void take(void* context, const Panel& panel, ptrdiff_t first, ptrdiff_t count, const T* values) {
    Destination& self = *static_cast<Destination*>(context);
    if (first < 0 && !self.bias) return;
    const ptrdiff_t offset = panel.offset + (first + 1) * panel.width;
    if (self.gradient)
      std::copy_n(values, count * panel.width, self.gradient + offset);
    else
      self.update(panel, first, count, offset, values);
  }
};
template <class T, class Update>
Destination(bool, T*, Update) -> Destination<T, Update>;

}  // namespace

template <class T>
void Trainer<T>::parameter_task(NodeId id, ptrdiff_t first, ptrdiff_t last, const Batch<T>& batch,
                                const UpdateStep<T>* weights, const UpdateStep<T>* others) {
  const Node& node = program_.node(id);
  ptrdiff_t parts = parameter_tasks(id);
  if (trains(node.epilogue.slopes)) {
    --parts;
    if (last > parts) alpha_task(id, divide_up(batch.rows, sum_samples(pixels_of(node.out))), others);
  }
  if (first >= parts) return;
  if (node.template is<Normalize>()) return normalize_update(id, others);
  weights_task(id, first, std::min(last, parts), batch, weights, others);
}

template <class T>
void Trainer<T>::weights_task(NodeId id, ptrdiff_t first_part, ptrdiff_t last_part, const Batch<T>& batch,
                              const UpdateStep<T>* weights, const UpdateStep<T>* others) {
  const Node& node = program_.node(id);
  const BlockId of = node.template as<Affine>()->block;
  Block<T>& block = this->block(of);
  State& s = state(of);
  Workspace& w = workspace(id);
  const ptrdiff_t rows = batch.rows * pixels_of(node.out);
  const MaxoutOrder order{rows, block.layout.units, block.layout.pieces};
  const Rows x = rows_at(schedule_.value_at(node.in), batch, 0),
             dz = rows_at(schedule_.gradient_at(node.out), batch, 0);
  GradientSource<T> from{};
  from.rows = rows;
  from.x = x.data;
  from.x_row = x.row;
  from.dz = dz.data;
  from.dz_row = dz.row;
  if (w.gathers) from.dz_panels = w.columns.data();
  from.parts = batch.parts;
  if (block.layout.pieces > 1) {
    from.maxout = &order;
    from.order = w.order.data();
    from.sorted = w.sorted.data();
  }
  T* const squares = squares_of(of, first_part);  // for all parts of this task
  Destination to{block.bias, weights ? nullptr : s.gradient.data(),
                 [&](const Panel& panel, ptrdiff_t first, ptrdiff_t count, ptrdiff_t offset, const T* values) {
                   update_rows(of, offset, count * panel.width, values, first < 0 ? *others : *weights, squares);
                   derive_weights(of, panel, first, first < 0 ? 0 : first + count);
                 }};
  const GradientParts parts = gradient_parts(block);
  const PairFactors factors = multiplies_pairs(node) ? pair_factors(id, batch) : PairFactors{};
  if (multiplies_pairs(node)) from.pairs = &factors;
  if (block.convolution == nullptr)
    return weight_gradient(kernels_, parts, first_part, last_part, from, {&to, &decltype(to)::take});
  // sum_images() has the sums of blocks of samples.
  const SampleBlocks blocks(block.convolution->pixels(), batch.rows);
  const auto take = [&](const Panel& panel, ptrdiff_t first, ptrdiff_t count) {
    add_blocks(blocks, block.layout, panel, first + 1, first + 1 + count, w.sums.data());
    to.take(&to, panel, first, count, w.sums.data() + panel.offset + (first + 1) * panel.width);
  };
  for (ptrdiff_t part = first_part; part < last_part; ++part)
    for (ptrdiff_t group = 0; group < block.layout.groups(); ++group) {
      const Panel panel = block.layout.panel(part % block.layout.blocks(), group);
      const ptrdiff_t input = part / block.layout.blocks() * parts.inputs_each;
      if (input == 0) take(panel, -1, 1);
      take(panel, input, std::min(parts.inputs_each, block.layout.inputs - input));
    }
}

// The gradients of all products over images in the region, by blocks of samples: those of early layers have many, so
// that their tasks are not longer than those of late ones.
template <class T>
void Trainer<T>::sum_images(const Region& region, const Batch<T>& batch) {
  std::vector<ImageSums> all;
  ptrdiff_t sorts = 0, count = 0;
  double work = 0.0;
  for (std::int32_t s = region.first; s < region.last; ++s) {
    const NodeId id = schedule_.steps[static_cast<std::size_t>(s)].node;
    const Node& node = program_.node(id);
    if (convolution_of(node) == nullptr || !trains(block_of(node))) continue;
    all.push_back(image_sums(id, batch.rows));
    sorts += all.back().sorts;
    count += all.back().count;
    work += block(block_of(node)).work() * static_cast<double>(pixels_of(node.out)) * static_cast<double>(batch.rows);
  }
  if (all.empty()) return;
  // f(sums, their task) for one of the tasks of all.
  const auto dispatch = [&](ptrdiff_t task, ptrdiff_t ImageSums::* number, const auto& f) {
    std::size_t i = 0;
    while (task >= all[i].*number) task -= all[i++].*number;
    f(all[i], task);
  };
  const auto sort = [&](const ImageSums& sums, ptrdiff_t task) { sort_images(sums, batch, task); };
  const auto sum = [&](const ImageSums& sums, ptrdiff_t task) {
    if (sums.windows)
      sum_windows(sums, batch, task);
    else
      sum_maxout(sums, batch, task);
  };
  long_parallel_for(sorts, static_cast<double>(kMaxoutChunk) * kValueWork,
                    [&](ptrdiff_t task) { dispatch(task, &ImageSums::sorts, sort); });
  long_parallel_for(count, work / static_cast<double>(count),
                    [&](ptrdiff_t task) { dispatch(task, &ImageSums::count, sum); });
}

template <class T>
typename Trainer<T>::ImageSums Trainer<T>::image_sums(NodeId id, ptrdiff_t samples) {
  const Block<T>& b = block(block_of(program_.node(id)));
  const SampleBlocks blocks(b.convolution->pixels(), samples);
  ImageSums sums{id, blocks, b.layout, {}, {blocks.rows(0), b.units, b.pieces}, 0, 0};
  if (b.pieces > 1) {
    sums.sorts = blocks.count() * sums.order.chunks();
    sums.count = blocks.count() * GradientParts(b.layout).count();
  } else {
    sums.windows.emplace(b.windows->plan, b.layout, blocks, num_threads());
    sums.count = sums.windows->count;
  }
  return sums;
}

// Maxout: one chunk of rows of one block of samples.
template <class T>
void Trainer<T>::sort_images(const ImageSums& sums, const Batch<T>& batch, ptrdiff_t task) {
  const ptrdiff_t block = task / sums.order.chunks(), chunk = task % sums.order.chunks();
  const MaxoutOrder order{sums.blocks.rows(block), sums.order.units, sums.order.pieces};
  if (chunk >= order.chunks()) return;
  Workspace& w = workspace(sums.id);
  const Place& choice = schedule_.choice[static_cast<std::size_t>(sums.id)];
  const Rows dz = rows_at(schedule_.gradient_at(program_.node(sums.id).out), batch, 0);
  const ptrdiff_t row = sums.blocks.first_row(block);
  order.sort(chunk, choice_at(sums.id, 0) + row * choice.row, choice.row, dz.data + row * dz.row, dz.row,
             w.order.data() + block * sums.order.size(), w.sorted.data() + block * sums.order.gradients());
}

template <class T>
void Trainer<T>::sum_windows(const ImageSums& sums, const Batch<T>& batch, ptrdiff_t task) {
  const Node& node = program_.node(sums.id);
  const OwnedPlan<T>& windows = *block(block_of(node)).windows;
  Workspace& w = workspace(sums.id);
  const Rows x = rows_at(schedule_.value_at(node.in), batch, 0);
  Rows dz = rows_at(schedule_.gradient_at(node.out), batch, 0);
  if (w.gathers) dz = {w.columns.data(), sums.layout.padded_units()};
  window_gradient_task<T>(kernels_, *sums.windows, sums.layout, sums.blocks,
                          {windows.plan, windows.zeros.data(), x.data, x.row, dz.data, dz.row, w.sums.data()}, task);
}

template <class T>
void Trainer<T>::sum_maxout(const ImageSums& sums, const Batch<T>& batch, ptrdiff_t task) {
  const Node& node = program_.node(sums.id);
  Workspace& w = workspace(sums.id);
  const GradientParts parts(sums.layout);
  const ptrdiff_t block = task / parts.count(), part = task % parts.count();
  const MaxoutOrder order{sums.blocks.rows(block), sums.order.units, sums.order.pieces};
  const Rows x = rows_at(schedule_.value_at(node.in), batch, 0);
  GradientSource<T> from{};
  from.rows = order.rows;
  from.x = x.data;
  from.x_row = x.row;
  from.maxout = &order;
  from.order = w.order.data() + block * sums.order.size();
  from.sorted = w.sorted.data() + block * sums.order.gradients();
  from.windows = &this->block(block_of(node)).windows->plan;
  from.first_row = sums.blocks.first_row(block);
  weight_gradient(kernels_, parts, part, part + 1, from, stored_gradient(w.sums.data() + block * sums.layout.size()));
}

// The gradient of a learned parameter: the sums of the groups of samples, in order.
template <class T>
void Trainer<T>::alpha_task(NodeId id, ptrdiff_t groups, const UpdateStep<T>* others) {
  const BlockId of = program_.node(id).epilogue.slopes;
  const ptrdiff_t units = block(of).layout.padded_units();
  const Buffer<T>& sums = workspace(id).alpha_sums;
  T* const gradient = state(of).alpha_gradient.data();
  std::copy_n(sums.data(), units, gradient);
  for (ptrdiff_t b = 1; b < groups; ++b)
    for (ptrdiff_t u = 0; u < units; ++u) gradient[u] += sums[b * units + u];
  if (others) update_alpha(of, *others);
}

namespace {

constexpr ptrdiff_t kRoundedInputs = 16;  // at a time

}  // namespace

template <class T>
PairFactors Trainer<T>::pair_factors(NodeId id, const Batch<T>& batch) {
  if constexpr (std::is_same_v<T, float>) {
    const Workspace& w = workspace(id);
    return {network_.affine_kernel(), block(block_of(program_.node(id))).layout, batch.rows, w.x_words.data(),
            w.dz_words.data()};
  } else {
    return {};
  }
}

// Makes what is derived from inputs [first, last) of a panel, and for first = -1 from its bias, after an update.
template <class T>
void Trainer<T>::derive_weights(BlockId id, const Panel& panel, ptrdiff_t first, ptrdiff_t last) {
  Block<T>& block = this->block(id);
  if constexpr (std::is_same_v<T, float>)
    if (block.words.size() > 0)
      pack_bfloat16(block.layout, network_.format(), panel, first, last, block.panels.data(), block.words.data());
  transpose_weights(id, panel, std::max(first, ptrdiff_t{0}), last);
}

// Copies inputs [first, last) of a panel to where the gradient of the layer's input reads them, as products do: rounded
// in a network of bfloat16.
template <class T>
void Trainer<T>::transpose_weights(BlockId id, const Panel& panel, ptrdiff_t first, ptrdiff_t last) {
  const Block<T>& block = this->block(id);
  State& s = state(id);
  if (last <= first || (s.transposed.size() == 0 && s.phases.empty())) return;
  const T* from = block.panels.data() + panel.row(first);
  if constexpr (std::is_same_v<T, float>) {
    if (s.pairs.panels != nullptr)
      return transpose_to_pairs(block.layout, panel, from, first, last, s.transposed.data());
    if (block.words.size() > 0 && last - first > kRoundedInputs) {
      for (ptrdiff_t i = first; i < last; i += kRoundedInputs)
        transpose_weights(id, panel, i, std::min(i + kRoundedInputs, last));
      return;
    }
  }
  std::array<T, kRoundedInputs * kWidestPanel> rounded;
  if constexpr (std::is_same_v<T, float>)
    if (block.words.size() > 0) {
      for (ptrdiff_t i = 0; i < (last - first) * panel.width; ++i)
        rounded[static_cast<std::size_t>(i)] = std::bit_cast<float>(round_to_bfloat16(from[i]) << 16);
      from = rounded.data();
    }
  if (s.transposed.size() > 0) transpose(block.layout, panel, from, first, last, s.transposed.data());
  for (PhaseWeights<T>& weights : s.phases) weights.take(*block.convolution, block.layout, panel, from, first, last);
}

// After a change of the weights from outside. Updates do the same to each part while it is in the cache.
template <class T>
void Trainer<T>::refresh_transposed(BlockId id) {
  const Block<T>& block = this->block(id);
  State& s = state(id);
  if (s.version == block.version) return;
  for (ptrdiff_t b = 0; b < block.layout.blocks(); ++b)
    for (ptrdiff_t group = 0; group < block.layout.groups(); ++group)
      transpose_weights(id, block.layout.panel(b, group), 0, block.layout.inputs);
  s.version = block.version;
}

// The norm of all gradients together. The sums are the same on every instruction set: one for each piece and unit, over
// the bias and the inputs in order, then those in order. If the squares overflow, the gradients are scaled down first.
template <class T>
double Trainer<T>::gradient_norm() {
  const double norm = gradient_norm(T(1));
  if (!std::isinf(norm)) return norm;
  const T factor = std::sqrt(std::numeric_limits<T>::min());
  return gradient_norm(factor) / static_cast<double>(factor);
}

template <class T>
double Trainer<T>::gradient_norm(T factor) {
  double sum = 0.0;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    State& s = states_[i];
    if (s.gradient.size() > 0) sum = add_squares(sum, network_.blocks()[i].layout, s.gradient.data(), 0, factor);
    for (ptrdiff_t u = 0; u < s.alpha_gradient.size(); ++u) {
      const double alpha = static_cast<double>(s.alpha_gradient[u]) * static_cast<double>(factor);
      sum += alpha * alpha;
    }
  }
  return std::sqrt(sum);
}

// sum, and to it the squares of a block's panels times the factor, from first_row on, of which row 0 is the bias.
template <class T>
double Trainer<T>::add_squares(double sum, const PanelLayout& layout, const T* panels, ptrdiff_t first_row,
                               T factor) const {
  Buffer<T> columns(layout.pieces * layout.units);
  parallel_for(layout.blocks(), [&](ptrdiff_t block) {
    for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
      const Panel panel = layout.panel(block, group);
      T* const squares = thread_scratch<T>(Scratch::kTile, panel.width);
      kernels_.column_squares(layout.inputs + 1 - first_row, panel.width,
                              panels + panel.offset + first_row * panel.width, panel.width, factor, squares);
      for (ptrdiff_t p = 0; p < panel.pieces; ++p)
        std::copy_n(squares + p * panel.stride, panel.units,
                    columns.data() + (panel.piece + p) * layout.units + panel.unit);
    }
  });
  for (ptrdiff_t c = 0; c < columns.size(); ++c) sum += static_cast<double>(columns[c]);
  return sum;
}

template <class T>
double Trainer<T>::weight_squares() const {
  double sum = 0.0;
  for (const Block<T>& block : network_.blocks())
    if (block.kind == ParameterBlock::Kind::kAffine) sum = add_squares(sum, block.layout, block.panels.data(), 1, T(1));
  return sum;
}

template <class T>
void Trainer<T>::apply(double learning_rate) {
  double scale = 1.0;
  if (settings_.clip_norm > 0.0) {
    const double norm = gradient_norm();
    if (norm > settings_.clip_norm) scale = settings_.clip_norm / norm;
  }
  const UpdateStep<T> weights = update_step(learning_rate, true, scale);
  const UpdateStep<T> others = update_step(learning_rate, false, scale);
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const BlockId id = static_cast<BlockId>(i);
    Block<T>& block = network_.blocks()[i];
    State& s = states_[i];
    if (s.frozen) continue;
    const PanelLayout& layout = block.layout;
    // There are at least as many parts as blocks.
    parallel_for(s.gradient.size() > 0 ? layout.blocks() : 0, [&](ptrdiff_t b) {
      T* const squares = squares_of(id, b);
      for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
        const Panel panel = layout.panel(b, group);
        const ptrdiff_t offset = panel.offset + panel.width;
        if (block.bias) update_rows(id, panel.offset, panel.width, s.gradient.data() + panel.offset, others, squares);
        const bool decays = block.kind == ParameterBlock::Kind::kAffine;  // gamma does not
        update_rows(id, offset, layout.inputs * panel.width, s.gradient.data() + offset, decays ? weights : others,
                    squares);
        derive_weights(id, panel, -1, layout.inputs);
      }
    });
    if (block.slopes) update_alpha(id, others);
    network_.refresh(block);
    ++block.version;
    s.version = block.version;
  }
  ++steps_;
  count_update();
}

template <class T>
T* Trainer<T>::squares_of(BlockId block, ptrdiff_t part) {
  return state(block).squares.data() + 2 * kernels_.lanes * part;
}

// After an update. The sums of squares are collected before they grow too large to add small terms.
template <class T>
void Trainer<T>::count_update() {
  update_running();
  constexpr std::int64_t kFoldSteps = 64;
  for (std::size_t i = 0; i < states_.size(); ++i)
    if (++states_[i].norms.steps % kFoldSteps == 0) fold_squares(i);
}

template <class T>
void Trainer<T>::fold_squares(std::size_t i) {
  State& s = states_[i];
  const ptrdiff_t lanes = kernels_.lanes;
  for (ptrdiff_t at = 0; at < s.squares.size(); ++at) {
    (at / lanes % 2 == 0 ? s.norms.gradient_squares : s.norms.update_squares) += static_cast<double>(s.squares[at]);
    s.squares[at] = T(0);
  }
}

// Combines the statistics of the activation's derivatives over the blocks of samples.
template <class T>
void Trainer<T>::fold_watch(NodeId id) {
  Workspace& w = workspace(id);
  const ptrdiff_t row = divide_up(w.of.units, kernels_.lanes) * kernels_.lanes;
  const bool saturated = program_.node(id).epilogue.info().watch == Watch::kSaturated;
  for (ptrdiff_t at = 0; at < w.watch.size(); ++at) {
    double& unit = w.watched[at % row];
    const double seen = static_cast<double>(w.watch[at]);
    if (saturated)
      unit += seen;
    else if (unit == unit && !(seen <= unit))
      unit = seen;  // a NaN stays
    w.watch[at] = T(0);
  }
}

// After a step: what MaxoutOrder::sort() has counted says which pieces won.
template <class T>
void Trainer<T>::note_winners(NodeId id, ptrdiff_t samples) {
  Workspace& w = workspace(id);
  const ptrdiff_t pixels = pixels_of(program_.node(id).out), units = w.of.units, pieces = w.of.pieces;
  const auto note = [&](const MaxoutOrder& order, const std::uint8_t* orders) {
    for (ptrdiff_t chunk = 0; chunk < order.chunks(); ++chunk)
      for (ptrdiff_t u = 0; u < units; ++u) {
        const std::uint8_t* const ends = orders + order.at(u, chunk) + kMaxoutChunk;
        for (ptrdiff_t p = 0; p < pieces; ++p)
          if (ends[p] > (p == 0 ? 0 : ends[p - 1])) w.won[u * pieces + p] = 1;
      }
  };
  if (convolution_of(program_.node(id)) == nullptr) return note({samples * pixels, units, pieces}, w.order.data());
  const SampleBlocks blocks(pixels, samples);
  const MaxoutOrder whole{blocks.rows(0), units, pieces};
  for (ptrdiff_t b = 0; b < blocks.count(); ++b)
    note({blocks.rows(b), units, pieces}, w.order.data() + b * whole.size());
}

template <class T>
Norms Trainer<T>::take_norms(std::size_t i) {
  fold_squares(i);
  return std::exchange(states_[i].norms, {});
}

// A unit with one winner is linear.
template <class T>
Shares Trainer<T>::maxout_shares(Workspace& w) {
  double winners = 0.0, linear = 0.0;
  for (ptrdiff_t u = 0; u < w.of.units; ++u) {
    const std::uint8_t* const won = w.won.data() + u * w.of.pieces;
    const ptrdiff_t count = std::accumulate(won, won + w.of.pieces, ptrdiff_t{0});
    winners += static_cast<double>(count);
    linear += count == 1 ? 1.0 : 0.0;
  }
  std::fill_n(w.won.data(), w.won.size(), std::uint8_t{0});
  Shares result;
  result.dead = 1.0 - winners / static_cast<double>(w.of.units * w.of.pieces);
  result.linear = linear / static_cast<double>(w.of.units);
  return result;
}

template <class T>
Shares Trainer<T>::shares_of(NodeId id) {
  Shares result;
  const Node& node = program_.node(id);
  Workspace& w = workspace(id);
  if (w.won.size() > 0 && watched_rows_ > 0) return maxout_shares(w);
  // Nothing is counted if no gradient passes the activation: before the first trained node, and in the last layer if
  // the loss reads the logits.
  if (w.watch.size() == 0 || watched_rows_ == 0 || id < schedule_.first_trained || !activates(node)) return result;
  fold_watch(id);
  const ActivationInfo& info = node.epilogue.info();
  double count = 0.0;
  for (ptrdiff_t u = 0; u < w.of.units; ++u)
    count += info.watch == Watch::kSaturated ? w.watched[u] : w.watched[u] < info.small ? 1.0 : 0.0;
  std::fill_n(w.watched.data(), w.watched.size(), 0.0);
  const double units = static_cast<double>(w.of.units);
  if (info.watch == Watch::kDead)
    result.dead = count / units;
  else
    result.saturated = count / (units * static_cast<double>(watched_rows_ * pixels_of(node.out)));
  return result;
}

template <class T>
std::vector<Shares> Trainer<T>::take_shares() {
  std::vector<Shares> shares;
  for (NodeId n = 0; n < static_cast<NodeId>(workspaces_.size()); ++n) shares.push_back(shares_of(n));
  watched_rows_ = 0;
  return shares;
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace fnnfast::cpu
