#include "register_machine.hpp"

#include <pybind11/stl.h>

#include <chrono>

#include "../cpu/buffer.hpp"
#include "../cpu/cpu_count.hpp"
#include "../cpu/isa.hpp"
#include "../cpu/kernels.hpp"
#include "../cpu/threads.hpp"
#include "unlocked.hpp"

namespace fnnfast::cpu {

namespace py = pybind11;

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The best rate, in work per second, over rounds of about a millisecond.
template <class F>
double best_rate(double seconds, double work, F&& f) {
  double best = 0.0;
  for (const double end = now() + seconds; now() < end;) {
    const double start = now();
    f();
    best = std::max(best, work / (now() - start));
  }
  return best;
}

double measure_fma_peak(double seconds) {
  const Kernels<float>& k = kernels<float>();
  constexpr std::ptrdiff_t kIterations = 100000;
  constexpr double kChains = 12;
  const std::ptrdiff_t threads = num_threads();
  Buffer<float> sink(threads * 16);
  const double work = 2.0 * kChains * k.lanes * static_cast<double>(kIterations) * static_cast<double>(threads) * 4;
  return best_rate(seconds, work, [&] {
    parallel_for(threads * 4, [&](std::ptrdiff_t i) { sink[i / 4 * 16] = k.fma_peak(kIterations); });
  });
}

double measure_read_bandwidth(std::ptrdiff_t bytes, double seconds) {
  const Kernels<float>& k = kernels<float>();
  const std::ptrdiff_t n =
      std::max(std::ptrdiff_t{1}, bytes / 512) * 128;  // whole passes of eight vectors of any instruction set
  const Buffer<float> buffer(n);
  const std::ptrdiff_t repeats = std::max(std::ptrdiff_t{1}, (std::ptrdiff_t{1} << 22) / n);
  float sink = 0.0f;
  const double rate = best_rate(seconds, static_cast<double>(n * repeats) * 4.0, [&] {
    for (std::ptrdiff_t i = 0; i < repeats; ++i) sink += k.read(buffer.data(), n);
  });
  return sink == 0.0f ? rate : 0.0;
}

}  // namespace

void register_machine(py::module_& m) {
  m.def("isa", [] { return selected_isa().name; });
  m.def("isas", [] {
    py::list names;
    for (const Isa* const isa : available_isas()) names.append(isa->name);
    return names;
  });
  m.def("use_isa", &use_isa, py::arg("name"));
  m.def("extensions", [] {
    py::list found;
    for (const ExtensionInfo& e : available_extensions())
      found.append(py::make_tuple(e.name, e.extended, e.format, e.is_chosen));
    return found;
  });
  m.def("use_extension", &use_extension, py::arg("name"));
  m.def("multiplies_pairs", [] { return pairs_affine() != nullptr; });
  py::class_<Cancellation>(m, "Cancellation")
      .def(py::init<>())
      .def("cancel", &Cancellation::cancel)
      .def("__enter__", &Cancellation::enter)
      .def("__exit__", [](Cancellation&, const py::args&) { Cancellation::leave(); });
  m.def("get_num_threads", &num_threads);
  m.def("set_num_threads", &set_num_threads, py::arg("n"));
  m.def("default_num_threads", &default_num_threads);
  m.def("processor_limit", &cgroup_processor_limit, py::arg("root") = "");
  m.def("cache_sizes", [] { return py::make_tuple(cache_sizes().l1d, cache_sizes().l2, cache_sizes().l3); });
  m.def("measure_fma_peak", &measure_fma_peak, py::arg("seconds"), py::call_guard<py::gil_scoped_release>());
  m.def("measure_read_bandwidth", &measure_read_bandwidth, py::arg("nbytes"), py::arg("seconds"),
        py::call_guard<py::gil_scoped_release>());
  // Reads FNNFAST_ISA, so that an unavailable instruction set is an error at import and not at the first call.
  selected_isa();
}

}  // namespace fnnfast::cpu
