// Convolutions on arrays in the user's layout: dense and maxout layers over windows of images.
//
// Images are (batch, height, width, channels), weights (kernel height, kernel width, channels / groups, units) with the
// units of one group side by side. All functions pack the weights, call the kernels, and keep nothing.
#pragma once

#include <vector>

#include "convolution_plan.hpp"
#include "dense.hpp"

namespace fnnfast::cpu {

// bias (units) or null -> y (batch, output height, output width, units). saved, if not null, receives the activation's
// input.
template <class T>
void convolution_forward(const Convolution& of, ptrdiff_t batch, const T* x, const T* weight, const T* bias,
                         const ActivationUse& use, T* y, T* saved);

// saved: what the activation saves for backward (kSaves), of the shape of dy. dparameter (units), may be null. The
// gradients of the parameters are sums over blocks of samples, added in order (kSummedRows).
template <class T>
void convolution_backward(const Convolution& of, ptrdiff_t batch, const T* dy, const T* x, const T* weight,
                          const T* saved, const ActivationUse& use, T* dx, T* dweight, T* dbias, T* dparameter);

// weight (pieces, kernel height, kernel width, channels, units), bias (pieces, units) or null; one group. argmax, of
// the shape of y, may be null.
template <class T>
void maxout_convolution_forward(const Convolution& of, ptrdiff_t batch, const T* x, const T* weight, const T* bias,
                                T* y, std::uint8_t* argmax);

template <class T>
void maxout_convolution_backward(const Convolution& of, ptrdiff_t batch, const T* dy, const T* x, const T* weight,
                                 const std::uint8_t* argmax, T* dx, T* dweight, T* dbias);

// The gradient of the image, as trainers also compute it --------------------------------------------------------------

// The transposed weights of a phase: panels of a dense layer from (tap, unit) to the channels, without a bias; for
// maxout, the TransposedLayout of a layer from the channels to (tap, unit).
template <class T>
struct PhaseWeights {
  Phase<T> phase;
  PanelLayout layout;  // of that layer
  Buffer<T> panels;
  AffineConstants<T> constants;  // not for maxout

  // Copies inputs [first, last) of one panel of the convolution's weights, as far as their taps reach the phase.
  // weights: the row of input `first`.
  void take(const Convolution& of, const PanelLayout& from, const Panel& panel, const T* weights, ptrdiff_t first,
            ptrdiff_t last);
};

// Those of all phases, all zero.
template <class T>
std::vector<PhaseWeights<T>> phase_weights(const Convolution& of, int lanes, int vectors);

// Maxout: rows [first, first + count) of a phase, to their pixels of dx, on the calling thread. dy, argmax and dx are
// those of the first sample.
template <class T>
void maxout_phase(const Kernels<T>& k, const Convolution& of, const PhaseWeights<T>& weights, ptrdiff_t first,
                  ptrdiff_t count, const T* dy, ptrdiff_t dy_row, const std::uint8_t* argmax, ptrdiff_t argmax_row,
                  T* dx, ptrdiff_t dx_row);

}  // namespace fnnfast::cpu
