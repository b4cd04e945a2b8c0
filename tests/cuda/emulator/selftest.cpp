// What the emulator promises, feature by feature. Prints "ok", or the first thing that is not so.
//
//   cd tests/cuda/emulator
//   g++ -std=c++20 -O1 -g -fsanitize=address,undefined -DFNNFAST_EMULATED -I. *.cpp -o selftest && ./selftest
#include "selftest.hpp"

#include <cmath>
#include <cstdio>
#include <vector>

namespace fnnfast::emulator::selftest {
namespace {

// ---- indices, parameters, memory

struct Parameter {
  double scale;
  int offset;
};

__global__ void __launch_bounds__(64) indices(const __grid_constant__ Parameter p, float* __restrict__ out) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  out[block * threads + thread] = static_cast<float>(p.scale * (block * threads + thread) + p.offset);
}

__global__ void fresh_shared(unsigned char* out, int bytes) {
  unsigned char* shared = shared_memory();
  for (int i = 0; i < bytes; ++i) out[i] = shared[i];
  for (int i = 0; i < bytes; ++i) shared[i] = 0;  // the next block must not see it
  if (reinterpret_cast<std::uintptr_t>(shared) % 128 != 0) out[0] = 0;
}

void test_basics() {
  const dim3 grid(3, 2, 2), block(5, 3, 2);
  Array<float> out(360);
  run(indices, grid, block, 0, Parameter{0.5, 3}, out.get());
  const auto got = out.read();
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == 0.5f * static_cast<float>(i) + 3);

  Array<unsigned char> bytes(77);
  run(fresh_shared, 2, 1, 77, bytes.get(), 77);
  for (const unsigned char byte : bytes.read()) CHECK(byte == 0xFF);
  Array<float> fresh(1);
  CHECK(std::isnan(fresh.read()[0]));
}

// ---- barriers

template <bool kBarrier>
__global__ void rotate(int* out) {
  int* shared = reinterpret_cast<int*>(shared_memory());
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  if constexpr (kBarrier) __syncthreads();
  out[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

__global__ void block_sum(const int* in, int* out, int n) {
  int* shared = reinterpret_cast<int*>(shared_memory());
  int sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) sum += in[i];
  for (int delta = 16; delta > 0; delta /= 2) sum += __shfl_xor_sync(kFull, sum, delta);
  if (threadIdx.x % warpSize == 0) shared[threadIdx.x / warpSize] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (unsigned w = 1; w < blockDim.x / warpSize; ++w) sum += shared[w];
    atomicAdd(out, sum);
  }
}

__global__ void grid_rounds(unsigned* counter, unsigned* values, int rounds) {
  const unsigned blocks = gridDim.x, self = blockIdx.x;
  for (int round = 0; round < rounds; ++round) {
    if (threadIdx.x == 0) values[self] = values[self] + 1;
    grid_barrier(counter);
    const unsigned other = values[(self + 1) % blocks];
    grid_barrier(counter);
    if (other != static_cast<unsigned>(round) + 1) values[self] = 1000;
  }
}

void test_barriers() {
  std::vector<int> numbers(1000);
  int expected = 0;
  for (int i = 0; i < 1000; ++i) expected += numbers[static_cast<std::size_t>(i)] = i * i % 97;
  const Array<int> in(numbers);
  std::vector<std::vector<int>> seen;
  under_all_schedules([&] {
    Array<int> sum(std::vector<int>{0});
    run(block_sum, 1, 256, 8 * sizeof(int), in.get(), sum.get(), 1000);
    CHECK(sum.read()[0] == expected);

    Array<int> right(96), racy(96);
    run(rotate<true>, 1, 96, 96 * sizeof(int), right.get());
    for (int i = 0; i < 96; ++i) CHECK(right.read()[static_cast<std::size_t>(i)] == (i + 1) % 96);
    run(rotate<false>, 1, 96, 96 * sizeof(int), racy.get());
    seen.push_back(racy.read());

    Array<unsigned> counter(std::vector<unsigned>{0}), values(std::vector<unsigned>(7));
    CHECK(launch_kernel(grid_rounds, 7, 40, 0, nullptr, true, counter.get(), values.get(), 3) == cudaSuccess);
    CHECK(values.read() == std::vector<unsigned>(7, 3));
  });
  // Without its barrier each schedule has another answer: ascending, threads read what is not there yet.
  for (std::size_t a = 0; a < seen.size(); ++a)
    for (std::size_t b = 0; b < a; ++b) CHECK(seen[a] != seen[b]);
  CHECK(seen[0][0] == -1 && seen[1][0] == 1);
}

