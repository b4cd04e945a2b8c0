// Hopper's barriers, copies of boxes and products of warpgroups: what they do, and what is reported when they are used
// wrongly.
#include <algorithm>
#include <cmath>

#include "../../../csrc/cuda/instructions_sm90.cuh"
#include "hopper.hpp"
#include "selftest.hpp"

namespace fnnfast::emulator::selftest {
namespace {

constexpr unsigned kBox = 1024;  // boxes begin at multiples of it, the barriers are before the first

__device__ unsigned first_box() { return (shared_address(shared_memory()) + 63 + kBox) / kBox * kBox; }
__device__ unsigned barrier_number(unsigned i) { return shared_address(shared_memory()) + 8 * i; }

template <class Test>
void with_both_copies(Test test) {
  for (const Copies when : {Copies::kDeferred, Copies::kAtOnce}) {
    set_copies(when);
    under_all_schedules(test);
  }
  set_copies(Copies::kDeferred);
}

template <class T>
CUtensorMap map_of(T* data, std::vector<cuuint64_t> size, std::vector<cuuint64_t> strides, std::vector<cuuint32_t> box,
                   CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_128B) {
  CUtensorMap map{};
  const cuuint32_t steps[3] = {1, 1, 1};
  const auto type = sizeof(T) == 4 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  CHECK(cuTensorMapEncodeTiled(&map, type, static_cast<cuuint32_t>(size.size()), data, size.data(), strides.data(),
                               box.data(), steps, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
                               CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS);
  return map;
}

// ---- barriers

// Two producers and a consumer pass numbers through a ring of two places.
__global__ void ring(int* out, int rounds) {
  int* const places = reinterpret_cast<int*>(shared_memory() + 64);
  const auto full = [](int i) { return barrier_number(static_cast<unsigned>(i % 2)); };
  const auto empty = [](int i) { return barrier_number(static_cast<unsigned>(2 + i % 2)); };
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) barrier_init(full(i), 2), barrier_init(empty(i), 1);
    barrier_init_fence();
  }
  __syncthreads();
  const auto self = static_cast<int>(threadIdx.x);
  for (int i = 0; i < rounds; ++i) {
    const auto parity = static_cast<unsigned>(i / 2 % 2);
    int* const place = places + i % 2 * 2;
    if (self < 2) {
      barrier_wait(empty(i), parity ^ 1);
      place[self] = 10 * i + self;
      barrier_arrive(full(i));
    } else if (self == 2) {
      barrier_wait(full(i), parity);
      out[i] = place[0] + place[1];
      barrier_arrive(empty(i));
    }
  }
}

void test_ring() {
  with_both_copies([] {
    const Array<int> out(9);
    run(ring, 1, 4, 128, out.get(), 9);
    for (int i = 0; i < 9; ++i) CHECK(out.read()[static_cast<std::size_t>(i)] == 20 * i + 1);
  });
}

enum class Wrong {
  kNothing,
  kNoInit,
  kInitTwice,
  kInitTooMany,
  kMisplaced,
  kNoMeeting,
  kTooManyArrivals,
  kTooManyBytes,
  kOverwritten,
  kNobodyArrives,
  kOtherPhase,
  kMissesPhase,
};
__global__ void misuse_barriers(Wrong wrong) {
  const unsigned barrier = barrier_number(0);
  const unsigned self = threadIdx.x;
  if (self == 0 && wrong != Wrong::kNoInit) {
    barrier_init(barrier + (wrong == Wrong::kMisplaced ? 4 : 0), wrong == Wrong::kInitTooMany ? 1 << 20 : 2);
    if (wrong == Wrong::kInitTwice) barrier_init(barrier, 2);
    barrier_init_fence();
  }
  if (wrong != Wrong::kNoMeeting) __syncthreads();
  if (self == 0) {
    if (wrong == Wrong::kOverwritten) shared_memory()[3] = 1;
    if (wrong == Wrong::kTooManyBytes) barrier_arrive_expecting(barrier, (1 << 20) - 1);
    if (wrong == Wrong::kTooManyArrivals) barrier_arrive_expecting(barrier, 16), barrier_arrive(barrier);
    barrier_arrive_expecting(barrier, wrong == Wrong::kTooManyBytes ? 1 : 0);
    if (wrong == Wrong::kMissesPhase) {
      for (int i = 0; i < 3; ++i) barrier_arrive(barrier);
    }
    if (wrong == Wrong::kOtherPhase) barrier_wait(barrier, 1);
  } else if (wrong != Wrong::kNobodyArrives && wrong != Wrong::kMissesPhase) {
    barrier_arrive(barrier);
  }
  barrier_wait(barrier, wrong == Wrong::kOtherPhase ? 1 : 0);
}

void test_misused_barriers() {
  const auto says = [](Wrong wrong, const char* message) { return aborts(message, misuse_barriers, 2, 64, wrong); };
  run(misuse_barriers, 1, 2, 64, Wrong::kNothing);
  CHECK(says(Wrong::kNoInit, "there is no barrier at offset 0"));
  CHECK(says(Wrong::kInitTwice, "barrier_init(): there is a barrier at offset 0"));
  CHECK(says(Wrong::kInitTooMany, "no phases of 1048576 arrivals"));
  CHECK(says(Wrong::kMisplaced, "barrier_init(): offset 4 in shared memory, address 1156, is not aligned to 8 bytes"));
  CHECK(says(Wrong::kNoMeeting, "thread (0, 0, 0) initialized the barrier at offset 0 and has met nobody since"));
  CHECK(says(Wrong::kTooManyArrivals, "one more than expected at the barrier at offset 0"));
  CHECK(says(Wrong::kTooManyBytes, "1 more bytes are too many"));
  CHECK(says(Wrong::kOverwritten, "something was written over the barrier at offset 0"));
  CHECK(says(Wrong::kNobodyArrives,
             "deadlock: 2 threads at barrier_wait() for parity 0 of the barrier at offset 0: phase 0, 1 of 2 arrivals "
             "and 0 bytes missing, the first of them: block (0, 0, 0), thread (0, 0, 0)"));
  CHECK(says(Wrong::kOtherPhase,
             "for parity 1 of the barrier at offset 0: phase 1, 2 of 2 arrivals and 0 bytes missing"));
  set_schedule(Schedule::kDescending);  // the other thread waits first
  CHECK(says(Wrong::kMissesPhase, "2 phases ended before the thread saw the end of one"));
  set_schedule(Schedule::kAscending);
}

// ---- boxes

struct BoxTask {
  CUtensorMap from, to;
  int column, row, matrix;  // < 0: of two dimensions
  unsigned bytes;
};

// Loads a box, copies it as it lies in shared memory, and stores it again.
__global__ void copy_box(const __grid_constant__ BoxTask task, unsigned* seen) {
  const unsigned barrier = barrier_number(0), box = first_box();
  if (threadIdx.x == 0) {
    prefetch_map(task.from);
    barrier_init(barrier, 1);
    barrier_init_fence();
    barrier_arrive_expecting(barrier, task.bytes);
    if (task.matrix < 0)
      load_box(box, task.from, task.column, task.row, barrier);
    else
      load_box(box, task.from, task.column, task.row, task.matrix, barrier);
  }
  __syncthreads();
  barrier_wait(barrier, 0);
  const auto* words = reinterpret_cast<const unsigned*>(shared_memory() + (box - shared_address(shared_memory())));
  for (unsigned i = threadIdx.x; i < task.bytes / 4; i += blockDim.x) seen[i] = words[i];
  if (threadIdx.x == 0 && task.matrix < 0) {
    store_box(task.to, task.column, task.row, box);
    store_commit();
    store_wait();
  }
}

// The permutation, from its description: 16-byte chunk c of row r of `span` bytes is at chunk c ^ (what the row's bits
// above give).
std::size_t chunk_place(std::size_t row, std::size_t chunk, std::size_t span) {
  switch (span) {
    case 128:
      return row * 8 + (chunk ^ row % 8);
    case 64:
      return row * 4 + (chunk ^ row / 2 % 4);
    case 32:
      return row * 2 + (chunk ^ row / 4 % 2);
    default:
      return row * (span / 16) + chunk;
  }
}

void test_boxes() {
  constexpr int kRows = 21, kColumns = 50, kPitch = 56, kBoxRows = 16;
  std::vector<unsigned> numbers(kRows * kPitch);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = 1000 + static_cast<unsigned>(i);
  const Array<unsigned> from(numbers);
  const std::pair<CUtensorMapSwizzle, int> kinds[] = {{CU_TENSOR_MAP_SWIZZLE_128B, 32},
                                                      {CU_TENSOR_MAP_SWIZZLE_64B, 16},
                                                      {CU_TENSOR_MAP_SWIZZLE_32B, 8},
                                                      {CU_TENSOR_MAP_SWIZZLE_NONE, 12}};
  with_both_copies([&] {
    for (const auto& [swizzle, width] : kinds) {
      for (const auto& [column, row] : {std::pair{0, 0}, {8, 3}, {40, 10}, {-4, -5}, {60, 0}, {46, 30}}) {
        const Array<unsigned> to(std::vector<unsigned>(kRows * kPitch, 7)), seen(static_cast<std::size_t>(16 * width));
        const auto map = [&, w = width, s = swizzle](unsigned* data) {
          return map_of(data, {kColumns, kRows}, {kPitch * 4}, {static_cast<cuuint32_t>(w), kBoxRows}, s);
        };
        const BoxTask task{map(from.get()), map(to.get()), column, row, -1, static_cast<unsigned>(64 * width)};
        run(copy_box, 1, 40, 4096, task, seen.get());
        const auto got = seen.read(), stored = to.read();
        for (int y = 0; y < kBoxRows; ++y)
          for (int x = 0; x < width; ++x) {
            const int r = row + y, c = column + x;
            const bool inside = r >= 0 && r < kRows && c >= 0 && c < kColumns;
            const unsigned expected = inside ? numbers[static_cast<std::size_t>(r * kPitch + c)] : 0;
            const auto chunk = chunk_place(static_cast<std::size_t>(y), static_cast<std::size_t>(x / 4),
                                           static_cast<std::size_t>(4 * width));
            CHECK(got[4 * chunk + static_cast<std::size_t>(x % 4)] == expected);
          }
        for (int r = 0; r < kRows; ++r)
          for (int c = 0; c < kPitch; ++c) {
            const bool inside = c < kColumns && r >= row && r < row + kBoxRows && c >= column && c < column + width;
            const auto at = static_cast<std::size_t>(r * kPitch + c);
            CHECK(stored[at] == (inside ? numbers[at] : 7));
          }
      }
    }
  });
  // The second of two matrices, of 10 rows each.
  const CUtensorMap stack = map_of(from.get(), {32, 10, 2}, {kPitch * 4, 10 * kPitch * 4}, {32, 16, 1});
  const Array<unsigned> seen(512);
  run(copy_box, 1, 40, 4096, BoxTask{stack, stack, 0, 2, 1, 2048}, seen.get());
  for (std::size_t row = 0; row < 16; ++row) {
    const unsigned expected = row < 8 ? numbers[(12 + row) * kPitch + 5] : 0;
    CHECK(seen.read()[4 * chunk_place(row, 1, 128) + 1] == expected);
  }
}

void test_maps() {
  alignas(16) static float data[64];
  const auto status = [](void* at, cuuint64_t columns, cuuint64_t stride, cuuint32_t width, cuuint32_t rows,
                         CUtensorMapSwizzle swizzle) {
    CUtensorMap map;
    const cuuint64_t size[] = {columns, 4};
    const cuuint32_t box[] = {width, rows}, steps[] = {1, 1};
    return cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2, at, size, &stride, box, steps,
                                  CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  };
  CHECK(status(data, 8, 16, 64, 256, CU_TENSOR_MAP_SWIZZLE_128B) == CUDA_SUCCESS);
  CHECK(status(data + 1, 8, 16, 64, 256, CU_TENSOR_MAP_SWIZZLE_128B) == CUDA_ERROR_INVALID_VALUE);
  CHECK(status(data, 8, 24, 64, 256, CU_TENSOR_MAP_SWIZZLE_128B) == CUDA_ERROR_INVALID_VALUE);
  CHECK(status(data, 9, 16, 64, 256, CU_TENSOR_MAP_SWIZZLE_128B) == CUDA_ERROR_INVALID_VALUE);
  CHECK(status(data, 8, 16, 64, 257, CU_TENSOR_MAP_SWIZZLE_128B) == CUDA_ERROR_INVALID_VALUE);
  CHECK(status(data, 8, 16, 64, 0, CU_TENSOR_MAP_SWIZZLE_128B) == CUDA_ERROR_INVALID_VALUE);
  CHECK(status(data, 8, 16, 128, 1, CU_TENSOR_MAP_SWIZZLE_128B) == CUDA_ERROR_INVALID_VALUE);
  CHECK(status(data, 8, 16, 4, 1, CU_TENSOR_MAP_SWIZZLE_NONE) == CUDA_ERROR_INVALID_VALUE);
  CHECK(status(data, 0, 16, 64, 1, CU_TENSOR_MAP_SWIZZLE_128B) == CUDA_ERROR_INVALID_VALUE);
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found) ==
        cudaSuccess);
  CHECK(function == reinterpret_cast<void*>(&cuTensorMapEncodeTiled) && found == cudaDriverEntryPointSuccess);
  CHECK(cudaGetDriverEntryPointByVersion("cuInit", &function, 12000, cudaEnableDefault, &found) == cudaSuccess);
  CHECK(function == nullptr && found == cudaDriverEntryPointSymbolNotFound);
}

