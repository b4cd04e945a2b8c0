// A matrix unit: what matrix_product.hpp needs of an instruction set that multiplies blocks of words.
//
// It has 8 registers. Those of inputs have a row of the inputs in each row, of 16 words; those of weights have 16 rows,
// one for each word of the inputs, and those of sums as many as the inputs, of one vector each. They are one thread's.
//
//   configure(first, second)       rows that registers have from now on: 4, of inputs, `first`; 5, of inputs, `second`;
//                                  0 to 3, of sums, both `first` and then `second`, or all `first` if that is 0;
//                                  6 and 7, of weights, 16. What they held is lost.
//   ~MatrixUnit()                  releases them
//   load_inputs<R>(p, step)        register R from memory, whose rows are `step` bytes apart
//   load<R>(p, step)               the same of weights or sums
//   clear<R>()                     zeros
//   store<R>(p, step)
//   dot_pairs<C, A, B>()           C += A B of pairs of bfloat16, with the roundings of the instruction
//   dot_quads<C, A, B>()           C += A B of four bytes, unsigned by signed, exact in 32 bits
#pragma once

#include "vec.hpp"

#include FNNFAST_MATRIX  // after Vec
