#include "dense.hpp"

#include "../core/activations.hpp"
#include "elementwise.hpp"
#include "launch.hpp"
#include "plan.hpp"
#include "softmax.hpp"

namespace fnnfast::cuda {

namespace {

// The gradient of the pre-activations; task.dy itself if the activation is the identity.
template <class T>
const Stored<T>* pre_activation_gradient(const LayerBackward<T>& task, const Allocator& allocator,
                                         cudaStream_t stream) {
  using E = Stored<T>;
  using S = Sum<T>;
  const auto [rows, inputs, units, pieces] = task.sizes;
  const std::int64_t count = rows * units;
  const ActivationInfo& info = kActivationInfo[task.activation];
  if (pieces > 1 || (info.saves == Saves::kNothing && task.dparameter == nullptr)) return task.dy;
  E* const dz = allocate<E>(allocator, count);
  if (!info.rowwise) {
    activation_gradient<E>({rows,
                            units,
                            {task.dy, units},
                            {task.saved, units},
                            {dz, units},
                            task.activation,
                            task.parameter,
                            task.parameter_step,
                            task.dparameter},
                           stream);
  } else {
    S* const wide = std::is_same_v<E, S> ? nullptr : allocate<S>(allocator, 3 * count);
    softmax_gradient<E>(rows, units, {task.saved, units}, {task.dy, units}, {dz, units}, wide, stream);
  }
  return dz;
}

}  // namespace

template <class T>
void layer_forward(const LayerForward<T>& task, const Allocator& allocator, cudaStream_t stream) {
  using E = Stored<T>;
  using S = Sum<T>;
  const auto [rows, inputs, units, pieces] = task.sizes;
  const bool softmax = kActivationInfo[task.activation].rowwise;
  const bool wide = softmax && units > kFusedSoftmax<T>;
  ForwardTask<T> f{};
  f.rows = rows;
  f.inputs = inputs;
  f.units = units;
  f.pieces = pieces;
  f.x = {task.x, inputs};
  f.weight = {task.weight, units};
  f.weight_piece = inputs * units;
  f.bias = task.bias;
  f.bias_piece = units;
  f.activation = wide ? 0 : task.activation;
  f.parameter = task.parameter;
  f.parameter_step = task.parameter_step;
  f.z = {task.z, units};
  f.argmax = {task.argmax, units};
  S* logits = nullptr;
  if (wide) {
    if constexpr (std::is_same_v<E, S>)
      logits = task.y;
    else
      logits = allocate<S>(allocator, rows * units);
    f.y_sum = {logits, units};
  } else {
    f.y = {task.y, units};
  }
  if (pieces == 1 && task.argmax != nullptr)
    check_device(cudaMemsetAsync(task.argmax, 0, static_cast<std::size_t>(rows * units), stream), "maxout_forward");
  forward_product(f, stream);
  if (!wide) return;
  softmax_of_sums<T>(rows, units, f.y_sum, f.y_sum, {task.y, units}, stream);
}

template <class T>
void layer_backward(const LayerBackward<T>& task, const Allocator& allocator, cudaStream_t stream) {
  using E = Stored<T>;
  using S = Sum<T>;
  const auto [rows, inputs, units, pieces] = task.sizes;
  const Matrix<const E> dz{pre_activation_gradient(task, allocator, stream), units};
  const Matrix<const std::uint8_t> argmax{task.argmax, units};

  InputGradientTask<T> x{};
  x.rows = rows;
  x.inputs = inputs;
  x.units = units;
  x.pieces = pieces;
  x.dz = dz;
  x.weight = {task.weight, units};
  x.weight_piece = inputs * units;
  x.argmax = argmax;
  x.dx = {task.dx, inputs};
  if (rows > 0 && inputs > 0) input_gradient_product(x, stream);

  const std::int64_t count = pieces * inputs * units, bias_count = pieces * units;
  const Slices cut = weight_gradient_slices<T>(rows, inputs, units, pieces);
  WeightGradientTask<T> w{};
  w.rows = rows;
  w.inputs = inputs;
  w.units = units;
  w.pieces = pieces;
  w.x = {task.x, inputs};
  w.dz = dz;
  w.argmax = argmax;
  w.slices = cut.count;
  w.slice_rows = cut.rows;
  w.weight_piece = inputs * units;
  w.bias_piece = units;
  if (bias_count == 0) return;
  if (cut.count == 1) {  // the sums are the gradients
    if constexpr (std::is_same_v<E, S>) {
      w.weight = {task.dweight, units};
      w.bias = task.dbias;
    } else {
      w.rounded = {task.dweight, units};
      w.rounded_bias = task.dbias;
    }
    weight_gradient_product(w, stream);
    return;
  }
  S* const partial = allocate<S>(allocator, cut.count * (count + bias_count));
  w.weight = {partial, units};
  w.bias = partial + count;
  w.slice = count + bias_count;
  weight_gradient_product(w, stream);
  if (count > 0) add_slices<E>(cut.count, w.slice, count, w.weight.data, task.dweight, stream);
  add_slices<E>(cut.count, w.slice, bias_count, w.bias, task.dbias, stream);
}

template <class T>
void softmax_forward(std::int64_t rows, std::int64_t columns, const T* z, T* y, const Allocator& allocator,
                     cudaStream_t stream) {
  using S = Sum<T>;
  if constexpr (std::is_same_v<T, S>) {
    softmax_of_sums<T>(rows, columns, {z, columns}, {y, columns}, {y, columns}, stream);
  } else {
    const Matrix<S> wide{allocate<S>(allocator, rows * columns), columns};
    convert(rows * columns, z, wide.data, stream);
    softmax_of_sums<T>(rows, columns, wide, wide, {y, columns}, stream);
  }
}

template void layer_forward(const LayerForward<float>&, const Allocator&, cudaStream_t);
template void layer_forward(const LayerForward<double>&, const Allocator&, cudaStream_t);
template void layer_forward(const LayerForward<Tf32>&, const Allocator&, cudaStream_t);
template void layer_forward(const LayerForward<Half>&, const Allocator&, cudaStream_t);
template void layer_forward(const LayerForward<Bfloat16>&, const Allocator&, cudaStream_t);
template void layer_backward(const LayerBackward<float>&, const Allocator&, cudaStream_t);
template void layer_backward(const LayerBackward<double>&, const Allocator&, cudaStream_t);
template void layer_backward(const LayerBackward<Tf32>&, const Allocator&, cudaStream_t);
template void layer_backward(const LayerBackward<Half>&, const Allocator&, cudaStream_t);
template void layer_backward(const LayerBackward<Bfloat16>&, const Allocator&, cudaStream_t);
template void softmax_forward(std::int64_t, std::int64_t, const float*, float*, const Allocator&, cudaStream_t);
template void softmax_forward(std::int64_t, std::int64_t, const double*, double*, const Allocator&, cudaStream_t);
template void softmax_forward(std::int64_t, std::int64_t, const Half*, Half*, const Allocator&, cudaStream_t);
template void softmax_forward(std::int64_t, std::int64_t, const Bfloat16*, Bfloat16*, const Allocator&, cudaStream_t);

}  // namespace fnnfast::cuda
