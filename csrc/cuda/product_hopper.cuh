// Launches of Hopper's products.
#pragma once

#include <cstdlib>
#include <limits>
#include <string_view>

#include "../core/activations.hpp"
#include "hopper_kernel.cuh"
#include "launch.hpp"
#include "plan.hpp"
#include "product_hopper.hpp"

namespace fnnfast::cuda {

// The driver's function, found at run time, since the extension does not link to the driver.
using EncodeTensorMap = decltype(&cuTensorMapEncodeTiled);
inline EncodeTensorMap encode_tensor_map() {
  static const EncodeTensorMap found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult status{};
    check_device(
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &status),
        "cuTensorMapEncodeTiled");
    if (status != cudaDriverEntryPointSuccess || function == nullptr)
      throw DeviceError("the driver does not provide cuTensorMapEncodeTiled");
    return reinterpret_cast<EncodeTensorMap>(function);
  }();
  return found;
}

// Boxes of box_rows x 64 elements of a (rows, columns) matrix, or of several, `step` elements apart; swizzled in shared
// memory.
template <class T>
CUtensorMap tensor_map(const Matrix<const T>& of, std::int64_t rows, std::int64_t columns, int box_rows,
                       int matrices = 1, std::int64_t step = 0) {
  CUtensorMap map{};
  const cuuint64_t size[3] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows),
                              static_cast<cuuint64_t>(matrices)};
  const cuuint64_t strides[2] = {static_cast<cuuint64_t>(of.stride) * sizeof(T),
                                 static_cast<cuuint64_t>(step) * sizeof(T)};
  const cuuint32_t box[3] = {64, static_cast<cuuint32_t>(box_rows), 1}, steps[3] = {1, 1, 1};
  const CUresult status = encode_tensor_map()(
      &map, std::is_same_v<T, Half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
      step == 0 ? 2 : 3, const_cast<T*>(of.data), size, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
      CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS)
    throw DeviceError("cuTensorMapEncodeTiled: error " + std::to_string(static_cast<int>(status)));
  return map;
}

// The map of a matrix of results or of an operand of the epilogue; an empty map for a null matrix.
template <class T>
CUtensorMap result_map(const Matrix<const T>& of, std::int64_t rows, std::int64_t columns) {
  return of.data == nullptr ? CUtensorMap{} : tensor_map<T>(of, rows, columns, 16);
}

// The copy engine needs addresses and strides that are multiples of 16 bytes.
template <class... M>
bool can_be_copied(const M&... matrices) {
  const auto one = [](const auto& m) {
    return m.data == nullptr || (reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0 && m.stride * 2 % 16 == 0);
  };
  return (one(matrices) && ...);
}

// -inf twice: results without a lower limit.
template <class T>
constexpr std::uint32_t no_floor() {
  return std::is_same_v<T, Half> ? 0xfc00fc00u : 0xff80ff80u;
}

// Whether the kernel can access these numbers in pairs.
inline bool in_pairs(const float* data, std::int64_t step) {
  return reinterpret_cast<std::uintptr_t>(data) % 8 == 0 && step % 2 == 0;
}

inline std::string_view forced_product() {
  const char* const forced = std::getenv("FNNFAST_CUDA_PRODUCT");
  return forced == nullptr ? "" : forced;
}

// The conditions for all tasks: results in pairs, and places that fit an int.
inline bool hopper_takes(std::int64_t m, std::int64_t n, std::int64_t k) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max() / 2;
  return device_info().major == 9 && forced_product() != "general" && m > 0 && n > 0 && k > 0 && n % 2 == 0 &&
         m < kMost && n < kMost && k < kMost;
}
// columns: those of a tile of results.
inline bool hopper_is_wanted(std::int64_t m, std::int64_t n, std::int64_t layers, int columns) {
  return forced_product().starts_with("hopper") || hopper_pays(m, n, layers, device_info().multiprocessors, columns);
}

