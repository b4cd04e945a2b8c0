// The Hopper product (csrc/cuda/product_hopper.cuh) tried on a GPU, one case a process: hopper_probe.sh runs them all.
//
//   hopper_probe list         the names of the product's cases
//   hopper_probe tma          boxes that the copy engine reads and writes, against the swizzle in plain C++
//   hopper_probe wgmma KIND   one product of a warpgroup with operands laid out by plain C++; KIND: kk, kn, mk, mn,
//                             the major-ness of a and b. If the expected descriptors are wrong, others are tried.
//   hopper_probe roof         products of a warpgroup without any copies: what the tensor cores of this card can
//   hopper_probe division     the short division of csrc/core/vec_scalar.hpp against the exact one, over all numbers
//   hopper_probe same_bits    whether sums of random numbers have the bits of mma.sync's
//   hopper_probe mma_sync     the times of the present kernel
//   hopper_probe NAME         a configuration: answers bit for bit on small and ragged shapes, then times
//
// HOPPER_K_MAJOR and HOPPER_MN_MAJOR in the environment ("leading,stride" in bytes) replace the descriptors' offsets.
// Compiled with FNNFAST_BARRIER_WATCH, a case that hangs tells after two seconds who waits for which barrier.
//
// HOPPER_CHECK=0 leaves the answers out, HOPPER_TIME=0 the times.
//
// Compiled once for each HOPPER_PART (0: main and the probes; others: some of the configurations), to share the work.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../../csrc/cuda/product_hopper.cuh"

#ifndef HOPPER_PART
#error "HOPPER_PART says which part of the cases this is"
#endif

namespace fnnfast {

struct ProbeCase {
  std::string name;
  int (*run)(const ProbeCase&);
};
std::vector<ProbeCase>& probe_cases();

// What the parts share, in part 0.
struct Memory {  // of the device, filled with bits of a random number generator
  unsigned char* data;
  std::size_t bytes;
};
Memory random_memory();
std::uint64_t k_major_form();
std::uint64_t mn_major_form();

inline void check(cudaError_t status, const char* what) { check_device(status, what); }

#define HOPPER_LAUNCH(kernel, grid, block, shared, ...) \
  kernel<<<grid, block, shared>>>(__VA_ARGS__);         \
  check(cudaGetLastError(), #kernel)

__host__ __device__ inline std::uint32_t hash(std::uint64_t i, std::uint32_t seed) {
  std::uint64_t x = i * 0x9e3779b97f4a7c15ull + seed * 0xbf58476d1ce4e5b9ull + 0x94d049bb133111ebull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return static_cast<std::uint32_t>(x >> 32);
}

// -2 to 2 times a scale, so that sums are exact in any order.
template <class T>
__global__ void fill_exact(T* to, std::size_t count, std::uint32_t seed, float scale) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x)
    to[i] = narrow<T>((static_cast<float>(hash(i, seed) % 5) - 2.0f) * scale);
}
// Uniform in [-scale, scale].
template <class T>
__global__ void fill_random(T* to, std::size_t count, std::uint32_t seed, float scale) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x)
    to[i] = narrow<T>((static_cast<float>(hash(i, seed)) * 0x1p-31f - 1.0f) * scale);
}

// ----- One case of the product

template <class T, bool TransposedA, bool TransposedB, class Act>
__global__ void naive(HopperTask<T> task, T* to) {  // to: rows of task.n
  const std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (i >= task.m * task.n) return;
  const std::int64_t row = i / task.n, column = i % task.n;
  float sum = 0;
  for (std::int64_t k = 0; k < task.k; ++k)
    sum = fused(widen<float>(TransposedA ? task.a.at(k, row) : task.a.at(row, k)),
                widen<float>(TransposedB ? task.b.at(column, k) : task.b.at(k, column)), sum);
  const float z = sum + (task.bias == nullptr ? 0.0f : task.bias[column]);
  to[i] = narrow<T>(
      Act::template forward<cuda::Math<float>>(cuda::Vec<float>{z}, task.activation.template at<Act>(column)).v);
}

// Counts elements of rows [0, m) that differ, and elements outside of the result that are no longer poison.
template <class = void>
__global__ void compare(const std::uint16_t* y, std::int64_t stride, std::int64_t rows, std::int64_t m, std::int64_t n,
                        const std::uint16_t* wanted, unsigned* wrong, unsigned* spilled) {
  const std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (i >= rows * stride) return;
  const std::int64_t row = i / stride, column = i % stride;
  if (row < m && column < n) {
    if (y[i] != wanted[row * n + column]) atomicAdd(wrong, 1u);
  } else if (y[i] != 0x7fffu) {
    atomicAdd(spilled, 1u);
  }
}

// Which 8 x 8 blocks of a matrix are wrong: '.' none of it, digits 1 to 9: tenths, '#': all, 'P': still poison.
template <class T>
void print_blocks(const std::vector<T>& is, std::int64_t stride, const std::vector<T>& wanted, std::int64_t m,
                  std::int64_t n, std::int64_t max_rows, std::int64_t max_columns) {
  int told = 0;
  for (std::int64_t r = 0; r < m && told < 6; ++r)
    for (std::int64_t c = 0; c < n && told < 6; ++c) {
      const float a = widen<float>(is[static_cast<std::size_t>(r * stride + c)]);
      const float b = widen<float>(wanted[static_cast<std::size_t>(r * n + c)]);
      if (std::memcmp(&a, &b, sizeof a) != 0) {
        std::printf("    [%lld, %lld] is %g, should be %g\n", static_cast<long long>(r), static_cast<long long>(c), a,
                    b);
        ++told;
      }
    }
  for (std::int64_t r0 = 0; r0 < m && r0 < max_rows; r0 += 8) {
    std::printf("    rows %4lld ", static_cast<long long>(r0));
    for (std::int64_t c0 = 0; c0 < n && c0 < max_columns; c0 += 8) {
      int all = 0, wrong = 0, poison = 0;
      for (std::int64_t r = r0; r < std::min(r0 + 8, m); ++r)
        for (std::int64_t c = c0; c < std::min(c0 + 8, n); ++c) {
          const T a = is[static_cast<std::size_t>(r * stride + c)], b = wanted[static_cast<std::size_t>(r * n + c)];
          ++all;
          wrong += std::memcmp(&a, &b, sizeof a) != 0;
          poison += widen<float>(a) != widen<float>(a);
        }
      std::putchar(wrong == 0      ? '.'
                   : poison == all ? 'P'
                   : wrong == all  ? '#'
                                   : static_cast<char>('1' + wrong * 9 / (all + 1)));
    }
    std::putchar('\n');
  }
}

