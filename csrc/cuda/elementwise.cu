#include "elementwise.hpp"

#include "fast_math.cuh"
#include "grid.cuh"

#include "../core/random.hpp"  // after vec.cuh

namespace fnnfast::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kBlocksEach = 8;  // per multiprocessor

template <class T>
struct Perturbed {
  std::int64_t rows, columns;
  Matrix<const T> from;
  Matrix<T> to;
  bool noise;
  double amount;
  std::uint64_t seed;
  std::uint32_t stream;
};

dim3 grid_for(std::int64_t count) { return cuda::grid_for(count, kThreads, kBlocksEach); }
dim3 grid_over(std::int64_t rows, std::int64_t columns, int size) {
  return cuda::grid_over(rows, columns, size, kThreads, kBlocksEach);
}

// Whether chunks of whole rows are aligned, or there is no matrix.
template <class T>
__device__ bool in_chunks(const Matrix<T>& of) {
  return reinterpret_cast<std::uintptr_t>(of.data) % 16 == 0 && of.stride * static_cast<int>(sizeof(T)) % 16 == 0;
}

template <class T, bool Derivative>
__global__ void __launch_bounds__(kThreads, 1) activation_kernel(const __grid_constant__ ActivationTask<T> task) {
  using S = Sum<T>;
  using M = MathOf<T>;
  const ActivationOf<S> act{task.activation, task.parameter, task.parameter_step};
  visit_activation(task.activation, [&]<class Act>(Act) {
    if constexpr (!Act::kRowwise && (Act::kDifferentiable || !Derivative)) {
      for_all(task.rows * task.columns, [&](std::int64_t i) {
        const device::Vec<S> z{widen<S>(task.z[i])};
        const auto p = act.template at<Act>(i % task.columns);
        if constexpr (Derivative)
          task.out[i] = narrow<T>(Act::template derivative<M>(z, p).v);
        else
          task.out[i] = narrow<T>(Act::template forward<M>(z, p).v);
      });
    }
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    activation_gradient_kernel(const __grid_constant__ ActivationGradientTask<T> task) {
  using S = Sum<T>;
  const ActivationOf<S> act{task.activation, task.parameter, task.parameter_step};
  visit_activation(task.activation, [&]<class Act>(Act) {
    if constexpr (Act::kDifferentiable && !Act::kRowwise) {
      constexpr int kSize = Chunk<T>::kSize;
      const bool aligned = in_chunks(task.dy) && in_chunks(task.saved) && in_chunks(task.dz);
      for_chunks<kSize>(task.rows, task.columns, [&](std::int64_t r, std::int64_t c) {
        const std::int64_t count = task.columns - c;
        Chunk<T> gradient = load_chunk(&task.dy.at(r, c), count, aligned);
        if constexpr (Act::kSaves != Saves::kNothing) {
          const Chunk<T> saved = load_chunk(&task.saved.at(r, c), count, aligned);
          FNNFAST_UNROLL(8)
          for (int e = 0; e < kSize; ++e) {
            const auto p = act.template at<Act>(e < count ? c + e : c);
            const device::Vec<S> of{widen<S>(saved.at[e])};
            gradient.at[e] = narrow<T>(widen<S>(gradient.at[e]) * saved_derivative<Act, MathOf<T>>(of, p).v);
          }
        }
        store_chunk(&task.dz.at(r, c), gradient, count, aligned);
      });
    }
  });
}

// One column per thread: learned parameters are few.
template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    parameter_gradient_kernel(const __grid_constant__ ActivationGradientTask<T> task) {
  using S = Sum<T>;
  const ActivationOf<S> act{task.activation, task.parameter, task.parameter_step};
  visit_activation(task.activation, [&]<class Act>(Act) {
    if constexpr (Act::kLearned) {
      for_all(task.columns, [&](std::int64_t c) {
        const auto p = act.template at<Act>(c);
        S sum = S(0);
        for (std::int64_t r = 0; r < task.rows; ++r) {
          const device::Vec<S> saved{widen<S>(task.saved.at(r, c))};
          sum = fma(device::Vec<S>{widen<S>(task.dy.at(r, c))}, Act::template parameter_derivative<MathOf<T>>(saved, p),
                    device::Vec<S>{sum})
                    .v;
        }
        task.dparameter[c] = sum;
      });
    }
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    add_slices_kernel(int slices, std::int64_t slice, std::int64_t count, const Sum<T>* partial, T* out) {
  for_all(count, [&](std::int64_t i) {
    Sum<T> sum = partial[i];
    for (int number = 1; number < slices; ++number) sum += partial[number * slice + i];
    out[i] = narrow<T>(sum);
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) pointwise_kernel(const __grid_constant__ PointwiseTask<T> task) {
  using S = Sum<T>;
  const ActivationOf<S> act{task.activation, task.parameter, task.parameter_step};
  visit_activation(task.activation, [&]<class Act>(Act) {
    if constexpr (!Act::kRowwise) {
      constexpr int kSize = Chunk<T>::kSize;
      const bool aligned =
          in_chunks(task.in) && in_chunks(task.add) && in_chunks(task.z) && in_chunks(task.y) && in_chunks(task.out);
      for_chunks<kSize>(task.rows, task.columns, [&](std::int64_t r, std::int64_t c) {
        const std::int64_t count = task.columns - c;
        const Chunk<T> in = load_chunk(&task.in.at(r, c), count, aligned);
        Chunk<T> add{}, z, y, out;
        if (task.add.data != nullptr) add = load_chunk(&task.add.at(r, c), count, aligned);
        FNNFAST_UNROLL(8)
        for (int e = 0; e < kSize; ++e) {
          S v = widen<S>(in.at[e]);
          if (task.add.data != nullptr && task.add_first) v += widen<S>(add.at[e]);
          z.at[e] = narrow<T>(v);
          v = Act::template forward<MathOf<T>>(device::Vec<S>{v}, act.template at<Act>(e < count ? c + e : c)).v;
          y.at[e] = narrow<T>(v);
          if (task.add.data != nullptr && !task.add_first) v += widen<S>(add.at[e]);
          out.at[e] = narrow<T>(v);
        }
        if (task.z.data != nullptr) store_chunk(&task.z.at(r, c), z, count, aligned);
        if (task.y.data != nullptr) store_chunk(&task.y.at(r, c), y, count, aligned);
        store_chunk(&task.out.at(r, c), out, count, aligned);
      });
    }
  });
}

template <class From, class To>
__global__ void __launch_bounds__(kThreads, 1) convert_kernel(std::int64_t rows, std::int64_t columns, const From* from,
                                                              std::int64_t from_row, To* to, std::int64_t to_row) {
  for_chunks<1>(rows, columns, [&](std::int64_t r, std::int64_t c) {
    to[r * to_row + c] = narrow<To>(widen<Sum<To>>(from[r * from_row + c]));
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    add_rows_kernel(std::int64_t rows, std::int64_t columns, Matrix<const T> from, Matrix<T> to) {
  using S = Sum<T>;
  const bool aligned = in_chunks(from) && in_chunks(to);
  for_chunks<Chunk<T>::kSize>(rows, columns, [&](std::int64_t r, std::int64_t c) {
    const Chunk<T> added = load_chunk(&from.at(r, c), columns - c, aligned);
    Chunk<T> sum = load_chunk<T>(&to.at(r, c), columns - c, aligned);
    FNNFAST_UNROLL(8)
    for (int e = 0; e < Chunk<T>::kSize; ++e) sum.at[e] = narrow<T>(widen<S>(sum.at[e]) + widen<S>(added.at[e]));
    store_chunk(&to.at(r, c), sum, columns - c, aligned);
  });
}

template <class T, class S>
__global__ void __launch_bounds__(kThreads, 1)
    gather_rows_kernel(std::int64_t rows, std::int64_t columns, Matrix<const T> from, const std::int64_t* indices,
                       const S* sample_weights, Matrix<T> to) {
  const bool aligned = in_chunks(from) && in_chunks(to);
  for_chunks<Chunk<T>::kSize>(rows, columns, [&](std::int64_t r, std::int64_t c) {
    const bool counts = sample_weights == nullptr || sample_weights[r] != S(0);
    Chunk<T> row{};
    if (counts) row = load_chunk(&from.at(indices == nullptr ? r : indices[r], c), columns - c, aligned);
    store_chunk(&to.at(r, c), row, columns - c, aligned);
  });
}

// A thread draws four numbers, for four columns.
template <class T>
__global__ void __launch_bounds__(kThreads, 1) perturb_kernel(Perturbed<T> task, const std::int64_t* steps) {
  using S = Sum<T>;
  using V = device::Vec<S>;
  const std::int64_t quads = (task.columns + 3) / 4;
  const std::uint64_t threshold = static_cast<std::uint64_t>(task.amount * 4294967296.0);
  const S scale = static_cast<S>(1.0 / (1.0 - task.amount));
  for_all(task.rows * quads, [&](std::int64_t i) {
    const std::int64_t r = i / quads, first = i % quads * 4;
    const device::Philox random(static_cast<std::uint32_t>(first / 4), static_cast<std::uint32_t>(r), task.stream,
                                static_cast<std::uint32_t>(*steps), task.seed);
    for (int word = 0; word < 4; ++word) {
      const std::int64_t c = first + word;
      if (c >= task.columns) break;
      const V value{widen<S>(task.from.at(r, c))};
      if (task.noise) {
        const V size = device::normal_magnitude<S>(V{device::normal_place<S>(random.x[word])});
        const V draw = copysign(size, V{device::normal_sign<S>(random.x[word])});
        task.to.at(r, c) = narrow<T>(fma(V{static_cast<S>(task.amount)}, draw, value).v);
      } else {
        task.to.at(r, c) = narrow<T>(random.x[word] >= threshold ? value.v * scale : S(0));
      }
    }
  });
}

}  // namespace

template <class T>
void add_rows(std::int64_t rows, std::int64_t columns, Matrix<const T> from, Matrix<T> to, cudaStream_t stream) {
  launch("add_rows", add_rows_kernel<T>, grid_over(rows, columns, Chunk<T>::kSize), kThreads, 0, stream, rows, columns,
         from, to);
}

template <class T, class S>
void gather_rows(std::int64_t rows, std::int64_t columns, Matrix<const T> from, const std::int64_t* indices,
                 const S* sample_weights, Matrix<T> to, cudaStream_t stream) {
  launch("gather_rows", gather_rows_kernel<T, S>, grid_over(rows, columns, Chunk<T>::kSize), kThreads, 0, stream, rows,
         columns, from, indices, sample_weights, to);
}

template <class T>
void perturb(const Perturb& perturbation, std::uint64_t seed, const std::int64_t* steps, std::int64_t rows,
             std::int64_t columns, Matrix<const T> from, Matrix<T> to, cudaStream_t stream) {
  const Perturbed<T> task{rows, columns, from, to, perturbation.noise, perturbation.amount, seed, perturbation.stream};
  launch("perturb", perturb_kernel<T>, grid_for(rows * ((columns + 3) / 4)), kThreads, 0, stream, task, steps);
}

template <class T>
void activation_forward(const ActivationTask<T>& task, cudaStream_t stream) {
  launch("activation_forward", activation_kernel<T, false>, grid_for(task.rows * task.columns), kThreads, 0, stream,
         task);
}

template <class T>
void activation_derivative(const ActivationTask<T>& task, cudaStream_t stream) {
  launch("activation_derivative", activation_kernel<T, true>, grid_for(task.rows * task.columns), kThreads, 0, stream,
         task);
}

template <class T>
void activation_gradient(const ActivationGradientTask<T>& task, cudaStream_t stream) {
  // First, since dz may be dy.
  if (task.dparameter != nullptr)
    launch("parameter_gradient", parameter_gradient_kernel<T>, grid_for(task.columns), kThreads, 0, stream, task);
  launch("activation_gradient", activation_gradient_kernel<T>, grid_over(task.rows, task.columns, Chunk<T>::kSize),
         kThreads, 0, stream, task);
}

template <class T>
void add_slices(int slices, std::int64_t slice, std::int64_t count, const Sum<T>* partial, T* out,
                cudaStream_t stream) {
  launch("add_slices", add_slices_kernel<T>, grid_for(count), kThreads, 0, stream, slices, slice, count, partial, out);
}

template <class From, class To>
void convert_rows(std::int64_t rows, std::int64_t columns, const From* from, std::int64_t from_row, To* to,
                  std::int64_t to_row, cudaStream_t stream) {
  launch("convert", convert_kernel<From, To>, grid_over(rows, columns, 1), kThreads, 0, stream, rows, columns, from,
         from_row, to, to_row);
}

template <class T>
void pointwise(const PointwiseTask<T>& task, cudaStream_t stream) {
  launch("pointwise", pointwise_kernel<T>, grid_over(task.rows, task.columns, Chunk<T>::kSize), kThreads, 0, stream,
         task);
}

template <class From, class To>
void convert(std::int64_t count, const From* from, To* to, cudaStream_t stream) {
  convert_rows(1, count, from, count, to, count, stream);
}

#define FNNFAST_INSTANTIATE(T)                                                                               \
  template void activation_forward(const ActivationTask<T>&, cudaStream_t);                                  \
  template void activation_derivative(const ActivationTask<T>&, cudaStream_t);                               \
  template void activation_gradient(const ActivationGradientTask<T>&, cudaStream_t);                         \
  template void pointwise(const PointwiseTask<T>&, cudaStream_t);                                            \
  template void add_slices(int, std::int64_t, std::int64_t, const Sum<T>*, T*, cudaStream_t);                \
  template void convert(std::int64_t, const T*, Sum<T>*, cudaStream_t);                                      \
  template void add_rows(std::int64_t, std::int64_t, Matrix<const T>, Matrix<T>, cudaStream_t);              \
  template void gather_rows(std::int64_t, std::int64_t, Matrix<const T>, const std::int64_t*, const Sum<T>*, \
                            Matrix<T>, cudaStream_t);                                                        \
  template void perturb(const Perturb&, std::uint64_t, const std::int64_t*, std::int64_t, std::int64_t,      \
                        Matrix<const T>, Matrix<T>, cudaStream_t);                                           \
  template void convert_rows(std::int64_t, std::int64_t, const T*, std::int64_t, T*, std::int64_t, cudaStream_t);
FNNFAST_INSTANTIATE(float)
FNNFAST_INSTANTIATE(double)
FNNFAST_INSTANTIATE(Half)
FNNFAST_INSTANTIATE(Bfloat16)
#undef FNNFAST_INSTANTIATE
template void gather_rows(std::int64_t, std::int64_t, Matrix<const std::int64_t>, const std::int64_t*, const float*,
                          Matrix<std::int64_t>, cudaStream_t);
template void gather_rows(std::int64_t, std::int64_t, Matrix<const std::int64_t>, const std::int64_t*, const double*,
                          Matrix<std::int64_t>, cudaStream_t);
template void convert_rows(std::int64_t, std::int64_t, const Half*, std::int64_t, float*, std::int64_t, cudaStream_t);
template void convert_rows(std::int64_t, std::int64_t, const Bfloat16*, std::int64_t, float*, std::int64_t,
                           cudaStream_t);
template void convert(std::int64_t, const float*, Half*, cudaStream_t);
template void convert(std::int64_t, const float*, Bfloat16*, cudaStream_t);
template void convert_rows(std::int64_t, std::int64_t, const float*, std::int64_t, Half*, std::int64_t, cudaStream_t);
template void convert_rows(std::int64_t, std::int64_t, const float*, std::int64_t, Bfloat16*, std::int64_t,
                           cudaStream_t);

}  // namespace fnnfast::cuda