// ---- warps

__global__ void shuffles(int* out, double* doubles) {
  const int lane = static_cast<int>(threadIdx.x);
  int* row = out + lane;
  row[0] = __shfl_sync(kFull, lane, 5);
  row[32] = __shfl_sync(kFull, lane, 5, 8);
  row[64] = __shfl_xor_sync(kFull, lane, 9);
  row[96] = __shfl_down_sync(kFull, lane, 3u, 16);
  row[128] = __shfl_up_sync(kFull, lane, 3u);
  row[160] = static_cast<int>(__ballot_sync(kFull, lane % 3 == 0));
  row[192] = __any_sync(kFull, lane == 31) + 2 * __all_sync(kFull, lane < 31) + 4 * __all_sync(kFull, 1);
  doubles[lane] = __shfl_sync(kFull, 0.5 * lane, lane + 1);
  // The halves go through different numbers of rounds, each by itself.
  const unsigned half = lane < 16 ? 0x0000FFFF : 0xFFFF0000;
  int sum = 0;
  for (int round = 0; round < (lane < 16 ? 2 : 5); ++round) {
    int part = lane;
    for (int delta = 8; delta > 0; delta /= 2) part += __shfl_xor_sync(half, part, delta);
    sum += part;
    __syncwarp(half);
  }
  row[224] = sum;
  __syncwarp();
}

__global__ void short_warp(int* out) {  // of 40 threads: the second warp has 8
  if (threadIdx.x < 32) return;
  __syncwarp();
  const auto votes = static_cast<int>(__ballot_sync(kFull, threadIdx.x != 33));
  out[threadIdx.x - 32] = __shfl_xor_sync(kFull, votes + static_cast<int>(threadIdx.x), 1);
}

void test_warps() {
  under_all_schedules([] {
    Array<int> out(256);
    Array<double> doubles(32);
    run(shuffles, 1, 32, 0, out.get(), doubles.get());
    const auto got = out.read();
    const auto at = [&](int row, int lane) { return got[static_cast<std::size_t>(32 * row + lane)]; };
    for (int lane = 0; lane < 32; ++lane) {
      CHECK(at(0, lane) == 5 && at(1, lane) == lane / 8 * 8 + 5 && at(2, lane) == (lane ^ 9));
      CHECK(at(3, lane) == (lane % 16 + 3 < 16 ? lane + 3 : lane) && at(4, lane) == (lane >= 3 ? lane - 3 : lane));
      CHECK(at(5, lane) == 0x49249249 && at(6, lane) == 1 + 4);
      CHECK(at(7, lane) == (lane < 16 ? 2 * 120 : 5 * 376));
      CHECK(doubles.read()[static_cast<std::size_t>(lane)] == 0.5 * ((lane + 1) % 32));
    }
    Array<int> votes(8);
    run(short_warp, 1, 40, 0, votes.get());
    for (int lane = 0; lane < 8; ++lane) CHECK(votes.read()[static_cast<std::size_t>(lane)] == 0xFD + 32 + (lane ^ 1));
  });
}

// ---- copies

// out: what shared memory holds before and after each wait.
__global__ void copies(const float* in, float* out) {
  float* shared = reinterpret_cast<float*>(shared_memory());
  copy_async<16>(shared, in, 16);
  copy_async<16>(shared + 4, in + 4, 6);
  copy_commit();
  copy_async<8>(shared + 8, nullptr, 0);
  copy_async<4>(shared + 10, in + 10, 4);
  copy_commit();
  copy_commit();  // an empty group
  for (int i = 0; i < 11; ++i) out[i] = shared[i];
  copy_wait<2>();
  for (int i = 0; i < 11; ++i) out[11 + i] = shared[i];
  copy_wait<0>();
  for (int i = 0; i < 11; ++i) out[22 + i] = shared[i];
}

