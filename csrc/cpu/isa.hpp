// The instruction sets, which of them is in use, and the sizes of the caches.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace fnnfast::cpu {

struct IsaKernels;  // the functions compiled for an instruction set: kernels.hpp

struct Isa {
  const char* name;
  bool (*is_supported)() noexcept;  // by the processor and the operating system
  const IsaKernels* kernels;        // null if this build does not have it

  bool is_available() const noexcept { return kernels != nullptr && is_supported(); }
};

// Slowest first; "scalar" is always among them.
std::vector<const Isa*> available_isas();

// The instruction set for calls and networks made from now on. Until use_isa() is called, it is that of the environment
// variable FNNFAST_ISA if set and not empty, else the last of available_isas(). Both throw std::invalid_argument, with
// the names of those available, for any other name.
const Isa& selected_isa();
void use_isa(std::string_view name);

template <class T>
struct AffineKernel;
// The int8 kernels of the selected instruction set or, if it has none, of the next slower one.
const AffineKernel<float>& int8_affine();
// The kernels of the selected instruction set that multiply bfloat16, or null: where that is faster than float32.
const AffineKernel<float>* pairs_affine();

// An extension of an instruction set, for the products of one format.
struct ExtensionInfo {
  std::string_view name, extended, format;
  bool is_chosen;  // with the instruction set that it extends, if no faster one is there
};
std::vector<ExtensionInfo> available_extensions();
// For networks made from now on: only this extension is used, with the instruction set that it extends. Empty: the
// fastest. std::invalid_argument for any other name.
void use_extension(std::string_view name);

// In bytes, for one core. L3 is 0 if absent or unknown; an unknown L1d or L2 is a common small size.
struct CacheSizes {
  std::size_t l1d;
  std::size_t l2;
  std::size_t l3;
};
const CacheSizes& cache_sizes();

}  // namespace fnnfast::cpu