// Adds the slices, and looks whether what lies outside of the result is still poison.
template <class T>
__global__ void add_slices_of(const float* sums, std::int64_t slice, int slices, std::int64_t stride, std::int64_t rows,
                              std::int64_t m, std::int64_t n, T* to) {
  const std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (i >= rows * stride) return;
  if (i / stride < m && i % stride < n) {
    float sum = 0;
    for (int s = 0; s < slices; ++s) sum += sums[s * slice + i];
    to[i] = narrow<T>(sum);
  } else {
    for (int s = 0; s < slices; ++s)
      if (__float_as_uint(sums[s * slice + i]) != 0x7fff7fffu) to[i] = narrow<T>(0.0f);
  }
}

template <class T, class Tile, bool TransposedA, bool TransposedB, class Act, bool Sums>
struct ProductCase {
  struct Shape {
    std::int64_t m, n, k;
  };

  static void product(const HopperTask<T>& task, cudaStream_t stream = nullptr) {
    hopper_product<T, Tile, TransposedA, TransposedB, Act, Sums>(task, stream, k_major_form(), mn_major_form());
  }

  static int answers() {
    static constexpr Shape kShapes[] = {{128, 256, 64},    {64, 64, 64},     {256, 512, 256},    {300, 136, 200},
                                        {1000, 520, 1024}, {2000, 4096, 72}, {4096, 2048, 1032}, {8, 8, 8}};
    int failures = 0;
    unsigned* counts;
    check(cudaMalloc(&counts, 2 * sizeof(unsigned)), "counts");
    for (const auto [m, n, k] : kShapes) {
      // Rows are longer than what is used of them, and there are more of them.
      const std::int64_t pad = 8, rows_a = TransposedA ? k : m, columns_a = TransposedA ? m : k,
                         rows_b = TransposedB ? n : k, columns_b = TransposedB ? k : n;
      const std::int64_t stride_a = (columns_a + 7) / 8 * 8 + pad, stride_b = (columns_b + 7) / 8 * 8 + pad,
                         stride_c = (n + 7) / 8 * 8 + pad, rows_c = m + 3;
      T *a, *b, *c, *wanted;
      float* bias;
      const auto bytes = [](std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(T); };
      check(cudaMalloc(&a, bytes(rows_a * stride_a)), "a");
      check(cudaMalloc(&b, bytes(rows_b * stride_b)), "b");
      check(cudaMalloc(&c, bytes(rows_c * stride_c)), "c");
      check(cudaMalloc(&wanted, bytes(m * n)), "wanted");
      check(cudaMalloc(&bias, static_cast<std::size_t>(n + 1) * sizeof(float)), "bias");
      HOPPER_LAUNCH(fill_exact<T>, 256, 256, 0, a, static_cast<std::size_t>(rows_a * stride_a), 1, 0.125f);
      HOPPER_LAUNCH(fill_exact<T>, 256, 256, 0, b, static_cast<std::size_t>(rows_b * stride_b), 2, 0.0625f);
      HOPPER_LAUNCH(fill_exact<float>, 16, 256, 0, bias, static_cast<std::size_t>(n), 3, 0.25f);
      HOPPER_LAUNCH(fill_exact<float>, 1, 32, 0, bias + n, std::size_t{1}, 5, 0.5f);
      check(cudaMemset(counts, 0, 2 * sizeof(unsigned)), "counts");
      std::vector<std::uint16_t> poison(static_cast<std::size_t>(rows_c * stride_c), 0x7fff);
      check(cudaMemcpy(c, poison.data(), bytes(rows_c * stride_c), cudaMemcpyHostToDevice), "poison");
      HopperTask<T> task;
      task.m = m, task.n = n, task.k = k;
      task.a = {a, stride_a};
      task.b = {b, stride_b};
      task.c = {c, stride_c};
      task.bias = Sums ? nullptr : bias;
      task.activation = {0, bias + n, 0};
      constexpr int kMaxSlices = 3;
      const std::int64_t slice_k = ((k + 63) / 64 + kMaxSlices - 1) / kMaxSlices * 64;
      const int slices = static_cast<int>((k + slice_k - 1) / slice_k);
      float* sums = nullptr;
      if constexpr (Sums) {
        check(cudaMalloc(&sums, static_cast<std::size_t>(slices * rows_c * stride_c) * sizeof(float)), "sums");
        for (int i = 0; i < slices * static_cast<int>(sizeof(float) / sizeof(T)); ++i)
          check(cudaMemcpy(reinterpret_cast<T*>(sums) + i * rows_c * stride_c, poison.data(), bytes(rows_c * stride_c),
                           cudaMemcpyHostToDevice),
                "poison");
        task.sums = {sums, stride_c};
        task.slice_k = slice_k;
        task.slice_sums = rows_c * stride_c;
      }
      HOPPER_LAUNCH((naive<T, TransposedA, TransposedB, Act>), static_cast<unsigned>((m * n + 127) / 128), 128, 0, task,
                    wanted);
      check(cudaDeviceSynchronize(), "naive");
      // Several times: what happens in between (races) may differ.
      unsigned found[2] = {0, 0};
      for (int again = 0; again < 3; ++again) {
        try {
          product(task);
        } catch (const DeviceError& e) {
          std::printf("  %s\n", e.what());
        }
        if constexpr (Sums) {
          HOPPER_LAUNCH(add_slices_of<T>, static_cast<unsigned>((rows_c * stride_c + 255) / 256), 256, 0, sums,
                        task.slice_sums, slices, stride_c, rows_c, m, n, c);
        }
        HOPPER_LAUNCH(compare<>, static_cast<unsigned>((rows_c * stride_c + 255) / 256), 256, 0,
                      reinterpret_cast<const std::uint16_t*>(c), stride_c, rows_c, m, n,
                      reinterpret_cast<const std::uint16_t*>(wanted), counts, counts + 1);
        check(cudaDeviceSynchronize(), "the product");
      }
      check(cudaMemcpy(found, counts, sizeof found, cudaMemcpyDeviceToHost), "counts");
      if (found[0] != 0 || found[1] != 0) {
        ++failures;
        std::printf("  WRONG %lld x %lld x %lld: %u elements of %lld (three runs), %u written outside\n",
                    static_cast<long long>(m), static_cast<long long>(n), static_cast<long long>(k), found[0],
                    static_cast<long long>(3 * m * n), found[1]);
        if (failures <= 2) {
          std::vector<T> is(static_cast<std::size_t>(rows_c * stride_c)), should(static_cast<std::size_t>(m * n));
          check(cudaMemcpy(is.data(), c, bytes(rows_c * stride_c), cudaMemcpyDeviceToHost), "c");
          check(cudaMemcpy(should.data(), wanted, bytes(m * n), cudaMemcpyDeviceToHost), "wanted");
          print_blocks(is, stride_c, should, m, n, 128, 512);
        }
        std::fflush(stdout);
      }
      for (void* p : {static_cast<void*>(a), static_cast<void*>(b), static_cast<void*>(c), static_cast<void*>(wanted),
                      static_cast<void*>(bias), static_cast<void*>(sums)})
        check(cudaFree(p), "cudaFree");
    }
    check(cudaFree(counts), "cudaFree");
    return failures;
  }

