// Checked access to device arrays: CuPy's, or objects with the same attributes. The errors that users see come from
// Python; the ones here only protect memory from invalid calls.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "../cuda/dtypes.hpp"
#include "../cuda/workspace.hpp"

namespace fnnfast {

// Of arrays that are not the numbers of a network.
template <>
inline constexpr const char* kDtypeName<std::uint8_t> = "uint8";
template <>
inline constexpr const char* kDtypeName<std::int64_t> = "int64";

}  // namespace fnnfast

namespace fnnfast::cuda {

namespace py = pybind11;

inline constexpr std::int64_t kAny = -1;

inline std::int64_t dimension(py::handle array, int axis) {
  return py::cast<std::int64_t>(py::tuple(array.attr("shape"))[static_cast<std::size_t>(axis)]);
}

inline std::string element_name(py::handle array) { return py::cast<std::string>(array.attr("dtype").attr("name")); }

// The data of a C-contiguous array of that shape; kAny stands for any length.
template <class T>
T* view(py::handle array, const char* name, const std::vector<std::int64_t>& shape) {
  if (!py::hasattr(array, "data") || !py::hasattr(array.attr("data"), "ptr"))
    throw py::type_error(std::string(name) + " must be a device array");
  if (element_name(array) != kDtypeName<T>)
    throw py::type_error(std::string(name) + " must have the dtype " + kDtypeName<T> + ", got " + element_name(array));
  const py::tuple given = array.attr("shape");
  bool fits = given.size() == shape.size();
  for (std::size_t i = 0; fits && i < shape.size(); ++i)
    fits = shape[i] == kAny || shape[i] == py::cast<std::int64_t>(given[i]);
  if (!fits) {
    std::string expected;
    for (const std::int64_t n : shape) {
      if (!expected.empty()) expected += ", ";
      expected += n == kAny ? "any" : std::to_string(n);
    }
    throw py::value_error(std::string(name) + " must have the shape (" + expected + "), got " +
                          py::cast<std::string>(py::str(given)));
  }
  if (!py::cast<bool>(array.attr("flags").attr("c_contiguous")))
    throw py::value_error(std::string(name) + " must be C-contiguous");
  const auto address = py::cast<std::uintptr_t>(array.attr("data").attr("ptr"));
  if (address % sizeof(T) != 0) throw py::value_error(std::string(name) + " must be aligned to its elements");
  return reinterpret_cast<T*>(address);
}

template <class T>
T* view_or_null(py::handle array, const char* name, const std::vector<std::int64_t>& shape) {
  return array.is_none() ? nullptr : view<T>(array, name, shape);
}

inline cudaStream_t stream_of(std::uintptr_t stream) { return reinterpret_cast<cudaStream_t>(stream); }

// Memory from a Python callable that takes a size in bytes and returns an object with the attribute `ptr`. The objects
// live as long as this.
class PyAllocator {
 public:
  explicit PyAllocator(py::handle allocate) : allocate_(py::reinterpret_borrow<py::object>(allocate)) {}
  operator Allocator() {
    return [this](std::size_t bytes) {
      kept_.push_back(allocate_(bytes));
      return reinterpret_cast<void*>(py::cast<std::uintptr_t>(kept_.back().attr("ptr")));
    };
  }

 private:
  py::object allocate_;
  std::vector<py::object> kept_;
};

// f(T()) for the dtype of an array, or for Tf32 instead of float32.
template <class F>
auto by_element(py::handle array, bool tf32, F&& f) {
  const std::string name = element_name(array);
  if (tf32 && name == kDtypeName<float>) return f(Tf32());
  return visit_first(
      ArrayDtypes(), [&]<class T>(T) { return name == kDtypeName<T>; }, f,
      [&] {
        return py::type_error("expected an array of one of the dtypes " + dtype_names(ArrayDtypes()) + ", got " + name);
      });
}

}  // namespace fnnfast::cuda
