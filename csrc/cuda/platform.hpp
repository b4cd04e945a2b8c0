// The CUDA toolkit or, in tests, its emulator on the host (tests/cuda/emulator), with which the same sources compile as
// plain C++ and run in fibers.
#pragma once

#if defined(FNNFAST_EMULATED)
#include "emulator.hpp"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#if defined(__CUDACC__)
#include "instructions.cuh"
#endif
#endif
