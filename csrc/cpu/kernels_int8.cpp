// The int8 layers for an instruction set that has an extension for them which its other kernels do without (AVX-512
// VNNI). What is said of weak symbols in kernels_isa.cpp holds here too.
#include "int8.hpp"

namespace fnnfast::FNNFAST_ISA {

extern const AffineKernel<float> kInt8;
const AffineKernel<float> kInt8 = kInt8Affine;

}  // namespace fnnfast::FNNFAST_ISA
