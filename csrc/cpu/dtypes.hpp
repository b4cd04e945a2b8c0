// The types that the CPU calculates in.
#pragma once

#include "../core/dtypes.hpp"

namespace fnnfast::cpu {

using Dtypes = TypeList<float, double>;

}  // namespace fnnfast::cpu
