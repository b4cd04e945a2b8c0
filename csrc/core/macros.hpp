// Attributes shared by host, SIMD and device code.
#pragma once

#if defined(__CUDACC__) && defined(FNNFAST_LANES_ARE_THREADS)  // only on the device
#define FNNFAST_HOST_DEVICE __device__
#elif defined(__CUDACC__)
#define FNNFAST_HOST_DEVICE __host__ __device__
#else
#define FNNFAST_HOST_DEVICE
#endif

// Always inlined: the functions of csrc/core and csrc/cpu/*.hpp are compiled once for each instruction set. An
// out-of-line copy would be one weak symbol for all of them, and the linker could keep one that an older CPU cannot
// run.
#define FNNFAST_INLINE FNNFAST_HOST_DEVICE inline __attribute__((always_inline))

// Before a loop that must be unrolled, so that the arrays it indexes stay in registers.
#if defined(__CUDACC__)
#define FNNFAST_UNROLL(n) _Pragma("unroll")
#define FNNFAST_ROLLED _Pragma("unroll 1")  // before a loop with a long body
#elif defined(FNNFAST_EMULATED)
// Nothing is held in registers there, and GCC warns of loops that it cannot unroll.
#define FNNFAST_UNROLL(n)
#define FNNFAST_ROLLED
#else
#define FNNFAST_UNROLL(n) FNNFAST_PRAGMA(GCC unroll n)
#define FNNFAST_ROLLED
#define FNNFAST_PRAGMA(text) _Pragma(#text)
#endif

#define FNNFAST_NOINLINE __attribute__((noinline))
