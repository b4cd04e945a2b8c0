#include "isa.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

#include "kernels.hpp"
#include "pack.hpp"

#if defined(__x86_64__) || defined(__i386__)
#define FNNFAST_X86 1
#include <cpuid.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__unix__)
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace fnnfast::cpu {
namespace {

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

// Bits of XCR0: the registers that the operating system saves at a context switch. Without them the instructions fault,
// or lose their operands.
constexpr std::uint32_t kYmmState = 0x06;  // SSE, AVX
constexpr std::uint32_t kZmmState = 0xE6;  // and AVX-512's masks, upper halves of zmm0 to 15, zmm16 to 31

bool saves_state(std::uint32_t state) noexcept {
  constexpr std::uint32_t kOsxsave = 1u << 27;
  if (!has_bits(cpuid(1, 0).ecx, kOsxsave)) return false;
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));  // not _xgetbv, which needs -mxsave
  return has_bits(low, state);
}

// Leaf 4 (Intel) and leaf 0x8000001D (AMD) describe one cache per subleaf, in the same format.
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

bool runs_anywhere() noexcept { return true; }

// AVX2 and FMA
bool runs_avx2() noexcept {
#if defined(FNNFAST_X86)
  constexpr std::uint32_t kFmaAvx = 1u << 12 | 1u << 28;  // leaf 1, ecx
  constexpr std::uint32_t kAvx2 = 1u << 5;                // leaf 7, ebx
  return has_bits(cpuid(1, 0).ecx, kFmaAvx) && has_bits(cpuid(7, 0).ebx, kAvx2) && saves_state(kYmmState);
#else
  return false;
#endif
}

// AVX2 and AVX-512 F, VL, BW, DQ
bool runs_avx512() noexcept {
#if defined(FNNFAST_X86)
  constexpr std::uint32_t kFDqBwVl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // leaf 7, ebx
  return runs_avx2() && has_bits(cpuid(7, 0).ebx, kFDqBwVl) && saves_state(kZmmState);
#else
  return false;
#endif
}

// AVX-512 and its BF16
bool runs_avx512bf16() noexcept {
#if defined(FNNFAST_X86)
  constexpr std::uint32_t kBf16 = 1u << 5;  // leaf 7, subleaf 1, eax
  return runs_avx512() && cpuid(7, 0).eax >= 1 && has_bits(cpuid(7, 1).eax, kBf16);
#else
  return false;
#endif
}

// AVX-512 and its VNNI
bool runs_avx512vnni() noexcept {
#if defined(FNNFAST_X86)
  constexpr std::uint32_t kVnni = 1u << 11;  // leaf 7, ecx
  return runs_avx512() && has_bits(cpuid(7, 0).ecx, kVnni);
#else
  return false;
#endif
}

#if defined(FNNFAST_X86)
// The registers of AMX, which a process has to ask for (Linux 5.16), beside AVX-512 and its BF16.
bool may_use_amx() noexcept {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr std::uint32_t kTileState = 3u << 17;  // XCR0: configuration and data
  constexpr std::uint32_t kAmxTile = 1u << 24;    // leaf 7, edx
  constexpr int kRequest = 0x1023, kTileData = 18;
  static const bool may = runs_avx512bf16() && has_bits(cpuid(7, 0).edx, kAmxTile) && saves_state(kTileState) &&
                          syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  return may;
#else
  return false;
#endif
}
#endif

bool runs_amxbf16() noexcept {
#if defined(FNNFAST_X86)
  constexpr std::uint32_t kAmxBf16 = 1u << 22;  // leaf 7, edx
  return has_bits(cpuid(7, 0).edx, kAmxBf16) && may_use_amx();
#else
  return false;
#endif
}

bool runs_amxint8() noexcept {
#if defined(FNNFAST_X86)
  constexpr std::uint32_t kAmxInt8 = 1u << 25;  // leaf 7, edx
  return has_bits(cpuid(7, 0).edx, kAmxInt8) && runs_avx512vnni() && may_use_amx();
#else
  return false;
#endif
}

bool runs_neon() noexcept {
#if defined(__aarch64__)
  return true;  // part of the architecture
#else
  return false;
#endif
}

