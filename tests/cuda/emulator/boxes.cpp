// Copies of boxes of matrices (TMA): the maps, loads that complete barriers, and groups of stores.
#include <algorithm>
#include <string_view>

#include "hopper.hpp"
#include "machine.hpp"

#if defined(FNNFAST_EMULATOR_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace fnnfast::emulator {
namespace {

constexpr std::uint64_t kMagic = 0x70616d20726f736e;
constexpr const char *kLoad = "load_box()", *kStore = "store_box()";

TensorMap decoded(const char* what, const CUtensorMap& map) {
  TensorMap decoded;
  if (reinterpret_cast<std::uintptr_t>(&map) % 64 != 0) fail("%s: the map is not aligned to 64 bytes", what);
  std::memcpy(&decoded, &map, sizeof(decoded));
  if (decoded.magic != kMagic) fail("%s: not the map of a matrix", what);
  return decoded;
}
TensorMap decoded(const char* what, const CUtensorMap& map, unsigned coordinates) {
  const TensorMap found = decoded(what, map);
  if (found.rank != coordinates) fail("%s: %u coordinates for a map of rank %u", what, coordinates, found.rank);
  return found;
}

// The box's address in shared memory must be a multiple of this, at which the permutation begins again.
std::size_t alignment(const TensorMap& map) { return map.span == 16 ? 128 : map.span * 8; }

// Calls f(address in shared memory, the first bytes in global memory that are inside the matrix, how many bytes are
// before them and how many they are) for each 16 bytes of a box.
template <class F>
void for_each_chunk(const TensorMap& map, const int (&at)[3], unsigned shared, F f) {
  const int each = 16 / map.element;
  unsigned linear = shared;
  for (int z = 0; z < map.box[2]; ++z) {
    for (int y = 0; y < map.box[1]; ++y) {
      for (int x = 0; x < map.box[0]; x += each, linear += 16) {
        const std::int64_t column = std::int64_t{at[0]} + x, row = std::int64_t{at[1]} + y;
        const std::int64_t matrix = std::int64_t{at[2]} + z, columns = static_cast<std::int64_t>(map.size[0]);
        const bool inside = row >= 0 && row < static_cast<std::int64_t>(map.size[1]) && matrix >= 0 &&
                            matrix < static_cast<std::int64_t>(map.size[2]);
        const std::int64_t first = std::clamp<std::int64_t>(-column, 0, each);
        const std::int64_t last = inside ? std::clamp<std::int64_t>(columns - column, first, each) : first;
        unsigned char* global = nullptr;
        if (last > first) {
          global = map.data + matrix * static_cast<std::int64_t>(map.stride[1]) +
                   row * static_cast<std::int64_t>(map.stride[0]) + (column + first) * map.element;
        }
        f(swizzled(linear, map.span), global, static_cast<std::size_t>(first * map.element),
          static_cast<std::size_t>((last - first) * map.element));
      }
    }
  }
}

// Touches what must not be touched here, where the backtrace shows who wants it.
void probe([[maybe_unused]] unsigned char* global, [[maybe_unused]] std::size_t size) {
#if defined(FNNFAST_EMULATOR_ASAN)
  if (size == 0) return;
  void* const poisoned = __asan_region_is_poisoned(global, size);
  if (poisoned != nullptr) (void)*static_cast<const volatile unsigned char*>(poisoned);
#endif
}

void arrive(const BoxLoad& load) {
  Thread* const running_one = std::exchange(current, load.issuer);  // whom errors name
  Block& block = *load.issuer->block;
  for_each_chunk(load.map, load.at, load.to,
                 [&](unsigned address, const unsigned char* global, std::size_t before, std::size_t size) {
                   unsigned char* const to = at_address(block, address);
                   std::memset(to, 0, 16);
                   if (size > 0) std::memcpy(to + before, global, size);
                   Word* const words = words_at(block, address);
                   for (int i = 0; i < 4; ++i) words[i].arriving = false, words[i].writer = 0;
                 });
  complete_bytes(*load.barrier, load.phase, load.map.bytes());
  current = running_one;
}

void read(BoxStore& store, Block& block) {
  for_each_chunk(store.map, store.at, store.from, [&](unsigned address, unsigned char*, std::size_t, std::size_t) {
    const unsigned char* const from = at_address(block, address);
    store.bytes.insert(store.bytes.end(), from, from + 16);
  });
}

void write(const BoxStore& store) {
  const unsigned char* from = store.bytes.data();
  for_each_chunk(store.map, store.at, store.from,
                 [&](unsigned, unsigned char* global, std::size_t before, std::size_t size) {
                   if (size > 0) std::memcpy(global, from + before, size);
                   from += 16;
                 });
}

}  // namespace

void check_map(const char* what, const CUtensorMap& map) { (void)decoded(what, map); }

void begin_load(unsigned to, const CUtensorMap& map, int column, int row, int matrix, unsigned coordinates,
                unsigned barrier) {
  Thread& self = this_thread(kLoad);
  BoxLoad load{&self, decoded(kLoad, map, coordinates), {column, row, matrix}, to, &barrier_at(kLoad, barrier), 0};
  load.phase = load.barrier->phase;
  shared_at(kLoad, to, load.map.bytes(), alignment(load.map));
  if (!load.barrier->published) fail("%s: barrier_init_fence() was not called for its barrier", kLoad);
  self.block->async.used = true;
  for_each_chunk(load.map, load.at, to, [&](unsigned address, unsigned char* global, std::size_t, std::size_t size) {
    check_writable(kLoad, self, address);
    probe(global, size);
    Word* const words = words_at(*self.block, address);
    for (int i = 0; i < 4; ++i) words[i].arriving = true;
  });
  if (now(*machine.choices))
    arrive(load);
  else
    machine.loads.push_back(load);
}