  static void times(const char* name) {
    // The first two tell apart what a step and what a tile cost.
    static constexpr Shape kShapes[] = {{4096, 4096, 4096}, {4096, 4096, 1024}, {8192, 1024, 4096},
                                        {65536, 512, 784},  {8192, 512, 512},   {8192, 8192, 8192}};
    const Memory memory = random_memory();
    T* const elements = reinterpret_cast<T*>(memory.data);
    const std::int64_t room = static_cast<std::int64_t>(memory.bytes / sizeof(T));
    float* bias;
    check(cudaMalloc(&bias, 8192 * sizeof(float)), "bias");
    HOPPER_LAUNCH(fill_random<float>, 8, 256, 0, bias, std::size_t{8192}, 7, 0.5f);
    cudaEvent_t begin, end;
    check(cudaEventCreate(&begin), "event");
    check(cudaEventCreate(&end), "event");
    cudaStream_t stream;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
    for (const auto [rows, n, inner] : kShapes) {
      // The weights' gradient sums over the rows.
      const std::int64_t m = TransposedA ? inner : rows, k = TransposedA ? rows : inner;
      const std::int64_t each = m * k + k * n + m * n;
      const int sets = static_cast<int>(std::clamp<std::int64_t>(room / each, 1, 6));
      // The number of slices that leaves fewest blocks without work.
      std::int64_t slice_k = 0, slices = 1;
      float* sums = nullptr;
      if constexpr (Sums) {
        const std::int64_t tiles = (m + Tile::kM - 1) / Tile::kM * ((n + Tile::kN - 1) / Tile::kN),
                           steps = (k + 63) / 64;
        double best = 0;
        for (std::int64_t i = 1; i <= 16 && steps / i >= 8; ++i) {
          const std::int64_t waves = (tiles * i + 131) / 132;
          const double used =
              static_cast<double>(tiles * i) / static_cast<double>(waves * 132) - 0.01 * static_cast<double>(i);
          if (used > best) best = used, slices = i;
        }
        slice_k = (steps + slices - 1) / slices * 64;
        check(cudaMalloc(&sums, static_cast<std::size_t>(slices * m * n) * sizeof(float)), "sums");
      }
      const double flop = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
      const int calls = static_cast<int>(std::clamp(0.015 / (flop / 500e12), 8.0, 400.0));
      std::printf("  %-26s %5lld x %4lld x %4lld", name, static_cast<long long>(m), static_cast<long long>(n),
                  static_cast<long long>(k));
      for (const int band : {8, 16}) {
        int turn = 0;
        const auto run = [&] {
          T* const a = elements + turn++ % sets * each;
          HopperTask<T> task;
          task.m = m, task.n = n, task.k = k;
          task.a = {a, TransposedA ? m : k};
          task.b = {a + m * k, TransposedB ? k : n};
          task.c = {a + m * k + k * n, n};
          task.bias = bias;
          task.activation = {0, bias, 0};
          task.band = band;
          if constexpr (Sums) {
            task.bias = nullptr;
            task.sums = {sums, n};
            task.slice_k = slice_k;
            task.slice_sums = m * n;
          }
          product(task, stream);
        };
        // As a graph: the host makes a launch in about the time that the smallest of these take.
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "graph");
        for (int i = 0; i < calls; ++i) run();
        check(cudaStreamEndCapture(stream, &graph), "graph");
        check(cudaGraphInstantiate(&exec, graph, 0), "graph");
        check(cudaGraphLaunch(exec, stream), "graph");
        std::vector<float> us;
        for (int sample = 0; sample < 5; ++sample) {
          check(cudaEventRecord(begin, stream), "event");
          check(cudaGraphLaunch(exec, stream), "graph");
          check(cudaEventRecord(end, stream), "event");
          check(cudaEventSynchronize(end), "the product");
          float ms = 0;
          check(cudaEventElapsedTime(&ms, begin, end), "event");
          us.push_back(ms * 1000.0f / static_cast<float>(calls));
        }
        check(cudaGraphExecDestroy(exec), "graph");
        check(cudaGraphDestroy(graph), "graph");
        std::sort(us.begin(), us.end());
        std::printf(" | band %2d %8.1f us %6.1f TFLOP/s (%.1f to %.1f us)", band, us[2], flop / us[2] * 1e-6, us[0],
                    us[4]);
      }
      if (Sums) std::printf(" %lld slices", static_cast<long long>(slices));
      std::putchar('\n');
      std::fflush(stdout);
      check(cudaFree(sums), "cudaFree");
    }
  }

  static int run(const ProbeCase& of) {
    int failures = 0;
    const auto wanted = [](const char* name) {
      const char* const value = std::getenv(name);
      return value == nullptr || std::strcmp(value, "0") != 0;
    };
    if (wanted("HOPPER_CHECK")) {
      failures = answers();
      std::printf("%s %s\n", failures == 0 ? "RIGHT" : "WRONG", of.name.c_str());
      std::fflush(stdout);
    }
    if (wanted("HOPPER_TIME")) times(of.name.c_str());
    return failures == 0 ? 0 : 1;
  }
};

