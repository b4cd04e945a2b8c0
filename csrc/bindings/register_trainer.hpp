// Trainer.
#pragma once

#include <pybind11/pybind11.h>

namespace fnnfast::cpu {
void register_trainer(pybind11::module_& m);
}
