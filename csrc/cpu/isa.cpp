#include "isa.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

#if defined(__x86_64__) || defined(__i386__)
#define FNNFAST_X86 1
#include <cpuid.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__unix__)
#include <unistd.h>
#endif

namespace fnnfast::cpu {
namespace {

constexpr Isa kAll[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kNeon};

#if defined(FNNFAST_X86)
struct Registers {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) noexcept {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);  // leaves zeros where the leaf does not exist
  return r;
}

constexpr bool has_bits(std::uint32_t value, std::uint32_t bits) noexcept { return (value & bits) == bits; }

// Bits of XCR0: the register files that the operating system saves at a context switch. Without them the instructions
// fault, or lose their operands.
constexpr std::uint32_t kYmmState = 0x06;  // SSE, AVX
constexpr std::uint32_t kZmmState = 0xE6;  // and AVX-512's masks, upper halves of zmm0 to 15, zmm16 to 31

bool saves_state(std::uint32_t state) noexcept {
  constexpr std::uint32_t kOsxsave = 1u << 27;
  if (!has_bits(cpuid(1, 0).ecx, kOsxsave)) return false;
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));  // not _xgetbv: it wants -mxsave
  return has_bits(low, state);
}

bool supports_avx2() noexcept {
  constexpr std::uint32_t kFmaAvx = 1u << 12 | 1u << 28;  // leaf 1, ecx
  constexpr std::uint32_t kAvx2 = 1u << 5;                // leaf 7, ebx
  return has_bits(cpuid(1, 0).ecx, kFmaAvx) && has_bits(cpuid(7, 0).ebx, kAvx2) && saves_state(kYmmState);
}

bool supports_avx512() noexcept {
  constexpr std::uint32_t kFDqBwVl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // leaf 7, ebx
  return supports_avx2() && has_bits(cpuid(7, 0).ebx, kFDqBwVl) && saves_state(kZmmState);
}

bool cpuid_vnni() noexcept {
  constexpr std::uint32_t kVnni = 1u << 11;  // leaf 7, ecx
  return has_bits(cpuid(7, 0).ecx, kVnni);
}

// Leaf 4 (Intel) and leaf 0x8000001D (AMD) describe one cache a subleaf, alike.
CacheSizes cpuid_cache_sizes() noexcept {
  CacheSizes sizes{};
  for (const std::uint32_t leaf : {4u, 0x8000001Du}) {
    for (std::uint32_t subleaf = 0; subleaf < 16; ++subleaf) {
      const Registers r = cpuid(leaf, subleaf);
      const std::uint32_t type = r.eax & 31;  // 0 no more, 1 data, 2 instructions, 3 both
      if (type == 0) break;
      if (type == 2) continue;
      const std::size_t line = (r.ebx & 0xFFF) + 1;
      const std::size_t partitions = (r.ebx >> 12 & 0x3FF) + 1;
      const std::size_t ways = (r.ebx >> 22) + 1;
      const std::size_t bytes = line * partitions * ways * (std::size_t{r.ecx} + 1);
      const std::uint32_t level = r.eax >> 5 & 7;
      if (level == 1) sizes.l1d = bytes;
      if (level == 2) sizes.l2 = bytes;
      if (level == 3) sizes.l3 = bytes;
    }
  }
  return sizes;
}
#endif

std::string names_of(const std::vector<Isa>& isas) {
  std::string names;
  for (const Isa isa : isas) names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
  return names;
}

void require_available(Isa isa, const std::string& source) {
  const char* const why = !isa_supported(isa)  ? "this CPU lacks it"
                          : !isa_compiled(isa) ? "this build lacks it"
                                               : nullptr;
  if (why == nullptr) return;
  throw std::invalid_argument(source + ": expected one of " + names_of(available_isas()) + ", got " + isa_name(isa) +
                              " (" + why + ")");
}

Isa initial_isa() {
  const char* const name = std::getenv("FNNFAST_ISA");
  if (name == nullptr || *name == '\0') return available_isas().back();
  Isa isa = Isa::kScalar;
  try {
    isa = parse_isa(name);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string("FNNFAST_ISA: ") + error.what());
  }
  require_available(isa, "FNNFAST_ISA");
  return isa;
}

std::atomic<int> g_selected{-1};  // an Isa, or -1: not yet chosen

void fill_gaps(CacheSizes& sizes, const CacheSizes& other) noexcept {
  if (sizes.l1d == 0) sizes.l1d = other.l1d;
  if (sizes.l2 == 0) sizes.l2 = other.l2;
  if (sizes.l3 == 0) sizes.l3 = other.l3;
}