#if defined(__aarch64__)
// An optional part of the architecture: its bit in Linux's AT_HWCAP2, its name on Apple's systems.
bool has_feature([[maybe_unused]] unsigned long bit, [[maybe_unused]] const char* name) noexcept {
#if defined(__linux__)
  return (getauxval(AT_HWCAP2) & bit) != 0;
#elif defined(__APPLE__)
  std::int32_t value = 0;
  std::size_t length = sizeof(value);
  return sysctlbyname(name, &value, &length, nullptr, 0) == 0 && value != 0;
#else
  return false;
#endif
}
#endif

bool runs_neonbf16() noexcept {
#if defined(__aarch64__)
  return has_feature(1ul << 14, "hw.optional.arm.FEAT_BF16");
#else
  return false;
#endif
}

bool runs_neoni8mm() noexcept {
#if defined(__aarch64__)
  return has_feature(1ul << 13, "hw.optional.arm.FEAT_I8MM");
#else
  return false;
#endif
}

// The instruction sets, slowest first, each with the function that tells whether this machine runs it. The names are
// those of CMakeLists.txt (fnnfast_add_isa), and of the kernels' namespaces.
#define FNNFAST_ISAS(ISA)    \
  ISA(scalar, runs_anywhere) \
  ISA(avx2, runs_avx2)       \
  ISA(avx512, runs_avx512)   \
  ISA(neon, runs_neon)

// Extensions that only kernels of one format use, fastest first, each with the set that it extends. Those of plain C++
// compute what the instructions do, for tests.
#define FNNFAST_EXTENSIONS(EXTENSION)                                                \
  EXTENSION(amxint8, avx512, WeightFormat::kInt8, runs_amxint8)                      \
  EXTENSION(avx512vnni, avx512, WeightFormat::kInt8, runs_avx512vnni)                \
  EXTENSION(amxbf16, avx512, WeightFormat::kBfloat16Pairs, runs_amxbf16)             \
  EXTENSION(avx512bf16, avx512, WeightFormat::kBfloat16Pairs, runs_avx512bf16)       \
  EXTENSION(neoni8mm, neon, WeightFormat::kInt8, runs_neoni8mm)                      \
  EXTENSION(neonbf16, neon, WeightFormat::kBfloat16Pairs, runs_neonbf16)             \
  EXTENSION(plain_pairs, scalar, WeightFormat::kBfloat16Pairs, runs_anywhere)        \
  EXTENSION(plain_odd_pairs, scalar, WeightFormat::kBfloat16Pairs, runs_anywhere)    \
  EXTENSION(plain_matrix_pairs, scalar, WeightFormat::kBfloat16Pairs, runs_anywhere) \
  EXTENSION(plain_matrix_int8, scalar, WeightFormat::kInt8, runs_anywhere)

// Whether this build has a name: FNNFAST_BUILT_ISAS is the list from CMake, separated by commas.
constexpr bool is_built(std::string_view name) {
  for (std::string_view rest = FNNFAST_BUILT_ISAS; !rest.empty();) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    if (rest.substr(0, end) == name) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

// The address of the kernels of a set, or null if this build does not define them.
template <bool kBuilt, class K, const K& kKernels>
constexpr const K* if_built() {
  if constexpr (kBuilt)
    return &kKernels;
  else
    return nullptr;
}

}  // namespace

// Defined by kernels_isa.cpp and kernels_extension.cpp.
#define FNNFAST_DECLARE(name, runs)    \
  namespace name {                     \
  extern const IsaKernels kIsaKernels; \
  }
FNNFAST_ISAS(FNNFAST_DECLARE)
#undef FNNFAST_DECLARE
#define FNNFAST_DECLARE(name, extended, format, runs) \
  namespace name {                                    \
  extern const AffineKernel<float> kExtension;        \
  }
FNNFAST_EXTENSIONS(FNNFAST_DECLARE)
#undef FNNFAST_DECLARE

