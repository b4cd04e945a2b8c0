// What happens to a finished tile besides an elementwise activation: the parts that the CPU's register tile and the
// GPU's fragments share.
#pragma once

#include "macros.hpp"

namespace fnnfast {

// The running maximum of maxout and the piece that gave it (Goodfellow et al. 2013). The lowest index wins a tie, the
// first NaN wins over all.
template <class V>
struct Maxout {
  V best, index;

  // Not "candidate > best": a NaN candidate is taken too, but nothing is taken after a NaN.
  static FNNFAST_INLINE auto wins(V candidate, V best) { return (!(candidate <= best)) & (best == best); }

  template <class M>
  FNNFAST_INLINE void take(V candidate, V candidate_index) {
    const auto better = wins(candidate, best);
    best = M::select(better, candidate, best);
    index = M::select(better, candidate_index, index);
  }
};

}  // namespace fnnfast
