// An optimizer's settings from Python.
#pragma once

#include <pybind11/stl.h>

#include <map>
#include <string>

#include "../core/optimizer_settings.hpp"

namespace fnnfast {

namespace py = pybind11;

inline OptimizerSettings optimizer_settings(const std::string& optimizer, const std::map<std::string, double>& given) {
  OptimizerSettings s;
  if (optimizer == "sgd")
    s.kind = OptimizerKind::kSgd;
  else if (optimizer == "adam")
    s.kind = OptimizerKind::kAdam;
  else
    throw py::value_error("unknown optimizer '" + optimizer + "'");
  for (const auto& [name, value] : given) {
    if (name == "momentum")
      s.momentum = value;
    else if (name == "nesterov")
      s.nesterov = value != 0.0;
    else if (name == "beta1")
      s.beta1 = value;
    else if (name == "beta2")
      s.beta2 = value;
    else if (name == "eps")
      s.eps = value;
    else if (name == "eps_hat")
      s.eps_hat = value != 0.0;
    else if (name == "l2")
      s.l2 = value;
    else if (name == "weight_decay")
      s.weight_decay = value;
    else if (name == "clip_norm")
      s.clip_norm = value;
    else
      throw py::value_error("unknown optimizer setting '" + name + "'");
  }
  return s;
}

}  // namespace fnnfast