struct Registered {
  Registered(const char* name, int (*run)(const ProbeCase&)) { probe_cases().push_back({name, run}); }
};

#if defined(FNNFAST_BARRIER_WATCH)
// Threads that wait for ever: counted and told in memory of the host, which outlives the device's.
struct Waiting {
  unsigned count;
  struct {
    unsigned block, thread, barrier, parity;
  } of[64];
};
static __device__ Waiting* waiting_on_device;
inline __device__ void barrier_never(unsigned barrier, unsigned parity) {
  const unsigned i = atomicAdd_system(&waiting_on_device->count, 1u);
  if (i < 64) {
    waiting_on_device->of[i].block = blockIdx.x;
    waiting_on_device->of[i].thread = threadIdx.x;
    waiting_on_device->of[i].barrier = barrier;
    waiting_on_device->of[i].parity = parity;
    __threadfence_system();
  }
  const std::uint64_t began = nanoseconds();
  while (nanoseconds() - began < 500'000'000) {
  }
  asm volatile("trap;");
}
template <class Tile>
int run_watched(const ProbeCase& of, int (*run)(const ProbeCase&)) {
  Waiting *on_host, *on_device;
  check(cudaHostAlloc(&on_host, sizeof *on_host, cudaHostAllocMapped), "the watch");
  on_host->count = 0;
  check(cudaHostGetDevicePointer(&on_device, on_host, 0), "the watch");
  check(cudaMemcpyToSymbol(waiting_on_device, &on_device, sizeof on_device), "the watch");
  try {
    return run(of);
  } catch (const std::exception& e) {
    std::printf("ERROR %s: %s; %u threads waited for ever\n", of.name.c_str(), e.what(), on_host->count);
    for (unsigned i = 0; i < std::min(on_host->count, 64u); ++i) {
      const auto& [block, thread, barrier, parity] = on_host->of[i];
      const unsigned at = (barrier - 1024 - Tile::kStages * Tile::kStageBytes - Tile::kResultBytes) / 8,
                     n = Tile::kStages;
      std::printf("  block %u thread %u: %s %u, parity %u\n", block, thread,
                  at < n       ? "full"
                  : at < 2 * n ? "empty"
                               : "turn",
                  at < 2 * n ? at % n : at - 2 * n, parity);
    }
    return 3;
  }
}
#else
template <class Tile>
int run_watched(const ProbeCase& of, int (*run)(const ProbeCase&)) {
  return run(of);
}
#endif

template <Consumers Kind, int M, int N, int Stages, int Cluster, int Turn, class T, bool TransposedA, bool TransposedB,
          class Act, bool Sums = false>
int run_case(const ProbeCase& of) {
  using Tile = HopperTile<Kind, M, N, Stages, Cluster, Turn>;
  return run_watched<Tile>(of, ProductCase<T, Tile, TransposedA, TransposedB, Act, Sums>::run);
}

#define HOPPER_JOIN2(a, b) a##b
#define HOPPER_JOIN(a, b) HOPPER_JOIN2(a, b)
#define HOPPER_CASE(name, ...) static const Registered HOPPER_JOIN(registered, __LINE__){name, run_case<__VA_ARGS__>};

[[maybe_unused]] constexpr auto kTogether = Consumers::kTogether, kInTurns = Consumers::kInTurns;

// clang-format off
#if HOPPER_PART == 1
HOPPER_CASE("together128x256.identity",    kTogether, 128, 256, 4, 1, 16, Bfloat16, false, false, Identity)
HOPPER_CASE("together128x256.c2.identity", kTogether, 128, 256, 4, 2, 16, Bfloat16, false, false, Identity)
HOPPER_CASE("together256x128.identity",    kTogether, 256, 128, 4, 1, 16, Bfloat16, false, false, Identity)
HOPPER_CASE("together256x128.c2.identity", kTogether, 256, 128, 4, 2, 16, Bfloat16, false, false, Identity)
HOPPER_CASE("turns128x128.identity",       kInTurns,  128, 128, 6, 1, 16, Bfloat16, false, false, Identity)
HOPPER_CASE("turns128x128.c2.identity",    kInTurns,  128, 128, 6, 2, 16, Bfloat16, false, false, Identity)
HOPPER_CASE("turns64x256.identity",        kInTurns,   64, 256, 4, 1, 16, Bfloat16, false, false, Identity)
HOPPER_CASE("turns64x256.c2.identity",     kInTurns,   64, 256, 4, 2, 16, Bfloat16, false, false, Identity)
HOPPER_CASE("turns128x192.identity",       kInTurns,  128, 192, 4, 1, 16, Bfloat16, false, false, Identity)
HOPPER_CASE("turns128x192.c2.identity",    kInTurns,  128, 192, 4, 2, 16, Bfloat16, false, false, Identity)
HOPPER_CASE("together128x256.relu",        kTogether, 128, 256, 4, 1, 16, Bfloat16, false, false, Relu)
HOPPER_CASE("turns128x128.relu",           kInTurns,  128, 128, 6, 1, 16, Bfloat16, false, false, Relu)
HOPPER_CASE("turns64x256.relu",            kInTurns,   64, 256, 4, 1, 16, Bfloat16, false, false, Relu)
#elif HOPPER_PART == 2
HOPPER_CASE("together128x256.gelu",        kTogether, 128, 256, 4, 1, 16, Bfloat16, false, false, Gelu)
HOPPER_CASE("turns128x128.gelu",           kInTurns,  128, 128, 6, 1, 16, Bfloat16, false, false, Gelu)
HOPPER_CASE("turns128x128.c2.gelu",        kInTurns,  128, 128, 6, 2, 16, Bfloat16, false, false, Gelu)
HOPPER_CASE("turns64x256.gelu",            kInTurns,   64, 256, 4, 1, 16, Bfloat16, false, false, Gelu)
HOPPER_CASE("together128x256.c2.gelu",     kTogether, 128, 256, 4, 2, 16, Bfloat16, false, false, Gelu)
HOPPER_CASE("turns64x256.c2.gelu",         kInTurns,   64, 256, 4, 2, 16, Bfloat16, false, false, Gelu)
HOPPER_CASE("turns128x192.gelu",           kInTurns,  128, 192, 4, 1, 16, Bfloat16, false, false, Gelu)
HOPPER_CASE("turns128x128.turn32.gelu",    kInTurns,  128, 128, 6, 1, 32, Bfloat16, false, false, Gelu)
HOPPER_CASE("turns128x128.turn8.gelu",     kInTurns,  128, 128, 6, 1,  8, Bfloat16, false, false, Gelu)
HOPPER_CASE("turns128x128.swish",          kInTurns,  128, 128, 6, 1, 16, Bfloat16, false, false, Swish)
#elif HOPPER_PART == 3
HOPPER_CASE("together128x256.dgrad",       kTogether, 128, 256, 4, 1, 16, Bfloat16, false, true,  Identity)
HOPPER_CASE("together128x256.wgrad",       kTogether, 128, 256, 4, 1, 16, Bfloat16, true,  false, Identity)
HOPPER_CASE("turns128x128.dgrad",          kInTurns,  128, 128, 6, 1, 16, Bfloat16, false, true,  Identity)
HOPPER_CASE("turns128x128.wgrad",          kInTurns,  128, 128, 6, 1, 16, Bfloat16, true,  false, Identity)
HOPPER_CASE("turns128x128.c2.dgrad",       kInTurns,  128, 128, 6, 2, 16, Bfloat16, false, true,  Identity)
HOPPER_CASE("turns128x128.c2.wgrad",       kInTurns,  128, 128, 6, 2, 16, Bfloat16, true,  false, Identity)
HOPPER_CASE("together128x256.wgrad.sums",  kTogether, 128, 256, 4, 1, 16, Bfloat16, true,  false, Identity, true)
HOPPER_CASE("turns128x128.wgrad.sums",     kInTurns,  128, 128, 6, 1, 16, Bfloat16, true,  false, Identity, true)
HOPPER_CASE("fp16.together128x256.identity", kTogether, 128, 256, 4, 1, 16, Half, false, false, Identity)
HOPPER_CASE("fp16.turns128x128.gelu",      kInTurns,  128, 128, 6, 1, 16, Half, false, false, Gelu)
#endif
// clang-format on

