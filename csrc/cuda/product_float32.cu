#include "product_kernels.cuh"

namespace fnnfast::cuda {

template void forward_product(const ForwardTask<float>&, cudaStream_t);
template void input_gradient_product(const InputGradientTask<float>&, cudaStream_t);
template void weight_gradient_product(const WeightGradientTask<float>&, cudaStream_t);
template Slices weight_gradient_slices<float>(std::int64_t, std::int64_t, std::int64_t, int);

}  // namespace fnnfast::cuda
