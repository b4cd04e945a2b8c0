#include "product_kernels.cuh"

namespace fnnfast::cuda {

template void forward_product(const ForwardTask<double>&, cudaStream_t);
template void input_gradient_product(const InputGradientTask<double>&, cudaStream_t);
template void weight_gradient_product(const WeightGradientTask<double>&, cudaStream_t);
template Slices weight_gradient_slices<double>(std::int64_t, std::int64_t, std::int64_t, int);

}  // namespace fnnfast::cuda