enum class WrongBox {
  kNothing,
  kNoMap,
  kRank,
  kMisaligned,
  kOutside,
  kNoPublishing,
  kReadsEarly,
  kTooFewBytes,
  kTooManyBytes,
  kNeverArrives,
  kNoFence,
  kNoMeeting,
  kFenceTooEarly,
  kWritesEarly,
  kNeverRead,
  kLoadsOverStore,
  kLoadsTwice,
  kLoadsOverWrites,
};
// A warp: stores matrices to a box, stores that, and loads it again.
__global__ void misuse_boxes(const __grid_constant__ CUtensorMap map, WrongBox wrong) {
  const unsigned barrier = barrier_number(0), lane = threadIdx.x, box = first_box();
  const std::uint32_t numbers[4] = {lane, lane, lane, lane};
  const auto is = [&](WrongBox what) { return wrong == what; };
  if (lane == 0) {
    if (is(WrongBox::kNoMap)) prefetch_map(CUtensorMap{});
    barrier_init(barrier, 1);
    if (!is(WrongBox::kNoPublishing)) barrier_init_fence();
  }
  __syncwarp();
  if (is(WrongBox::kFenceTooEarly)) shared_store_fence();
  store_matrix(box + lane * 16, numbers);
  if (!is(WrongBox::kNoFence) && !is(WrongBox::kFenceTooEarly)) shared_store_fence();
  if (!is(WrongBox::kNoMeeting)) __syncwarp();
  if (lane == 0 && !is(WrongBox::kLoadsOverWrites)) {
    store_box(map, 0, 0, box);
    store_commit();
    if (!is(WrongBox::kNeverRead) && !is(WrongBox::kWritesEarly) && !is(WrongBox::kLoadsOverStore))
      store_wait_read<0>();
  }
  __syncwarp();
  if (is(WrongBox::kWritesEarly)) store_matrix(box + lane * 16, numbers);
  if (is(WrongBox::kLoadsOverWrites)) store_matrix(box + lane * 16, numbers);
  if (lane == 0 && !is(WrongBox::kNeverRead)) {
    const unsigned more = is(WrongBox::kTooManyBytes) ? 16 : is(WrongBox::kTooFewBytes) ? -16u : 0;
    barrier_arrive_expecting(barrier, (is(WrongBox::kLoadsTwice) ? 1024 : 512) + more);
    const unsigned to = is(WrongBox::kMisaligned) ? box + 128 : is(WrongBox::kOutside) ? box + 1024 : box;
    if (is(WrongBox::kRank))
      load_box(to, map, 0, 0, 0, barrier);
    else
      load_box(to, map, 0, 0, barrier);
    if (is(WrongBox::kLoadsTwice)) load_box(to, map, 0, 0, barrier);
  }
  __syncwarp();
  std::uint32_t read[4];
  if (!is(WrongBox::kReadsEarly) && !is(WrongBox::kNeverArrives) && !is(WrongBox::kNeverRead)) barrier_wait(barrier, 0);
  if (!is(WrongBox::kNeverArrives)) load_matrix(read, box + lane * 16);
}