// a and b as stored. The arguments are complete except for what depends on them.
template <class T, class Tile, Finish Kind, bool TransposedB>
void launch_hopper(HopperArguments arguments, std::int64_t m, std::int64_t n, std::int64_t k, const Matrix<const T>& a,
                   const Matrix<const T>& b, cudaStream_t stream, std::int64_t slice_k = 0, std::int64_t b_step = 0) {
  constexpr bool kTransposedA = Kind == Finish::kWeightGradient;
  arguments.a = kTransposedA ? tensor_map<T>(a, k, m, Tile::kK) : tensor_map<T>(a, m, k, Tile::kM);
  if constexpr (Kind == Finish::kMaxout)
    arguments.b = tensor_map<T>(b, k, n, Tile::kK, arguments.pieces, b_step);
  else
    arguments.b = TransposedB ? tensor_map<T>(b, n, k, Tile::kN) : tensor_map<T>(b, k, n, Tile::kK);
  const auto parts = [](std::int64_t of, std::int64_t size) { return static_cast<int>((of + size - 1) / size); };
  arguments.steps = parts(k, Tile::kK);
  arguments.slice_steps = slice_k == 0 ? arguments.steps : static_cast<int>(slice_k / Tile::kK);
  arguments.slices = parts(arguments.steps, arguments.slice_steps);
  arguments.down = parts(m, Tile::kM);
  arguments.across = parts(n, kResultColumns<Kind, Tile>);
  arguments.rows = static_cast<int>(m);
  arguments.columns = static_cast<int>(n);
  const int tiles = arguments.slices * arguments.down * arguments.across, room = device_info().multiprocessors;
  launch("hopper_product", hopper_kernel<T, Tile, Kind, TransposedB>,
         dim3(static_cast<unsigned>(tiles < room ? tiles : room)), Tile::kThreads, Tile::kSharedBytes, stream,
         arguments);
}

template <class T>
bool try_launch_hopper(const ForwardTask<T>& task, cudaStream_t stream) {
  const std::int64_t m = task.rows, n = task.units, k = task.inputs;
  const bool adds = task.add.data != nullptr, maxout = task.pieces > 1;
  if (!hopper_takes(m, n, k) || kActivationInfo[task.activation].rowwise ||
      !can_be_copied(task.x, task.weight, task.z, task.y, task.add, task.sum) || !in_pairs(task.bias, 0) ||
      (task.y_sum.data != nullptr && !in_pairs(task.y_sum.data, task.y_sum.stride)))
    return false;
  if (adds && task.z.data != nullptr && task.y.data != nullptr) return false;  // three results
  const Matrix<T> first = adds && task.z.data == nullptr ? task.y : task.z, last = adds ? task.sum : task.y;

  HopperArguments arguments{};
  arguments.pieces = task.pieces;
  arguments.bias = task.bias;
  arguments.bias_piece = task.bias_piece;
  arguments.activation = {task.activation, task.parameter, task.parameter_step};
  arguments.last = result_map<T>(last, m, n);
  arguments.has_last = last.data != nullptr;
  const bool plain = !adds && task.z.data == nullptr && task.y_sum.data == nullptr;
  if (maxout) {
    if (!plain || task.activation != kIdentity || task.weight_piece % 8 != 0 || task.bias_piece % 2 != 0 ||
        reinterpret_cast<std::uintptr_t>(task.argmax.data) % 2 != 0 || task.argmax.stride % 2 != 0 ||
        !hopper_is_wanted(m, n, 1, kResultColumns<Finish::kMaxout, HopperWide>))
      return false;
    arguments.argmax = task.argmax;
    launch_hopper<T, HopperWide, Finish::kMaxout, false>(arguments, m, n, k, task.x, task.weight, stream, 0,
                                                         task.weight_piece);
    return true;
  }
  const bool relu = task.activation == index_of<Relu>();
  if (plain && hopper_is_wide(m, n, device_info().multiprocessors)) {
    if (!hopper_is_wanted(m, n, 1, HopperWide::kN)) return false;
    if (!relu && task.activation != kIdentity) {
      launch_hopper<T, HopperWide, Finish::kActivation, false>(arguments, m, n, k, task.x, task.weight, stream);
      return true;
    }
    arguments.floor = relu ? 0 : no_floor<T>();
    launch_hopper<T, HopperWide, Finish::kPlain, false>(arguments, m, n, k, task.x, task.weight, stream);
    return true;
  }
  if (!hopper_is_wanted(m, n, 1, HopperSquare::kN)) return false;
  arguments.first = result_map<T>(first, m, n);
  arguments.first_is_z = task.z.data != nullptr;
  arguments.first_is_y = !arguments.first_is_z && first.data != nullptr;
  arguments.other = result_map<T>(task.add, m, n);
  arguments.has_other = adds;
  arguments.sums = task.y_sum.data;
  arguments.sums_stride = task.y_sum.stride;
  launch_hopper<T, HopperSquare, Finish::kResults, false>(arguments, m, n, k, task.x, task.weight, stream);
  return true;
}

