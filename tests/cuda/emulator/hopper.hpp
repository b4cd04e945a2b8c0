// What csrc/cuda/instructions_sm90.cuh and instructions_wgmma.cuh say in PTX: barriers in shared memory, copies of
// boxes, products of warpgroups.
//
// Loads of boxes arrive when nobody can go on otherwise, stores read and write when they are waited for, and products
// are in registers then; or all at once (set_copies). What a device would answer with wrong numbers now and then is an
// error always: no wait for a phase, no fence of the async proxy, registers that are accessed during a product. Plain
// stores to shared memory are not seen.
#pragma once

#include <cstdint>
#include <type_traits>

#include "driver.hpp"
#include "emulator.hpp"

namespace fnnfast::emulator {

unsigned address_of(const void* shared);
// Aborts unless these bytes lie in the block's shared memory.
unsigned char* shared_at(const char* what, unsigned address, std::size_t size, std::size_t alignment);
void check_readable(const char* what, const void* bytes, std::size_t size);
void fence_async();

void init_barrier(unsigned address, unsigned count);
void fence_barriers();
void arrive_at_barrier(unsigned address, unsigned bytes);
void wait_at_barrier(unsigned address, unsigned parity);

void check_map(const char* what, const CUtensorMap& map);
void begin_load(unsigned to, const CUtensorMap& map, int column, int row, int matrix, unsigned coordinates,
                unsigned barrier);
void begin_store(const CUtensorMap& map, int column, int row, unsigned from);
void commit_stores();
void wait_for_stores(std::size_t groups_left, bool only_read);

// A lane's eight numbers of four matrices, and a row.
struct StoredOperand {
  unsigned char* row;
  const std::uint32_t* r;
};
void store_matrices(void* const* operands, unsigned lanes);
inline constexpr Collective kStoreMatrix{"store_matrix()", store_matrices, true};

struct RegistersOperand {
  unsigned count;
  bool more;
};
void change_registers(void* const* operands, unsigned lanes);
inline constexpr Collective kGiveRegisters{"give_registers()", change_registers, true};
inline constexpr Collective kTakeRegisters{"take_registers()", change_registers, true};

// A lane's part of a product. Its sums are in several places of as many registers each.
struct WarpgroupOperand {
  int columns, each;
  float* const* sums;
  const std::uint32_t* a_registers;  // or null
  std::uint64_t a, b;                // descriptors
  bool transposed_a, transposed_b;   // rows along m or n
};
template <class T>
void begin_products(void* const* operands, unsigned lanes);
void fence_products(void* const* operands, unsigned lanes);
void commit_products(void* const* operands, unsigned lanes);
void wait_for_products(void* const* operands, unsigned lanes);  // operands: the groups left
template <class T>
inline constexpr Collective kProduct{"multiply_async()", begin_products<T>, true};
inline constexpr Collective kProductsBegin{"products_begin()", fence_products, true};
inline constexpr Collective kProductsCommit{"products_commit()", commit_products, true};
inline constexpr Collective kProductsWait{"products_wait()", wait_for_products, true};

}  // namespace fnnfast::emulator