void test_misused_boxes() {
  const Array<float> data(32 * 4);
  const CUtensorMap map = map_of(data.get(), {32, 4}, {128}, {32, 4});
  const auto says = [&](WrongBox wrong, const char* message) {
    return aborts(message, misuse_boxes, 32, 2048, map, wrong);
  };
  with_both_copies([&] { run(misuse_boxes, 1, 32, 2048, map, WrongBox::kNothing); });
  CHECK(says(WrongBox::kNoMap, "prefetch_map(): not the map of a matrix"));
  CHECK(says(WrongBox::kRank, "load_box(): 3 coordinates for a map of rank 2"));
  CHECK(says(WrongBox::kMisaligned, "is not aligned to 1024 bytes"));
  CHECK(says(WrongBox::kOutside, "load_box(): offset 1920 is outside the block's 2048 bytes"));
  CHECK(says(WrongBox::kNoPublishing, "barrier_init_fence() was not called"));
  CHECK(
      says(WrongBox::kReadsEarly, "load_matrix(): reads offset 896 in shared memory, where a copy is still to arrive"));
  CHECK(says(WrongBox::kTooFewBytes, "phase 0, 0 of 1 arrivals and -16 bytes missing"));
  CHECK(says(WrongBox::kTooManyBytes, "phase 0, 0 of 1 arrivals and 16 bytes missing"));
  CHECK(says(WrongBox::kNeverArrives, "block (0, 0, 0): it ends before loads of boxes have arrived"));
  CHECK(says(WrongBox::kNoFence,
             "store_box(): block (0, 0, 0), thread (0, 0, 0) wrote to offset 896 in shared memory "
             "and has not called fence.proxy.async since"));
  CHECK(says(WrongBox::kFenceTooEarly, "has not called fence.proxy.async since"));
  CHECK(says(WrongBox::kNoMeeting, "has not called fence.proxy.async since"));  // the other lanes come later
  set_schedule(Schedule::kDescending);
  CHECK(says(WrongBox::kNoMeeting, "called fence.proxy.async, and has met nobody since"));
  set_schedule(Schedule::kAscending);
  CHECK(says(WrongBox::kWritesEarly,
             "store_matrix(): writes to offset 896 in shared memory, which a copy or a product "
             "in flight reads"));
  CHECK(says(WrongBox::kNeverRead, "the thread ends with a store of a box that may not have read shared memory"));
  CHECK(says(WrongBox::kLoadsOverStore, "load_box(): writes to offset 896 in shared memory, which a copy"));
  CHECK(says(WrongBox::kLoadsTwice, "load_box(): writes to offset 896 in shared memory, where a copy is to arrive"));
  CHECK(says(WrongBox::kLoadsOverWrites, "load_box(): block (0, 0, 0), thread (0, 0, 0) wrote to offset 896"));
#if defined(FNNFAST_EMULATOR_ASAN)
  const CUtensorMap larger = map_of(data.get(), {32, 5}, {128}, {32, 5});
  CHECK(aborts("heap-buffer-overflow", copy_box, 32, 4096, BoxTask{larger, larger, 0, 0, -1, 640},
               static_cast<unsigned*>(nullptr)));
#endif
}

