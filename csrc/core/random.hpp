// Dropout and noise. Their random numbers depend only on seed, step, layer and element.
#pragma once

#include "rows.hpp"

namespace fnnfast::FNNFAST_ISA {

// Philox4x32-10, a counter-based generator (Salmon et al. 2011): four random words for each counter and key.
struct Philox {
  std::uint32_t x[4];
  FNNFAST_INLINE Philox(std::uint32_t c0, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3, std::uint64_t key)
      : x{c0, c1, c2, c3} {
    std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * x[0];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * x[2];
      const std::uint32_t y0 = static_cast<std::uint32_t>(p1 >> 32) ^ x[1] ^ k0;
      const std::uint32_t y2 = static_cast<std::uint32_t>(p0 >> 32) ^ x[3] ^ k1;
      x[1] = static_cast<std::uint32_t>(p1);
      x[3] = static_cast<std::uint32_t>(p0);
      x[0] = y0;
      x[2] = y2;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
  }
};

// Counter: (column / 4, row, stream, step); key: the seed. An element is kept if its word is at least rate * 2^32.
template <class T>
FNNFAST_HOST_DEVICE void dropout(const DropoutTask<T>& t) {
  const std::uint64_t threshold = static_cast<std::uint64_t>(t.rate * 4294967296.0);
  const T scale = static_cast<T>(1.0 / (1.0 - t.rate));
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    const T* in = t.in + r * t.in_row;
    T* out = t.out + r * t.out_row;
    for (ptrdiff_t c = 0; c < t.columns; c += 4) {
      const Philox random(static_cast<std::uint32_t>(c / 4), static_cast<std::uint32_t>(t.first_row + r), t.stream,
                          static_cast<std::uint32_t>(t.step), t.key);
      for (int i = 0; i < 4; ++i)
        if (c + i < t.columns) out[c + i] = random.x[i] >= threshold ? in[c + i] * scale : T(0);
    }
  }
}

// |x| with P(|normal| > |x|) = 2 tail, where tail = 1/2 - q in (0, 1/2): the rational functions of algorithm AS 241
// (Wichura 1988), as accurate as 24 bits of q need. Its third piece, for tails under 1.4e-11, is not needed.
template <class T>
FNNFAST_INLINE Vec<T> normal_magnitude(Vec<T> q) {
  using M = Math<T>;
  using V = Vec<T>;
  const auto c = [](double v) { return M::constant(v); };
  const V r = c(0.180625) - q * q;
  const V centre = q * fma(fma(fma(c(59.10937472), r, c(159.29113202)), r, c(50.434271938)), r, c(3.3871327179)) /
                   fma(fma(fma(c(67.1875636), r, c(78.757757664)), r, c(17.895169469)), r, c(1.0));
  const V s = sqrt(-M::log(c(0.5) - q)) - c(1.6);
  const V tail = fma(fma(fma(c(0.17023821103), s, c(1.3067284816)), s, c(2.75681539)), s, c(1.4234372777)) /
                 fma(fma(c(0.12021132975), s, c(0.7370016425)), s, c(1.0));
  return select(q <= c(0.425), centre, tail);
}

// One bit of a random word is a draw's sign, 23 bits are its place in the distribution: the q of normal_magnitude.
template <class T>
FNNFAST_INLINE T normal_place(std::uint32_t word) {
  return (static_cast<T>(word >> 9) + T(0.5)) * T(0x1p-24);
}
template <class T>
FNNFAST_INLINE T normal_sign(std::uint32_t word) {
  return word & 1 ? T(-1) : T(1);
}

// Counter and key as for dropout.
template <class T>
FNNFAST_HOST_DEVICE void noise(const NoiseTask<T>& t) {
  using V = Vec<T>;
  constexpr int kBlock = 16;
  const V deviation = V::broadcast(static_cast<T>(t.deviation));
  for (ptrdiff_t r = 0; r < t.rows; ++r)
    for (ptrdiff_t c = 0; c < t.columns; c += kBlock) {
      T q[kBlock], sign[kBlock];
      for (int i = 0; i < kBlock; i += 4) {
        const Philox random(static_cast<std::uint32_t>((c + i) / 4), static_cast<std::uint32_t>(t.first_row + r),
                            t.stream, static_cast<std::uint32_t>(t.step), t.key);
        for (int word = 0; word < 4; ++word) {
          q[i + word] = normal_place<T>(random.x[word]);
          sign[i + word] = normal_sign<T>(random.x[word]);
        }
      }
      for (int i = 0; i < kBlock && c + i < t.columns; i += V::kLanes) {
        const ptrdiff_t rest = t.columns - c - i;
        const ptrdiff_t n = rest < V::kLanes ? rest : V::kLanes;
        const V draw = copysign(normal_magnitude<T>(V::load(q + i)), V::load(sign + i));
        store_lanes(fma(deviation, draw, load_lanes<V>(t.in + r * t.in_row + c + i, n)), t.out + r * t.out_row + c + i,
                    n);
      }
    }
}

}  // namespace fnnfast::FNNFAST_ISA
