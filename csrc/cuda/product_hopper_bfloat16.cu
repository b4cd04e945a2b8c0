#include "product_hopper.cuh"

namespace fnnfast::cuda {

template bool hopper_forward(const ForwardTask<Bfloat16>&, cudaStream_t);
template bool hopper_input_gradient(const InputGradientTask<Bfloat16>&, cudaStream_t);
template bool hopper_weight_gradient(const WeightGradientTask<Bfloat16>&, cudaStream_t);

}  // namespace fnnfast::cuda
