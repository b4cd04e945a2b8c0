#include "network.hpp"

#include <algorithm>

#include "elementwise.hpp"
#include "launch.hpp"
#include "softmax.hpp"

namespace fnnfast::cuda {

namespace {

// Every block's parameters begin at a multiple of this many elements, at least 128 bytes.
constexpr std::int64_t kPlaceUnit = 64;

std::int64_t up(std::int64_t n) { return (n + kPlaceUnit - 1) / kPlaceUnit * kPlaceUnit; }

}  // namespace

void check_operations(const Program& program) {
  for (const Node& node : program.nodes) {
    const Affine* const affine = node.as<Affine>();
    const bool rows = affine != nullptr && !affine->windowed;
    if (!rows && !node.is<Pointwise>() && !node.is<Perturb>()) throw OperationError(node.spec);
    if (node.epilogue.norm != kNone) throw OperationError(node.spec);
  }
}

template <class T>
Network<T>::Network(const Shape& input, bool channels_first, std::vector<LayerSpec> specs)
    : channels_first_(channels_first),
      specs_(std::move(specs)),
      program_(lower(input, channels_first, specs_, Purpose::kInference)),
      schedule_(schedule_forward(program_)) {
  check_operations(program_);
  place_parameters();
}

// The blocks in order, then the fixed parameters of activations.
template <class T>
void Network<T>::place_parameters() {
  std::int64_t at = 0;
  for (const ParameterBlock& block : program_.blocks) {
    ParameterPlace place{};
    place.row = padded_row<E>(block.units);
    place.weight = at;
    place.bias = up(place.weight + block.pieces * block.inputs * place.row);
    place.alpha = up(place.bias + block.pieces * place.row);
    place.end = at = up(place.alpha + (block.slopes ? place.row : 0));
    places_.push_back(place);
  }
  fixed_.assign(static_cast<std::size_t>(program_.specs()), -1);
  for (const Node& node : program_.nodes) {
    const Epilogue& e = node.epilogue;
    if (!e.info().parameter) continue;
    if (e.slopes != kNone) {
      for (ptrdiff_t u = 0; u < program_.block(e.slopes).units; ++u)
        constants_.push_back({place(e.slopes).alpha + u, e.parameter});
    } else {
      fixed_[static_cast<std::size_t>(e.spec)] = at;
      constants_.push_back({at++, e.parameter});
    }
  }
  parameters_ = std::max(up(at), kPlaceUnit);
}

template <class T>
const Sum<T>* Network<T>::activation_parameter(const Node& node, const Parameters& parameters) const {
  const Epilogue& e = node.epilogue;
  if (!e.info().parameter) return nullptr;
  return parameters.full + (e.slopes != kNone ? place(e.slopes).alpha : fixed_[static_cast<std::size_t>(e.spec)]);
}

template <class T>
ForwardTask<T> Network<T>::product(const Node& node, const Parameters& parameters, std::int64_t rows) const {
  const BlockId id = node.as<Affine>()->block;
  const ParameterBlock& block = program_.block(id);
  const ParameterPlace& place = this->place(id);
  ForwardTask<T> t{};
  t.rows = rows;
  t.inputs = block.inputs;
  t.units = block.units;
  t.pieces = static_cast<int>(block.pieces);
  t.weight = {parameters.products + place.weight, place.row};
  t.weight_piece = block.inputs * place.row;
  t.padded = true;
  t.bias = parameters.full + place.bias;
  t.bias_piece = place.row;
  t.parameter = activation_parameter(node, parameters);
  t.parameter_step = node.epilogue.slopes != kNone ? 1 : 0;
  return t;
}

template <class T>
void Network<T>::forward(const Parameters& parameters, const E* x, std::int64_t samples, E* y, bool logits,
                         const Allocator& allocator, cudaStream_t stream) const {
  if (samples == 0) return;
  if (try_fused_forward(fused(parameters, x, samples, y, logits), allocator, stream)) return;

  std::vector<E*> buffers;
  E* const memory = schedule_.elements > 0 ? allocate<E>(allocator, samples * schedule_.elements) : nullptr;
  const auto at = [&](const Place& place) -> Matrix<E> {
    if (place.buffer == kNone) return {};
    if (place.buffer == kOutputBuffer) return {y + place.channel, place.row};
    if (place.buffer == kInputBuffer) return {const_cast<E*>(x) + place.channel, place.row};  // only read
    return {memory + samples * schedule_.start[static_cast<std::size_t>(place.buffer)] + place.channel, place.row};
  };
  for (const ForwardStep& step : schedule_.steps) {
    const Node& node = program_.node(step.node);
    const Epilogue& e = node.epilogue;
    const Matrix<E> out = at(step.out);
    const std::int64_t rows = samples * program_.value(node.out).shape.pixels();
    const std::int64_t columns = program_.value(node.out).shape.c;
    const int activation = logits && node.out == program_.result ? kIdentity : e.activation;
    const bool rowwise = kActivationInfo[activation].rowwise, adds_first = e.add != kNone && e.add_first;
    const auto softmax = [&] {
      softmax_in_place(rows, columns, out, kMixed ? allocate<S>(allocator, rows * columns) : nullptr, stream);
    };
    if (node.is<Pointwise>()) {
      pointwise<E>({rows,
                    columns,
                    at(step.in),
                    at(step.add),
                    {},
                    {},
                    out,
                    e.add_first,
                    rowwise ? kIdentity : activation,
                    activation_parameter(node, parameters),
                    e.slopes != kNone ? 1 : 0},
                   stream);
      if (rowwise) softmax();
      continue;
    }
    ForwardTask<T> t = product(node, parameters, rows);
    t.x = at(step.in);
    t.activation = activation;
    const bool wide = rowwise && !adds_first && columns > kFusedSoftmax<T>;
    if (wide || adds_first) t.activation = kIdentity;
    if (e.add != kNone && !adds_first) {
      t.add = at(step.add);
      t.sum = out;
    } else if (wide && kMixed) {
      t.y_sum = {allocate<S>(allocator, rows * columns), columns};
    } else {
      t.y = out;
    }
    forward_product(t, stream);
    if (adds_first)
      pointwise<E>({rows,
                    columns,
                    out,
                    at(step.add),
                    {},
                    {},
                    out,
                    true,
                    rowwise ? kIdentity : activation,
                    t.parameter,
                    t.parameter_step},
                   stream);
    if (adds_first && rowwise) softmax();
    if (!wide) continue;
    if constexpr (kMixed)
      softmax_of_sums<T>(rows, columns, t.y_sum, t.y_sum, out, stream);
    else
      softmax_of_sums<T>(rows, columns, out, out, out, stream);
  }
}

template <class T>
FusedTask<T> Network<T>::fused(const Parameters& parameters, const E* x, std::int64_t rows, E* y, bool logits) const {
  FusedTask<T> task{};
  const std::size_t layers = program_.nodes.size();
  if (layers > kMostFusedLayers || !program_.input().is_vector()) return task;
  std::vector<int> producer(program_.values.size(), kNetworkInput);
  for (std::size_t i = 0; i < layers; ++i) {
    const Node& node = program_.nodes[i];
    const Value& out = program_.value(node.out);
    const bool whole = out.shape.c == program_.storages[static_cast<std::size_t>(out.storage)];
    if (!node.is<Affine>() || !out.shape.is_vector() || !whole || node.epilogue.add_first) return task;
    producer[static_cast<std::size_t>(node.out)] = static_cast<int>(i);
  }
  task.rows = rows;
  task.x = {x, inputs()};
  task.y = {y, outputs()};
  task.slots = static_cast<int>(schedule_.start.size());
  task.layers = static_cast<int>(layers);
  for (std::size_t i = 0; i < layers; ++i) {
    const Node& node = program_.nodes[i];
    const Epilogue& e = node.epilogue;
    const ForwardTask<T> of = product(node, parameters, rows);
    const std::int32_t slot = schedule_.steps[i].out.buffer;
    task.layer[i] = {static_cast<int>(of.inputs),
                     static_cast<int>(of.units),
                     of.pieces,
                     producer[static_cast<std::size_t>(node.in)],
                     e.add == kNone ? kNoLayer : producer[static_cast<std::size_t>(e.add)],
                     slot < 0 ? 0 : slot,
                     of.weight.data,
                     of.weight.stride,
                     of.bias,
                     logits && node.out == program_.result ? kIdentity : e.activation,
                     of.parameter,
                     of.parameter_step};
  }
  return task;
}

template <class T>
std::vector<std::string> Network<T>::describe_plan(std::int64_t rows) const {
  const FusedPlace place = fused_place(fused({}, nullptr, rows, nullptr, false));
  if (place != FusedPlace::kNone)
    return {std::string("all layers in one launch, the activations between them in ") +
            (place == FusedPlace::kRegisters ? "registers" : "shared memory")};
  std::vector<std::string> lines;
  for (const Node& node : program_.nodes) {
    const Affine* const affine = node.as<Affine>();
    if (affine == nullptr) continue;
    const ParameterBlock& block = program_.block(affine->block);
    lines.push_back("one launch of " + std::to_string(block.inputs) + " x " + std::to_string(block.units) +
                    (block.pieces > 1 ? " x " + std::to_string(block.pieces) : "") + " with its activation");
  }
  return lines;
}

template class Network<float>;
template class Network<double>;
template class Network<Tf32>;
template class Network<Half>;
template class Network<Bfloat16>;

}  // namespace fnnfast::cuda
