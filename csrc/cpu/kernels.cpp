#include "kernels.hpp"

namespace fnnfast::cpu {

// Defined by kernels_isa.cpp, once for each instruction set.
#define FNNFAST_DECLARE(isa)            \
  namespace isa {                       \
  extern const Kernels<float> kFloat;   \
  extern const Kernels<double> kDouble; \
  }
FNNFAST_DECLARE(scalar)
FNNFAST_DECLARE(avx2)
FNNFAST_DECLARE(avx512)
FNNFAST_DECLARE(neon)
#undef FNNFAST_DECLARE
namespace scalar {
extern const AffineKernel<float> kInt8;
}
namespace avx2 {
extern const AffineKernel<float> kInt8;
}
namespace avx512vnni {
extern const AffineKernel<float> kInt8;
}

namespace {

const Kernels<float>& pick(const Kernels<float>& f, const Kernels<double>&, float) { return f; }
const Kernels<double>& pick(const Kernels<float>&, const Kernels<double>& d, double) { return d; }

}  // namespace

template <class T>
const Kernels<T>& kernels() {
  switch (selected_isa()) {
#ifdef FNNFAST_HAVE_AVX512
    case Isa::kAvx512:
      return pick(avx512::kFloat, avx512::kDouble, T());
#endif
#ifdef FNNFAST_HAVE_AVX2
    case Isa::kAvx2:
      return pick(avx2::kFloat, avx2::kDouble, T());
#endif
#ifdef FNNFAST_HAVE_NEON
    case Isa::kNeon:
      return pick(neon::kFloat, neon::kDouble, T());
#endif
    default:
      return pick(scalar::kFloat, scalar::kDouble, T());
  }
}

const AffineKernel<float>& int8_affine() {
  switch (selected_isa()) {
#ifdef FNNFAST_HAVE_AVX512
    case Isa::kAvx512:
      return supports_avx512_vnni() ? avx512vnni::kInt8 : avx2::kInt8;
#endif
#ifdef FNNFAST_HAVE_AVX2
    case Isa::kAvx2:
      return avx2::kInt8;
#endif
    default:
      return scalar::kInt8;
  }
}

template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();

}  // namespace fnnfast::cpu
