// What a warp does at once, by its last lane: gather what the lanes brought, compute, and give each its part.
#include "instructions.hpp"

#include <bit>
#include <cstring>

#include "fragments.hpp"
#include "hopper.hpp"
#include "machine.hpp"

namespace fnnfast::emulator {
namespace {

// Four matrices of 8 x 8 numbers of two bytes: row j of matrix i is rows[8 i + j], as lane 8 i + j said.
struct Matrices {
  std::uint16_t rows[32][8];
  std::uint32_t registers[32][4];
};

// Of the two elements of a register the first is in the lower half.
template <bool kTransposed>
FNNFAST_EMULATOR_UNCHECKED void distribute(Matrices& m) {
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned major = lane / 4, minor = 2 * (lane % 4);
    for (unsigned i = 0; i < 4; ++i) {
      const std::uint32_t first = kTransposed ? m.rows[8 * i + minor][major] : m.rows[8 * i + major][minor];
      const std::uint32_t second = kTransposed ? m.rows[8 * i + minor + 1][major] : m.rows[8 * i + major][minor + 1];
      m.registers[lane][i] = first | second << 16;
    }
  }
}

template <bool kTransposed>
void load(void* const* operands) {
  Matrices m;
  for (int lane = 0; lane < 32; ++lane) {
    std::memcpy(m.rows[lane], static_cast<const MatrixOperand*>(operands[lane])->row, 16);
  }
  distribute<kTransposed>(m);
  for (int lane = 0; lane < 32; ++lane) {
    std::memcpy(static_cast<const MatrixOperand*>(operands[lane])->out, m.registers[lane], 16);
  }
}

// The fragments of all lanes, as they lie in registers.
struct Fragments {
  std::uint32_t a[32][4], b[32][2];
  float d[32][4];
};

template <class T>
FNNFAST_EMULATOR_UNCHECKED void multiply(Fragments& f) {
  constexpr int kInputs = 8 * kEach<T>;
  double a[16][kInputs];
  Row b[kInputs], d[16];
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 4, member = lane % 4;
    for (int i = 0; i < 4; ++i) d[group + i / 2 * 8][2 * member + i % 2] = f.d[lane][i];
    for (int e = 0; e < kEach<T>; ++e) {
      const int k = kEach<T> * member + e;
      for (int i = 0; i < 4; ++i) a[group + i % 2 * 8][k + i / 2 * (kInputs / 2)] = unpack<T>(f.a[lane][i], e);
      for (int i = 0; i < 2; ++i) b[k + i * (kInputs / 2)][group] = unpack<T>(f.b[lane][i], e);
    }
  }
  add_products(d, a, b);
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      f.d[lane][i] = static_cast<float>(d[lane / 4 + i / 2 * 8][2 * (lane % 4) + i % 2]);
    }
  }
}

}  // namespace

void shuffle(void* const* operands, unsigned lanes) {
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    auto& operand = *static_cast<ShuffleOperand*>(operands[lane]);
    if ((lanes >> operand.source & 1) == 0) {
      fail("a shuffle of the lanes 0x%08x: lane %d takes the value of lane %u", lanes, lane, operand.source);
    }
    operand.result = static_cast<const ShuffleOperand*>(operands[operand.source])->value;
  }
}

void vote(void* const* operands, unsigned lanes) {
  unsigned ballot = 0;
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if (static_cast<const VoteOperand*>(operands[lane])->yes) ballot |= 1u << lane;
  }
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    auto& operand = *static_cast<VoteOperand*>(operands[std::countr_zero(rest)]);
    operand.ballot = ballot;
    operand.lanes = lanes;
  }
}

void load_matrices(void* const* operands, unsigned) { load<false>(operands); }
void load_transposed_matrices(void* const* operands, unsigned) { load<true>(operands); }

void store_matrices(void* const* operands, unsigned) {
  for (unsigned lane = 0; lane < 32; ++lane) {
    unsigned char* const row = static_cast<const StoredOperand*>(operands[lane])->row;
    for (unsigned i = 0; i < 4; ++i) {  // matrix lane / 8, of which a lane holds two neighbours
      const unsigned holder = lane % 8 * 4 + i;
      const Thread& writer = machine.threads[current->number - current->lane + holder];
      check_unused("store_matrix()", writer, row + 4 * i, 4);
      mark_written(writer, row + 4 * i, 4);
      std::memcpy(row + 4 * i, static_cast<const StoredOperand*>(operands[holder])->r + lane / 8, 4);
    }
  }
}

template <class T>
void multiply_fragments(void* const* operands, unsigned) {
  Fragments f;
  for (int lane = 0; lane < 32; ++lane) {
    const auto& operand = *static_cast<const ProductOperand*>(operands[lane]);
    std::memcpy(f.a[lane], operand.a, sizeof(f.a[lane]));
    std::memcpy(f.b[lane], operand.b, sizeof(f.b[lane]));
    std::memcpy(f.d[lane], operand.d, sizeof(f.d[lane]));
  }
  multiply<T>(f);
  for (int lane = 0; lane < 32; ++lane) {
    std::memcpy(static_cast<const ProductOperand*>(operands[lane])->d, f.d[lane], sizeof(f.d[lane]));
  }
}
template void multiply_fragments<__half>(void* const*, unsigned);
template void multiply_fragments<__nv_bfloat16>(void* const*, unsigned);
template void multiply_fragments<Tf32>(void* const*, unsigned);

}  // namespace fnnfast::emulator
