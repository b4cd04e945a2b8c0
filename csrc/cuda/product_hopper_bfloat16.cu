#include "product_hopper.cuh"

namespace fnnfast::cuda {

template bool try_hopper_forward(const ForwardTask<Bfloat16>&, cudaStream_t);
template bool try_hopper_input_gradient(const InputGradientTask<Bfloat16>&, cudaStream_t);
template bool try_hopper_weight_gradient(const WeightGradientTask<Bfloat16>&, cudaStream_t);

}  // namespace fnnfast::cuda
