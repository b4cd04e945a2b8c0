// The floating-point environment that every kernel runs in: round to nearest, subnormals kept, exceptions masked.
//
// The process may have other modes: a library built with -ffast-math switches on flush-to-zero when it is loaded, and a
// new thread inherits its creator's modes. Bits must not depend on that, so callers of kernels hold a guard.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#define FNNFAST_FLOATENV_SSE 1
#include <xmmintrin.h>
#elif defined(__aarch64__)
#define FNNFAST_FLOATENV_AARCH64 1
#else
#include <cfenv>
#endif

#include "../core/macros.hpp"

namespace fnnfast::cpu {

// Sets the environment, and restores the previous one at the end of the scope. Reading the register takes a few cycles,
// writing it many (it serializes), so it is written only if it differs. Hold it around calls, not around arithmetic in
// the same function, which the compiler may move past it.
class FloatEnvironment {
 public:
#if defined(FNNFAST_FLOATENV_SSE)
  FNNFAST_INLINE FloatEnvironment() : saved_(_mm_getcsr()) {
    if ((saved_ & ~kFlags) != kDefault) _mm_setcsr(kDefault | (saved_ & kFlags));
  }
  FNNFAST_INLINE ~FloatEnvironment() {
    // Exception flags raised meanwhile stay raised.
    if ((saved_ & ~kFlags) != kDefault) _mm_setcsr(saved_ | (_mm_getcsr() & kFlags));
  }

 private:
  static constexpr unsigned kFlags = 0x3F;      // the six sticky exception flags
  static constexpr unsigned kDefault = 0x1F80;  // all exceptions masked, round to nearest, FTZ (bit 15) and DAZ (6) off
  unsigned saved_;
#elif defined(FNNFAST_FLOATENV_AARCH64)
  // FPCR zero means: round to nearest, FZ and FZ16 off, NaNs propagated, no traps. The flags are in FPSR.
  FNNFAST_INLINE FloatEnvironment() {
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(saved_));
    if (saved_ != 0) write(0);
  }
  FNNFAST_INLINE ~FloatEnvironment() {
    if (saved_ != 0) write(saved_);
  }

 private:
  static FNNFAST_INLINE void write(std::uint64_t value) { __asm__ __volatile__("msr fpcr, %0" : : "r"(value)); }
  std::uint64_t saved_;
#else
  FloatEnvironment() : saved_(std::fegetround()) {
    if (saved_ != FE_TONEAREST) std::fesetround(FE_TONEAREST);
  }
  ~FloatEnvironment() {
    if (saved_ != FE_TONEAREST) std::fesetround(saved_);
  }

 private:
  int saved_;
#endif

 public:
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;
};

}  // namespace fnnfast::cpu