#if HOPPER_PART == 0

std::vector<ProbeCase>& probe_cases() {
  static std::vector<ProbeCase> cases;
  return cases;
}

Memory random_memory() {
  constexpr std::size_t kBytes = std::size_t{1} << 30;
  unsigned char* data;
  check(cudaMalloc(&data, kBytes), "the operands");
  HOPPER_LAUNCH(fill_random<Bfloat16>, 1024, 256, 0, reinterpret_cast<Bfloat16*>(data), kBytes / 2, 11, 1.0f);
  check(cudaDeviceSynchronize(), "fill_random");
  return {data, kBytes};
}

std::uint64_t form_of(const char* variable, std::uint64_t otherwise) {
  const char* const value = std::getenv(variable);
  unsigned leading = 0, stride = 0;
  if (value == nullptr || std::sscanf(value, "%u,%u", &leading, &stride) != 2) return otherwise;
  return operand_form(leading, stride);
}
std::uint64_t k_major_form() { return form_of("HOPPER_K_MAJOR", kFormKMajor); }
std::uint64_t mn_major_form() { return form_of("HOPPER_MN_MAJOR", kFormMnMajor); }

// ----- What the copy engine does

// The byte at which a box has an element: rows of 128 bytes, the 16-byte chunk's number ^= the row's.
__host__ __device__ constexpr int swizzled(int row, int column) {
  return row * 128 + ((column / 8 ^ row % 8) * 16 + column % 8 * 2);
}

// Reads the box at (column, row) and dumps it, then writes it to the same place of another matrix.
__global__ void copy_box(const __grid_constant__ CUtensorMap from, const __grid_constant__ CUtensorMap to, int column,
                         int row, int box_rows, std::uint16_t* dump) {
  const unsigned box = (shared_address(shared_memory()) + 1023) & ~1023u, barrier = box + 256 * 128;
  if (threadIdx.x == 0) {
    barrier_init(barrier, 1);
    barrier_init_fence();
    barrier_arrive_expecting(barrier, static_cast<unsigned>(box_rows) * 128);
    load_box(box, from, column, row, barrier);
    barrier_wait(barrier, 0);
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < box_rows * 64; i += static_cast<int>(blockDim.x)) {
    std::uint16_t v;
    asm volatile("ld.shared.u16 %0, [%1];" : "=h"(v) : "r"(box + static_cast<unsigned>(i) * 2) : "memory");
    dump[i] = v;
    asm volatile("st.shared.u16 [%0], %1;" ::"r"(box + static_cast<unsigned>(i) * 2), "h"(v) : "memory");
  }
  shared_store_fence();
  __syncthreads();
  if (threadIdx.x == 0) {
    store_box(to, column, row, box);
    store_commit();
    store_wait();
  }
}

