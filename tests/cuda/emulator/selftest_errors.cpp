// Numbers against their definition; and what a device would refuse, or hang on.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>

#include "fibers.hpp"
#include "selftest.hpp"

namespace fnnfast::emulator::selftest {
namespace {

// ---- numbers

// The nearest of the finite numbers of a format whose bits are given in ascending order; of two, the one with even
// bits. What is nearer to where the next number after the last would be is infinite.
template <class T>
std::uint16_t nearest(double x, float (*number)(T), std::uint16_t largest) {
  std::uint16_t low = 0, high = static_cast<std::uint16_t>(largest + 1);  // of the magnitude
  const auto value = [&](std::uint16_t bits) {
    if (bits <= largest) return static_cast<double>(number(T{bits}));
    return 2 * static_cast<double>(number(T{largest})) - number(T{static_cast<std::uint16_t>(largest - 1)});
  };
  while (high - low > 1) {
    const auto middle = static_cast<std::uint16_t>((low + high) / 2);
    (value(middle) <= std::fabs(x) ? low : high) = middle;
  }
  const double below = std::fabs(x) - value(low), above = value(high) - std::fabs(x);
  const std::uint16_t magnitude = below < above || (below == above && low % 2 == 0) ? low : high;
  return static_cast<std::uint16_t>(magnitude | (std::signbit(x) ? 0x8000 : 0));
}

template <class T>
void check_rounding(T (*round)(float), float (*number)(T), std::uint16_t largest) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const T value{static_cast<std::uint16_t>(bits)};
    const unsigned magnitude = bits & 0x7FFF;
    if (magnitude > largest + 1u) {
      CHECK(std::isnan(number(value)) && round(number(value)).__x == 0x7FFF);
      continue;
    }
    CHECK(round(number(value)).__x == bits);
    if (magnitude > largest) continue;  // infinite
    // Half way to the next one, and the floats to both sides of it.
    const double next = magnitude < largest ? number(T{static_cast<std::uint16_t>(bits + 1)})
                                            : 2.0 * number(value) - number(T{static_cast<std::uint16_t>(bits - 1)});
    const auto middle = static_cast<float>((number(value) + next) / 2);
    const float infinity = std::numeric_limits<float>::infinity();
    for (const float x : {middle, std::nextafter(middle, infinity), std::nextafter(middle, -infinity)}) {
      CHECK(round(x).__x == nearest(x, number, largest));
    }
  }
}

}  // namespace

void test_numbers() {
  check_rounding<__half>(__float2half_rn, __half2float, 0x7BFF);
  check_rounding<__nv_bfloat16>(__float2bfloat16_rn, __bfloat162float, 0x7F7F);
  CHECK(__half2float({0x3C00}) == 1 && __half2float({0x0001}) == 0x1p-24f && __half2float({0xFBFF}) == -65504);
  CHECK(__half2float({0xFC00}) == -std::numeric_limits<float>::infinity());
  CHECK(__float2half_rn(1e30f).__x == 0x7C00 && __float2half_rn(-1e-30f).__x == 0x8000);
  CHECK(__bfloat162float({0x3F80}) == 1 && __float2bfloat16_rn(std::numeric_limits<float>::max()).__x == 0x7F80);

  CHECK(round_to_tf32(1) == 0x3F800000 && round_to_tf32(1 + 0x1p-11f) == 0x3F802000);  // a tie goes away from zero
  CHECK(round_to_tf32(-1 - 0x1p-11f) == 0xBF802000 && round_to_tf32(1 + 0x1p-11f - 0x1p-23f) == 0x3F800000);
  CHECK(round_to_tf32(std::numeric_limits<float>::max()) == 0x7F800000);
  CHECK(round_to_tf32(-std::numeric_limits<float>::infinity()) == 0xFF800000);
  CHECK(round_to_tf32(std::nanf("")) == 0x7FFFFFFF);
}

// ---- the runtime

namespace {

__global__ void nothing() {}
__global__ void count(unsigned* sum) { atomicAdd(sum, 1); }
__global__ void extremes(int* least, unsigned long long* most, unsigned* bits) {
  atomicMin(least, -static_cast<int>(threadIdx.x));
  atomicMax(most, 1ull << threadIdx.x);
  atomicOr(bits, 1u << threadIdx.x);
  if (atomicCAS(bits + 1, 0, 7) == 0) atomicExch(bits + 2, __ldg(bits + 1));
}
__global__ void sum_shared(unsigned* out) {  // uses its last byte
  unsigned char* shared = shared_memory();
  if (threadIdx.x == 0) shared[100 * 1024 - 1] = 5;
  __syncthreads();
  out[threadIdx.x] = shared[100 * 1024 - 1];
}

cudaError_t try_launch(dim3 grid, dim3 block, std::size_t shared_bytes = 0, bool cooperative = false) {
  const cudaError_t error = launch_kernel(nothing, grid, block, shared_bytes, nullptr, cooperative);
  CHECK(cudaPeekAtLastError() == error && cudaGetLastError() == error && cudaGetLastError() == cudaSuccess);
  return error;
}

int attribute(cudaDeviceAttr which) {
  int value = -1;
  CHECK(cudaDeviceGetAttribute(&value, which, 0) == cudaSuccess);
  return value;
}

}  // namespace

