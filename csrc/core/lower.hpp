// From a tree of layers to a program.
#pragma once

#include <cstdint>
#include <vector>

#include "program.hpp"

namespace fnnfast {

// A layer as the user specifies it.
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
  ptrdiff_t units = 0;  // residual: those of its projection, 0 for none
  ptrdiff_t pieces = 1, groups = 1;
  bool maxout = false;  // of a convolution
  int activation = kIdentity;
  double parameter = 0.0;                        // of the activation: fixed alpha or beta
  double amount = 0.0;                           // the rate of dropout, the standard deviation of noise
  double eps = 0.0, momentum = 0.0;              // of a normalization
  double alpha = 0.0, beta = 0.0, offset = 0.0;  // of a local response
  int size = 0;
  bool bias = true, count_padding = false;
  Windows windows{};
  // Residual: {block} or {block, shortcut}; parallel: its branches.
  std::vector<std::vector<LayerSpec>> branches{};
};

enum class Purpose : std::uint8_t {
  kTraining,
  kInference,  // without perturbations; a normalization is an epilogue
  kFolded      // a normalization after a product is folded into the product's weights
};

// How deep layers may nest. A limit, since the tree may come from a file.
inline constexpr int kDeepest = 64;

// std::invalid_argument for layers that do not form a network. Blocks have the same numbers for all purposes.
Program lower(const Shape& input, bool channels_first, const std::vector<LayerSpec>& specs, Purpose purpose);

// std::invalid_argument, with the reason, if a program for training cannot be differentiated.
void check_trainable(const Program& training);

}  // namespace fnnfast
