#include "loss.hpp"

#include "affine.hpp"
#include "buffer.hpp"

namespace fnnfast::cpu {

template <class T>
double total_weight(ptrdiff_t rows, const T* sample_weights) {
  if (sample_weights == nullptr) return static_cast<double>(rows);
  double sum = 0.0;
  for (ptrdiff_t r = 0; r < rows; ++r) sum += static_cast<double>(sample_weights[r]);
  return sum;
}

template <class T>
double loss_value(const Loss<T>& loss, ptrdiff_t batch, ptrdiff_t outputs, const T* z, const T* targets,
                  const std::int64_t* labels, const T* sample_weights) {
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
    if (sample_weights) t.sample_weights = sample_weights + first;
    t.precision = loss.precision.empty() ? nullptr : loss.precision.data();
    t.row_loss = row_loss.data() + first;
    kernels<T>().loss(loss.kind, t);
  });
  return loss.mean(batch, row_loss.data(), total_weight(batch, sample_weights), outputs);
}

template double total_weight<float>(ptrdiff_t, const float*);
template double total_weight<double>(ptrdiff_t, const double*);
template double loss_value<float>(const Loss<float>&, ptrdiff_t, ptrdiff_t, const float*, const float*,
                                  const std::int64_t*, const float*);
template double loss_value<double>(const Loss<double>&, ptrdiff_t, ptrdiff_t, const double*, const double*,
                                   const std::int64_t*, const double*);

}  // namespace fnnfast::cpu
