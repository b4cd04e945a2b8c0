#include "register_network.hpp"

#include <pybind11/stl.h>

#include <exception>
#include <new>

#include "network_object.hpp"

namespace fnnfast {

namespace {

// Forward, the base of Sequential. A call of a Python object goes through its type's tp_call; a `__call__` written in
// Python costs a frame there, and one bound by pybind11 its dispatch, each as much as a small network's arithmetic.
// This one takes x and out, tries the network, and hands everything else to the method `_call` of the derived class.
struct Forward {
  PyObject head;   // what PyObject_HEAD declares
  PyObject* keep;  // the Python object that owns network
  PyNetwork* network;
};

PyObject* forward_call(PyObject* self, PyObject* args, PyObject* kwargs) {
  Forward* const forward = reinterpret_cast<Forward*>(self);
  PyObject* out = kwargs == nullptr || PyDict_GET_SIZE(kwargs) == 0 ? Py_None : nullptr;
  if (out == nullptr && PyDict_GET_SIZE(kwargs) == 1) {
    static PyObject* const name = PyUnicode_InternFromString("out");
    out = PyDict_GetItemWithError(kwargs, name);  // borrowed, or null
    if (out == nullptr && PyErr_Occurred() != nullptr) return nullptr;
  }
  if (forward->network != nullptr && out != nullptr && PyTuple_GET_SIZE(args) == 1) {
    try {
      if (py::object y = forward->network->forward(PyTuple_GET_ITEM(args, 0), out, false)) return y.release().ptr();
    } catch (py::error_already_set& error) {
      error.restore();
      return nullptr;
    } catch (const std::bad_alloc&) {
      return PyErr_NoMemory();
    } catch (const std::exception& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
      return nullptr;
    }
  }
  PyObject* const method = PyObject_GetAttrString(self, "_call");
  if (method == nullptr) return nullptr;
  PyObject* const result = PyObject_Call(method, args, kwargs);
  Py_DECREF(method);
  return result;
}

PyObject* forward_attach(PyObject* self, PyObject* network) {
  try {
    PyNetwork* const pointer = py::cast<PyNetwork*>(py::handle(network));
    Forward* const forward = reinterpret_cast<Forward*>(self);
    Py_INCREF(network);
    Py_XSETREF(forward->keep, network);
    forward->network = pointer;
  } catch (const py::cast_error&) {
    PyErr_SetString(PyExc_TypeError, "expected a Network");
    return nullptr;
  }
  Py_RETURN_NONE;
}

void forward_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  Py_XDECREF(reinterpret_cast<Forward*>(self)->keep);
  type->tp_free(self);
  Py_DECREF(type);
}

void register_forward(py::module_& m) {
  static PyMethodDef methods[] = {
      {"_attach", forward_attach, METH_O, "_attach(network): answer calls with this Network."},
      {nullptr, nullptr, 0, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(forward_call)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(forward_dealloc)},
                                {Py_tp_methods, methods},
                                {0, nullptr}};
  static PyType_Spec spec = {"fnnfast._cpu.Forward", sizeof(Forward), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                             slots};
  m.attr("Forward") = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
}

}  // namespace

void register_network(py::module_& m) {
  using py::arg;
  py::class_<PyNetwork>(m, "Network")
      .def(py::init<const std::string&, ptrdiff_t, const py::sequence&>(), arg("dtype"), arg("inputs"), arg("layers"))
      .def("names", &PyNetwork::names, arg("layer"))
      .def("get", &PyNetwork::get, arg("layer"), arg("name"))
      .def("set", &PyNetwork::set, arg("layer"), arg("name"), arg("value"))
      .def(
          "forward",
          [](PyNetwork& network, py::handle x, py::handle out, bool logits) -> py::object {
            py::object y = network.forward(x, out, logits);
            return y ? y : py::none();
          },
          arg("x"), arg("out") = py::none(), arg("logits") = false)
      .def("bfloat16", &PyNetwork::bfloat16)
      .def("quantized", &PyNetwork::quantized, arg("layers"))
      .def_property_readonly("precision", &PyNetwork::precision)
      .def("quantization", &PyNetwork::quantization, arg("layer"))
      .def("plan", &PyNetwork::plan, arg("batch"));
  register_forward(m);
}

}  // namespace fnnfast
