#include "product_kernels.cuh"

namespace fnnfast::cuda {

template void forward_product(const ForwardTask<Half>&, cudaStream_t);
template void input_gradient_product(const InputGradientTask<Half>&, cudaStream_t);
template void weight_gradient_product(const WeightGradientTask<Half>&, cudaStream_t);
template Slices weight_gradient_slices<Half>(std::int64_t, std::int64_t, std::int64_t, int);

}  // namespace fnnfast::cuda
