#include "images.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "affine.hpp"
#include "buffer.hpp"

namespace fnnfast::cpu {

namespace {

constexpr double kPower = 40;  // multiply-adds that x^p costs

PoolPlan plan_of(const Pool& pool, const ImageOperation& op) {
  return {pool.windows, pool.maximum, pool.count_padding, op.in->h, op.in->w, op.out->h, op.out->w, op.in->c};
}

// Without the operands, whose scratch memory has room for so many rows.
template <class T>
LocalResponseTask<T> response_task(const Kernels<T>& k, const LocalResponse& response, const ImageOperation& op,
                                   ptrdiff_t pixels, int rows) {
  LocalResponseTask<T> t{};
  t.pixels = pixels;
  t.channels = op.in->c;
  // Neighbours beyond the channels do not exist.
  t.before = std::min<ptrdiff_t>(response.size / 2, t.channels - 1);
  t.after = std::min<ptrdiff_t>(response.size - 1 - response.size / 2, t.channels - 1);
  const double ratio = response.alpha / response.size;
  t.ratio = static_cast<T>(ratio);
  t.beta = static_cast<T>(response.beta);
  t.k = static_cast<T>(response.k);
  t.slope = static_cast<T>(2 * response.beta * ratio);
  t.scratch = thread_scratch<T>(Scratch::kKernel, rows * (t.before + t.channels + t.after + k.lanes));
  return t;
}

// The pixels of some lines, each from the planes of its channels.
template <class T>
void channels_last(const ImageForward<T>& task, ptrdiff_t first, ptrdiff_t lines) {
  const Shape& shape = *task.op.out;
  const ptrdiff_t plane = shape.pixels();
  for (ptrdiff_t line = first; line < first + lines; ++line) {
    const T* const x = task.x + line / shape.h * shape.size() + line % shape.h * shape.w;
    T* const y = task.y + line * shape.w * task.y_row;
    for (ptrdiff_t pixel = 0; pixel < shape.w; ++pixel)
      for (ptrdiff_t c = 0; c < shape.c; ++c) y[pixel * task.y_row + c] = x[c * plane + pixel];
  }
}

}  // namespace

void check_images(const Node& node) {
  const Pool* const pool = node.as<Pool>();
  if (pool != nullptr && (pool->windows.dilation[0] != 1 || pool->windows.dilation[1] != 1))
    throw std::invalid_argument("layer " + std::to_string(node.spec) + ": pools with dilation are not supported");
}

double images_work(const Node& node, const Shape& out) {
  double each = 1.0;
  if (const Pool* const pool = node.as<Pool>())
    each = static_cast<double>(pool->windows.taps());
  else if (const LocalResponse* const response = node.as<LocalResponse>())
    each = kPower + static_cast<double>(std::min<ptrdiff_t>(response->size, out.c));
  return each * static_cast<double>(out.size());
}

template <class T>
void images_forward(const Kernels<T>& k, const ImageForward<T>& task, ptrdiff_t first, ptrdiff_t lines) {
  const ImageOperation& op = task.op;
  if (const Pool* const pool = op.node->as<Pool>()) {
    k.pool({plan_of(*pool, op), first, lines, task.x, task.x_row, task.y, task.y_row, task.choice, task.choice_row});
    return;
  }
  if (op.node->is<ChannelsLast>()) return channels_last(task, first, lines);
  LocalResponseTask<T> t = response_task(k, *op.node->as<LocalResponse>(), op, lines * op.out->w, 1);
  t.x = task.x + first * op.out->w * task.x_row;
  t.x_row = task.x_row;
  t.y = task.y + first * op.out->w * task.y_row;
  t.y_row = task.y_row;
  k.local_response(t);
}

template <class T>
void images_forward_shared(const Kernels<T>& k, const ImageForward<T>& task, ptrdiff_t samples) {
  for_row_blocks(task.lines(samples), task.op.out->w * task.op.out->c,
                 [&](ptrdiff_t first, ptrdiff_t lines) { images_forward(k, task, first, lines); });
}

template <class T>
void images_gradient(const Kernels<T>& k, const ImageGradient<T>& task) {
  const ImageOperation& op = task.op;
  if (const Pool* const pool = op.node->as<Pool>()) {
    k.pool_gradient(
        {plan_of(*pool, op), task.samples, task.dy, task.dy_row, task.choice, task.choice_row, task.dx, task.dx_row});
    return;
  }
  LocalResponseTask<T> t = response_task(k, *op.node->as<LocalResponse>(), op, task.samples * op.in->pixels(), 2);
  t.x = task.x;
  t.x_row = task.x_row;
  t.dy = task.dy;
  t.dy_row = task.dy_row;
  t.dx = task.dx;
  t.dx_row = task.dx_row;
  k.local_response_gradient(t);
}

#define FNNFAST_INSTANTIATE(T)                                                                      \
  template void images_forward<T>(const Kernels<T>&, const ImageForward<T>&, ptrdiff_t, ptrdiff_t); \
  template void images_forward_shared<T>(const Kernels<T>&, const ImageForward<T>&, ptrdiff_t);     \
  template void images_gradient<T>(const Kernels<T>&, const ImageGradient<T>&);
FNNFAST_INSTANTIATE(float)
FNNFAST_INSTANTIATE(double)
#undef FNNFAST_INSTANTIATE

}  // namespace fnnfast::cpu
