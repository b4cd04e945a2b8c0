// Epilogues that the CPU's register tile and the GPU's fragments share.
#pragma once

#include "macros.hpp"

namespace fnnfast {

// The running maximum of maxout and its piece (Goodfellow et al. 2013). The first of equal pieces wins, and the first
// NaN over all.
template <class V>
struct Maxout {
  V best, argmax;

  // Not "candidate > best": a NaN must win, and nothing wins over a NaN.
  static FNNFAST_INLINE auto wins(V candidate, V best) { return (!(candidate <= best)) & (best == best); }

  template <class M>
  FNNFAST_INLINE void take(V candidate, V piece) {
    const auto better = wins(candidate, best);
    best = M::select(better, candidate, best);
    argmax = M::select(better, piece, argmax);
  }
};

}  // namespace fnnfast
