// Epilogues of the kernels for a whole network, on a tile in registers: bias, maxout, activation. column: the tile's
// first unit in the layer.
#pragma once

#include "../core/epilogues.hpp"
#include "elements.hpp"
#include "fast_math.cuh"
#include "fused.hpp"
#include "tile_copy.cuh"

namespace fnnfast::cuda {

template <class Tile>
__device__ __forceinline__ void begin(Tile& tile, const typename Tile::Value* bias, int column, int columns) {
  using S = typename Tile::Value;
  tile.for_each([&](int, int c, S& v) { v = column + c < columns ? bias[column + c] : S(0); });
}

// The largest of the pieces; product(piece) computes one. Maxout is false if no layer has several pieces: the maximum
// so far would take as many registers as the sums.
template <bool Maxout, class Tile, class Product>
__device__ __forceinline__ void largest(Tile& tile, int pieces, Product product) {
  using S = typename Tile::Value;
  if constexpr (Maxout) {
    S best[Tile::kOutputsEach] = {};
    for (int piece = 0; piece < pieces; ++piece) {
      product(piece);
      int i = 0;
      tile.for_each([&](int, int, S& v) {
        if (piece == 0 || fnnfast::Maxout<device::Vec<S>>::wins({v}, {best[i]}).m) best[i] = v;
        ++i;
      });
    }
    int i = 0;
    tile.for_each([&](int, int, S& v) { v = best[i++]; });
  } else {
    product(0);
  }
}

// Some outputs of a thread, which stay in registers as arguments.
template <class S, int N>
struct Values {
  S at[N];
};

// Not inlined, and by value: the list of activations is then compiled once instead of once per output of each kernel,
// and dispatched once for N outputs.
template <class M, class S, int N>
__device__ FNNFAST_NOINLINE Values<S, N> activated(int activation, Values<S, N> z, Values<S, N> parameter) {
  using V = device::Vec<S>;
  visit_activation(activation, [&]<class Act>(Act) {
    if constexpr (!Act::kRowwise && !std::is_same_v<Act, Identity>) {
      FNNFAST_UNROLL(8)
      for (int i = 0; i < N; ++i) z.at[i] = Act::template forward<M>(V{z.at[i]}, V{parameter.at[i]}).v;
    }
  });
  return z;
}

// Elementwise activations only: softmax needs the whole row.
template <class Tile>
__device__ __forceinline__ void activate(Tile& tile, const ActivationOf<typename Tile::Value>& act, int column,
                                         int columns) {
  using S = typename Tile::Value;
  constexpr int kOutputs = Tile::kOutputsEach, kMost = 16 / static_cast<int>(sizeof(S));
  constexpr int kEach = kOutputs < kMost ? kOutputs : kMost;
  if (act.index == kIdentity) return;
  if (act.index == index_of<Relu>()) {  // the most frequent one, without a call
    tile.for_each([](int, int, S& v) { v = Relu::forward<device::Math<S>>(device::Vec<S>{v}, {}).v; });
    return;
  }
  FNNFAST_UNROLL(16)
  for (int first = 0; first < kOutputs; first += kEach) {
    Values<S, kEach> z{}, parameter{};
    int i = 0;
    tile.for_each([&](int, int c, S& v) {
      if (i >= first && i < first + kEach) {
        const int of = column + c < columns ? column + c : 0;
        z.at[i - first] = v;
        parameter.at[i - first] = act.parameter != nullptr ? act.parameter[of * act.parameter_step] : S(0);
      }
      ++i;
    });
    z = activated<MathOf<typename Tile::Element>>(act.index, z, parameter);
    i = 0;
    tile.for_each([&](int, int, S& v) {
      if (i >= first && i < first + kEach) v = z.at[i - first];
      ++i;
    });
  }
}

// A layer's outputs in shared memory as the A of the next product: element (r, c) is at Tile::place_a.
template <class T>
struct Operand {
  T* data;
  int pitch;
};

// Clears the columns after a layer's outputs, up to a whole step over k, which the next product reads: 0 times their
// old values could be NaN.
template <class Tile>
__device__ __forceinline__ void clear_beyond(const Operand<typename Tile::Element>& of, int columns) {
  using T = typename Tile::Element;
  const int rest = (columns + Tile::kK - 1) / Tile::kK * Tile::kK - columns;
  for (int i = static_cast<int>(threadIdx.x); i < rest * Tile::kM; i += static_cast<int>(blockDim.x))
    of.data[Tile::place_a(i % Tile::kM, columns + i / Tile::kM, of.pitch)] = narrow<T>(typename Tile::Value(0));
}

template <class Tile>
__device__ __forceinline__ constexpr int whole_steps(int columns) {
  return (columns + Tile::kK - 1) / Tile::kK * Tile::kK;
}

// The weights of a piece.
template <class T>
__device__ __forceinline__ Source<T> weights_of(const FusedLayer<T>& layer, int piece) {
  const T* const data = elements<T>(layer.weight) + piece * layer.inputs * layer.row;
  return {data, layer.row, layer.inputs, layer.units, true, nullptr, 0, 0};
}

}  // namespace fnnfast::cuda
