// Products of 16-bit elements with Hopper's own instructions: c (m, n) = f(a (m, k) b (k, n) + bias). Blocks stay and
// take tile after tile. One warpgroup of a block only copies (the producer), two multiply and finish (the consumers),
// so that copies run ahead over the edges of tiles: while one tile is finished, the next one's operands arrive.
//
// The two consumers share each tile (kTogether), or take turns: then one multiplies while the other finishes its
// tile, which hides an activation of many instructions.
#pragma once

#include "instructions_sm90.cuh"
#include "launch.hpp"
#include "product.hpp"
#include "vec.cuh"

namespace fnnfast {

enum class Consumers { kTogether, kInTurns };

// M x N outputs a tile, Stages of 64 of k on their way, blocks in clusters of Cluster: those of a cluster have tiles
// one below the other, each copies its share of the common columns of b to all of them. Turn: sums of a thread that one
// pass of the epilogue takes, where its code is a loop; 0: none is, all passes are written out.
template <Consumers Kind, int M, int N, int Stages, int Cluster, int Turn = 16>
struct HopperTile {
  static constexpr bool kTogether = Kind == Consumers::kTogether;
  static constexpr int kM = M, kN = N, kK = 64, kStages = Stages, kCluster = Cluster, kTurn = Turn;
  static constexpr int kConsumers = 2;
  static constexpr int kThreads = (1 + kConsumers) * 128;
  static constexpr int kParts = M / 64 / (kTogether ? kConsumers : 1);  // of 64 rows, of a consumer
  static constexpr int kSumsEach = kParts * N / 2;                      // of a thread
  // What the producer keeps of its registers and the consumers take: all three have 504 at the launch.
  static constexpr int kProducerRegisters = kSumsEach > 128 ? 24 : 40, kConsumerRegisters = kSumsEach > 128 ? 240 : 232;
  static constexpr unsigned kBytesA = M * kK * 2, kBytesB = N * kK * 2, kStageBytes = kBytesA + kBytesB;
  // A warp's results on their way to global memory: two boxes of 16 rows x 64 columns, 128 bytes a row.
  static constexpr unsigned kBoxBytes = 16 * 128, kResultBytes = kConsumers * 4 * 2 * kBoxBytes;
  // Swizzled boxes begin at multiples of 1024, which dynamic shared memory need not.
  static constexpr unsigned kSharedBytes = 1024 + Stages * kStageBytes + kResultBytes + 8 * (2 * Stages + kConsumers);
  static_assert(kParts > 0 && kSharedBytes <= 227 * 1024);
};

struct HopperArguments {
  CUtensorMap a, b, c;
  std::uint64_t form_a, form_b;  // operand_form of both in a stage
  int steps, slice_steps;        // over k: all of them, and those of a slice but the last
  int slices;
  int down, across;  // clusters' tiles of a slice
  int band;          // rows of them that are taken together
  int rows, columns;
  const float* bias;  // or null: zero; 8-byte aligned
  ActivationOf<float> activation;
  float* sums;  // instead of c: unrounded, each slice's on its own
  std::int64_t sums_stride, slice_sums;
};

// The tiles of a cluster, in order: down the columns of a band of rows, so that what runs at the same time shares rows
// of a and columns of b in the L2 cache.
struct HopperPlace {
  int slice, m, n;
  __device__ __forceinline__ HopperPlace(const HopperArguments& of, int tile) {
    slice = slice_of(of, tile);
    tile -= slice * of.down * of.across;
    const int above = tile / (of.band * of.across) * of.band, rest = of.down - above;
    const int high = rest < of.band ? rest : of.band, i = tile - above * of.across;
    m = above + i % high;
    n = i / high;
  }
  static __device__ __forceinline__ int slice_of(const HopperArguments& of, int tile) {
    return of.slices == 1 ? 0 : tile / (of.down * of.across);
  }
  static __device__ __forceinline__ int steps_of(const HopperArguments& of, int slice) {
    const int left = of.steps - slice * of.slice_steps;
    return left < of.slice_steps ? left : of.slice_steps;
  }
};

// Where in the ring of stages.
template <int Stages>
struct RingPlace {
  unsigned stage = 0, parity = 0;
  __device__ __forceinline__ void next() {
    if (++stage == Stages) stage = 0, parity ^= 1;
  }
  __device__ __forceinline__ void skip(int steps) {
    const unsigned to = stage + static_cast<unsigned>(steps);
    stage = to % Stages;
    parity ^= to / Stages & 1;
  }
};

// TransposedA: a is stored (k, m), so m lies along its rows; else (m, k). TransposedB: b is stored (n, k), else (k, n).
// Sums: the sums of slices of k are wanted, as they are.
template <class T, class Tile, bool TransposedA, bool TransposedB, class Act, bool Sums>
__global__ void __launch_bounds__(Tile::kThreads, 1) hopper_kernel(const __grid_constant__ HopperArguments arguments) {
  constexpr int kM = Tile::kM, kN = Tile::kN, kK = Tile::kK, kStages = Tile::kStages, kCluster = Tile::kCluster;
  constexpr unsigned kStageBytes = Tile::kStageBytes;
  const unsigned stages = (shared_address(shared_memory()) + 1023) & ~1023u;
  const unsigned results = stages + kStages * kStageBytes;
  const unsigned full = results + Tile::kResultBytes, empty = full + 8 * kStages, turn = empty + 8 * kStages;
  const unsigned rank = kCluster == 1 ? 0 : cluster_rank();
  const int first = static_cast<int>(blockIdx.x) / kCluster, clusters = static_cast<int>(gridDim.x) / kCluster;
  const int tiles = arguments.slices * arguments.down * arguments.across;

  // A stage is empty again when the warps that read it, of all blocks that copied to it, say so. In turns, a consumer
  // begins when the other has begun the last step of its tile, not before: waiting knows a phase of a stage's barrier
  // by its parity alone, and could take one of the other's tile for its own.
  if (threadIdx.x == 0) {
    for (int i = 0; i < Tile::kConsumers; ++i) barrier_init(turn + 8 * i, 4);
    for (int i = 0; i < kStages; ++i) {
      barrier_init(full + 8 * i, 1);
      barrier_init(empty + 8 * i, (Tile::kTogether ? Tile::kConsumers : 1) * 4 * kCluster);
    }
    barrier_init_fence();
  }
  __syncthreads();
  if constexpr (kCluster > 1) cluster_sync();

  if (threadIdx.x < 128) {
    give_registers<Tile::kProducerRegisters>();
    if (threadIdx.x == 0) {
      prefetch_map(arguments.a);
      prefetch_map(arguments.b);
      RingPlace<kStages> at;
      for (int tile = first; tile < tiles; tile += clusters) {
        const HopperPlace place(arguments, tile);
        const int m = (place.m * kCluster + static_cast<int>(rank)) * kM, n = place.n * kN;
        const int steps = HopperPlace::steps_of(arguments, place.slice);
        for (int step = 0; step < steps; ++step) {
          const int k = (place.slice * arguments.slice_steps + step) * kK;
          const unsigned a = stages + at.stage * kStageBytes, b = a + Tile::kBytesA, barrier = full + 8 * at.stage;
          barrier_wait(empty + 8 * at.stage, at.parity ^ 1);
          barrier_arrive_expecting(barrier, kStageBytes);
          if constexpr (TransposedA) {
            FNNFAST_UNROLL(4)
            for (int i = 0; i < kM / 64; ++i) load_box(a + i * 8192, arguments.a, m + 64 * i, k, barrier);
          } else {
            load_box(a, arguments.a, k, m, barrier);
          }
          const auto load_b = [&](unsigned to, int column, int row) {
            if constexpr (kCluster == 1)
              load_box(to, arguments.b, column, row, barrier);
            else
              load_box_to(to, arguments.b, column, row, barrier, (1 << kCluster) - 1);
          };
          if constexpr (TransposedB) {
            constexpr int kRows = kN / kCluster;
            load_b(b + rank * (kRows * 128), k, n + static_cast<int>(rank) * kRows);
          } else {
            constexpr int kRows = kK / kCluster;
            FNNFAST_UNROLL(4)
            for (int i = 0; i < kN / 64; ++i)
              load_b(b + i * 8192 + rank * (kRows * 128), n + 64 * i, k + static_cast<int>(rank) * kRows);
          }
          at.next();
        }
      }
    }
  } else {
    take_registers<Tile::kConsumerRegisters>();
    const unsigned warp = threadIdx.x / 32 - 4, consumer = warp / 4, lane = threadIdx.x % 32;
    const unsigned first_part = Tile::kTogether ? consumer * Tile::kParts : 0;
    const auto release = [&](unsigned stage) {
      if constexpr (kCluster == 1) {
        if (lane == 0) barrier_arrive(empty + 8 * stage);
      } else {
        if (lane < kCluster) barrier_arrive_at(empty + 8 * stage, lane);
      }
    };
    // Of a step of 16 along k, and of a part of 64 rows, in the descriptor's units of 16 bytes.
    constexpr unsigned kStepA = (TransposedA ? 16 * 128 : 32) / 16, kStepB = (TransposedB ? 32 : 16 * 128) / 16;
    constexpr unsigned kPart = 8192 / 16;
    RingPlace<kStages> at;
    unsigned box = 0;                     // which of the two
    unsigned turn_parity = consumer ^ 1;  // the first consumer's first turn has no one before it
    int tile = first;
    // Past the stages of the other's tile.
    const auto skip = [&](int others) {
      at.skip(HopperPlace::steps_of(arguments, HopperPlace::slice_of(arguments, others)));
    };
    if (!Tile::kTogether && consumer == 1) {
      skip(tile);
      tile += clusters;
    }
    for (; tile < tiles; tile += (Tile::kTogether ? 1 : Tile::kConsumers) * clusters) {
      // Before the products, whose operands are waited for anyway.
      const HopperPlace place(arguments, tile);
      int m = (place.m * kCluster + static_cast<int>(rank)) * kM + static_cast<int>(first_part * 64 + warp % 4 * 16);
      int n = place.n * kN;
      hold(m);
      hold(n);
      const int steps = HopperPlace::steps_of(arguments, place.slice);
      float sum[Tile::kParts][kN / 2];
      unsigned previous = 0;
      if constexpr (!Tile::kTogether) {
        barrier_wait(turn + 8 * consumer, turn_parity);
        turn_parity ^= 1;
      }
      for (int step = 0; step < steps; ++step) {
        const unsigned stage = stages + at.stage * kStageBytes;
        const std::uint64_t a = operand_at(arguments.form_a, stage + first_part * 8192);
        const std::uint64_t b = operand_at(arguments.form_b, stage + Tile::kBytesA);
        barrier_wait(full + 8 * at.stage, at.parity);
        FNNFAST_UNROLL(2)
        for (int p = 0; p < Tile::kParts; ++p) {
          FNNFAST_UNROLL(128)
          for (int i = 0; i < kN / 2; ++i) hold_sum(sum[p][i]);
        }
        products_begin();
        FNNFAST_UNROLL(4)
        for (int i = 0; i < kK / 16; ++i) {
          FNNFAST_UNROLL(2)
          for (int p = 0; p < Tile::kParts; ++p)
            multiply_async<T, kN, TransposedA ? 1 : 0, TransposedB ? 0 : 1>(sum[p], a + p * kPart + i * kStepA,
                                                                            b + i * kStepB, i > 0 || step > 0);
        }
        products_commit();
        // One step is in flight while the next one's operands are waited for.
        products_wait<1>();
        if (step > 0) release(previous);
        previous = at.stage;
        at.next();
      }
      if (!Tile::kTogether && lane == 0) barrier_arrive(turn + 8 * (consumer ^ 1));
      products_wait<0>();
      FNNFAST_UNROLL(2)
      for (int p = 0; p < Tile::kParts; ++p) {
        FNNFAST_UNROLL(128)
        for (int i = 0; i < kN / 2; ++i) hold_sum(sum[p][i]);
      }
      release(previous);
      if (!Tile::kTogether && tile + clusters < tiles) skip(tile + clusters);

      if constexpr (Sums) {
        float* const to = arguments.sums + place.slice * arguments.slice_sums;
        FNNFAST_UNROLL(256)
        for (int i = 0; i < Tile::kSumsEach; i += 2) {
          const int row = m + i / (kN / 2) * 64 + i / 2 % 2 * 8 + static_cast<int>(lane / 4);
          const int column = n + i % (kN / 2) / 4 * 8 + static_cast<int>(lane % 4) * 2;
          if (row < arguments.rows && column < arguments.columns)
            *reinterpret_cast<float2*>(to + row * arguments.sums_stride + column) =
                float2{sum[i / (kN / 2)][i % (kN / 2)], sum[i / (kN / 2)][i % (kN / 2) + 1]};
        }
        continue;
      }

      // A pass takes kTurn sums of each thread, 2 kTurn columns of the warp's 16 rows; each 64 columns are a box.
      constexpr bool kShort = std::is_same_v<Act, Identity> || std::is_same_v<Act, Relu>;
      // Written out, the longest tile's epilogue has no registers left.
      constexpr bool kRolled = Tile::kTurn != 0 && (!kShort || Tile::kSumsEach > 128);
      constexpr int kTurn = kShort || !kRolled ? 32 : Tile::kTurn;
      const unsigned of_warp = results + warp * 2 * Tile::kBoxBytes;
      // The address at which this lane gives stmatrix a row: of matrix lane / 8, whose rows are the upper or lower 8
      // and whose columns are the left or right 8 of 16.
      const unsigned row = lane % 16, right = lane / 16;
      const auto pass = [&](int i, const float (&v)[kTurn]) {
        const int column = i * 2 * kTurn % kN, inside = column % 64;
        if (inside == 0) {
          if (lane == 0) store_wait_read<1>();  // of the box before the last
          __syncwarp();
        }
        const unsigned to = of_warp + box * Tile::kBoxBytes;
        FNNFAST_UNROLL(4)
        for (int j = 0; j < kTurn / 8; ++j) {
          std::uint32_t packed[4];
          FNNFAST_UNROLL(2)
          for (int half = 0; half < 2; ++half) {
            const int own = n + column + 16 * j + 8 * half + static_cast<int>(lane % 4) * 2;
            float2 bias{0.0f, 0.0f};
            if (arguments.bias != nullptr && own < arguments.columns)
              bias = *reinterpret_cast<const float2*>(arguments.bias + own);
            const int at_right = own < arguments.columns ? own + 1 : 0, at_left = own < arguments.columns ? own : 0;
            const auto p0 = arguments.activation.template at<Act>(at_left);
            const auto p1 = arguments.activation.template at<Act>(at_right);
            const float* const of = v + 8 * j + 4 * half;
            const auto f = [](float z, cuda::Vec<float> p) {
              return Act::template forward<cuda::Math<float>>(cuda::Vec<float>{z}, p).v;
            };
            packed[2 * half] = pack<T>(f(of[0] + bias.x, p0), f(of[1] + bias.y, p1));
            packed[2 * half + 1] = pack<T>(f(of[2] + bias.x, p0), f(of[3] + bias.y, p1));
          }
          const unsigned chunk = static_cast<unsigned>(inside / 8 + 2 * j) + right;
          store_matrix(to + row * 128 + (chunk ^ row % 8) * 16, packed);
        }
        if (inside + 2 * kTurn == 64) {
          shared_store_fence();
          __syncwarp();
          if (lane == 0) {
            store_box(arguments.c, n + column / 64 * 64, m + i * 2 * kTurn / kN * 64, to);
            store_commit();
          }
          box ^= 1;
        }
      };
      constexpr int kPasses = Tile::kSumsEach / kTurn;
      const auto each = [&]<class F>(F f) {
        FNNFAST_UNROLL(256)
        for (int i = 0; i < Tile::kSumsEach; ++i) f(i, sum[i / (kN / 2)][i % (kN / 2)]);
      };
      if constexpr (kRolled) {
        // The sums move down by a pass's: registers have no index that a loop could count.
        FNNFAST_ROLLED
        for (int i = 0; i < kPasses; ++i) {
          float v[kTurn];
          each([&](int j, float& s) {
            if (j < kTurn) v[j] = s;
          });
          pass(i, v);
          each([&](int j, float& s) {
            const int from = j + kTurn;
            if (from < Tile::kSumsEach) s = sum[from / (kN / 2)][from % (kN / 2)];
          });
        }
      } else {
        FNNFAST_UNROLL(8)
        for (int i = 0; i < kPasses; ++i) {
          float v[kTurn];
          FNNFAST_UNROLL(32)
          for (int j = 0; j < kTurn; ++j) v[j] = sum[(i * kTurn + j) / (kN / 2)][(i * kTurn + j) % (kN / 2)];
          pass(i, v);
        }
      }
    }
    if (lane == 0) store_wait();
  }
  // A block must be there for as long as others copy to it and arrive at its barriers.
  if constexpr (kCluster > 1) {
    __syncwarp();
    cluster_sync();
  }
}

// ----- Launches

// The driver's function, found at run time: the extension does not link to the driver.
using EncodeTensorMap = decltype(&cuTensorMapEncodeTiled);
inline EncodeTensorMap encode_tensor_map() {
  static const EncodeTensorMap found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult status{};
    check_device(
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &status),
        "cuTensorMapEncodeTiled");
    if (status != cudaDriverEntryPointSuccess || function == nullptr)
      throw DeviceError("the driver has no cuTensorMapEncodeTiled");
    return reinterpret_cast<EncodeTensorMap>(function);
  }();
  return found;
}

