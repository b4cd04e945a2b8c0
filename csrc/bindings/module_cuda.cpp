#include <pybind11/pybind11.h>

#include "../cuda/launch.hpp"
#include "register_cuda_network.hpp"
#include "register_cuda_ops.hpp"
#include "register_cuda_trainer.hpp"

PYBIND11_MODULE(_cuda, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The compiled CUDA kernels of fnnfast; see _cuda.pyi.";
  pybind11::register_exception<fnnfast::cuda::DeviceError>(m, "DeviceError", PyExc_RuntimeError);
  m.def("probe", [] { fnnfast::cuda::device_info(); });
  fnnfast::cuda::register_cuda_ops(m);
  fnnfast::cuda::register_cuda_network(m);
  fnnfast::cuda::register_cuda_trainer(m);
}
