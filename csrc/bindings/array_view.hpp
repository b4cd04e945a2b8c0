// Checked access to NumPy arrays. The errors that users see come from fnnfast._checks; the ones here only protect
// memory from invalid calls.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "../cpu/dtypes.hpp"

namespace fnnfast::cpu {

namespace py = pybind11;
using std::ptrdiff_t;

inline constexpr ptrdiff_t kAny = -1;

inline bool is_array(py::handle h) { return py::detail::npy_api::get().PyArray_Check_(h.ptr()); }

// The same without subclasses: a masked array's mask would be lost.
inline bool is_plain_array(py::handle h) {
  return reinterpret_cast<PyObject*>(Py_TYPE(h.ptr())) ==
         reinterpret_cast<PyObject*>(py::detail::npy_api::get().PyArray_Type_);
}

// Whether an ndarray can be used as it is: of that type, native byte order, aligned, C-contiguous.
template <class T>
bool is_ready(py::handle array) {
  const auto* const proxy = py::detail::array_proxy(array.ptr());
  constexpr int kFlags = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  if ((proxy->flags & kFlags) != kFlags) return false;
  if constexpr (std::is_floating_point_v<T>) {
    const auto* const descriptor = py::detail::array_descriptor_proxy(proxy->descr);
    constexpr char kSwapped = PY_LITTLE_ENDIAN ? '>' : '<';
    return descriptor->type_num == py::detail::npy_format_descriptor<T>::value && descriptor->byteorder != kSwapped;
  } else {
    return py::isinstance<py::array_t<T>>(array);
  }
}

inline int dimensions(py::handle array) { return py::detail::array_proxy(array.ptr())->nd; }
inline ptrdiff_t dimension(py::handle array, int axis) {
  return py::detail::array_proxy(array.ptr())->dimensions[axis];
}
inline bool writeable(py::handle array) {
  return (py::detail::array_proxy(array.ptr())->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_) != 0;
}
template <class T>
T* data(py::handle array) {
  return reinterpret_cast<T*>(py::detail::array_proxy(array.ptr())->data);
}

// Whether a (rows, columns) array can be used as it is.
template <class T>
bool is_matrix(py::handle h, ptrdiff_t columns) {
  return is_plain_array(h) && is_ready<T>(h) && dimensions(h) == 2 && dimension(h, 1) == columns;
}

// "(any, 3)"
inline std::string shape_text(const std::vector<ptrdiff_t>& shape) {
  std::string text;
  for (const ptrdiff_t n : shape) text += (text.empty() ? "" : ", ") + (n == kAny ? "any" : std::to_string(n));
  return "(" + text + ")";
}

// The data of an array, checked; kAny stands for any length.
template <class T>
T* view(py::handle array, const char* name, const std::vector<ptrdiff_t>& shape, bool write = false) {
  if (!is_array(array)) throw py::type_error(std::string(name) + " must be a NumPy array");
  if (!is_ready<T>(array))
    throw py::type_error(std::string(name) +
                         " must be C-contiguous, aligned, of native byte order and of the dtype of the call");
  bool fits = dimensions(array) == static_cast<int>(shape.size());
  int axis = 0;
  for (const ptrdiff_t n : shape) {
    fits = fits && (n == kAny || n == dimension(array, axis));
    ++axis;
  }
  if (!fits) {
    std::vector<ptrdiff_t> given;
    for (int i = 0; i < dimensions(array); ++i) given.push_back(dimension(array, i));
    throw py::value_error(std::string(name) + " must have the shape " + shape_text(shape) + ", got " +
                          shape_text(given));
  }
  if (write && !writeable(array)) throw py::value_error(std::string(name) + " is read-only");
  return data<T>(array);
}

template <class T>
T* view_or_null(py::handle array, const char* name, const std::vector<ptrdiff_t>& shape, bool write = false) {
  return array.is_none() ? nullptr : view<T>(array, name, shape, write);
}

// f(T()) for the dtype of an array.
template <class F>
auto by_dtype(py::handle array, F&& f) {
  if (!is_array(array)) throw py::type_error("expected a NumPy array");
  return visit_first(
      Dtypes(), [&]<class T>(T) { return is_ready<T>(array); }, f,
      [] {
        return py::type_error("expected a C-contiguous, aligned array of native byte order and one of the dtypes " +
                              dtype_names(Dtypes()));
      });
}

}  // namespace fnnfast::cpu