template <class T>
bool try_launch_hopper(const InputGradientTask<T>& task, cudaStream_t stream) {
  const std::int64_t m = task.rows, n = task.inputs, k = task.units;
  const bool derives = task.saved.data != nullptr;
  if (!hopper_takes(m, n, k) || task.pieces > 1 || task.add.data != nullptr ||
      (derives && kActivationInfo[task.activation].rowwise) ||
      !can_be_copied(task.dz, task.weight, task.saved, task.dx))
    return false;
  HopperArguments arguments{};
  arguments.last = result_map<T>(task.dx, m, n);
  arguments.has_last = true;
  arguments.activation = {task.activation, task.parameter, task.parameter_step};
  arguments.other = result_map<T>(task.saved, m, n);
  arguments.has_other = derives;
  if (hopper_is_wide(m, n, device_info().multiprocessors)) {
    if (!hopper_is_wanted(m, n, 1, HopperWide::kN)) return false;
    arguments.floor = no_floor<T>();
    if (derives)
      launch_hopper<T, HopperWide, Finish::kDerivative, true>(arguments, m, n, k, task.dz, task.weight, stream);
    else
      launch_hopper<T, HopperWide, Finish::kPlain, true>(arguments, m, n, k, task.dz, task.weight, stream);
    return true;
  }
  if (!hopper_is_wanted(m, n, 1, HopperSquare::kN)) return false;
  launch_hopper<T, HopperSquare, Finish::kDerivative, true>(arguments, m, n, k, task.dz, task.weight, stream);
  return true;
}

template <class T>
bool try_launch_hopper(const WeightGradientTask<T>& task, cudaStream_t stream) {
  const std::int64_t m = task.inputs, n = task.units, k = task.rows;
  const bool rounds = task.rounded_bias != nullptr;
  if (!hopper_takes(m, n, k) || task.pieces > 1 || !can_be_copied(task.x, task.dz) ||
      !hopper_is_wanted(m, n, task.slices, HopperWide::kN))
    return false;
  if (rounds ? !can_be_copied(task.rounded) : !in_pairs(task.weight.data, task.weight.stride) || task.slice % 2 != 0)
    return false;
  if (task.slices > 1 && task.slice_rows % HopperWide::kK != 0) return false;
  HopperArguments arguments{};
  if (rounds) {
    arguments.last = result_map<T>(task.rounded, m, n);
    arguments.has_last = true;
    arguments.rounded_column_sums = task.rounded_bias;
  } else {
    arguments.sums = task.weight.data;
    arguments.sums_stride = task.weight.stride;
    arguments.slice_sums = task.slice;
    arguments.column_sums = task.bias;
  }
  launch_hopper<T, HopperWide, Finish::kWeightGradient, false>(arguments, m, n, k, task.x, task.dz, stream,
                                                               task.slices > 1 ? task.slice_rows : 0);
  return true;
}

template <class Task>
bool try_hopper(const Task& task, cudaStream_t stream) {
  const bool started = try_launch_hopper(task, stream);
  if (!started && forced_product() == "hopper_only")
    throw DeviceError("FNNFAST_CUDA_PRODUCT=hopper_only: product not supported by the Hopper kernel");
  return started;
}

template <class T>
bool try_hopper_forward(const ForwardTask<T>& task, cudaStream_t stream) {
  return try_hopper(task, stream);
}
template <class T>
bool try_hopper_input_gradient(const InputGradientTask<T>& task, cudaStream_t stream) {
  return try_hopper(task, stream);
}
template <class T>
bool try_hopper_weight_gradient(const WeightGradientTask<T>& task, cudaStream_t stream) {
  return try_hopper(task, stream);
}

}  // namespace fnnfast::cuda