// ---- products

constexpr unsigned kBytesA = 64 * 128, kBytesB = 256 * 128;

struct ProductTask {
  CUtensorMap a, b;
  unsigned leading_a, leading_b;
};

// c (64, N) = a (64, 64) b (64, N) + c. Transposed: a is stored as (64 of k, 64), b as (N, 64 of k).
template <class T, int N, bool kTransposedA, bool kTransposedB>
__global__ void warpgroup_product(const __grid_constant__ ProductTask task, float* c, int* early) {
  const unsigned barrier = barrier_number(0), a = first_box(), b = a + kBytesA, self = threadIdx.x;
  if (self == 0) {
    barrier_init(barrier, 1);
    barrier_init_fence();
    barrier_arrive_expecting(barrier, kBytesA + N * 128);
    load_box(a, task.a, 0, 0, barrier);
    for (unsigned i = 0; i < (kTransposedB ? 1 : N / 64); ++i)
      load_box(b + i * 8192, task.b, static_cast<int>(64 * i), 0, barrier);
  }
  __syncthreads();
  float d[N / 2];
  const auto place = [=](int i) {
    const unsigned at = static_cast<unsigned>(i), row = self / 32 * 16 + self % 32 / 4 + at / 2 % 2 * 8;
    return c + row * N + 8 * (at / 4) + 2 * (self % 4) + at % 2;
  };
  for (int i = 0; i < N / 2; ++i) d[i] = *place(i);
  barrier_wait(barrier, 0);
  products_begin();
  for (unsigned k = 0; k < 4; ++k) {
    const std::uint64_t of_a = operand_at(operand_form(task.leading_a, 1024), a + k * (kTransposedA ? 2048 : 32));
    const std::uint64_t of_b = operand_at(operand_form(task.leading_b, 1024), b + k * (kTransposedB ? 32 : 2048));
    multiply_async<T, N, kTransposedA ? 1 : 0, kTransposedB ? 0 : 1>(d, of_a, of_b);
  }
  products_commit();
  if (self == 0) *early = !std::isnan(d[0]);
  products_wait<0>();
  for (int i = 0; i < N / 2; ++i) *place(i) = d[i];
}

