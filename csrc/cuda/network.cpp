#include "network.hpp"

#include <algorithm>

#include "elementwise.hpp"
#include "launch.hpp"
#include "softmax.hpp"

namespace fnnfast {

namespace {

// Every layer's parameters begin at a multiple of so many elements: 128 bytes at least.
constexpr std::int64_t kPlaceUnit = 64;

std::int64_t up(std::int64_t n) { return (n + kPlaceUnit - 1) / kPlaceUnit * kPlaceUnit; }

}  // namespace

template <class T>
DeviceNetwork<T>::DeviceNetwork(Graph graph) : graph_(std::move(graph)) {
  std::int64_t at = 0;
  for (const LayerNode& layer : graph_.layers) {
    ParameterPlace place{};
    place.row = padded_row<E>(layer.units);
    place.weight = at;
    place.bias = up(place.weight + layer.pieces * layer.inputs * place.row);
    place.alpha = up(place.bias + layer.pieces * place.row);
    place.end = at = up(place.alpha + (layer.info().parameter ? place.row : 0));
    places_.push_back(place);
  }
}

template <class T>
ForwardTask<T> DeviceNetwork<T>::layer_task(std::size_t i, const Parameters& parameters, std::int64_t rows) const {
  const LayerNode& layer = graph_.layers[i];
  const ParameterPlace& place = places_[i];
  ForwardTask<T> t{};
  t.rows = rows;
  t.inputs = layer.inputs;
  t.outputs = layer.units;
  t.pieces = static_cast<int>(layer.pieces);
  t.weight = {parameters.products + place.weight, place.row};
  t.weight_piece = layer.inputs * place.row;
  t.bias = parameters.full + place.bias;
  t.bias_piece = place.row;
  t.parameter = layer.info().parameter ? parameters.full + place.alpha : nullptr;
  t.parameter_step = static_cast<int>(layer.parameter_step());
  return t;
}

template <class T>
void DeviceNetwork<T>::forward(const Parameters& parameters, const E* x, std::int64_t rows, E* y, bool logits,
                               const Allocator& allocator, cudaStream_t stream) const {
  if (rows == 0) return;
  const std::size_t last = graph_.layers.size() - 1;
  const auto activation = [&](std::size_t i) { return logits && i == last ? kIdentity : graph_.layers[i].activation; };
  if (fused_forward(fused(parameters, x, rows, y, logits), allocator, stream)) return;

  std::int64_t widest = 1;
  for (const LayerNode& layer : graph_.layers) widest = std::max(widest, padded_row<E>(layer.units));
  std::vector<E*> slots;
  for (ptrdiff_t slot = 0; slot < graph_.slots; ++slot) slots.push_back(allocate<E>(allocator, rows * widest));
  const auto outputs_of = [&](ptrdiff_t layer) -> Matrix<const E> {
    if (layer == kNetworkInput) return {x, inputs()};
    const LayerNode& node = graph_.layers[static_cast<std::size_t>(layer)];
    return {slots[static_cast<std::size_t>(node.slot)], padded_row<E>(node.units)};
  };
  for (std::size_t i = 0; i <= last; ++i) {
    const LayerNode& layer = graph_.layers[i];
    const Matrix<E> out{i == last ? y : slots[static_cast<std::size_t>(layer.slot)],
                        i == last ? outputs() : padded_row<E>(layer.units)};
    ForwardTask<T> t = layer_task(i, parameters, rows);
    t.x = outputs_of(layer.from);
    t.activation = activation(i);
    const bool wide = kActivationInfo[t.activation].rowwise && layer.units > kFusedSoftmax<T>;
    if (wide) t.activation = kIdentity;
    if (layer.add != kNoLayer) {
      t.add = outputs_of(layer.add);
      t.sum = out;
    } else if (wide && kMixed) {
      t.y_sum = {allocate<S>(allocator, rows * layer.units), layer.units};
    } else {
      t.y = out;
    }
    forward_product(t, stream);
    if (!wide) continue;
    if constexpr (kMixed)
      softmax_of_sums<T>(rows, layer.units, t.y_sum, t.y_sum, out, stream);
    else
      softmax_of_sums<T>(rows, layer.units, out, out, out, stream);
  }
}

template <class T>
FusedTask<T> DeviceNetwork<T>::fused(const Parameters& parameters, const E* x, std::int64_t rows, E* y,
                                     bool logits) const {
  FusedTask<T> task{};
  if (graph_.layers.size() > kMostFusedLayers) return task;
  task.rows = rows;
  task.x = {x, inputs()};
  task.y = {y, outputs()};
  task.slots = static_cast<int>(graph_.slots);
  task.layers = static_cast<int>(graph_.layers.size());
  for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
    const LayerNode& layer = graph_.layers[i];
    const ForwardTask<T> of = layer_task(i, parameters, rows);
    task.layer[i] = {static_cast<int>(layer.inputs),
                     static_cast<int>(layer.units),
                     static_cast<int>(layer.pieces),
                     static_cast<int>(layer.from),
                     static_cast<int>(layer.add),
                     static_cast<int>(layer.slot),
                     of.weight.data,
                     of.weight.stride,
                     of.bias,
                     logits && i + 1 == graph_.layers.size() ? kIdentity : layer.activation,
                     of.parameter,
                     of.parameter_step};
  }
  return task;
}

template <class T>
std::vector<std::string> DeviceNetwork<T>::describe_plan(std::int64_t rows) const {
  const FusedPlace place = fused_place(fused({}, nullptr, rows, nullptr, false));
  if (place != FusedPlace::kNone)
    return {std::string("all layers in one launch, the activations between them in ") +
            (place == FusedPlace::kRegisters ? "registers" : "shared memory")};
  std::vector<std::string> lines;
  for (const LayerNode& layer : graph_.layers)
    lines.push_back("one launch of " + std::to_string(layer.inputs) + " x " + std::to_string(layer.units) +
                    (layer.pieces > 1 ? " x " + std::to_string(layer.pieces) : "") + ", its activation in it");
  return lines;
}

template class DeviceNetwork<float>;
template class DeviceNetwork<double>;
template class DeviceNetwork<Tf32>;
template class DeviceNetwork<Half>;
template class DeviceNetwork<Bfloat16>;

}  // namespace fnnfast
