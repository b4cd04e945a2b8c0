// Names, losses and labels from Python, checked.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "../cpu/layer.hpp"
#include "../cpu/loss.hpp"
#include "array_view.hpp"

namespace fnnfast {

inline int activation_number(const std::string& name) {
  const int number = find_activation(name.c_str());
  if (number < 0) throw pybind11::value_error("unknown activation '" + name + "'");
  return number;
}

inline LossKind loss_kind(const std::string& name) {
  for (int kind = 0; kind < kLosses; ++kind)
    if (name == kLossInfo[kind].name) return static_cast<LossKind>(kind);
  throw pybind11::value_error("unknown loss '" + name + "'");
}

// precision: (O,) float64, or None.
template <class T>
Loss<T> make_loss(const std::string& name, pybind11::handle precision) {
  Loss<T> loss{loss_kind(name), {}};
  if (precision.is_none()) return loss;
  const double* const given = view<double>(precision, "precision", {kAny});
  loss.precision.assign(given, given + dimension(precision, 0));
  return loss;
}

inline void check_labels(const std::int64_t* labels, ptrdiff_t count, ptrdiff_t classes) {
  for (ptrdiff_t i = 0; i < count; ++i)
    if (labels[i] < 0 || labels[i] >= classes)
      throw pybind11::value_error("labels must be in [0, " + std::to_string(classes) + "), got " +
                                  std::to_string(labels[i]));
}

}  // namespace fnnfast
