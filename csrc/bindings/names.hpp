// Names from Python.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "../core/activations.hpp"
#include "../core/losses.hpp"

namespace fnnfast {

// "tanh", or "accurate tanh" for its accurate form.
inline int activation_number(const std::string& name) {
  const std::string accurate = "accurate ";
  const bool is_accurate = name.starts_with(accurate);
  for (int i = 0; i < kActivations; ++i)
    if (name.compare(is_accurate ? accurate.size() : 0, std::string::npos, kActivationInfo[i].name) == 0)
      return is_accurate ? i + kActivations : i;
  throw pybind11::value_error("unknown activation '" + name + "'");
}

inline LossKind loss_kind(const std::string& name) {
  for (int kind = 0; kind < kLosses; ++kind)
    if (name == kLossInfo[kind].name) return static_cast<LossKind>(kind);
  throw pybind11::value_error("unknown loss '" + name + "'");
}

}  // namespace fnnfast
