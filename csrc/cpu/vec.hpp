// Vec<T>: a register of T for the instruction set that this translation unit is compiled for.
//
// CMake compiles the kernels once for each instruction set (fnnfast_add_isa), each in a namespace of its own,
// FNNFAST_ISA. Kernels are written against this interface; core/vec_scalar.hpp is its simplest implementation. All
// operations are exactly IEEE (correctly rounded, round to nearest), so the same formula gives the same bits on every
// instruction set.
//
//   Vec<T>::kLanes, Scalar, Mask
//   load(p), load_partial(p, n)       n lanes from p, the rest zero and not read
//   store(p), store_partial(p, n)
//   broadcast(s)
//   + - * / and unary -               fma(a, b, c) = a * b + c, rounded once
//   < <= > >= == !=                   a Mask; != is true for NaN, the others false
//   select(mask, a, b)                mask ? a : b, by lane
//   m & n, m | n, !m, m.any()         on masks
//   min(a, b), max(a, b)              a < b ? a : b and a > b ? a : b, so b where either is NaN
//   abs, sqrt, copysign(magnitude, sign), round(v) to the nearest integer, ties to even
//   pow2(n)                           2^n for integral n within the exponents of normal numbers
//   scale_normal(v, n)                v 2^n, for integral n, where 2^n and the result are normal numbers
//   scale(v, n)                       v 2^n, rounded once, for v of about 1 and integral n; the result may be
//                                     subnormal or infinite
//   exponent(v), mantissa(v)          v = mantissa * 2^exponent, mantissa in [1, 2), for positive normal v
//   load_transposed(p, row, out)      out[c] is column c of kLanes rows, `row` apart, for the columns of 16 bytes
//   lower_halves(p), upper_halves(p)  float only: the bfloat16 in that half of each word, widened
//   store_index(v, p, n)              n lanes of small integral values as bytes
//   kRegisters                        the number of vector registers
//   hold(register)                    keeps a loaded vector in its register. GCC otherwise makes the load an operand of
//                                     each of two or three uses, which repeats it; in tiles of two or three rows, loads
//                                     are the bottleneck
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/macros.hpp"

#if !defined(FNNFAST_ISA) || !defined(FNNFAST_VEC)
#error "set by fnnfast_add_isa in CMakeLists.txt: FNNFAST_ISA, a namespace, and FNNFAST_VEC, the file with Vec"
#endif

namespace fnnfast::FNNFAST_ISA {
template <class T>
struct Vec;
}

#include FNNFAST_VEC
