// Batch normalization in training. The statistics of the batch are those of groups of samples (sum_samples()), joined
// in ascending order, so they do not depend on the threads. Samples of weight 0 are not part of the batch.
//
// Ioffe and Szegedy, "Batch normalization", 2015; joining: Chan, Golub and LeVeque, "Updating formulae and a pairwise
// algorithm for computing sample variances", 1979.
#include <algorithm>
#include <cmath>

#include "train.hpp"

namespace fnnfast::cpu {

namespace {

// The samples of a group that count.
template <class T>
ptrdiff_t kept_samples(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t last) {
  if (batch.sample_weights == nullptr) return last - first;
  return std::count_if(batch.sample_weights + first, batch.sample_weights + last, [](T w) { return w != T(0); });
}

// Calls f(group, its first sample, its samples) for those of a block of samples, which begins with a group.
template <class T, class F>
void for_groups(const Batch<T>& batch, ptrdiff_t pixels, ptrdiff_t first, ptrdiff_t samples, F&& f) {
  const ptrdiff_t each = sum_samples(pixels);
  for (ptrdiff_t s = first; s < std::min(first + samples, batch.rows); s += each)
    f(s / each, s, std::min(each, first + samples - s));
}

}  // namespace

template <class T>
NormalizeTask<T> Trainer<T>::normalize_task(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  const Node& node = program_.node(id);
  const Workspace& w = workspace(id);
  const Rows z = rows_at(schedule_.value_at(node.in), batch, first);
  NormalizeTask<T> t{};
  t.rows = samples * pixels_of(node.in);
  t.columns = program_.value(node.in).shape.c;
  t.z = z.data;
  t.z_row = z.row;
  t.mean = w.statistics[kMean].data();
  t.inverse = w.statistics[kInverse].data();
  t.scale = w.statistics[kScale].data();
  t.shift = w.statistics[kShift].data();
  t.first = w.statistics[kFirst].data();
  t.second = w.statistics[kSecond].data();
  return t;
}

template <class T>
void Trainer<T>::statistics_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  const ptrdiff_t pixels = pixels_of(program_.node(id).in);
  Workspace& w = workspace(id);
  for_groups(batch, pixels, first, samples, [&](ptrdiff_t group, ptrdiff_t from, ptrdiff_t count) {
    NormalizeTask<T> t = normalize_task(id, batch, from, count);
    t.first = w.groups[0].data() + group * w.statistics[kMean].size();
    t.second = w.groups[1].data() + group * w.statistics[kMean].size();
    const ptrdiff_t kept = kept_samples(batch, from, from + count);
    if (kept == 0) return;
    if (kept < count) {
      T* const rows = thread_scratch<T>(Scratch::kTile, t.rows * t.columns);
      ptrdiff_t at = 0;
      for (ptrdiff_t s = 0; s < count; ++s)
        if (batch.sample_weights[from + s] != T(0))
          copy_rows(pixels, t.columns, t.z + s * pixels * t.z_row, t.z_row, rows + at++ * pixels * t.columns,
                    t.columns);
      t.z = rows;
      t.z_row = t.columns;
      t.rows = kept * pixels;
    }
    kernels_.column_moments(t);
  });
}

template <class T>
void Trainer<T>::merge_step(NodeId id, const Batch<T>& batch) {
  const Node& node = program_.node(id);
  const Block<T>& of = block(block_of(node));
  Workspace& w = workspace(id);
  const ptrdiff_t pixels = pixels_of(node.in), units = of.units, row = w.statistics[kMean].size();
  std::vector<double>&mean = w.batch_mean, &squares = w.batch_squares;
  mean.assign(static_cast<std::size_t>(units), 0.0);
  squares.assign(static_cast<std::size_t>(units), 0.0);
  double n = 0.0;
  for_groups(batch, pixels, 0, batch.rows, [&](ptrdiff_t group, ptrdiff_t from, ptrdiff_t count) {
    const double here = static_cast<double>(kept_samples(batch, from, from + count) * pixels);
    if (here == 0.0) return;
    const double share = here / (n + here), both = n * share;
    for (std::size_t u = 0; u < mean.size(); ++u) {
      const auto at = static_cast<std::size_t>(group * row) + u;
      const double off = static_cast<double>(w.groups[0].data()[at]) - mean[u];
      mean[u] += off * share;
      squares[u] += static_cast<double>(w.groups[1].data()[at]) + off * off * both;
    }
    n += here;
  });
  w.count = n;
  for (ptrdiff_t b = 0; b < of.layout.blocks(); ++b) {
    const Panel panel = of.layout.panel(b, 0);
    const T* const beta = of.panels.data() + panel.offset;
    const T* const gamma = beta + panel.width;
    for (ptrdiff_t u = 0; u < panel.units; ++u) {
      const ptrdiff_t unit = panel.unit + u;
      const auto at = static_cast<std::size_t>(unit);
      const double variance = n > 0.0 ? squares[at] / n : 0.0;
      const double inverse = 1.0 / std::sqrt(variance + of.eps), scale = static_cast<double>(gamma[u]) * inverse;
      w.statistics[kMean][unit] = static_cast<T>(mean[at]);
      w.statistics[kInverse][unit] = static_cast<T>(inverse);
      w.statistics[kScale][unit] = static_cast<T>(scale);
      w.statistics[kShift][unit] = static_cast<T>(static_cast<double>(beta[u]) - mean[at] * scale);
    }
  }
}