namespace fnnfast::cuda {

inline unsigned shared_address(const void* p) { return emulator::address_of(p); }

// setmaxnreg
template <int Registers>
void give_registers() {
  static_assert(Registers >= 24 && Registers <= 256 && Registers % 8 == 0);
  emulator::RegistersOperand operand{Registers, false};
  emulator::meet(emulator::kGiveRegisters, 0xFFFFFFFF, &operand);
}
template <int Registers>
void take_registers() {
  static_assert(Registers >= 24 && Registers <= 256 && Registers % 8 == 0);
  emulator::RegistersOperand operand{Registers, true};
  emulator::meet(emulator::kTakeRegisters, 0xFFFFFFFF, &operand);
}

// mbarrier
inline void barrier_init(unsigned barrier, unsigned count) { emulator::init_barrier(barrier, count); }
inline void barrier_init_fence() { emulator::fence_barriers(); }
inline void barrier_arrive(unsigned barrier) { emulator::arrive_at_barrier(barrier, 0); }
inline void barrier_arrive_expecting(unsigned barrier, unsigned bytes) { emulator::arrive_at_barrier(barrier, bytes); }
inline void barrier_wait(unsigned barrier, unsigned parity) { emulator::wait_at_barrier(barrier, parity); }

// cp.async.bulk.tensor
inline void prefetch_map(const CUtensorMap& map) { emulator::check_map("prefetch_map()", map); }
inline void load_box(unsigned to, const CUtensorMap& map, int column, int row, unsigned barrier) {
  emulator::begin_load(to, map, column, row, 0, 2, barrier);
}
inline void load_box(unsigned to, const CUtensorMap& map, int column, int row, int matrix, unsigned barrier) {
  emulator::begin_load(to, map, column, row, matrix, 3, barrier);
}
inline void store_box(const CUtensorMap& map, int column, int row, unsigned from) {
  emulator::begin_store(map, column, row, from);
}
inline void store_commit() { emulator::commit_stores(); }
template <int N>
void store_wait_read() {
  emulator::wait_for_stores(N, true);
}
inline void store_wait() { emulator::wait_for_stores(0, false); }

// fence.proxy.async
inline void shared_store_fence() { emulator::fence_async(); }
inline void publish_copies() { emulator::fence_async(); }

inline void store_matrix(unsigned row, const std::uint32_t (&r)[4]) {
  emulator::StoredOperand operand{emulator::shared_at("store_matrix()", row, 16, 16), r};
  emulator::meet(emulator::kStoreMatrix, 0xFFFFFFFF, &operand);
}
inline void load_matrix(std::uint32_t (&r)[4], unsigned row) {
  const unsigned char* const at = emulator::shared_at("load_matrix()", row, 16, 16);
  emulator::check_readable("load_matrix()", at, 16);
  load_matrix(r, at);
}
template <class T>
T load_element(unsigned address) {
  const unsigned char* const at = emulator::shared_at("load_element()", address, sizeof(T), sizeof(T));
  emulator::check_readable("load_element()", at, sizeof(T));
  T element;
  std::memcpy(&element, at, sizeof(T));
  return element;
}

inline void prefetch_near(const void*) {}
inline float copy_of(float v) { return v; }

// wgmma
inline void products_begin() { emulator::meet(emulator::kProductsBegin, 0xFFFFFFFF, nullptr); }
inline void products_commit() { emulator::meet(emulator::kProductsCommit, 0xFFFFFFFF, nullptr); }
template <int N>
void products_wait() {
  std::size_t left = N;
  emulator::meet(emulator::kProductsWait, 0xFFFFFFFF, &left);
}
inline void hold_sum(float&) {}
template <class Sums>
void hold_sums(Sums&, int) {}

template <class T, int N, int MajorA, int MajorB>
void multiply_async(float (&d)[N / 2], std::uint64_t a, std::uint64_t b) {
  static_assert(N % 8 == 0 && N <= 256);
  float* const sums[] = {d};
  emulator::WarpgroupOperand operand{N, N / 2, sums, nullptr, a, b, MajorA == 1, MajorB == 1};
  emulator::meet(emulator::kProduct<T>, 0xFFFFFFFF, &operand);
}
// RegisterSums and RegisterRows of tile_registers.cuh.
template <class T, class OfSums, int Sums, class Rows>
void multiply_async(OfSums (&sums)[Sums], const Rows& rows, int tile, int step, std::uint64_t operand) {
  float* places[2 * Sums];
  for (int i = 0; i < 2 * Sums; ++i) places[i] = sums[i / 2].at[tile][i % 2];
  emulator::WarpgroupOperand all{16 * Sums, 4, places, rows.at[tile][step], 0, operand, false, true};
  emulator::meet(emulator::kProduct<T>, 0xFFFFFFFF, &all);
}

}  // namespace fnnfast::cuda
