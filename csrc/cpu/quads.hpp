// Products of 8-bit numbers, four to a word: what int8.hpp needs of an instruction set.
//
//   Quads                   kLanes sums of 32 bits: load(p), to_float()
//   QuadWeights, QuadInputs one word per lane: load(p), broadcast(p)
//   dot(sum, x, w)          sum + the four products of unsigned x and signed w of each word, exact
#pragma once

#include "vec.hpp"

#include FNNFAST_QUADS  // after Vec
