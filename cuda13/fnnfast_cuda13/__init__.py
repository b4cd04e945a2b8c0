"""The CUDA kernels of fnnfast, which looks for them here. There is nothing to call."""