#if defined(__APPLE__)
std::size_t sysctl_size(const char* name) noexcept {
  std::int64_t value = 0;
  std::size_t length = sizeof(value);
  return sysctlbyname(name, &value, &length, nullptr, 0) == 0 && value > 0 ? static_cast<std::size_t>(value) : 0;
}

CacheSizes system_cache_sizes() noexcept {
  CacheSizes sizes{sysctl_size("hw.perflevel0.l1dcachesize"), sysctl_size("hw.perflevel0.l2cachesize"),
                   sysctl_size("hw.perflevel0.l3cachesize")};
  fill_gaps(sizes, {sysctl_size("hw.l1dcachesize"), sysctl_size("hw.l2cachesize"), sysctl_size("hw.l3cachesize")});
  return sizes;
}
#elif defined(__linux__)
CacheSizes system_cache_sizes() {
  CacheSizes sizes{};
  for (int index = 0; index < 16; ++index) {
    const std::string directory = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index);
    int level = 0;
    std::size_t size = 0;
    std::string type, unit;
    if (!(std::ifstream(directory + "/level") >> level)) break;
    std::ifstream(directory + "/type") >> type;
    std::ifstream(directory + "/size") >> size >> unit;  // "32K"
    if (type == "Instruction") continue;
    size *= unit == "K" ? 1024 : unit == "M" ? 1024 * 1024 : 1;
    if (level == 1) sizes.l1d = size;
    if (level == 2) sizes.l2 = size;
    if (level == 3) sizes.l3 = size;
  }
#if defined(_SC_LEVEL1_DCACHE_SIZE)  // glibc; second, as it takes an AMD package's L3 for one cache (320 MB where a
                                     // core sees 32)
  const auto size_of = [](int name) { return static_cast<std::size_t>(std::max(sysconf(name), 0L)); };
  fill_gaps(sizes, {size_of(_SC_LEVEL1_DCACHE_SIZE), size_of(_SC_LEVEL2_CACHE_SIZE), size_of(_SC_LEVEL3_CACHE_SIZE)});
#endif
  return sizes;
}
#else
CacheSizes system_cache_sizes() noexcept { return {}; }
#endif

}  // namespace

const char* isa_name(Isa isa) noexcept {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kNeon:
      return "neon";
  }
  return "unknown";
}

Isa parse_isa(std::string_view name) {
  for (const Isa isa : kAll) {
    if (name == isa_name(isa)) return isa;
  }
  throw std::invalid_argument("instruction set: expected one of scalar, avx2, avx512, neon, got '" + std::string(name) +
                              "'");
}

bool supports_avx512_vnni() noexcept {
#if defined(FNNFAST_X86)
  return supports_avx512() && cpuid_vnni();
#else
  return false;
#endif
}

bool isa_supported(Isa isa) noexcept {
  switch (isa) {
    case Isa::kScalar:
      return true;
#if defined(FNNFAST_X86)
    case Isa::kAvx2:
      return supports_avx2();
    case Isa::kAvx512:
      return supports_avx512();
#elif defined(__aarch64__)
    case Isa::kNeon:
      return true;  // part of the architecture
#endif
    default:
      return false;
  }
}

bool isa_compiled(Isa isa) noexcept {
  switch (isa) {
    case Isa::kScalar:
      return true;
#if defined(FNNFAST_HAVE_AVX2)
    case Isa::kAvx2:
      return true;
#endif
#if defined(FNNFAST_HAVE_AVX512)
    case Isa::kAvx512:
      return true;
#endif
#if defined(FNNFAST_HAVE_NEON)
    case Isa::kNeon:
      return true;
#endif
    default:
      return false;
  }
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kAll) {
    if (isa_supported(isa) && isa_compiled(isa)) isas.push_back(isa);
  }
  return isas;
}

Isa selected_isa() {
  int selected = g_selected.load(std::memory_order_relaxed);
  if (selected < 0) {
    const int initial = static_cast<int>(initial_isa());
    if (g_selected.compare_exchange_strong(selected, initial)) selected = initial;
  }
  return static_cast<Isa>(selected);
}

void use_isa(Isa isa) {
  require_available(isa, "instruction set");
  g_selected.store(static_cast<int>(isa));
}

const CacheSizes& cache_sizes() {
  static const CacheSizes sizes = [] {
    CacheSizes found = system_cache_sizes();
#if defined(FNNFAST_X86)
    fill_gaps(found, cpuid_cache_sizes());
#endif
    fill_gaps(found, {32 * 1024, 512 * 1024, 0});
    return found;
  }();
  return sizes;
}

}  // namespace fnnfast::cpu
