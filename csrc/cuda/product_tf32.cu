#include "product_kernels.cuh"

namespace fnnfast::cuda {

template void forward_product(const ForwardTask<Tf32>&, cudaStream_t);
template void input_gradient_product(const InputGradientTask<Tf32>&, cudaStream_t);
template void weight_gradient_product(const WeightGradientTask<Tf32>&, cudaStream_t);
template Slices weight_gradient_slices<Tf32>(std::int64_t, std::int64_t, std::int64_t, int);

}  // namespace fnnfast::cuda