template <class T, int N, bool kTransposedA, bool kTransposedB>
void check_warpgroup_product(T (*round)(float), float (*number)(T)) {
  const auto value = [&](int i, int j, int factor) {
    return round(static_cast<float>((i * 37 + j * factor) % 127 - 63) / 64);
  };
  std::vector<T> a(64 * 64), b(64 * N);
  std::vector<float> c(64 * N);
  for (int k = 0; k < 64; ++k) {
    for (int i = 0; i < 64; ++i) a[static_cast<std::size_t>(kTransposedA ? k * 64 + i : i * 64 + k)] = value(i, k, 11);
    for (int j = 0; j < N; ++j) b[static_cast<std::size_t>(kTransposedB ? j * 64 + k : k * N + j)] = value(k, j, 5);
  }
  for (std::size_t i = 0; i < c.size(); ++i) c[i] = static_cast<float>(i % 50);
  const Array<T> device_a(a), device_b(b);
  const ProductTask task{map_of(device_a.get(), {64, 64}, {128}, {64, 64}),
                         kTransposedB ? map_of(device_b.get(), {64, N}, {128}, {64, N})
                                      : map_of(device_b.get(), {N, 64}, {2 * N}, {64, 64}),
                         kTransposedA ? 8192u : 16u, kTransposedB ? 16u : 8192u};
  CHECK(cudaFuncSetAttribute(warpgroup_product<T, N, kTransposedA, kTransposedB>,
                             cudaFuncAttributeMaxDynamicSharedMemorySize, 1024 + kBytesA + kBytesB) == cudaSuccess);
  for (const Copies when : {Copies::kDeferred, Copies::kAtOnce}) {
    set_copies(when);
    const Array<float> device_c(c);
    const Array<int> early(1);
    run(warpgroup_product<T, N, kTransposedA, kTransposedB>, 1, 128, 1024 + kBytesA + kBytesB, task, device_c.get(),
        early.get());
    CHECK((early.read()[0] != 0) == (when == Copies::kAtOnce));
    const auto got = device_c.read();
    for (int i = 0; i < 64; ++i)
      for (int j = 0; j < N; ++j) {
        float sum = c[static_cast<std::size_t>(i * N + j)];  // exact, as these numbers are
        for (int k = 0; k < 64; ++k) sum += number(value(i, k, 11)) * number(value(k, j, 5));
        CHECK(got[static_cast<std::size_t>(i * N + j)] == sum);
      }
  }
  set_copies(Copies::kDeferred);
}

