#include "network_object.hpp"

#include <array>

#include "../cpu/floatenv.hpp"
#include "../cpu/isa.hpp"
#include "layer_specs.hpp"
#include "unlocked.hpp"

namespace fnnfast::cpu {

namespace {

// With fewer multiply-adds (about a microsecond), releasing the interpreter costs more than it gains.
constexpr double kKeepInterpreter = 20000;

enum class Part { kWeight, kBias, kAlpha };

bool is_normalization(const ParameterBlock& block) { return block.kind == ParameterBlock::Kind::kNormalize; }
const char* name_of(const ParameterBlock& block, Part part) {
  if (is_normalization(block)) return part == Part::kWeight ? "gamma" : "beta";
  return part == Part::kWeight ? "weight" : part == Part::kBias ? "bias" : "alpha";
}

// The arrays of a block, in Python's order.
std::vector<Part> parts_of(const ParameterBlock& block) {
  std::vector<Part> parts;
  if (block.kind != ParameterBlock::Kind::kSlopes) parts.push_back(Part::kWeight);
  if (block.bias) parts.push_back(Part::kBias);
  if (block.slopes) parts.push_back(Part::kAlpha);
  return parts;
}

template <class T>
std::vector<ptrdiff_t> shape_of(const Block<T>& layer, Part part) {
  const PanelLayout& l = layer.layout;
  std::vector<ptrdiff_t> shape;
  if (layer.maxout && part != Part::kAlpha) shape.push_back(l.pieces);
  if (part == Part::kWeight && layer.kernel[0] > 0)
    shape.insert(shape.end(), {layer.kernel[0], layer.kernel[1], l.inputs / (layer.kernel[0] * layer.kernel[1])});
  else if (part == Part::kWeight && !is_normalization(layer))
    shape.push_back(l.inputs);
  shape.push_back(l.units);
  return shape;
}

template <class T>
void unpack_part(const Block<T>& layer, Part part, const T* panels, const T* alpha, T* to) {
  switch (part) {
    case Part::kWeight:
      unpack_weight(layer.layout, panels, contiguous_weight(to, layer.layout));
      break;
    case Part::kBias:
      unpack_bias(layer.layout, panels, contiguous_bias(to, layer.layout));
      break;
    case Part::kAlpha:
      std::copy_n(alpha, layer.layout.units, to);
      break;
  }
}

template <class T>
py::object unpacked_part(const Block<T>& layer, Part part, const T* panels, const T* alpha) {
  py::array_t<T> array(shape_of(layer, part));
  unpack_part(layer, part, panels, alpha, array.mutable_data());
  return array;
}

template <class T>
void pack_part(const Block<T>& layer, Part part, py::handle value, T* panels, T* alpha) {
  const T* const from = view<T>(value, name_of(layer, part), shape_of(layer, part));
  switch (part) {
    case Part::kWeight:
      pack_weight(layer.layout, contiguous_weight(from, layer.layout), panels);
      break;
    case Part::kBias:
      pack_bias(layer.layout, contiguous_bias(from, layer.layout), panels);
      break;
    case Part::kAlpha:
      std::copy_n(from, layer.layout.units, alpha);
      break;
  }
}

// The block of a layer and its part with that name; KeyError if there is none.
template <class T>
std::pair<Block<T>*, Part> find_part(Network<T>& network, ptrdiff_t index, const std::string& name) {
  if (Block<T>* const layer = network.find(index))
    for (const Part part : parts_of(*layer))
      if (name == name_of(*layer, part)) return {layer, part};
  throw py::key_error(name);
}

}  // namespace

template <class T>
py::list unpacked(const Block<T>& layer, const T* panels, const T* alpha) {
  py::list arrays;
  for (const Part part : parts_of(layer)) arrays.append(unpacked_part(layer, part, panels, alpha));
  return arrays;
}

template <class T>
ptrdiff_t unpack_all(const Block<T>& layer, const py::sequence& arrays, ptrdiff_t at, const T* panels, const T* alpha) {
  for (const Part part : parts_of(layer)) {
    const py::object array = arrays[static_cast<std::size_t>(at++)];
    unpack_part(layer, part, panels, alpha, view<T>(array, name_of(layer, part), shape_of(layer, part), true));
  }
  return at;
}

std::size_t array_count(const ParameterBlock& block) { return parts_of(block).size(); }

template <class T>
ptrdiff_t pack_all(const Block<T>& layer, const py::sequence& values, ptrdiff_t at, T* panels, T* alpha) {
  for (const Part part : parts_of(layer))
    pack_part(layer, part, py::object(values[static_cast<std::size_t>(at++)]), panels, alpha);
  return at;
}

template py::list unpacked(const Block<float>&, const float*, const float*);
template py::list unpacked(const Block<double>&, const double*, const double*);
template ptrdiff_t unpack_all(const Block<float>&, const py::sequence&, ptrdiff_t, const float*, const float*);
template ptrdiff_t unpack_all(const Block<double>&, const py::sequence&, ptrdiff_t, const double*, const double*);
template ptrdiff_t pack_all(const Block<float>&, const py::sequence&, ptrdiff_t, float*, float*);
template ptrdiff_t pack_all(const Block<double>&, const py::sequence&, ptrdiff_t, double*, double*);

PyNetwork::PyNetwork(const std::string& dtype, py::handle input, const py::sequence& layers, bool channels_first) {
  std::vector<LayerSpec> specs = layer_specs(layers);
  const Shape shape = input_shape(input);
  if (dtype == "bfloat16") {
    const WeightFormat format = pairs_affine() ? WeightFormat::kBfloat16Pairs : WeightFormat::kBfloat16;
    network_ = std::make_unique<Network<float>>(shape, channels_first, std::move(specs), format);
    return;
  }
  visit_dtype(Dtypes(), dtype, "dtype",
              [&]<class T>(T) { network_ = std::make_unique<Network<T>>(shape, channels_first, std::move(specs)); });
}

py::list PyNetwork::names(ptrdiff_t index) {
  return visit([&](auto& network) {
    py::list names;
    if (const auto* const layer = network.find(index))
      for (const Part part : parts_of(*layer)) names.append(name_of(*layer, part));
    return names;
  });
}

py::list PyNetwork::buffer_names(ptrdiff_t index) {
  return visit([&](auto& network) {
    py::list names;
    if (const auto* const layer = network.find(index); layer != nullptr && is_normalization(*layer))
      for (const char* const name : {"mean", "variance"}) names.append(name);
    return names;
  });
}

namespace {

// A buffer with that name, or null.
template <class T>
Buffer<T>* find_buffer(Block<T>* layer, const std::string& name) {
  if (layer == nullptr || !is_normalization(*layer)) return nullptr;
  return name == "mean" ? &layer->mean : name == "variance" ? &layer->variance : nullptr;
}

}  // namespace

py::object PyNetwork::get(ptrdiff_t index, const std::string& name) {
  return visit([&]<class T>(Network<T>& network) -> py::object {
    Block<T>* const block = network.find(index);
    if (const Buffer<T>* const buffer = find_buffer(block, name)) {
      py::array_t<T> array(block->units);
      std::copy_n(buffer->data(), block->units, array.mutable_data());
      return array;
    }
    const auto [layer, part] = find_part(network, index, name);
    Buffer<T> copy;
    return unpacked_part(*layer, part, network.full_panels(*layer, copy), layer->alpha.data());
  });
}

void PyNetwork::set(ptrdiff_t index, const std::string& name, py::handle value) {
  visit([&]<class T>(Network<T>& network) {
    if (network.is_fixed()) throw py::type_error("the parameters of a bfloat16 or int8 network are read-only");
    Block<T>* const block = network.find(index);
    if (const Buffer<T>* const buffer = find_buffer(block, name)) {
      std::copy_n(view<T>(value, name.c_str(), {block->units}), block->units, buffer->data());
      return network.refresh(*block);
    }
    const auto [layer, part] = find_part(network, index, name);
    pack_part(*layer, part, value, layer->panels.data(), layer->alpha.data());
    network.refresh(*layer);
    ++layer->version;
  });
}

const Network<float>& PyNetwork::full_float(const char* what) const {
  const auto* const network = std::get_if<Owned<float>>(&network_);
  if (network == nullptr || (*network)->is_fixed())
    throw py::value_error(std::string(what) + " networks are made from float32 networks, got " + compute_dtype());
  return **network;
}

std::unique_ptr<PyNetwork> PyNetwork::bfloat16(bool pairs) const {
  return std::unique_ptr<PyNetwork>(new PyNetwork(full_float("bfloat16").to_bfloat16(pairs)));
}

std::unique_ptr<PyNetwork> PyNetwork::quantized(const py::sequence& layers) const {
  const Network<float>& network = full_float("int8");
  std::vector<Network<float>::BlockScales> scales;
  for (const py::handle item : layers) {
    const auto layer = py::cast<py::sequence>(item);
    const auto weight = py::cast<py::array_t<float, py::array::c_style | py::array::forcecast>>(layer[2]);
    const InputScale input{py::cast<float>(layer[0]), py::cast<int>(layer[1])};
    if (!(input.scale > 0.0f) || input.zero_point < 0 || input.zero_point > 255)
      throw py::value_error("input scales must be positive and zero points in [0, 255], got " +
                            std::to_string(input.scale) + " and " + std::to_string(input.zero_point) + " for layer " +
                            std::to_string(scales.size()));
    scales.push_back({input, std::vector<float>(weight.data(), weight.data() + weight.size())});
  }
  return std::unique_ptr<PyNetwork>(new PyNetwork(network.to_int8(scales)));
}

std::string PyNetwork::compute_dtype() const {
  return std::visit(
      []<class T>(const Owned<T>& network) {
        switch (network->format()) {
          case WeightFormat::kBfloat16:
          case WeightFormat::kBfloat16Pairs:
            return "bfloat16";
          case WeightFormat::kInt8:
            return "int8";
          case WeightFormat::kFull:
            break;
        }
        return kDtypeName<T>;
      },
      network_);
}

py::tuple PyNetwork::quantization(ptrdiff_t index) {
  auto* const network = std::get_if<Owned<float>>(&network_);
  if (network == nullptr || (*network)->format() != WeightFormat::kInt8)
    throw py::value_error("quantization() needs an int8 network, got " + compute_dtype());
  const Block<float>* const layer = (*network)->find(index);
  if (layer == nullptr) throw py::value_error("layer " + std::to_string(index) + " has no weights");
  py::array_t<float> scales(shape_of(*layer, Part::kBias));
  std::copy_n(layer->weight_scale.data(), layer->weight_scale.size(), scales.mutable_data());
  return py::make_tuple(layer->input_scale.scale, layer->input_scale.zero_point, scales);
}

py::list PyNetwork::trace(py::handle x) {
  return visit([&]<class T>(Network<T>& network) {
    const T* const from = view<T>(x, "x", {kAny, network.inputs()});
    const auto copied = [](ptrdiff_t rows, ptrdiff_t columns, const T* data, ptrdiff_t row) {
      py::array_t<T> array({rows, columns});
      for (ptrdiff_t r = 0; r < rows; ++r) std::copy_n(data + r * row, columns, array.mutable_data() + r * columns);
      return array;
    };
    py::list seen;
    const FloatEnvironment environment;
    network.trace(from, dimension(x, 0), [&](const typename Network<T>::Seen& s) {
      const Program& program = network.program();
      const Epilogue& e = s.node->epilogue;
      const Shape &in = program.value(s.node->in).shape, &out = program.value(s.node->out).shape;
      py::object parameter = py::none();
      if (e.slopes != kNone)
        parameter = py::array_t<T>(out.c, network.blocks()[static_cast<std::size_t>(e.slopes)].alpha.data());
      else if (e.info().parameter)
        parameter = py::array_t<T>(1, std::array{static_cast<T>(e.parameter)}.data());
      seen.append(py::make_tuple(s.node->spec, e.spec, e.info().name, parameter,
                                 copied(s.rows / out.pixels() * in.pixels(), in.c, s.x, s.x_row),
                                 copied(s.rows, out.c, s.z, s.z_row)));
    });
    return seen;
  });
}

std::vector<std::string> PyNetwork::plan(ptrdiff_t batch) {
  return visit([&](auto& network) { return network.describe_plan(batch); });
}

namespace {

// A new (rows, columns) array. py::array_t would compute the strides, which takes 0.1 us, a good part of a small
// network's call.
template <class T>
py::object new_matrix(ptrdiff_t rows, ptrdiff_t columns) {
  auto& api = py::detail::npy_api::get();
  const Py_intptr_t shape[2] = {rows, columns};
  PyObject* const array = api.PyArray_NewFromDescr_(api.PyArray_Type_, py::dtype::of<T>().release().ptr(), 2, shape,
                                                    nullptr, nullptr, 0, nullptr);
  if (array == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(array);
}

template <class T>
py::object try_forward_as(const Network<T>& network, py::handle x, py::handle out, bool logits) {
  const ptrdiff_t inputs = network.inputs(), outputs = network.outputs();
  if (!is_matrix<T>(x, inputs)) return {};
  const ptrdiff_t batch = dimension(x, 0);
  const T* const from = data<T>(x);
  py::object y;
  if (out.is_none()) {
    y = new_matrix<T>(batch, outputs);
  } else {
    if (!is_matrix<T>(out, outputs) || dimension(out, 0) != batch || !writeable(out)) return {};
    const T* const to = data<T>(out);
    if (from < to + batch * outputs && to < from + batch * inputs) return {};
    y = py::reinterpret_borrow<py::object>(out);
  }
  T* const to = data<T>(y);
  if (static_cast<double>(batch) * network.work() < kKeepInterpreter) {
    const FloatEnvironment environment;
    network.forward(from, batch, to, logits);
  } else {
    const Unlocked unlocked;
    network.forward(from, batch, to, logits);
  }
  return y;
}

}  // namespace

py::object PyNetwork::try_forward(py::handle x, py::handle out, bool logits) {
  return visit([&](auto& network) { return try_forward_as(network, x, out, logits); });
}

}  // namespace fnnfast::cpu