int probe_tma() {
  constexpr int kRows = 300, kColumns = 200, kStride = 208;
  std::vector<std::uint16_t> host(kRows * kStride);
  for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<std::uint16_t>(i % 32749 + 1);
  Bfloat16 *from, *to;
  std::uint16_t* dump;
  check(cudaMalloc(&from, host.size() * 2), "from");
  check(cudaMalloc(&to, host.size() * 2), "to");
  check(cudaMalloc(&dump, 256 * 128), "dump");
  check(cudaMemcpy(from, host.data(), host.size() * 2, cudaMemcpyHostToDevice), "from");
  check(cudaFuncSetAttribute(copy_box, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024), "shared memory");
  int failures = 0;
  const auto is_at = [&](int row, int column) {
    return row < kRows && column < kColumns ? host[static_cast<std::size_t>(row * kStride + column)] : std::uint16_t{0};
  };
  for (const int box_rows : {16, 32, 64, 96, 128, 192, 256})
    for (const auto& [row, column] : {std::pair{0, 0}, std::pair{64, 64}, std::pair{256, 192}, std::pair{128, 256}}) {
      check(cudaMemset(to, 0xee, host.size() * 2), "to");
      check(cudaMemset(dump, 0xdd, 256 * 128), "dump");
      const CUtensorMap map = tensor_map<Bfloat16>(from, kStride, kRows, kColumns, box_rows);
      const CUtensorMap out = tensor_map<Bfloat16>(to, kStride, kRows, kColumns, box_rows);
      HOPPER_LAUNCH(copy_box, 1, 128, 64 * 1024, map, out, column, row, box_rows, dump);
      check(cudaDeviceSynchronize(), "copy_box");
      std::vector<std::uint16_t> box(256 * 64), written(host.size());
      check(cudaMemcpy(box.data(), dump, 256 * 128, cudaMemcpyDeviceToHost), "dump");
      check(cudaMemcpy(written.data(), to, host.size() * 2, cudaMemcpyDeviceToHost), "to");
      int read_wrong = 0, write_wrong = 0;
      for (int r = 0; r < box_rows; ++r)
        for (int c = 0; c < 64; ++c)
          read_wrong += box[static_cast<std::size_t>(swizzled(r, c) / 2)] != is_at(row + r, column + c);
      for (int r = 0; r < kRows; ++r)
        for (int c = 0; c < kStride; ++c) {
          const bool inside = r >= row && r < row + box_rows && c >= column && c < column + 64 && c < kColumns;
          write_wrong += written[static_cast<std::size_t>(r * kStride + c)] != (inside ? is_at(r, c) : 0xeeee);
        }
      if (read_wrong + write_wrong != 0) {
        ++failures;
        std::printf("  WRONG box of %d rows at row %d, column %d: %d elements read wrong, %d written wrong\n", box_rows,
                    row, column, read_wrong, write_wrong);
        if (failures == 1)  // which element lies in each 16 bytes, as row.chunk of the box
          for (int r = 0; r < 8; ++r) {
            for (int c = 0; c < 8; ++c) {
              const int v = box[static_cast<std::size_t>(r * 64 + c * 8)] - 1;
              std::printf(" %3d.%d", v / kStride - row, (v % kStride - column) / 8);
            }
            std::putchar('\n');
          }
      }
    }
  std::printf("%s tma\n", failures == 0 ? "RIGHT" : "WRONG");
  return failures == 0 ? 0 : 1;
}

// ----- What the tensor cores read

// d (64, 256) = a (64, 64) b (64, 256), operands laid out here: a stored as it is (K-major) or (k, m), b as (n, k)
// (K-major) or (k, n), in boxes of 64 elements a row.
template <int MajorA, int MajorB>
__global__ void __launch_bounds__(128, 1)
    one_product(const Bfloat16* a, const Bfloat16* b, float* d, std::uint64_t form_a, std::uint64_t form_b) {
  const unsigned base = (shared_address(shared_memory()) + 1023) & ~1023u, of_b = base + 8192;
  const auto put = [&](unsigned to, Bfloat16 v) {
    asm volatile("st.shared.u16 [%0], %1;" ::"r"(to), "h"(__bfloat16_as_ushort(v)) : "memory");
  };
  for (int i = static_cast<int>(threadIdx.x); i < 64 * 64; i += 128) {
    const int m = i / 64, k = i % 64;
    put(base + static_cast<unsigned>(MajorA == 0 ? swizzled(m, k) : swizzled(k, m)), a[i]);
  }
  for (int i = static_cast<int>(threadIdx.x); i < 64 * 256; i += 128) {
    const int k = i / 256, n = i % 256;
    put(of_b + static_cast<unsigned>(MajorB == 0 ? swizzled(n, k) : n / 64 * 8192 + swizzled(k, n % 64)), b[i]);
  }
  shared_store_fence();
  __syncthreads();
  float sum[128];
  FNNFAST_UNROLL(128)
  for (int i = 0; i < 128; ++i) sum[i] = 0.0f;
  const std::uint64_t at_a = operand_at(form_a, base), at_b = operand_at(form_b, of_b);
  FNNFAST_UNROLL(128)
  for (int i = 0; i < 128; ++i) hold_sum(sum[i]);
  products_begin();
  FNNFAST_UNROLL(4)
  for (int i = 0; i < 4; ++i)
    multiply_async<Bfloat16, 256, MajorA, MajorB>(sum, at_a + i * (MajorA ? 128 : 2), at_b + i * (MajorB ? 128 : 2),
                                                  true);
  products_commit();
  products_wait<0>();
  FNNFAST_UNROLL(128)
  for (int i = 0; i < 128; ++i) hold_sum(sum[i]);
  const int row = static_cast<int>(threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4);
  FNNFAST_UNROLL(128)
  for (int i = 0; i < 128; ++i)
    d[(row + i / 2 % 2 * 8) * 256 + i / 4 * 8 + static_cast<int>(threadIdx.x % 4) * 2 + i % 2] = sum[i];
}

