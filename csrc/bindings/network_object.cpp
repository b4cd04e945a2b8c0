#include "network_object.hpp"

#include "../cpu/floatenv.hpp"
#include "names.hpp"

namespace fnnfast {

namespace {

// Under this many fused multiply-adds (about a microsecond) giving the interpreter away costs more than it lets others
// do.
constexpr double kKeepInterpreter = 20000;

std::vector<LayerSpec> layer_specs(const py::sequence& layers) {
  std::vector<LayerSpec> specs;
  for (const py::handle item : layers) {
    const auto layer = py::cast<py::sequence>(item);
    const auto kind = py::cast<std::string>(layer[0]);
    LayerSpec spec{};
    if (kind == "dense") {
      spec.kind = LayerSpec::Kind::kDense;
      spec.units = py::cast<ptrdiff_t>(layer[1]);
      spec.activation = activation_number(py::cast<std::string>(layer[2]));
      if (!py::object(layer[3]).is_none()) spec.parameter = py::cast<double>(layer[3]);
    } else if (kind == "maxout") {
      spec.kind = LayerSpec::Kind::kMaxout;
      spec.units = py::cast<ptrdiff_t>(layer[1]);
      spec.pieces = py::cast<ptrdiff_t>(layer[2]);
    } else if (kind == "dropout") {
      spec.kind = LayerSpec::Kind::kDropout;
      spec.rate = py::cast<double>(layer[1]);
    } else {
      throw py::value_error("unknown kind of layer '" + kind + "'");
    }
    specs.push_back(spec);
  }
  return specs;
}

}  // namespace

template <class T>
py::array_t<T> new_array(const std::vector<ptrdiff_t>& shape) {
  return py::array_t<T>(shape);
}

template <class T>
py::list unpacked(const Layer<T>& layer, const T* panels, const T* alpha) {
  const PanelLayout& l = layer.layout;
  auto weight = layer.maxout ? new_array<T>({l.pieces, l.inputs, l.units}) : new_array<T>({l.inputs, l.units});
  auto bias = layer.maxout ? new_array<T>({l.pieces, l.units}) : new_array<T>({l.units});
  unpack(l, panels, WeightView<T>::contiguous(weight.mutable_data(), bias.mutable_data(), l));
  py::list arrays;
  arrays.append(weight);
  arrays.append(bias);
  if (layer.info().learned) {
    auto slopes = new_array<T>({l.units});
    std::copy_n(alpha, l.units, slopes.mutable_data());
    arrays.append(slopes);
  }
  return arrays;
}

template <class T>
void pack_over(const Layer<T>& layer, py::handle weight, py::handle bias, py::handle slopes, T* panels, T* alpha) {
  const PanelLayout& l = layer.layout;
  // What is not given is kept: unpack it, replace what is, pack again.
  std::vector<T> kept_weight, kept_bias;
  const T* w = nullptr;
  const T* b = nullptr;
  const auto shape = [&](py::handle h, const char* name, bool is_weight) {
    if (layer.maxout)
      return is_weight ? view<T>(h, name, {l.pieces, l.inputs, l.units}) : view<T>(h, name, {l.pieces, l.units});
    return is_weight ? view<T>(h, name, {l.inputs, l.units}) : view<T>(h, name, {l.units});
  };
  if (weight) w = shape(weight, "weight", true);
  if (bias) b = shape(bias, "bias", false);
  const T* const a = slopes ? view<T>(slopes, "alpha", {l.units}) : nullptr;
  if ((w == nullptr) != (b == nullptr)) {
    kept_weight.resize(static_cast<std::size_t>(l.pieces * l.inputs * l.units));
    kept_bias.resize(static_cast<std::size_t>(l.pieces * l.units));
    unpack(l, panels, WeightView<T>::contiguous(kept_weight.data(), kept_bias.data(), l));
    if (w == nullptr) w = kept_weight.data();
    if (b == nullptr) b = kept_bias.data();
  }
  if (w) pack(l, WeightView<const T>::contiguous(w, b, l), panels);
  if (a) std::copy_n(a, l.units, alpha);
}

template py::list unpacked(const Layer<float>&, const float*, const float*);
template py::list unpacked(const Layer<double>&, const double*, const double*);
template void pack_over(const Layer<float>&, py::handle, py::handle, py::handle, float*, float*);
template void pack_over(const Layer<double>&, py::handle, py::handle, py::handle, double*, double*);

PyNetwork::PyNetwork(const std::string& dtype, ptrdiff_t inputs, const py::sequence& layers) {
  const std::vector<LayerSpec> specs = layer_specs(layers);
  if (dtype == "float32")
    network_ = std::make_unique<Network<float>>(inputs, specs);
  else if (dtype == "float64")
    network_ = std::make_unique<Network<double>>(inputs, specs);
  else
    throw py::value_error("dtype must be float32 or float64, got " + dtype);
}

py::list PyNetwork::names(ptrdiff_t index) {
  return visit([&](auto& network) {
    py::list names;
    if (const auto* const layer = network.find(index)) {
      names.append("weight");
      names.append("bias");
      if (layer->info().learned) names.append("alpha");
    }
    return names;
  });
}

py::object PyNetwork::get(ptrdiff_t index, const std::string& name) {
  const py::list all = names(index);
  return visit([&](auto& network) -> py::object {
    for (std::size_t i = 0; i < all.size(); ++i)
      if (py::cast<std::string>(all[i]) == name) {
        const auto& layer = *network.find(index);
        return unpacked(layer, layer.panels.data(), layer.alpha.data())[i];
      }
    throw py::key_error(name);
  });
}

void PyNetwork::set(ptrdiff_t index, const std::string& name, py::handle value) {
  if (!names(index).contains(name)) throw py::key_error(name);
  visit([&](auto& network) {
    auto& layer = *network.find(index);
    const py::handle none;
    pack_over(layer, name == "weight" ? value : none, name == "bias" ? value : none, name == "alpha" ? value : none,
              layer.panels.data(), layer.alpha.data());
    ++layer.version;
  });
}

std::vector<std::string> PyNetwork::plan(ptrdiff_t batch) {
  return visit([&](auto& network) { return network.describe_plan(batch); });
}

namespace {

// A new (rows, columns) array. py::array_t would work out the strides that NumPy knows by itself: a tenth of a
// microsecond, a good part of a small network's answer.
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
bool is_matrix(py::handle h, ptrdiff_t columns) {
  return is_array(h) && is_ready<T>(h) && dimensions(h) == 2 && dimension(h, 1) == columns;
}

template <class T>
py::object forward_as(const Network<T>& network, py::handle x, py::handle out, bool logits) {
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
    const py::gil_scoped_release release;
    const FloatEnvironment environment;
    network.forward(from, batch, to, logits);
  }
  return y;
}

}  // namespace

py::object PyNetwork::forward(py::handle x, py::handle out, bool logits) {
  return visit([&](auto& network) { return forward_as(network, x, out, logits); });
}

}  // namespace fnnfast
