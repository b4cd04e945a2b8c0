// Products of bfloat16 in pairs: what bfloat16_pairs.hpp needs of an instruction set.
//
//   PairWeights, PairInputs    one word of two bfloat16 per lane: load(p), broadcast(p)
//   PairInputs::of(lo, hi)     the words of two vectors of float32, rounded to nearest even; subnormal ones are zeros
//   dot(sum, x, w)             sum + the two products of each word, with the order and roundings of the instruction
//   round_to_pairs(x, n, to)   n numbers, rounded likewise
//   round_to_pairs(v, to)      those of a vector
//   multiply_blocks(t, sum)    the products of a tile of several rows, as by dot(), if PairWeights::kInBlocks
#pragma once

#include "vec.hpp"

#include FNNFAST_PAIRS  // after Vec