// Boxes of box_rows x 64 elements of a (rows, columns) matrix, swizzled in shared memory.
template <class T>
CUtensorMap tensor_map(const T* data, std::int64_t stride, std::int64_t rows, std::int64_t columns, int box_rows) {
  CUtensorMap map{};
  const cuuint64_t size[2] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(stride) * sizeof(T)};
  const cuuint32_t box[2] = {64, static_cast<cuuint32_t>(box_rows)}, steps[2] = {1, 1};
  const CUresult status = encode_tensor_map()(
      &map, std::is_same_v<T, Half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2,
      const_cast<T*>(data), size, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS)
    throw DeviceError("cuTensorMapEncodeTiled: error " + std::to_string(static_cast<int>(status)));
  return map;
}

template <class T>
struct HopperTask {
  std::int64_t m, n, k;  // n even
  Matrix<const T> a, b;  // as they are stored
  Matrix<T> c;
  Matrix<float> sums;  // instead of c: of slices of slice_k each (a multiple of 64), slice_sums apart
  std::int64_t slice_k = 0, slice_sums = 0;
  const float* bias = nullptr;
  ActivationOf<float> activation{};
  int band = 8;
};

// The copy engine wants addresses and strides that are multiples of 16 bytes.
template <class T>
bool hopper_takes(const HopperTask<T>& task) {
  const auto aligned = [](const auto& matrix) {
    return reinterpret_cast<std::uintptr_t>(matrix.data) % 16 == 0 && matrix.stride * 2 % 16 == 0;
  };
  return task.k > 0 && task.n % 2 == 0 && aligned(task.a) && aligned(task.b) && aligned(task.c) && aligned(task.sums) &&
         reinterpret_cast<std::uintptr_t>(task.bias) % 8 == 0;
}

