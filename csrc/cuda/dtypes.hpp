// The types that the GPU calculates in, and their names in Python.
#pragma once

#include "../core/dtypes.hpp"
#include "elements.hpp"

namespace fnnfast {

template <>
inline constexpr const char* kDtypeName<cuda::Tf32> = "tf32";
template <>
inline constexpr const char* kDtypeName<cuda::Half> = "float16";
template <>
inline constexpr const char* kDtypeName<cuda::Bfloat16> = "bfloat16";

}  // namespace fnnfast

namespace fnnfast::cuda {

using Dtypes = TypeList<float, double, Tf32, Half, Bfloat16>;

// What arrays hold: tf32 is a way to multiply float32.
using ArrayDtypes = TypeList<float, double, Half, Bfloat16>;

}  // namespace fnnfast::cuda
