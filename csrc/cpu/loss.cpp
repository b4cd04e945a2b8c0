#include "loss.hpp"

#include <cmath>
#include <stdexcept>
#include <string>

#include "buffer.hpp"
#include "layer.hpp"

namespace fnnfast {

namespace {

constexpr double kLogTwoPi = 1.8378770664093454835606594728112;

}  // namespace

template <class T>
double Loss<T>::constant(ptrdiff_t outputs) const {
  if (kind == LossKind::kGaussianLearned) return 0.5 * kLogTwoPi * static_cast<double>(targets(outputs));
  double sum = 0.0;
  for (const T beta : precision) sum += 0.5 * (kLogTwoPi - std::log(static_cast<double>(beta)));
  return sum;
}

template <class T>
double Loss<T>::mean(ptrdiff_t rows, const double* row_loss, double weight, ptrdiff_t outputs) const {
  double sum = 0.0;
  for (ptrdiff_t r = 0; r < rows; ++r) sum += row_loss[r];
  return weight > 0.0 ? sum / terms(weight, outputs) + constant(outputs) : 0.0;
}

template <class T>
void Loss<T>::check(ptrdiff_t outputs) const {
  if (outputs % info().outputs_each != 0)
    throw std::invalid_argument(std::string(info().name) + " takes an even number of outputs, got " +
                                std::to_string(outputs));
  const ptrdiff_t expected = info().takes_precision ? outputs : 0;
  if (static_cast<ptrdiff_t>(precision.size()) != expected)
    throw std::invalid_argument(std::string(info().name) + " takes " + std::to_string(expected) + " precisions, got " +
                                std::to_string(precision.size()));
}

template <class T>
double total_weight(ptrdiff_t rows, const T* weights) {
  if (weights == nullptr) return static_cast<double>(rows);
  double sum = 0.0;
  for (ptrdiff_t r = 0; r < rows; ++r) sum += static_cast<double>(weights[r]);
  return sum;
}

template <class T>
double loss_value(const Loss<T>& loss, ptrdiff_t batch, ptrdiff_t outputs, const T* z, const T* targets,
                  const std::int64_t* labels, const T* weights) {
  Buffer<double> row_loss(batch);
  const ptrdiff_t columns = loss.targets(outputs);
  for_row_blocks(batch, outputs, [&](ptrdiff_t first, ptrdiff_t count) {
    LossTask<T> t{};
    t.rows = count;
    t.columns = outputs;
    t.z = z + first * outputs;
    t.z_row = outputs;
    t.targets_row = columns;
    if (targets) t.targets = targets + first * columns;
    if (labels) t.labels = labels + first;
    if (weights) t.weights = weights + first;
    t.precision = loss.precision.empty() ? nullptr : loss.precision.data();
    t.row_loss = row_loss.data() + first;
    kernels<T>().loss[static_cast<int>(loss.kind)](t);
  });
  return loss.mean(batch, row_loss.data(), total_weight(batch, weights), outputs);
}

template struct Loss<float>;
template struct Loss<double>;
template double total_weight<float>(ptrdiff_t, const float*);
template double total_weight<double>(ptrdiff_t, const double*);
template double loss_value<float>(const Loss<float>&, ptrdiff_t, ptrdiff_t, const float*, const float*,
                                  const std::int64_t*, const float*);
template double loss_value<double>(const Loss<double>&, ptrdiff_t, ptrdiff_t, const double*, const double*,
                                   const std::int64_t*, const double*);

}  // namespace fnnfast
