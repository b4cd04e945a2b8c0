// What csrc/cuda/instructions.cuh says in PTX: asynchronous copies, matrices from shared memory, products of tiles.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "emulator.hpp"

namespace fnnfast::cuda {

// cp.async: `valid` bytes from global memory and zeros after them, when they are waited for. With none valid, global
// may point anywhere, but aligned.
template <int Bytes>
void copy_async(void* shared, const void* global, int valid) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  emulator::issue_copy(shared, global, valid, Bytes);
}
template <int Bytes>
void copy_async(void* shared, const void* global) {
  copy_async<Bytes>(shared, global, Bytes);
}
inline void copy_commit() { emulator::commit_copies(); }
// Until all but the last N groups of this thread have come.
template <int N>
void copy_wait() {
  static_assert(N >= 0);
  emulator::wait_for_copies(N);
}

inline void prefetch(const void*) {}
inline void assume_shared(const void*) {}
inline void assume_global(const void*) {}
template <class T>
void hold(T&) {}

// Closer than a device's.
inline float rough_exp2(float x) {
  const float y = std::exp2(x);
  return y < std::numeric_limits<float>::min() ? 0.0f : y;
}
inline float rough_log2(float x) { return std::log2(x); }
inline float rough_reciprocal(float x) { return 1.0f / x; }

// All threads of a cooperative launch, as often as they like. The counter is the device's affair.
inline void grid_barrier(unsigned* counter) { emulator::meet_grid(counter); }

// A cluster is a cooperative grid, whose blocks reach each other's shared memory. They meet where they wait.
inline void cluster_begin() {}
inline void cluster_arrive() {}
inline void cluster_wait() { emulator::meet_grid(&emulator::cluster_counter); }
template <class T>
T* in_block(T* p, int block) {
  return reinterpret_cast<T*>(emulator::in_block(p, sizeof(T), static_cast<unsigned>(block)));
}
template <class... P, class... A>
cudaError_t launch_cluster(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
                           A&&... args) {
  return launch_kernel(kernel, grid, block, shared_bytes, stream, true, std::forward<A>(args)...);
}

}  // namespace fnnfast::cuda

namespace fnnfast::emulator {

// A row of a matrix in shared memory, and the registers of a lane.
struct MatrixOperand {
  const void* row;
  std::uint32_t* out;
};
void load_matrices(void* const* operands, unsigned lanes);
void load_transposed_matrices(void* const* operands, unsigned lanes);
inline constexpr Collective kLoadMatrix{"load_matrix()", load_matrices, true};
inline constexpr Collective kLoadMatrixTransposed{"load_matrix_transposed()", load_transposed_matrices, true};

inline void load_rows(const Collective& what, std::uint32_t (&r)[4], const void* row) {
  check_shared(what.name, row, 16);
  MatrixOperand operand{row, r};
  meet(what, 0xFFFFFFFF, &operand);
}

// A lane's fragments. Every product of two numbers is exact; they are added to d in ascending k, in double, and the sum
// is rounded once: closer than any device, whose order is not known.
struct ProductOperand {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
};
struct Tf32 {};
template <class T>
void multiply_fragments(void* const* operands, unsigned lanes);  // for __half, __nv_bfloat16, Tf32
template <class T>
inline constexpr Collective kMultiply{std::is_same_v<T, Tf32> ? "mma1688()" : "mma16816()", multiply_fragments<T>,
                                      true};

}  // namespace fnnfast::emulator

namespace fnnfast::cuda {

// ldmatrix.sync.aligned.m8n8.x4(.trans).shared.b16
inline void load_matrix(std::uint32_t (&r)[4], const void* row) { emulator::load_rows(emulator::kLoadMatrix, r, row); }
inline void load_matrix_transposed(std::uint32_t (&r)[4], const void* row) {
  emulator::load_rows(emulator::kLoadMatrixTransposed, r, row);
}

// mma.sync.aligned.m16n8k16.row.col.f32.T.T.f32: d = a b + d
template <class T>
void mma16816(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  static_assert(std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>);
  emulator::ProductOperand operand{d, a, b};
  emulator::meet(emulator::kMultiply<T>, 0xFFFFFFFF, &operand);
}

// mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32
inline void mma1688(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  emulator::ProductOperand operand{d, a, b};
  emulator::meet(emulator::kMultiply<emulator::Tf32>, 0xFFFFFFFF, &operand);
}

// cvt.rn.T.f32, two at once
template <class T>
std::uint32_t round_pair(float low, float high) {
  static_assert(std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>);
  const auto round = [](float v) {
    if constexpr (std::is_same_v<T, __half>)
      return __float2half_rn(v);
    else
      return __float2bfloat16_rn(v);
  };
  return std::uint32_t{round(low).__x} | std::uint32_t{round(high).__x} << 16;
}

// max.NaN.Tx2: 0 is larger than -0; NaNs become the one that is all ones but the sign.
template <class T>
std::uint32_t larger_pair(std::uint32_t a, std::uint32_t b) {
  const auto larger = [](std::uint32_t v, std::uint32_t w) -> std::uint32_t {
    constexpr std::uint32_t kInfinity = std::is_same_v<T, __half> ? 0x7C00 : 0x7F80;
    if ((v & 0x7FFF) > kInfinity || (w & 0x7FFF) > kInfinity) return 0x7FFF;
    // The order of the numbers: negative ones fall with their bits.
    const auto order = [](std::uint32_t of) { return of >= 0x8000 ? 0xFFFF - of : of + 0x8000; };
    return order(v) > order(w) ? v : w;
  };
  return larger(a & 0xFFFF, b & 0xFFFF) | larger(a >> 16, b >> 16) << 16;
}

}  // namespace fnnfast::cuda
