// CUDA on the host: with this header instead of CUDA's, kernels compile as plain C++ and run on the CPU, a block's
// threads as fibers, one after the other, so that AddressSanitizer and UBSan watch every index, tail and epilogue.
//
// What it makes visible beside that:
//   - what a device answers with an error or with a hang aborts the process, with a message that names block and thread
//   - shared memory begins as NaN and has redzones at its end; asynchronous copies come when they are waited for
//   - the order of the threads is a choice (set_schedule): a missing barrier gives other results in another order
//
// Threads change only at barriers, at what a warp does together and at their end, so a loop that waits until another
// thread has written something never ends. Memory is sequentially consistent, atomic operations are plain ones, streams
// do at once what they are told, and nothing here says how fast a kernel is. Stricter than a device: a barrier or a
// mask that counts on a thread which has ended is an error.
//
// hopper.hpp has what only Hopper can do. It wants the other sources in this folder but the self-test, built with the
// same sanitizers.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "numbers.hpp"
#include "runtime.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)

// Vectors with the device's alignment, which UBSan then checks where they are loaded and stored.
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace fnnfast::emulator {

// Which of the threads that can go on goes on. kRandom takes any of them, kAscending always the first one, which makes
// one thread after the other go as far as it can; blocks take turns in the same manner. Without a call the environment
// decides, FNNFAST_EMULATOR_SCHEDULE=ascending | descending | random:SEED, and without that it is kAscending.
enum class Schedule { kAscending, kDescending, kRandom };
void set_schedule(Schedule kind, std::uint64_t seed = 0);

// When the bytes of an asynchronous copy move: when they are waited for, which shows who reads without waiting, or at
// once, which shows who still reads what is copied over. A device may do either. FNNFAST_EMULATOR_COPIES=deferred |
// at_once; without it kDeferred.
enum class Copies { kDeferred, kAtOnce };
void set_copies(Copies when);

// Says where in the grid it happened, and aborts.
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* format, ...);

// What the running thread sees of itself.
struct Running {
  uint3 thread, block;
  dim3 block_size, grid_size;
  unsigned lane;
  unsigned char* shared;
  std::size_t shared_bytes;
};
inline Running running;

// Something that the lanes of a warp do together: the last one to come does it for all, operands[lane] being what each
// brought, then all go on.
struct Collective {
  const char* name;
  void (*perform)(void* const* operands, unsigned lanes);
  bool whole_warp;
};
void meet(const Collective& what, unsigned mask, void* operand);

void block_barrier();
void meet_grid(const unsigned* counter);
inline constexpr unsigned cluster_counter = 0;  // stands for the hardware's
// Where in that block's shared memory these bytes are that lie in the running one's.
unsigned char* in_block(const void* bytes, std::size_t size, unsigned block);

// Aborts unless these bytes lie, aligned to their number, in the block's shared memory.
void check_shared(const char* what, const void* bytes, std::size_t size);

void issue_copy(void* to, const void* from, int valid, int size);
void commit_copies();
void wait_for_copies(std::size_t groups_left);

struct ShuffleOperand {
  std::uint64_t value;
  unsigned source;
  std::uint64_t result;
};
void shuffle(void* const* operands, unsigned lanes);
inline constexpr Collective kShuffle{"__shfl_sync()", shuffle, false};
inline constexpr Collective kShuffleXor{"__shfl_xor_sync()", shuffle, false};
inline constexpr Collective kShuffleDown{"__shfl_down_sync()", shuffle, false};
inline constexpr Collective kShuffleUp{"__shfl_up_sync()", shuffle, false};

// source(lane, first, last) for the segment [first, last] of `width` lanes that the running one is in.
template <class T, class Source>
T shuffle(const Collective& what, unsigned mask, T value, int width, Source source) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) fail("%s: no segments of %d lanes", what.name, width);
  const auto lanes = static_cast<unsigned>(width);
  const unsigned last = running.lane | (lanes - 1), first = last + 1 - lanes;
  ShuffleOperand operand{0, source(running.lane, first, last), 0};
  std::memcpy(&operand.value, &value, sizeof(T));
  meet(what, mask, &operand);
  std::memcpy(&value, &operand.result, sizeof(T));
  return value;
}

