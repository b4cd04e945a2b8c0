// The activation of a call on arrays: its name and its parameter.
#pragma once

#include <string>

#include "../cpu/dense.hpp"
#include "array_view.hpp"
#include "names.hpp"

namespace fnnfast::cpu {

ActivationUse activation_use(const std::string& name, int activation, py::handle parameter, ptrdiff_t units,
                             const void* values);

template <class T>
ActivationUse activation_use(const std::string& name, py::handle parameter, ptrdiff_t units) {
  return activation_use(name, activation_number(name), parameter, units,
                        view_or_null<T>(parameter, "parameter", {kAny}));
}

}  // namespace fnnfast::cpu