// Every thread copies and its neighbour reads, the next round over the same bytes.
template <bool kBarrier>
__global__ void overwrite(const int* in, int* out, int rounds) {
  int* shared = reinterpret_cast<int*>(shared_memory());
  const unsigned self = threadIdx.x, other = (self + 1) % blockDim.x;
  for (int round = 0; round < rounds; ++round) {
    copy_async<4>(shared + self, in + round, 4);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    out[self] += shared[other];
    if constexpr (kBarrier) __syncthreads();
  }
}

void test_copies() {
  std::vector<float> numbers;
  for (int i = 0; i < 12; ++i) numbers.push_back(1.5f + static_cast<float>(i));
  const Array<float> in(numbers);
  for (const bool at_once : {false, true}) {
    set_copies(at_once ? Copies::kAtOnce : Copies::kDeferred);
    Array<float> out(33);
    run(copies, 1, 1, 64, in.get(), out.get());
    const auto got = out.read();
    for (std::size_t i = 0; i < 11; ++i) {
      const bool zero = i >= 6 && i < 10;
      const float copied = zero ? 0 : i == 5 ? __uint_as_float(__float_as_uint(numbers[5]) & 0xFFFF) : numbers[i];
      if (at_once)
        CHECK(got[i] == copied && got[11 + i] == copied);
      else
        CHECK(std::isnan(got[i]) && (i < 8 ? got[11 + i] == copied : std::isnan(got[11 + i])));
      CHECK(got[22 + i] == copied);
    }
  }
  set_copies(Copies::kDeferred);

  const Array<int> rounds(std::vector<int>{1, 10, 100});
  bool seen = false;
  under_all_schedules([&] {
    Array<int> right(std::vector<int>(64)), racy(std::vector<int>(64));
    run(overwrite<true>, 1, 64, 256, rounds.get(), right.get(), 3);
    CHECK(right.read() == std::vector<int>(64, 111));
    run(overwrite<false>, 1, 64, 256, rounds.get(), racy.get(), 3);
    seen = seen || racy.read() != right.read();
  });
  CHECK(seen);
}

// ---- matrices

// c = a b, 16 x 8, from a 16 x k and b k x 8 in rows, with T of two bytes: as the device's kernels load them, a as it
// stands and b transposed.
template <class T>
__global__ void product(const T* a, const T* b, float* c) {
  T* shared_a = reinterpret_cast<T*>(shared_memory());
  T* shared_b = shared_a + 256;
  const unsigned lane = threadIdx.x;
  for (unsigned i = lane; i < 256; i += 32) shared_a[i] = a[i];
  for (unsigned i = lane; i < 128; i += 32) shared_b[i] = b[i];
  __syncwarp();
  std::uint32_t ra[4], rb[4];
  load_matrix(ra, shared_a + lane % 16 * 16 + lane / 16 * 8);
  load_matrix_transposed(rb, shared_b + lane % 16 * 8);
  float d[4];
  for (int i = 0; i < 4; ++i) d[i] = c[(lane / 4 + static_cast<unsigned>(i) / 2 * 8) * 8 + 2 * (lane % 4) + i % 2];
  const std::uint32_t b_of_both[2] = {rb[0], rb[1]};
  mma16816<T>(d, ra, b_of_both);
  for (int i = 0; i < 4; ++i) c[(lane / 4 + static_cast<unsigned>(i) / 2 * 8) * 8 + 2 * (lane % 4) + i % 2] = d[i];
}