struct VoteOperand {
  bool yes;
  unsigned ballot, lanes;
};
void vote(void* const* operands, unsigned lanes);
inline constexpr Collective kBallot{"__ballot_sync()", vote, false};
inline constexpr Collective kAny{"__any_sync()", vote, false};
inline constexpr Collective kAll{"__all_sync()", vote, false};

inline VoteOperand vote(const Collective& what, unsigned mask, bool yes) {
  VoteOperand operand{yes, 0, 0};
  meet(what, mask, &operand);
  return operand;
}

inline void only_meet(void* const*, unsigned) {}
inline constexpr Collective kSyncWarp{"__syncwarp()", only_meet, false};

template <class T>
concept Atomic = std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long> ||
                 std::same_as<T, float> || std::same_as<T, double>;
template <class T>
concept AtomicInteger = Atomic<T> && std::integral<T>;

// An unsigned sum wraps around, and so does a signed one on the device.
template <Atomic T>
T sum(T a, T b) {
  if constexpr (std::same_as<T, int>)
    return static_cast<int>(static_cast<unsigned>(a) + static_cast<unsigned>(b));
  else
    return a + b;
}

}  // namespace fnnfast::emulator

inline constexpr const uint3& threadIdx = fnnfast::emulator::running.thread;
inline constexpr const uint3& blockIdx = fnnfast::emulator::running.block;
inline constexpr const dim3& blockDim = fnnfast::emulator::running.block_size;
inline constexpr const dim3& gridDim = fnnfast::emulator::running.grid_size;
inline constexpr int warpSize = 32;

inline void __syncthreads() { fnnfast::emulator::block_barrier(); }
inline void __syncwarp(unsigned mask = 0xFFFFFFFF) {
  fnnfast::emulator::meet(fnnfast::emulator::kSyncWarp, mask, nullptr);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  return fnnfast::emulator::shuffle(
      fnnfast::emulator::kShuffle, mask, value, width,
      [=](unsigned, unsigned first, unsigned last) { return first + (static_cast<unsigned>(lane) & (last - first)); });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  return fnnfast::emulator::shuffle(fnnfast::emulator::kShuffleXor, mask, value, width,
                                    [=](unsigned self, unsigned, unsigned last) {
                                      const unsigned source = self ^ (static_cast<unsigned>(bits) & 31);
                                      return source <= last ? source : self;
                                    });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  return fnnfast::emulator::shuffle(
      fnnfast::emulator::kShuffleDown, mask, value, width,
      [=](unsigned self, unsigned, unsigned last) { return delta <= last - self ? self + delta : self; });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  return fnnfast::emulator::shuffle(
      fnnfast::emulator::kShuffleUp, mask, value, width,
      [=](unsigned self, unsigned first, unsigned) { return delta <= self - first ? self - delta : self; });
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return fnnfast::emulator::vote(fnnfast::emulator::kBallot, mask, predicate != 0).ballot;
}
inline int __any_sync(unsigned mask, int predicate) {
  return fnnfast::emulator::vote(fnnfast::emulator::kAny, mask, predicate != 0).ballot != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  const auto votes = fnnfast::emulator::vote(fnnfast::emulator::kAll, mask, predicate != 0);
  return votes.ballot == votes.lanes;
}

template <class T>
T __ldg(const T* address) {
  return *address;
}

// Nothing interrupts a fiber: these are atomic as they stand.
template <fnnfast::emulator::Atomic T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return std::exchange(*address, fnnfast::emulator::sum(*address, value));
}
template <fnnfast::emulator::AtomicInteger T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return std::exchange(*address, std::max(*address, value));
}
template <fnnfast::emulator::AtomicInteger T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return std::exchange(*address, std::min(*address, value));
}
template <fnnfast::emulator::AtomicInteger T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return std::exchange(*address, *address | value);
}
template <fnnfast::emulator::AtomicInteger T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return std::exchange(*address, *address & value);
}
template <fnnfast::emulator::Atomic T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return std::exchange(*address, value);
}
template <fnnfast::emulator::AtomicInteger T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  const T old = *address;
  if (old == expected) *address = value;
  return old;
}

namespace fnnfast::cuda {

// The block's dynamic shared memory: as many bytes as the launch gives, all 0xFF at first.
inline unsigned char* shared_memory() { return emulator::running.shared; }

}  // namespace fnnfast::cuda

#include "instructions.hpp"