enum class WrongProduct {
  kNothing,
  kStride,
  kMiddle,
  kCrosses,
  kBits,
  kNoSwizzle,
  kOutside,
  kNoBegin,
  kNoWait,
  kSumsWritten,
  kSumsRead,
  kOtherWarp,
  kOtherLane,
  kFewerSteps,
  kNoFence,
  kNotArrived,
  kOverwritten,
  kRegistersWritten,
};
struct FakeRows {
  std::uint32_t at[1][1][4];
};
struct FakeSums {
  float at[1][2][4];
};
// b (64 of k, 64) of ones, which the block copies; a (64, 16) in registers or, as what is there, in shared memory.
__global__ void misuse_products(const __nv_bfloat16* ones, WrongProduct wrong, float* out) {
  const auto is = [&](WrongProduct what) { return wrong == what; };
  const unsigned begin = first_box(), self = threadIdx.x, warp = self / 32;
  unsigned char* const box = shared_memory() + (begin - shared_address(shared_memory()));
  for (unsigned i = self; i < 8192 / 16; i += 128) copy_async<16>(box + 16 * i, ones + 8 * i);
  copy_commit();
  copy_wait<0>();
  if (!is(WrongProduct::kNoFence)) publish_copies();
  __syncthreads();
  unsigned at = begin;
  if (is(WrongProduct::kMiddle)) at += 128;
  if (is(WrongProduct::kOutside)) at += 1024 * 7;
  if (is(WrongProduct::kCrosses)) at += 16;
  if (is(WrongProduct::kOtherWarp) && warp == 2) at += 2048;
  if (is(WrongProduct::kOtherLane) && self == 77) at += 2048;
  std::uint64_t operand = operand_at(operand_form(16, is(WrongProduct::kStride) ? 65536 : 1024), at);
  if (is(WrongProduct::kBits)) operand |= 1 << 15;
  if (is(WrongProduct::kNoSwizzle)) operand &= ~(std::uint64_t{3} << 62);
  FakeRows rows{{{{0x3F803F80, 0x3F803F80, 0x3F803F80, 0x3F803F80}}}};
  FakeSums sums[1]{};
  if (is(WrongProduct::kFewerSteps) && warp == 3) return;
  if (!is(WrongProduct::kNoBegin)) products_begin();
  multiply_async<__nv_bfloat16>(sums, rows, 0, 0, operand);
  products_commit();
  if (is(WrongProduct::kSumsWritten)) sums[0].at[0][0][1] = 1;
  if (is(WrongProduct::kSumsRead)) out[self] = sums[0].at[0][0][0];
  if (is(WrongProduct::kRegistersWritten)) rows.at[0][0][2] = 0;
  if (is(WrongProduct::kOverwritten)) copy_async<16>(box + 16 * self, ones);
  if (is(WrongProduct::kNoWait)) return;
  products_wait<0>();
  if (!is(WrongProduct::kSumsRead)) out[self] = sums[0].at[0][0][0];
}

