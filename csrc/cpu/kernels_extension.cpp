// The products of one format of low precision for an extension of an instruction set that its other kernels do not use
// (fnnfast_add_isa in CMakeLists.txt). The rule for weak symbols in kernels_isa.cpp holds here, too.
#if defined(FNNFAST_QUADS)
#include "int8.hpp"
#endif
#if defined(FNNFAST_PAIRS)
#include "bfloat16_pairs.hpp"
#endif

namespace fnnfast::FNNFAST_ISA {

extern const AffineKernel<float> kExtension;
#if defined(FNNFAST_QUADS)
const AffineKernel<float> kExtension = kInt8Affine;
#else
const AffineKernel<float> kExtension = kPairsAffine;
#endif

}  // namespace fnnfast::FNNFAST_ISA
