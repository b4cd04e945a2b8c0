#include "dense.hpp"

#include "../core/activations.hpp"
#include "elementwise.hpp"
#include "launch.hpp"
#include "plan.hpp"
#include "softmax.hpp"

namespace fnnfast::cuda {

namespace {

// The gradient of the pre-activations; task.dy itself where the activation is the identity.
template <class T>
const Stored<T>* pre_activation_gradient(const LayerBackward<T>& task, const Allocator& allocator,
                                         cudaStream_t stream) {
  using E = Stored<T>;
  using S = Sum<T>;
  const auto [rows, inputs, outputs, pieces] = task.sizes;
  const std::int64_t count = rows * outputs;
  const ActivationInfo& info = kActivationInfo[task.activation];
  if (pieces > 1 || (info.saves == Saves::kNothing && task.dparameter == nullptr)) return task.dy;
  E* const dz = allocate<E>(allocator, count);
  if (!info.rowwise) {
    activation_gradient<E>({rows,
                            outputs,
                            {task.dy, outputs},
                            {task.saved, outputs},
                            {dz, outputs},
                            task.activation,
                            task.parameter,
                            task.parameter_step,
                            task.dparameter},
                           stream);
  } else {
    S* const wide = std::is_same_v<E, S> ? nullptr : allocate<S>(allocator, 3 * count);
    softmax_gradient<E>(rows, outputs, {task.saved, outputs}, {task.dy, outputs}, {dz, outputs}, wide, stream);
  }
  return dz;
}

}  // namespace

template <class T>
void layer_forward(const LayerForward<T>& task, const Allocator& allocator, cudaStream_t stream) {
  using E = Stored<T>;
  using S = Sum<T>;
  const auto [rows, inputs, outputs, pieces] = task.sizes;
  const bool softmax = kActivationInfo[task.activation].rowwise;
  const bool wide = softmax && outputs > kFusedSoftmax<T>;
  ForwardTask<T> f{};
  f.rows = rows;
  f.inputs = inputs;
  f.outputs = outputs;
  f.pieces = pieces;
  f.x = {task.x, inputs};
  f.weight = {task.weight, outputs};
  f.weight_piece = inputs * outputs;
  f.bias = task.bias;
  f.bias_piece = outputs;
  f.activation = wide ? 0 : task.activation;
  f.parameter = task.parameter;
  f.parameter_step = task.parameter_step;
  f.z = {task.z, outputs};
  f.winners = {task.winners, outputs};
  S* logits = nullptr;
  if (wide) {
    if constexpr (std::is_same_v<E, S>)
      logits = task.y;
    else
      logits = allocate<S>(allocator, rows * outputs);
    f.y_sum = {logits, outputs};
  } else {
    f.y = {task.y, outputs};
  }
  if (pieces == 1 && task.winners != nullptr)
    check_device(cudaMemsetAsync(task.winners, 0, static_cast<std::size_t>(rows * outputs), stream), "maxout_forward");
  forward_product(f, stream);
  if (!wide) return;
  softmax_of_sums<T>(rows, outputs, f.y_sum, f.y_sum, {task.y, outputs}, stream);
}

template <class T>
void layer_backward(const LayerBackward<T>& task, const Allocator& allocator, cudaStream_t stream) {
  using E = Stored<T>;
  using S = Sum<T>;
  const auto [rows, inputs, outputs, pieces] = task.sizes;
  const Matrix<const E> dz{pre_activation_gradient(task, allocator, stream), outputs};
  const Matrix<const std::uint8_t> winners{task.winners, outputs};

  InputGradientTask<T> x{};
  x.rows = rows;
  x.inputs = inputs;
  x.outputs = outputs;
  x.pieces = pieces;
  x.dz = dz;
  x.weight = {task.weight, outputs};
  x.weight_piece = inputs * outputs;
  x.winners = winners;
  x.dx = {task.dx, inputs};
  if (rows > 0 && inputs > 0) input_gradient_product(x, stream);

  const std::int64_t count = pieces * inputs * outputs, bias_count = pieces * outputs;
  const Slices cut = weight_gradient_slices<T>(rows, inputs, outputs, pieces);
  WeightGradientTask<T> w{};
  w.rows = rows;
  w.inputs = inputs;
  w.outputs = outputs;
  w.pieces = pieces;
  w.x = {task.x, inputs};
  w.dz = dz;
  w.winners = winners;
  w.slices = cut.count;
  w.slice_rows = cut.rows;
  w.weight_piece = inputs * outputs;
  w.bias_piece = outputs;
  if (bias_count == 0) return;
  if (cut.count == 1) {  // the sums are the gradients
    if constexpr (std::is_same_v<E, S>) {
      w.weight = {task.dweight, outputs};
      w.bias = task.dbias;
    } else {
      w.rounded = {task.dweight, outputs};
      w.rounded_bias = task.dbias;
    }
    weight_gradient_product(w, stream);
    return;
  }
  S* const partial = allocate<S>(allocator, cut.count * (count + bias_count));
  w.weight = {partial, outputs};
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