template <class T>
void Trainer<T>::normalize_forward_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  const Node& node = program_.node(id);
  const Epilogue& e = node.epilogue;
  const Workspace& w = workspace(id);
  const Block<T>& of = block(block_of(node));
  const bool frozen = !trains(block_of(node));
  const NormalizeTask<T> t = normalize_task(id, batch, first, samples);
  const auto [out, saved, y] = results_at(id, batch, first);
  const Rows add = e.add == kNone ? Rows{} : rows_at(schedule_.value_at(e.add), batch, first);
  const bool activate = activates(node) && e.activation != kIdentity;
  const bool rowwise = e.info().rowwise;
  pointwise<T>({t.rows, t.columns, t.z, t.z_row, add.data, add.row, saved.data, saved.row, y.data, y.row, out.data,
                out.row, e.add_first, activate && !rowwise ? kernels_.activation[e.activation].forward : nullptr,
                w.of.parameter, w.of.parameter_step, frozen ? of.scale.data() : t.scale,
                frozen ? of.shift.data() : t.shift, kernels_.scale_rows});
  if (activate && rowwise)
    activate_rows(kernels_.activation[e.activation].forward, t.rows, t.columns, y.data, y.row, y.data, y.row);
}

template <class T>
void Trainer<T>::sums_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  const Node& node = program_.node(id);
  Workspace& w = workspace(id);
  for_groups(batch, pixels_of(node.in), first, samples, [&](ptrdiff_t group, ptrdiff_t from, ptrdiff_t count) {
    const Rows g = rows_at(schedule_.gradient_at(node.out), batch, from);
    NormalizeTask<T> t = normalize_task(id, batch, from, count);
    t.g = g.data;
    t.g_row = g.row;
    t.first = w.groups[0].data() + group * w.statistics[kMean].size();
    t.second = w.groups[1].data() + group * w.statistics[kMean].size();
    kernels_.normalize_sums(t);
  });
}

template <class T>
void Trainer<T>::merge_sums_step(NodeId id, const Batch<T>& batch) {
  const Node& node = program_.node(id);
  Workspace& w = workspace(id);
  const ptrdiff_t units = program_.value(node.in).shape.c, row = w.statistics[kMean].size();
  const ptrdiff_t groups = divide_up(batch.rows, sum_samples(pixels_of(node.in)));
  const double n = std::max(w.count, 1.0);
  for (ptrdiff_t u = 0; u < units; ++u) {
    double sum = 0.0, product = 0.0;
    for (ptrdiff_t group = 0; group < groups; ++group) {
      sum += static_cast<double>(w.groups[0][group * row + u]);
      product += static_cast<double>(w.groups[1][group * row + u]);
    }
    w.statistics[kBetaGradient][u] = static_cast<T>(sum);
    w.statistics[kGammaGradient][u] = static_cast<T>(product);
    w.statistics[kFirst][u] = static_cast<T>(sum / n);
    w.statistics[kSecond][u] = static_cast<T>(product / n);
  }
}

