// The int8 kernels for an extension of an instruction set that its other kernels do not use (AVX-512 VNNI). The rule
// for weak symbols in kernels_isa.cpp holds here, too.
#include "int8.hpp"

namespace fnnfast::FNNFAST_ISA {

extern const AffineKernel<float> kInt8;
const AffineKernel<float> kInt8 = kInt8Affine;

}  // namespace fnnfast::FNNFAST_ISA
