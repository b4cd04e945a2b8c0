// Which instruction sets this machine can run, which of the compiled variants is in use, and the sizes of the caches.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace fnnfast::cpu {

// Slowest first.
enum class Isa { kScalar, kAvx2, kAvx512, kNeon };

const char* isa_name(Isa isa) noexcept;  // "scalar", "avx2", "avx512", "neon"
Isa parse_isa(std::string_view name);    // std::invalid_argument, with the names, for any other

// Whether processor and operating system can run it. avx2: AVX2 and FMA; avx512: also F, VL, BW and DQ; scalar: always.
bool isa_supported(Isa isa) noexcept;
// Whether the build has it: FNNFAST_HAVE_AVX2, FNNFAST_HAVE_AVX512 and FNNFAST_HAVE_NEON, which CMake defines for
// isa.cpp.
bool isa_compiled(Isa isa) noexcept;
// Those that are both, slowest first: scalar is always among them.
std::vector<Isa> available_isas();
// Whether processor and operating system can run kAvx512 with VNNI, which multiplies bytes.
bool supports_avx512_vnni() noexcept;

// The variant for calls and networks made from now on. Until use_isa is called it is that of the environment variable
// FNNFAST_ISA, if set and not empty, else the last of available_isas(). Both throw std::invalid_argument, with the
// names on offer, for a variant that is not available.
Isa selected_isa();
void use_isa(Isa isa);

// Bytes for one core; 0 where a level is absent or its size unknown (L3), a small common size where only that of L1d or
// L2 is.
struct CacheSizes {
  std::size_t l1d;
  std::size_t l2;
  std::size_t l3;
};
const CacheSizes& cache_sizes();

}  // namespace fnnfast::cpu