bool deliver_load() {
  if (machine.loads.empty()) return false;
  const auto chosen =
      machine.loads.begin() + static_cast<std::ptrdiff_t>(one_of(machine.loads.size(), *machine.choices));
  const BoxLoad load = *chosen;
  machine.loads.erase(chosen);
  arrive(load);
  return true;
}

void begin_store(const CUtensorMap& map, int column, int row, unsigned from) {
  Thread& self = this_thread(kStore);
  BoxStore store{decoded(kStore, map, 2), {column, row, 0}, from, false, false, {}};
  shared_at(kStore, from, store.map.bytes(), alignment(store.map));
  for_each_chunk(store.map, store.at, from,
                 [&](unsigned address, unsigned char* global, std::size_t, std::size_t size) {
                   begin_reading(kStore, self, address);
                   probe(global, size);
                 });
  if (machine.choices->copies == Copies::kAtOnce) {
    read(store, *self.block);
    write(store);
    store.was_written = true;
  }
  self.async.stores.push_back(std::move(store));
  ++self.async.uncommitted;
}

void commit_stores() {
  AsyncThread& self = this_thread("store_commit()").async;
  self.groups.push_back(self.uncommitted);
  self.uncommitted = 0;
}

void wait_for_stores(std::size_t groups_left, bool only_read) {
  Thread& self = this_thread("store_wait()");
  AsyncThread& async = self.async;
  if (async.groups.size() <= groups_left) return;
  const std::size_t groups = async.groups.size() - groups_left;
  std::size_t stores = 0;
  for (std::size_t g = 0; g < groups; ++g) stores += async.groups[g];
  for (std::size_t i = 0; i < stores; ++i) {
    BoxStore& store = async.stores[i];
    if (!store.was_read) {
      for_each_chunk(store.map, store.at, store.from, [&](unsigned address, unsigned char*, std::size_t, std::size_t) {
        end_reading(*self.block, address);
      });
      if (store.bytes.empty()) read(store, *self.block);
      store.was_read = true;
    }
    if (!only_read && !store.was_written) write(store);
  }
  if (only_read) return;
  async.stores.erase(async.stores.begin(), async.stores.begin() + static_cast<std::ptrdiff_t>(stores));
  async.groups.erase(async.groups.begin(), async.groups.begin() + static_cast<std::ptrdiff_t>(groups));
}

void end_async(Thread& thread) {
  for (const BoxStore& store : thread.async.stores) {
    if (!store.was_read) fail("the thread ends with a store of a box that may not have read shared memory");
    if (!store.was_written) write(store);
  }
}

}  // namespace fnnfast::emulator

namespace emulator = fnnfast::emulator;

CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* data,
                                const cuuint64_t* size, const cuuint64_t* strides, const cuuint32_t* box,
                                const cuuint32_t* steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill fill) {
  if (rank != 2 && rank != 3) emulator::fail("cuTensorMapEncodeTiled: rank %u is not emulated", rank);
  if (interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) {
    emulator::fail("cuTensorMapEncodeTiled: no interleaved layouts and no fill with NaN are emulated");
  }
  emulator::TensorMap made{emulator::kMagic, static_cast<unsigned char*>(data), {1, 1, 1}, {0, 0},
                           {1, 1, 1},        static_cast<std::uint8_t>(rank),   0,         0};
  made.element = type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32 ? 4 : 2;
  made.span = static_cast<std::uint8_t>(16 << swizzle);
  if (map == nullptr || reinterpret_cast<std::uintptr_t>(map) % 64 != 0 || data == nullptr ||
      reinterpret_cast<std::uintptr_t>(data) % 16 != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (cuuint32_t i = 0; i < rank; ++i) {
    if (size[i] < 1 || size[i] > std::uint64_t{1} << 32 || box[i] < 1 || box[i] > 256 || steps[i] < 1 || steps[i] > 8) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (steps[i] != 1) emulator::fail("cuTensorMapEncodeTiled: only steps of 1 are emulated, not %u", steps[i]);
    made.size[i] = size[i];
    made.box[i] = static_cast<std::uint16_t>(box[i]);
  }
  const std::size_t row = std::size_t{box[0]} * made.element;
  if (row % 16 != 0 || (swizzle != CU_TENSOR_MAP_SWIZZLE_NONE && row > made.span)) return CUDA_ERROR_INVALID_VALUE;
  if (swizzle != CU_TENSOR_MAP_SWIZZLE_NONE && row != made.span) {
    emulator::fail("cuTensorMapEncodeTiled: boxes narrower than the swizzle are not emulated");
  }
  for (cuuint32_t i = 0; i + 1 < rank; ++i) {
    if (strides[i] % 16 != 0 || strides[i] >= std::uint64_t{1} << 40 ||
        (i == 0 && strides[0] < size[0] * made.element)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    made.stride[i] = strides[i];
  }
  static_assert(sizeof(made) <= sizeof(*map));
  std::memcpy(map, &made, sizeof(made));
  return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const bool known = name == std::string_view("cuTensorMapEncodeTiled");
  *function = known ? reinterpret_cast<void*>(&cuTensorMapEncodeTiled) : nullptr;
  *result = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