int probe_wgmma(const std::string& kind) {
  const bool m_major = kind[0] == 'm', n_major = kind[1] == 'n';
  std::vector<Bfloat16> a(64 * 64), b(64 * 256);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = __float2bfloat16_rn(static_cast<float>(hash(i, 1) % 15) - 7);
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = __float2bfloat16_rn(static_cast<float>(hash(i, 2) % 15) - 7);
  std::vector<float> wanted(64 * 256, 0.0f), d(64 * 256);
  for (std::size_t m = 0; m < 64; ++m)
    for (std::size_t n = 0; n < 256; ++n)
      for (std::size_t k = 0; k < 64; ++k)
        wanted[m * 256 + n] += __bfloat162float(a[m * 64 + k]) * __bfloat162float(b[k * 256 + n]);
  Bfloat16 *on_a, *on_b;
  float* on_d;
  check(cudaMalloc(&on_a, a.size() * 2), "a");
  check(cudaMalloc(&on_b, b.size() * 2), "b");
  check(cudaMalloc(&on_d, d.size() * 4), "d");
  check(cudaMemcpy(on_a, a.data(), a.size() * 2, cudaMemcpyHostToDevice), "a");
  check(cudaMemcpy(on_b, b.data(), b.size() * 2, cudaMemcpyHostToDevice), "b");
  const auto kernel =
      m_major ? (n_major ? one_product<1, 1> : one_product<1, 0>) : (n_major ? one_product<0, 1> : one_product<0, 0>);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024), "shared memory");
  const auto wrong = [&](std::uint64_t form_a, std::uint64_t form_b) {
    check(cudaMemset(on_d, 0xff, d.size() * 4), "d");
    HOPPER_LAUNCH(kernel, 1, 128, 64 * 1024, on_a, on_b, on_d, form_a, form_b);
    check(cudaDeviceSynchronize(), "one_product");
    check(cudaMemcpy(d.data(), on_d, d.size() * 4, cudaMemcpyDeviceToHost), "d");
    int count = 0;
    for (std::size_t i = 0; i < d.size(); ++i) count += d[i] != wanted[i];
    return count;
  };
  const std::uint64_t form_a = m_major ? mn_major_form() : k_major_form();
  const std::uint64_t form_b = n_major ? mn_major_form() : k_major_form();
  const int failures = wrong(form_a, form_b);
  std::printf("%s wgmma %s: %d of %zu elements wrong with the expected descriptors\n",
              failures == 0 ? "RIGHT" : "WRONG", kind.c_str(), failures, d.size());
  if (failures == 0) return 0;
  print_blocks(d, 256, wanted, 64, 256, 64, 256);
  // The same pair for both operands that have the same major-ness; others as they are.
  static constexpr unsigned kOffsets[] = {16, 128, 256, 512, 1024, 2048, 4096, 8192};
  for (const unsigned leading : kOffsets)
    for (const unsigned stride : kOffsets)
      for (const bool of_mn : {true, false}) {
        const std::uint64_t other = operand_form(leading, stride);
        const int left = wrong(m_major == of_mn ? other : form_a, n_major == of_mn ? other : form_b);
        if (left < failures)
          std::printf("  %s %s=%u,%u: %d wrong\n", left == 0 ? "FITS" : "better",
                      of_mn ? "HOPPER_MN_MAJOR" : "HOPPER_K_MAJOR", leading, stride, left);
      }
  return 1;
}

// ----- What the tensor cores can

// Both warpgroups multiply what lies in shared memory over and over; the operands are random bits.
template <int N, int MajorA, int MajorB>
__global__ void __launch_bounds__(256, 1) roof(const uint4* random, int times, float* to) {
  const unsigned base = (shared_address(shared_memory()) + 1023) & ~1023u;
  for (unsigned i = threadIdx.x; i < 3 * 65536 / 16; i += 256) {
    const uint4 v = random[blockIdx.x * 1024 + i];
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(base + i * 16), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
                 : "memory");
  }
  shared_store_fence();
  __syncthreads();
  float sum[N / 2];
  FNNFAST_UNROLL(128)
  for (int i = 0; i < N / 2; ++i) sum[i] = 0.0f;
  const unsigned own = threadIdx.x / 128;
  for (int t = 0; t < times; ++t) {
    const unsigned stage = base + static_cast<unsigned>(t % 4) * 49152;
    const std::uint64_t a = operand_at(MajorA ? kFormMnMajor : kFormKMajor, stage + own * 8192);
    const std::uint64_t b = operand_at(MajorB ? kFormMnMajor : kFormKMajor, stage + 16384);
    FNNFAST_UNROLL(128)
    for (int i = 0; i < N / 2; ++i) hold_sum(sum[i]);
    products_begin();
    FNNFAST_UNROLL(4)
    for (int i = 0; i < 4; ++i)
      multiply_async<Bfloat16, N, MajorA, MajorB>(sum, a + i * (MajorA ? 128 : 2), b + i * (MajorB ? 128 : 2), true);
    products_commit();
    products_wait<1>();
  }
  products_wait<0>();
  FNNFAST_UNROLL(128)
  for (int i = 0; i < N / 2; ++i) hold_sum(sum[i]);
  float all = 0;
  FNNFAST_UNROLL(128)
  for (int i = 0; i < N / 2; ++i) all += sum[i];
  to[blockIdx.x * 256 + threadIdx.x] = all;
}

int probe_roof() {
  const Memory memory = random_memory();
  const int blocks = device_info().multiprocessors;
  float* to;
  check(cudaMalloc(&to, static_cast<std::size_t>(blocks) * 1024), "sums");
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  const auto time = [&](const char* name, auto kernel, int n) {
    constexpr int kShared = 3 * 65536 + 1024, kTimes = 4096;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared), "shared memory");
    const auto* const random = reinterpret_cast<const uint4*>(memory.data);
    float best = 1e30f, last = 0;
    for (int i = 0; i < 12; ++i) {
      check(cudaEventRecord(begin), "event");
      HOPPER_LAUNCH(kernel, static_cast<unsigned>(blocks), 256, kShared, random, kTimes, to);
      check(cudaEventRecord(end), "event");
      check(cudaEventSynchronize(end), "roof");
      check(cudaEventElapsedTime(&last, begin, end), "event");
      best = std::min(best, last);
    }
    const double flop = 2.0 * 128 * n * 64 * kTimes * blocks;
    std::printf("  roof %-32s %6.1f TFLOP/s, the last %6.1f\n", name, flop / best * 1e-9, flop / last * 1e-9);
  };
  time("m64n256k16 a K-major b K-major", roof<256, 0, 0>, 256);
  time("m64n256k16 a K-major b N-major", roof<256, 0, 1>, 256);
  time("m64n256k16 a M-major b N-major", roof<256, 1, 1>, 256);
  time("m64n192k16 a K-major b N-major", roof<192, 0, 1>, 192);
  time("m64n128k16 a K-major b N-major", roof<128, 0, 1>, 128);
  return 0;
}

// ----- Division

__global__ void divide(std::uint32_t first, std::uint32_t last, bool reciprocals, unsigned* wrong,
                       std::uint32_t* which) {
  for (std::uint32_t i = first + blockIdx.x * blockDim.x + threadIdx.x; i <= last; i += gridDim.x * blockDim.x) {
    const float x = __uint_as_float(i);
    const cuda::Vec<float> a{x}, b{x + 1.0f};
    const float is = reciprocals ? cuda::vec_reciprocal(a).v : cuda::vec_quotient(a, b).v;
    const float should = reciprocals ? __frcp_rn(x) : __fdiv_rn(x, x + 1.0f);
    if (__float_as_uint(is) != __float_as_uint(should)) {
      atomicAdd(wrong, 1u);
      *which = i;
    }
  }
}

