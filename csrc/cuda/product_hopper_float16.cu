#include "product_hopper.cuh"

namespace fnnfast::cuda {

template bool try_hopper_forward(const ForwardTask<Half>&, cudaStream_t);
template bool try_hopper_input_gradient(const InputGradientTask<Half>&, cudaStream_t);
template bool try_hopper_weight_gradient(const WeightGradientTask<Half>&, cudaStream_t);

}  // namespace fnnfast::cuda