void test_runtime() {
  CHECK(try_launch(1, 1024) == cudaSuccess && try_launch(1, dim3(16, 16, 4)) == cudaSuccess);
  for (const dim3 block : {dim3(1025), dim3(0), dim3(1, 0), dim3(32, 33), dim3(1, 1, 65)}) {
    CHECK(try_launch(1, block) == cudaErrorInvalidConfiguration);
  }
  for (const dim3 grid : {dim3(0), dim3(1, 65536), dim3(1, 1, 65536), dim3(0x80000000), dim3(1, 0)}) {
    CHECK(try_launch(grid, 1) == cudaErrorInvalidConfiguration);
  }
  CHECK(try_launch(dim3(1, 65535), 1) == cudaSuccess && try_launch(1, 1, 48 << 10) == cudaSuccess);
  CHECK(try_launch(1, 1, (48 << 10) + 1) == cudaErrorInvalidValue);
  CHECK(try_launch(4 * 2, 1024, 0, true) == cudaSuccess);
  CHECK(try_launch(4 * 2 + 1, 1024, 0, true) == cudaErrorCooperativeLaunchTooLarge);
  set_multiprocessors(5);
  CHECK(try_launch(4 * 2 + 1, 1024, 0, true) == cudaSuccess && attribute(cudaDevAttrMultiProcessorCount) == 5);
  set_multiprocessors(4);

  constexpr auto kShared = cudaFuncAttributeMaxDynamicSharedMemorySize;
  const int most = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  CHECK(most == 232448 && cudaFuncSetAttribute(sum_shared, kShared, most + 1) == cudaErrorInvalidValue);
  int blocks = -1;
  const auto occupancy = [&](std::size_t bytes) {
    CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, sum_shared, 256, bytes) == cudaSuccess);
    return blocks;
  };
  CHECK(occupancy(0) == 8 && occupancy(100 << 10) == 0);
  CHECK(cudaFuncSetAttribute(sum_shared, kShared, 100 << 10) == cudaSuccess && occupancy(100 << 10) == 2);
  Array<unsigned> out(64);
  run(sum_shared, 1, 64, 100 << 10, out.get());
  CHECK(out.read() == std::vector<unsigned>(64, 5));

  Array<int> least(std::vector<int>{0});
  Array<unsigned long long> greatest(std::vector<unsigned long long>{0});
  Array<unsigned> bits(3);
  CHECK(cudaMemsetAsync(bits.get(), 0, 3 * sizeof(unsigned), nullptr) == cudaSuccess);
  run(extremes, 1, 32, 0, least.get(), greatest.get(), bits.get());
  CHECK(least.read()[0] == -31 && greatest.read()[0] == 1ull << 31);
  CHECK((bits.read() == std::vector<unsigned>{kFull, 7, 7}));

  // Launches of several threads take turns.
  Array<unsigned> sum(std::vector<unsigned>{0});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { run(count, 10, 50, 0, sum.get()); });
  for (std::thread& thread : threads) thread.join();
  CHECK(sum.read()[0] == 4 * 10 * 50);

  void* memory = &sum;
  CHECK(cudaMalloc(&memory, std::size_t{1} << 50) == cudaErrorMemoryAllocation && memory == nullptr);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation && cudaFree(nullptr) == cudaSuccess);
  CHECK(std::string(cudaGetErrorName(cudaErrorMemoryAllocation)) == "cudaErrorMemoryAllocation");
}

// ---- the environment

namespace {

__global__ void order(int* last) { *last = static_cast<int>(threadIdx.x); }

// The thread that comes last of 64.
int last_thread() {
  const Array<int> last(1);
  run(order, 1, 64, 0, last.get());
  return last.read()[0];
}

}  // namespace

// Before anything else has run: the environment is read once.
void test_environment() {
  const auto with = [](const char* name, const char* value, auto test) {
    return [=] {
      setenv(name, value, 1);
      test();
    };
  };
  const auto first_is_last = [] { CHECK(last_thread() == 0); };
  CHECK(apart(with("FNNFAST_EMULATOR_SCHEDULE", "descending", first_is_last)).status == 0);
  CHECK(apart(with("FNNFAST_EMULATOR_SCHEDULE", "random:0", [] { CHECK(last_thread() < 63); })).status == 0);
  for (const char* value : {"random", "random:x", "random:1 ", "up", ""}) {
    CHECK(function_aborts("FNNFAST_EMULATOR_SCHEDULE must be ascending, descending or random:SEED, not \"",
                          with("FNNFAST_EMULATOR_SCHEDULE", value, last_thread)));
  }
  CHECK(function_aborts("must be deferred or at_once", with("FNNFAST_EMULATOR_COPIES", "later", last_thread)));
}

// ---- errors