namespace {

#define FNNFAST_ROW(name, runs) {#name, runs, if_built<is_built(#name), IsaKernels, name::kIsaKernels>()},
constexpr Isa kIsas[] = {FNNFAST_ISAS(FNNFAST_ROW)};
#undef FNNFAST_ROW

struct Extension {
  std::string_view name, extended;
  WeightFormat format;
  bool (*is_supported)() noexcept;
  const AffineKernel<float>* kernel;  // null if this build does not have it
};
#define FNNFAST_ROW(name, extended, format, runs) \
  {#name, #extended, format, runs, if_built<is_built(#name), AffineKernel<float>, name::kExtension>()},
constexpr Extension kExtensions[] = {FNNFAST_EXTENSIONS(FNNFAST_ROW)};
#undef FNNFAST_ROW

std::atomic<const Extension*> g_extension{nullptr};  // chosen by use_extension()

bool is_available(const Extension& extension) noexcept {
  return extension.kernel != nullptr && extension.is_supported();
}

// Whether it is chosen where nobody chooses. Zen 4 and later multiply pairs at the rate at which they multiply floats;
// Intel's cores take twice the time (2.1 cycles measured on Emerald Rapids), which gains nothing.
bool is_faster(const Extension& extension) noexcept {
  if (extension.extended == "scalar") return false;
#if defined(FNNFAST_X86)
  constexpr std::uint32_t kAmd = 0x68747541;  // "Auth", of "AuthenticAMD"
  if (extension.name == "avx512bf16") return cpuid(0, 0).ebx == kAmd;
#endif
  return true;
}

// That of the selected instruction set for a format, or null.
const AffineKernel<float>* extension_for(WeightFormat format) noexcept {
  const std::string_view isa = selected_isa().name;
  if (const Extension* const chosen = g_extension.load(std::memory_order_relaxed))
    return chosen->extended == isa && chosen->format == format ? chosen->kernel : nullptr;
  for (const Extension& extension : kExtensions)
    if (extension.extended == isa && extension.format == format && is_faster(extension) && is_available(extension))
      return extension.kernel;
  return nullptr;
}

// Throws std::invalid_argument unless it is available. argument: what the name was passed as.
const Isa& find_isa(std::string_view name, const std::string& argument) {
  const char* why = "";
  for (const Isa& isa : kIsas) {
    if (name != isa.name) continue;
    if (isa.is_available()) return isa;
    why = isa.is_supported() ? " (not in this build)" : " (not supported by this CPU)";
  }
  std::string names;
  for (const Isa* const isa : available_isas()) names += (names.empty() ? "" : ", ") + std::string(isa->name);
  throw std::invalid_argument(argument + ": expected one of " + names + ", got '" + std::string(name) + "'" + why);
}

const Isa& initial_isa() {
  const char* const name = std::getenv("FNNFAST_ISA");
  if (name == nullptr || *name == '\0') return *available_isas().back();
  return find_isa(name, "FNNFAST_ISA");
}

std::atomic<const Isa*> g_selected{nullptr};

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

std::vector<const Isa*> available_isas() {
  std::vector<const Isa*> isas;
  for (const Isa& isa : kIsas)
    if (isa.is_available()) isas.push_back(&isa);
  return isas;
}

const Isa& selected_isa() {
  const Isa* selected = g_selected.load(std::memory_order_relaxed);
  if (selected == nullptr) {
    const Isa& initial = initial_isa();
    if (g_selected.compare_exchange_strong(selected, &initial)) selected = &initial;
  }
  return *selected;
}

void use_isa(std::string_view name) { g_selected.store(&find_isa(name, "instruction set")); }

const AffineKernel<float>& int8_affine() {
  if (const AffineKernel<float>* const kernel = extension_for(WeightFormat::kInt8)) return *kernel;
  const Isa* isa = &selected_isa();
  while (!isa->is_available() || isa->kernels->int8 == nullptr) --isa;  // scalar has one
  return *isa->kernels->int8;
}

const AffineKernel<float>* pairs_affine() { return extension_for(WeightFormat::kBfloat16Pairs); }

std::vector<ExtensionInfo> available_extensions() {
  std::vector<ExtensionInfo> found;
  for (const Extension& extension : kExtensions)
    if (is_available(extension))
      found.push_back({extension.name, extension.extended,
                       extension.format == WeightFormat::kInt8 ? "int8" : "bfloat16", is_faster(extension)});
  return found;
}

void use_extension(std::string_view name) {
  if (name.empty()) return g_extension.store(nullptr);
  for (const Extension& extension : kExtensions)
    if (extension.name == name && is_available(extension)) return g_extension.store(&extension);
  throw std::invalid_argument("extension: expected one of those of this CPU and build, got '" + std::string(name) +
                              "'");
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
