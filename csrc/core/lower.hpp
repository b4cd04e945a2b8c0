// From the layers that a user asks for, a tree, to a program.
#pragma once

#include <cstdint>
#include <vector>

#include "program.hpp"

namespace fnnfast {

// A layer as it is asked for.
struct LayerSpec {
  enum class Kind : std::uint8_t {
    kDense,
    kMaxout,
    kConvolution,
    kMaxPool,
    kAveragePool,
    kNormalize,
    kLocalResponse,
    kActivation,
    kFlatten,
    kDropout,
    kNoise,
    kResidual,
    kParallel
  } kind;
  ptrdiff_t units = 0;  // residual: > 0 asks for a projection to so many
  ptrdiff_t pieces = 1, groups = 1;
  bool maxout = false;  // of a convolution
  int activation = kIdentity;
  double parameter = 0.0;                        // of the activation: fixed alpha or beta
  double amount = 0.0;                           // the rate of dropout, the standard deviation of noise
  double eps = 0.0, momentum = 0.0;              // of a normalisation
  double alpha = 0.0, beta = 0.0, offset = 0.0;  // of a local response
  int size = 0;
  bool bias = true, count_padding = false;
  Windows windows{};
  // Residual: {block} or {block, shortcut}; parallel: its branches.
  std::vector<std::vector<LayerSpec>> branches{};
};

enum class Purpose : std::uint8_t {
  kTraining,
  kInference,  // no perturbations; a normalisation is an epilogue
  kFolded      // a normalisation after a product is in the product's weights
};

// How deep layers may nest: a file may ask for more.
inline constexpr int kDeepest = 64;

// std::invalid_argument for layers that make no network. The blocks of all purposes have the same numbers.
Program lower(const Shape& input, bool channels_first, const std::vector<LayerSpec>& specs, Purpose purpose);

// std::invalid_argument, with the reason, where gradients cannot pass the program, which was made for training.
void check_trainable(const Program& training);

}  // namespace fnnfast