inline constexpr std::uint64_t kFormKMajor = operand_form(16, 1024), kFormMnMajor = operand_form(8192, 1024);

template <class T, class Tile, bool TransposedA, bool TransposedB, class Act, bool Sums = false>
void hopper_product(const HopperTask<T>& task, cudaStream_t stream, std::uint64_t k_major = kFormKMajor,
                    std::uint64_t mn_major = kFormMnMajor) {
  constexpr int kCluster = Tile::kCluster;
  HopperArguments arguments{};
  arguments.a = TransposedA ? tensor_map(task.a.data, task.a.stride, task.k, task.m, Tile::kK)
                            : tensor_map(task.a.data, task.a.stride, task.m, task.k, Tile::kM);
  arguments.b = TransposedB ? tensor_map(task.b.data, task.b.stride, task.n, task.k, Tile::kN / kCluster)
                            : tensor_map(task.b.data, task.b.stride, task.k, task.n, Tile::kK / kCluster);
  if constexpr (Sums) {
    arguments.sums = task.sums.data;
    arguments.sums_stride = task.sums.stride;
    arguments.slice_sums = task.slice_sums;
  } else {
    arguments.c = tensor_map<T>(task.c.data, task.c.stride, task.m, task.n, 16);
  }
  arguments.form_a = TransposedA ? mn_major : k_major;
  arguments.form_b = TransposedB ? k_major : mn_major;
  const auto parts = [](std::int64_t of, int size) { return static_cast<int>((of + size - 1) / size); };
  arguments.steps = parts(task.k, Tile::kK);
  arguments.slice_steps = Sums ? static_cast<int>(task.slice_k / Tile::kK) : arguments.steps;
  arguments.slices = parts(arguments.steps, arguments.slice_steps);
  arguments.down = parts(task.m, Tile::kM * kCluster);
  arguments.across = parts(task.n, Tile::kN);
  arguments.band = task.band;
  arguments.rows = static_cast<int>(task.m);
  arguments.columns = static_cast<int>(task.n);
  arguments.bias = task.bias;
  arguments.activation = task.activation;

  const auto kernel = hopper_kernel<T, Tile, TransposedA, TransposedB, Act, Sums>;
  const char* const name = "hopper_product";
  allow_shared_bytes(reinterpret_cast<const void*>(kernel), Tile::kSharedBytes, name);
  const int room = device_info().multiprocessors / kCluster,
            wanted = arguments.slices * arguments.down * arguments.across;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>((wanted < room ? wanted : room) * kCluster));
  config.blockDim = dim3(Tile::kThreads);
  config.dynamicSmemBytes = Tile::kSharedBytes;
  config.stream = stream;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = kCluster;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  config.attrs = &attribute;
  config.numAttrs = kCluster > 1 ? 1 : 0;
  check_device(cudaLaunchKernelEx(&config, kernel, arguments), name);
}

}  // namespace fnnfast