namespace {

__global__ void some_leave(int) {
  if (threadIdx.x != 9) __syncthreads();
}
__global__ void two_barriers(int) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncwarp(threadIdx.x == 40 ? 0x300 : 0xFFFFFEFF);  // lane 8 waits for lane 9
}
__global__ void lane_missing(int) {
  if (threadIdx.x != 3) (void)__ballot_sync(kFull, 1);
}
__global__ void not_in_mask(int) { __syncwarp(0xFFFF); }
__global__ void two_collectives(int) {
  if (threadIdx.x < 4)
    (void)__any_sync(kFull, 1);
  else
    (void)__all_sync(kFull, 1);
}
__global__ void source_missing(int) {
  if (threadIdx.x < 16) (void)__shfl_sync(0xFFFF, 1, 20);
}
__global__ void product_of_half_a_warp(int) {
  float d[4]{};
  const std::uint32_t a[4]{}, b[2]{};
  mma1688(d, a, b);
}
__global__ void grid_barrier_alone(unsigned* counter) { grid_barrier(counter); }
__global__ void throws(int) { throw std::runtime_error("no"); }

// copy_async with addresses `to` bytes into shared memory and `from` bytes into global memory.
__global__ void copy(const unsigned char* global, int to, int from, int valid, bool wait) {
  copy_async<16>(shared_memory() + to, global + from, valid);
  copy_commit();
  if (wait) copy_wait<0>();
}
__global__ void load(int at) {
  std::uint32_t r[4];
  load_matrix(r, shared_memory() + (threadIdx.x == 6 ? at : 0));
}
#if defined(FNNFAST_EMULATOR_ASAN)
__global__ void write_shared(int at) { shared_memory()[at] = 1; }
__attribute__((noinline)) void write(volatile int* to) { *to = 1; }
__global__ void write_array(int at) {
  int array[4];
  write(array + at);
}
#endif
__global__ void overflow_stack(int depth) {
  volatile char frame[1024];
  frame[0] = 1;
  if (depth > 0) overflow_stack(depth - 1);
  frame[1] = frame[0];
}

}  // namespace

void test_errors() {
  CHECK(
      aborts("deadlock: 63 threads at __syncthreads(), the first of them: block (0, 0, 0), thread (0, 0, 0); 1 thread "
             "ended: block (0, 0, 0), thread (9, 0, 0)",
             some_leave, 64, 0, 0));
  CHECK(aborts("1 thread at __syncwarp() with mask 0x00000300: block (0, 0, 0), thread (40, 0, 0)", two_barriers, 64, 0,
               0));
  CHECK(aborts("31 threads at __ballot_sync() with mask 0xffffffff", lane_missing, 32, 0, 0));
  CHECK(aborts("thread (16, 0, 0): __syncwarp(): lane 16 is not in its own mask 0x0000ffff", not_in_mask, 32, 0, 0));
  CHECK(
      aborts("__all_sync(), where other lanes of the mask 0xffffffff are at __any_sync()", two_collectives, 32, 0, 0));
  CHECK(aborts("lane 0 takes the value of lane 20", source_missing, 32, 0, 0));
  CHECK(aborts("mma1688(): the warp has only the lanes 0x0000ffff", product_of_half_a_warp, 16, 0, 0));
  unsigned counter = 0;
  CHECK(aborts("in a launch that is not cooperative", grid_barrier_alone, 1, 0, &counter));
  CHECK(aborts("an exception left the kernel", throws, 1, 0, 0));

  const Array<unsigned char> global(64);
  const auto copy_aborts = [&](const char* message, int to, int from, int valid, bool wait) {
    return aborts(message, copy, 1, 64, global.get(), to, from, valid, wait);
  };
  run(copy, 1, 1, 64, global.get(), 48, 48, 16, true);
  CHECK(copy_aborts("offset 8 in shared memory is not aligned to 16 bytes", 8, 0, 16, true));
  CHECK(copy_aborts("in global memory is not aligned to 16 bytes", 0, 4, 16, true));
  CHECK(copy_aborts("offset 64 is outside the block's 64 bytes", 64, 0, 16, true));
  CHECK(copy_aborts("offset -16 is outside the block's 64 bytes", -16, 0, 16, true));
  CHECK(copy_aborts("17 valid bytes of 16", 0, 0, 17, true));
  CHECK(copy_aborts("1 copies that it has not waited for", 0, 0, 16, false));
  CHECK(aborts("thread (6, 0, 0): load_matrix(): offset 8 in shared memory is not aligned", load, 32, 64, 8));
  CHECK(aborts("load_matrix(): offset 64 is outside", load, 32, 64, 64));

#if defined(FNNFAST_EMULATOR_ASAN)
  CHECK(copy_aborts("heap-buffer-overflow", 0, 64, 1, true));
  CHECK(aborts("heap-buffer-overflow", write_shared, 1, 77, 77));
  CHECK(aborts("stack-buffer-overflow", write_array, 1, 0, 4));
  CHECK(aborts("stack-overflow", overflow_stack, 1, 0, 1000000));
#else
  CHECK(aborts("", overflow_stack, 1, 0, 1000000));
#endif
}

}  // namespace fnnfast::emulator::selftest