int probe_division() {
  unsigned* on_device;
  check(cudaMalloc(&on_device, 8), "counts");
  int failures = 0;
  for (const bool reciprocals : {true, false}) {
    unsigned found[2];
    check(cudaMemset(on_device, 0, 8), "counts");
    // 2.5 <= a + c <= 17, and exp(-60) <= e <= 1.
    const std::uint32_t first = reciprocals ? 0x40000000u : 0x14000000u, last = reciprocals ? 0x42000000u : 0x3f800000u;
    HOPPER_LAUNCH(divide, 1024, 256, 0, first, last, reciprocals, on_device, on_device + 1);
    check(cudaDeviceSynchronize(), "divide");
    check(cudaMemcpy(found, on_device, 8, cudaMemcpyDeviceToHost), "counts");
    std::printf("%s division, %s: %u of %u wrong, one is %08x\n", found[0] == 0 ? "RIGHT" : "WRONG",
                reciprocals ? "1 / x" : "x / (x + 1)", found[0], last - first + 1, found[1]);
    failures += found[0] != 0;
  }
  return failures == 0 ? 0 : 1;
}

// ----- The present kernel

int compare_with_mma_sync() {
  const Memory memory = random_memory();
  for (const std::int64_t k : {16, 32, 64, 256, 2048}) {
    constexpr std::int64_t kRows = 1024, kOutputs = 1024;
    Bfloat16* const x = reinterpret_cast<Bfloat16*>(memory.data);
    Bfloat16 *const w = x + kRows * k, *const one = w + k * kOutputs, *const other = one + kRows * kOutputs;
    ForwardTask<Bfloat16> task{};
    task.rows = kRows, task.inputs = k, task.outputs = kOutputs;
    task.x = {x, k};
    task.weight = {w, kOutputs};
    task.y = {one, kOutputs};
    forward_product(task, nullptr);
    HopperTask<Bfloat16> same;
    same.m = kRows, same.n = kOutputs, same.k = k;
    same.a = task.x;
    same.b = task.weight;
    same.c = {other, kOutputs};
    hopper_product<Bfloat16, HopperTile<Consumers::kTogether, 128, 256, 4, 1>, false, false, Identity>(
        same, nullptr, k_major_form(), mn_major_form());
    check(cudaDeviceSynchronize(), "the products");
    std::vector<std::uint16_t> a(kRows * kOutputs), b(a.size());
    check(cudaMemcpy(a.data(), one, a.size() * 2, cudaMemcpyDeviceToHost), "one");
    check(cudaMemcpy(b.data(), other, b.size() * 2, cudaMemcpyDeviceToHost), "other");
    std::size_t differ = 0;
    for (std::size_t i = 0; i < a.size(); ++i) differ += a[i] != b[i];
    std::printf("  same_bits: k = %lld: %zu of %zu results differ from mma.sync's\n", static_cast<long long>(k), differ,
                a.size());
  }
  return 0;
}

int time_mma_sync() {
  const Memory memory = random_memory();
  Bfloat16* const elements = reinterpret_cast<Bfloat16*>(memory.data);
  float* bias;
  check(cudaMalloc(&bias, 8192 * sizeof(float)), "bias");
  HOPPER_LAUNCH(fill_random<float>, 8, 256, 0, bias, std::size_t{8192}, 7, 0.5f);
  static constexpr int kShapes[][3] = {{4096, 4096, 4096}, {8192, 1024, 4096}, {65536, 512, 784}};
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  for (const auto& [activation, name] : {std::pair{kIdentity, "identity"}, std::pair{5, "relu"}, std::pair{11, "gelu"}})
    for (const auto [m, n, k] : kShapes) {
      const std::int64_t each = std::int64_t{m} * k + std::int64_t{k} * n + std::int64_t{m} * n;
      int turn = 0;
      const auto run = [&] {
        Bfloat16* const x = elements + turn++ % 3 * each;
        ForwardTask<Bfloat16> task{};
        task.rows = m, task.inputs = k, task.outputs = n;
        task.x = {x, k};
        task.weight = {x + std::int64_t{m} * k, n};
        task.y = {x + std::int64_t{m} * k + std::int64_t{k} * n, n};
        task.bias = bias;
        task.activation = activation;
        forward_product(task, nullptr);
      };
      for (int i = 0; i < 3; ++i) run();
      constexpr int kCalls = 20;
      check(cudaEventRecord(begin), "event");
      for (int i = 0; i < kCalls; ++i) run();
      check(cudaEventRecord(end), "event");
      check(cudaEventSynchronize(end), "the product");
      float ms = 0;
      check(cudaEventElapsedTime(&ms, begin, end), "event");
      const double us = ms * 1000.0 / kCalls;
      std::printf("  %-26s %5d x %4d x %4d | %8.1f us %6.1f TFLOP/s\n", (std::string("mma_sync.") + name).c_str(), m, n,
                  k, us, 2.0 * m * n * k / us * 1e-6);
    }
  return 0;
}

int run_probe(int count, char** words) {
  const std::string what = count > 1 ? words[1] : "list";
  if (what == "list") {
    for (const ProbeCase& of : probe_cases()) std::printf("%s\n", of.name.c_str());
    return 0;
  }
  if (what == "tma") return probe_tma();
  if (what == "wgmma" && count > 2) return probe_wgmma(words[2]);
  if (what == "roof") return probe_roof();
  if (what == "division") return probe_division();
  if (what == "same_bits") return compare_with_mma_sync();
  if (what == "mma_sync") return time_mma_sync();
  for (const ProbeCase& of : probe_cases())
    if (of.name == what) return of.run(of);
  std::printf("no case %s\n", what.c_str());
  return 2;
}

#endif

}  // namespace fnnfast

#if HOPPER_PART == 0
int main(int count, char** words) {
  try {
    return fnnfast::run_probe(count, words);
  } catch (const std::exception& e) {
    std::printf("ERROR %s: %s\n", count > 1 ? words[1] : "", e.what());
    return 3;
  }
}
#endif
