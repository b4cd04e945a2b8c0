// Products of bfloat16 in pairs: what bfloat16.hpp needs of an instruction set for them.
//
//   PairWeights, PairInputs   one word of two bfloat16 per lane: load(p), broadcast(p)
//   PairInputs::of(lo, hi)    the words of two vectors of float32, rounded to nearest even; subnormal numbers are zeros
//   dot(sum, x, w)            sum + the two products of each word, in the order and with the roundings of its
//   instruction round_to_pairs(x, n, to)  n numbers, rounded likewise
#pragma once

#include "vec.hpp"

#include FNNFAST_PAIRS  // after Vec
