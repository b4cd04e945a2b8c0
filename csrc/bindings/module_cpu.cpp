#include <pybind11/pybind11.h>

#include "register_convolutions.hpp"
#include "register_machine.hpp"
#include "register_network.hpp"
#include "register_ops.hpp"
#include "register_trainer.hpp"

PYBIND11_MODULE(_cpu, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The compiled CPU kernels of fnnfast; see _cpu.pyi.";
  fnnfast::cpu::register_machine(m);
  fnnfast::cpu::register_ops(m);
  fnnfast::cpu::register_convolutions(m);
  fnnfast::cpu::register_network(m);
  fnnfast::cpu::register_trainer(m);
}