__global__ void product_tf32(const float* a, const float* b, float* c) {  // k = 8, fragments by their definition
  const unsigned row = threadIdx.x / 4, k = threadIdx.x % 4;
  const std::uint32_t ra[4] = {__float_as_uint(a[row * 8 + k]), __float_as_uint(a[(row + 8) * 8 + k]),
                               __float_as_uint(a[row * 8 + k + 4]), __float_as_uint(a[(row + 8) * 8 + k + 4])};
  const std::uint32_t rb[2] = {__float_as_uint(b[k * 8 + row]), __float_as_uint(b[(k + 4) * 8 + row])};
  float d[4] = {c[row * 8 + 2 * k], c[row * 8 + 2 * k + 1], c[(row + 8) * 8 + 2 * k], c[(row + 8) * 8 + 2 * k + 1]};
  mma1688(d, ra, rb);
  for (unsigned i = 0; i < 4; ++i) c[(row + i / 2 * 8) * 8 + 2 * k + i % 2] = d[i];
}

// Numbers of a tile that no two elements share, small enough for exact sums.
template <class T>
std::vector<T> tile(int n, int factor, T (*round)(float)) {
  std::vector<T> v;
  for (int i = 0; i < n; ++i) v.push_back(round(static_cast<float>(i * factor % 257 - 128) / 64));
  return v;
}

template <class T>
void check_product(void (*kernel)(const T*, const T*, float*), int k, T (*round)(float), float (*number)(T)) {
  const auto a = tile(16 * k, 7, round), b = tile(8 * k, 11, round);
  const auto c = tile<float>(128, 13, [](float x) { return x; });
  const Array<T> device_a(a), device_b(b);
  under_all_schedules([&] {
    const Array<float> device_c(c);
    run(kernel, 1, 32, 768, device_a.get(), device_b.get(), device_c.get());
    const auto got = device_c.read();
    for (std::size_t row = 0; row < 16; ++row)
      for (std::size_t column = 0; column < 8; ++column) {
        const auto inputs = static_cast<std::size_t>(k);
        float sum = c[row * 8 + column];
        for (std::size_t i = 0; i < inputs; ++i) sum += number(a[row * inputs + i]) * number(b[i * 8 + column]);
        CHECK(got[row * 8 + column] == sum);
      }
  });
}

void test_matrices() {
  check_product<__half>(product<__half>, 16, __float2half_rn, __half2float);
  check_product<__nv_bfloat16>(product<__nv_bfloat16>, 16, __float2bfloat16_rn, __bfloat162float);
  // The product ignores the bits below tf32.
  check_product<float>(
      product_tf32, 8, [](float x) { return __uint_as_float(__float_as_uint(x) | 0x1FFF); },
      [](float x) { return __uint_as_float(__float_as_uint(x) & ~0x1FFFu); });
}

// Halves that a product takes apart in a manner of its own: each times 1.
void test_special_halves() {
  const std::uint16_t special[] = {0x0001, 0x03FF, 0x0400, 0x3C00, 0x7BFF, 0x7C00, 0x7C01, 0x7E00,
                                   0x8000, 0x8001, 0x83FF, 0x8400, 0xBC00, 0xFBFF, 0xFC00, 0xFE00};
  std::vector<__half> a(256), b(128);
  for (std::size_t row = 0; row < 16; ++row) a[row * 16].__x = special[row];
  for (std::size_t column = 0; column < 8; ++column) b[column].__x = 0x3C00;
  const Array<__half> device_a(a), device_b(b);
  const Array<float> c(std::vector<float>(128));
  run(product<__half>, 1, 32, 768, device_a.get(), device_b.get(), c.get());
  for (std::size_t i = 0; i < 128; ++i) {
    const float got = c.read()[i], expected = __half2float({special[i / 8]});
    CHECK(got == expected || (std::isnan(got) && std::isnan(expected)));
  }
}

}  // namespace

void test() {
  test_environment();
  test_basics();
  test_barriers();
  test_warps();
  test_copies();
  test_matrices();
  test_special_halves();
  test_numbers();
  test_runtime();
  test_errors();
  test_hopper();
}

}  // namespace fnnfast::emulator::selftest

int main() {
  fnnfast::emulator::selftest::test();
  std::puts("ok");
}
