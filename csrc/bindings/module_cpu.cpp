#include <pybind11/pybind11.h>

#include "register_machine.hpp"
#include "register_network.hpp"
#include "register_ops.hpp"
#include "register_trainer.hpp"

PYBIND11_MODULE(_cpu, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The compiled CPU kernels of fnnfast; see _cpu.pyi.";
  fnnfast::register_machine(m);
  fnnfast::register_ops(m);
  fnnfast::register_network(m);
  fnnfast::register_trainer(m);
}