// Four warps wait for nothing before they multiply what a copy brings.
__global__ void multiply_early(const __grid_constant__ CUtensorMap map) {
  const unsigned barrier = barrier_number(0), box = first_box();
  if (threadIdx.x == 0) {
    barrier_init(barrier, 1);
    barrier_init_fence();
    barrier_arrive_expecting(barrier, 8192);
    load_box(box, map, 0, 0, barrier);
  }
  __syncthreads();
  float d[32]{};
  products_begin();
  multiply_async<__nv_bfloat16, 64, 0, 1>(d, operand_at(operand_form(16, 1024), box),
                                          operand_at(operand_form(8192, 1024), box));
  products_commit();
  products_wait<0>();
}

// Registers: given and taken, by the first warpgroup and the others.
template <int Given, int Taken, bool kAlone>
__global__ void share_registers(int) {
  if (threadIdx.x < 128) {
    if (kAlone && threadIdx.x < 32) return;
    give_registers<Given>();
  } else {
    take_registers<Taken>();
  }
}

void test_products() {
  check_warpgroup_product<__nv_bfloat16, 256, false, false>(__float2bfloat16_rn, __bfloat162float);
  check_warpgroup_product<__nv_bfloat16, 128, true, false>(__float2bfloat16_rn, __bfloat162float);
  check_warpgroup_product<__half, 256, false, true>(__float2half_rn, __half2float);
  check_warpgroup_product<__half, 128, true, true>(__float2half_rn, __half2float);

  const Array<__nv_bfloat16> ones(std::vector<__nv_bfloat16>(64 * 64, __nv_bfloat16{0x3F80}));
  const Array<float> out(128);
  const auto says = [&](WrongProduct wrong, const char* message) {
    return aborts(message, misuse_products, 128, 9216, ones.get(), wrong, out.get());
  };
  with_both_copies([&] {
    run(misuse_products, 1, 128, 9216, ones.get(), WrongProduct::kNothing, out.get());
    CHECK(out.read() == std::vector<float>(128, 16));
  });
  CHECK(says(WrongProduct::kStride, "is outside the block's 9216 bytes of shared memory"));
  CHECK(says(WrongProduct::kMiddle, "within the 8 rows of 128 bytes that are swizzled together"));
  CHECK(says(WrongProduct::kCrosses, "does not end within its row of 128 bytes"));
  CHECK(says(WrongProduct::kBits, "has bits that mean nothing here"));
  CHECK(says(WrongProduct::kNoSwizzle, "operands without swizzle are not emulated"));
  CHECK(says(WrongProduct::kOutside, "is outside the block's 9216 bytes of shared memory"));
  CHECK(says(WrongProduct::kNoBegin, "multiply_async(): no products_begin() since the registers may have been"));
  CHECK(says(WrongProduct::kNoWait, "a warp ends with products that it has not waited for"));
  CHECK(says(WrongProduct::kSumsWritten, "sums were written during the products that add to them"));
  CHECK(says(WrongProduct::kRegistersWritten, "the left operand was written during its product"));
  CHECK(says(WrongProduct::kOtherWarp, "where another warp of the warpgroup called multiply_async() of 16"));
  CHECK(says(WrongProduct::kOtherLane, "the lanes have different descriptors"));
  CHECK(says(WrongProduct::kFewerSteps, "a warp did less than the rest of its warpgroup"));
  CHECK(
      says(WrongProduct::kNoFence, "wrote to offset 896 in shared memory and has not called fence.proxy.async since"));
  CHECK(says(WrongProduct::kOverwritten,
             "copy_async(): writes to offset 896 in shared memory, which a copy or a product"));
  run(misuse_products, 1, 128, 9216, ones.get(), WrongProduct::kSumsRead, out.get());
  for (const float read : out.read()) CHECK(std::isnan(read));
  CHECK(aborts("products_begin(): the block does not consist of warpgroups", misuse_products, 96, 9216, ones.get(),
               WrongProduct::kNothing, out.get()));
  const CUtensorMap map = map_of(ones.get(), {64, 64}, {128}, {64, 64});
  CHECK(aborts("multiply_async(): reads offset 896 in shared memory, where a copy is still to arrive", multiply_early,
               128, 9216, map));

  run(share_registers<56, 224, false>, 1, 384, 0, 0);
  CHECK(aborts("the warps take more registers than others give", share_registers<64, 232, false>, 384, 0, 0));
  CHECK(aborts("give_registers(): 176 registers, where a thread has 168", share_registers<176, 232, false>, 384, 0, 0));
  CHECK(aborts("take_registers(): 160 registers, where a thread has 168", share_registers<56, 160, false>, 384, 0, 0));
  CHECK(aborts("a warp did less than the rest of its warpgroup", share_registers<56, 224, true>, 384, 0, 0));
}

}  // namespace

void test_hopper() {
  test_ring();
  test_misused_barriers();
  test_maps();
  test_boxes();
  test_misused_boxes();
  test_products();
}

}  // namespace fnnfast::emulator::selftest
