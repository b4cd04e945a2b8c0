// Names and labels from Python, checked.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "../cpu/layer.hpp"

namespace fnnfast {

inline int activation_number(const std::string& name) {
  const int number = find_activation(name.c_str());
  if (number < 0) throw pybind11::value_error("unknown activation '" + name + "'");
  return number;
}

inline LossKind loss_kind(const std::string& name) {
  if (name == "categorical_cross_entropy") return LossKind::kCategoricalCrossEntropy;
  if (name == "binary_cross_entropy") return LossKind::kBinaryCrossEntropy;
  if (name == "squared_error") return LossKind::kSquaredError;
  throw pybind11::value_error("unknown loss '" + name + "'");
}

inline void check_labels(const std::int64_t* labels, ptrdiff_t count, ptrdiff_t classes) {
  for (ptrdiff_t i = 0; i < count; ++i)
    if (labels[i] < 0 || labels[i] >= classes)
      throw pybind11::value_error("labels must be in [0, " + std::to_string(classes) + "), got " +
                                  std::to_string(labels[i]));
}

}  // namespace fnnfast
