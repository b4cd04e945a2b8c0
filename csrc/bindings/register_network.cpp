#include "register_network.hpp"

#include <pybind11/stl.h>
#include <structmember.h>

#include <cstddef>
#include <exception>
#include <new>

#include "network_object.hpp"

namespace fnnfast::cpu {

namespace {

// Forward, the base class of Sequential. A `__call__` written in Python costs a frame, one bound by pybind11 its
// dispatch, and tp_call a tuple and a dictionary, each as much as a small network's arithmetic. This one uses
// vectorcall: it parses x and out, tries the network, and passes everything else to the method `_call` of the derived
// class.
struct Forward {
  PyObject head;   // what PyObject_HEAD declares
  PyObject* keep;  // the Python object that owns network
  PyNetwork* network;
  vectorcallfunc vectorcall;
};

// The arguments x and out, borrowed; x is null for any other arguments. parse() returns false with an error set.
struct ForwardArguments {
  PyObject *x = nullptr, *out = Py_None;
  bool parse(PyObject* const* args, Py_ssize_t positional, PyObject* names) {
    const Py_ssize_t keywords = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
    if (positional != 1 || keywords > 1) return true;
    if (keywords == 1) {
      static PyObject* const name = PyUnicode_InternFromString("out");
      PyObject* const given = PyTuple_GET_ITEM(names, 0);
      if (given != name) {
        const int order = PyUnicode_Compare(given, name);
        if (order == -1 && PyErr_Occurred() != nullptr) return false;
        if (order != 0) return true;
      }
      out = args[1];
    }
    x = args[0];
    return true;
  }
};

#if PY_VERSION_HEX < 0x030C0000
// Before Python 3.12, a class written in Python does not inherit vectorcall, and does not drop it when its `__call__`
// is replaced.
PyObject* forward_call(PyObject* self, PyObject* args, PyObject* kwargs);
bool takes_calls(PyTypeObject* type) { return type->tp_call == forward_call; }
void take_over_vectorcall(PyTypeObject* type) {
  if (takes_calls(type)) type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
}
bool leave_vectorcall(PyTypeObject* type) {
  if (takes_calls(type) || !PyType_HasFeature(type, Py_TPFLAGS_HAVE_VECTORCALL)) return false;
  type->tp_flags &= ~Py_TPFLAGS_HAVE_VECTORCALL;
  return true;
}
#else
void take_over_vectorcall(PyTypeObject*) {}
bool leave_vectorcall(PyTypeObject*) { return false; }
#endif

PyObject* forward_vectorcall(PyObject* self, PyObject* const* args, size_t count, PyObject* names) {
  if (leave_vectorcall(Py_TYPE(self))) return PyObject_Vectorcall(self, args, count, names);
  Forward* const forward = reinterpret_cast<Forward*>(self);
  ForwardArguments given;
  if (!given.parse(args, PyVectorcall_NARGS(count), names)) return nullptr;
  if (forward->network != nullptr && given.x != nullptr) {
    try {
      if (py::object y = forward->network->try_forward(given.x, given.out, false)) return y.release().ptr();
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
  const auto positional = static_cast<std::size_t>(PyVectorcall_NARGS(count));
  PyObject* const result = PyObject_Vectorcall(method, args, positional, names);
  Py_DECREF(method);
  return result;
}

// Reached only through an explicit `Forward.__call__`, such as super().__call__ in an override.
PyObject* forward_call(PyObject* self, PyObject* args, PyObject* kwargs) {
  leave_vectorcall(Py_TYPE(self));
  return PyVectorcall_Call(self, args, kwargs);
}

// Like object.__new__; the arguments are for `__init__`.
PyObject* forward_new(PyTypeObject* type, PyObject*, PyObject*) {
  take_over_vectorcall(type);
  PyObject* const none = PyTuple_New(0);
  if (none == nullptr) return nullptr;
  PyObject* const self = PyBaseObject_Type.tp_new(type, none, nullptr);
  Py_DECREF(none);
  if (self != nullptr) reinterpret_cast<Forward*>(self)->vectorcall = forward_vectorcall;
  return self;
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
  static PyMemberDef members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(Forward, vectorcall), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(forward_new)},
                                {Py_tp_call, reinterpret_cast<void*>(forward_call)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(forward_dealloc)},
                                {Py_tp_methods, methods},
                                {Py_tp_members, members},
                                {0, nullptr}};
  static PyType_Spec spec = {"fnnfast._cpu.Forward", sizeof(Forward), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_VECTORCALL, slots};
  m.attr("Forward") = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
}

}  // namespace

void register_network(py::module_& m) {
  using py::arg;
  py::class_<PyNetwork>(m, "Network")
      .def(py::init<const std::string&, py::handle, const py::sequence&, bool>(), arg("dtype"), arg("inputs"),
           arg("layers"), arg("channels_first") = false)
      .def("names", &PyNetwork::names, arg("layer"))
      .def("buffer_names", &PyNetwork::buffer_names, arg("layer"))
      .def("get", &PyNetwork::get, arg("layer"), arg("name"))
      .def("set", &PyNetwork::set, arg("layer"), arg("name"), arg("value"))
      .def(
          "try_forward",
          [](PyNetwork& network, py::handle x, py::handle out, bool logits) -> py::object {
            py::object y = network.try_forward(x, out, logits);
            return y ? y : py::none();
          },
          arg("x"), arg("out") = py::none(), arg("logits") = false)
      .def("bfloat16", &PyNetwork::bfloat16, py::arg("pairs"))
      .def("quantized", &PyNetwork::quantized, arg("layers"))
      .def_property_readonly("compute_dtype", &PyNetwork::compute_dtype)
      .def("quantization", &PyNetwork::quantization, arg("layer"))
      .def("plan", &PyNetwork::plan, arg("batch"))
      .def("trace", &PyNetwork::trace, arg("x"));
  register_forward(m);
}

}  // namespace fnnfast::cpu
