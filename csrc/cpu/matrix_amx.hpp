// AMX. The instructions are written as text, since the numbers of registers are part of it.
#pragma once

namespace fnnfast::FNNFAST_ISA {

// What LDTILECFG reads.
struct alignas(64) TileConfiguration {
  std::uint8_t palette, start_row, reserved[14];
  std::uint16_t row_bytes[8], no_row_bytes[8];
  std::uint8_t rows[8], no_rows[8];

  static FNNFAST_INLINE constexpr TileConfiguration of(int first, int second) {
    const auto one = static_cast<std::uint8_t>(first), other = static_cast<std::uint8_t>(second);
    return {1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {}, {one, one, other, other, one, other, 16, 16}, {}};
  }
};

class MatrixUnit {
 public:
  FNNFAST_INLINE MatrixUnit() = default;
  FNNFAST_INLINE ~MatrixUnit() { asm volatile("tilerelease"); }
  MatrixUnit(const MatrixUnit&) = delete;
  MatrixUnit& operator=(const MatrixUnit&) = delete;

  // Fewer rows take less time: an instruction takes a cycle for each row of its inputs.
  FNNFAST_INLINE void configure(int first, int second) {
    const int rows = first + 16 * second;
    if (rows == configured_) return;
    configured_ = rows;
    if (first == 16 && second == 16) {  // not written just now, in parts, which the instruction would wait for
      static constexpr TileConfiguration kWhole = TileConfiguration::of(16, 16);
      asm volatile("ldtilecfg %0" ::"m"(kWhole));
    } else {
      const TileConfiguration to = TileConfiguration::of(first, second > 0 ? second : first);
      asm volatile("ldtilecfg %0" ::"m"(to));
    }
  }

  template <int kR>
  FNNFAST_INLINE void load_inputs(const void* p, std::ptrdiff_t step) {
    load<kR>(p, step);
  }
  template <int kR>
  FNNFAST_INLINE void load(const void* p, std::ptrdiff_t step) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(step), "i"(kR) : "memory");
  }
  template <int kR>
  FNNFAST_INLINE void clear() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kR));
  }
  template <int kR>
  FNNFAST_INLINE void store(void* p, std::ptrdiff_t step) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(step), "i"(kR) : "memory");
  }
  template <int kC, int kA, int kB>
  FNNFAST_INLINE void dot_pairs() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }
  template <int kC, int kA, int kB>
  FNNFAST_INLINE void dot_quads() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }

 private:
  int configured_ = 0;
};

}  // namespace fnnfast::FNNFAST_ISA