template <class T>
void Trainer<T>::normalize_input_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples, Rows g,
                                      Rows to) {
  const Node& node = program_.node(id);
  NormalizeTask<T> t = normalize_task(id, batch, first, samples);
  t.out = to.data;
  t.out_row = to.row;
  if (!trains(block_of(node))) {  // the running statistics are constants
    t.scale = block(block_of(node)).scale.data();
    t.z = g.data;
    t.z_row = g.row;
    return kernels_.scale_rows(t);  // the shift is zero
  }
  t.g = g.data;
  t.g_row = g.row;
  kernels_.normalize_backward(t);
  if (batch.sample_weights == nullptr) return;
  const ptrdiff_t pixels = pixels_of(node.in);
  for (ptrdiff_t s = 0; s < samples; ++s)
    for (ptrdiff_t r = s * pixels; batch.sample_weights[first + s] == T(0) && r < (s + 1) * pixels; ++r)
      std::fill_n(to.data + r * to.row, t.columns, T(0));
}

// The gradients of gamma and beta, and their update.
template <class T>
void Trainer<T>::normalize_update(NodeId id, const UpdateStep<T>* others) {
  const BlockId of = block_of(program_.node(id));
  const Workspace& w = workspace(id);
  const PanelLayout& layout = block(of).layout;
  for (ptrdiff_t b = 0; b < layout.blocks(); ++b) {
    const Panel panel = layout.panel(b, 0);
    for (const Statistic which : {kBetaGradient, kGammaGradient}) {
      const T* const gradient = w.statistics[which].data() + panel.unit;
      const ptrdiff_t offset = panel.offset + (which == kGammaGradient ? panel.width : 0);
      if (others == nullptr)
        std::copy_n(gradient, panel.width, state(of).gradient.data() + offset);
      else
        update_rows(of, offset, panel.width, gradient, *others, squares_of(of, b));
    }
  }
  network_.refresh(block(of));
}

// After a step: running = momentum running + (1 - momentum) batch, with the variance of n - 1. A batch of one value per
// channel has no variance, and is left out: the last batch of an epoch may be one row.
template <class T>
void Trainer<T>::update_running() {
  for (NodeId id = 0; id < static_cast<NodeId>(program_.nodes.size()); ++id) {
    const Normalize* const normalize = program_.node(id).template as<Normalize>();
    Workspace& w = workspace(id);
    if (normalize == nullptr || w.count <= 1.0) continue;
    Block<T>& of = block(normalize->block);
    const double keep = normalize->momentum;
    for (ptrdiff_t u = 0; u < of.units; ++u) {
      const auto at = static_cast<std::size_t>(u);
      of.mean[u] = static_cast<T>(keep * static_cast<double>(of.mean[u]) + (1.0 - keep) * w.batch_mean[at]);
      of.variance[u] = static_cast<T>(keep * static_cast<double>(of.variance[u]) +
                                      (1.0 - keep) * w.batch_squares[at] / (w.count - 1.0));
    }
    network_.refresh(of);
    w.count = 0.0;
  }
}

template <class T>
std::vector<ptrdiff_t> Trainer<T>::normalized_units() const {
  std::vector<ptrdiff_t> units;
  for (const Node& node : program_.nodes)
    if (node.template is<Normalize>()) units.push_back(program_.value(node.in).shape.c);
  return units;
}

template <class T>
std::vector<double> Trainer<T>::batch_statistics() const {
  std::vector<double> all;
  for (std::size_t n = 0; n < program_.nodes.size(); ++n) {
    if (!program_.nodes[n].template is<Normalize>()) continue;
    const Workspace& w = workspaces_[n];
    const auto units = static_cast<std::size_t>(program_.value(program_.nodes[n].in).shape.c);
    all.push_back(w.count);
    for (const std::vector<double>* of : {&w.batch_mean, &w.batch_squares})
      for (std::size_t u = 0; u < units; ++u)
        all.push_back(u < of->size() ? (*of)[u] : 0.0);  // none where it is frozen
  }
  return all;
}

template <class T>
void Trainer<T>::set_batch_statistics(const std::vector<double>& all) {
  std::size_t at = 0;
  for (std::size_t n = 0; n < program_.nodes.size(); ++n) {
    if (!program_.nodes[n].template is<Normalize>()) continue;
    Workspace& w = workspaces_[n];
    w.count = all.at(at++);
    for (std::vector<double>* of : {&w.batch_mean, &w.batch_squares}) {
      of->resize(static_cast<std::size_t>(program_.value(program_.nodes[n].in).shape.c));
      for (double& value : *of) value = all.at(at++);
    }
  }
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace fnnfast::cpu
