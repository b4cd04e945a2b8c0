// A matrix unit: what matrix_product.hpp needs of an instruction set that multiplies blocks of words.
//
// It has 8 registers, each a block of 16 rows. Those of inputs have 16 words in a row; those of weights and of sums
// have one vector in a row. A row of weights belongs to a word of the inputs. They are one thread's.
//
//   MatrixUnit                     sets the registers up, and releases them in the end
//   load_inputs<R>(p, step)        block R from memory, whose rows are `step` bytes apart
//   load<R>(p, step)               the same of weights or sums; step 0: all rows are the same
//   store<R>(p, step)
//   dot_pairs<C, A, B>()           C += A B of pairs of bfloat16, with the roundings of the instruction
//   dot_quads<C, A, B>()           C += A B of four bytes, unsigned by signed, exact in 32 bits
#pragma once

#include "vec.hpp"

#include FNNFAST_MATRIX  // after Vec
