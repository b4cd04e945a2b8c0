// Losses and labels from Python, checked.
#pragma once

#include <cstdint>
#include <string>

#include "../cpu/loss.hpp"
#include "array_view.hpp"
#include "names.hpp"

namespace fnnfast::cpu {

// precision: (O,) float64, or None.
template <class T>
Loss<T> make_loss(const std::string& name, py::handle precision) {
  Loss<T> loss{loss_kind(name), {}};
  if (precision.is_none()) return loss;
  const double* const given = view<double>(precision, "precision", {kAny});
  loss.precision.assign(given, given + dimension(precision, 0));
  return loss;
}

inline void check_labels(const std::int64_t* labels, ptrdiff_t count, ptrdiff_t classes) {
  for (ptrdiff_t i = 0; i < count; ++i)
    if (labels[i] < 0 || labels[i] >= classes)
      throw py::value_error("labels must be in [0, " + std::to_string(classes) + "), got " + std::to_string(labels[i]) +
                            " at index " + std::to_string(i));
}

}  // namespace fnnfast::cpu
