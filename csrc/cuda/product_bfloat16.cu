#include "product_kernels.cuh"

namespace fnnfast::cuda {

template void forward_product(const ForwardTask<Bfloat16>&, cudaStream_t);
template void input_gradient_product(const InputGradientTask<Bfloat16>&, cudaStream_t);
template void weight_gradient_product(const WeightGradientTask<Bfloat16>&, cudaStream_t);
template Slices weight_gradient_slices<Bfloat16>(std::int64_t, std::int64_t, std::int64_t, int);

}  // namespace fnnfast::cuda
