#include "execute.hpp"

#include <stdexcept>
#include <string>

#include "buffer.hpp"

namespace fnnfast::cpu {

namespace {

BoundPlace bound(const Place& place, const ForwardSchedule& schedule) {
  if (place.buffer == kInputBuffer) return {BoundPlace::kX, 0, place.channel, place.row};
  if (place.buffer == kOutputBuffer) return {BoundPlace::kY, 0, place.channel, place.row};
  if (place.buffer == kNone) return {};
  return {BoundPlace::kArena, schedule.start[static_cast<std::size_t>(place.buffer)], place.channel, place.row};
}

// Whether a product's output is read whole, by products of rows alone.
bool feeds_products(const Program& program, const Node& node) {
  const std::int32_t storage = program.value(node.out).storage;
  const auto is_there = [&](ValueId id) { return id != kNone && program.value(id).storage == storage; };
  for (const Node& other : program.nodes) {
    const Affine* const product = other.as<Affine>();
    const bool reads_whole = product != nullptr && !product->windowed && other.in == node.out;
    if (is_there(other.epilogue.add) || (is_there(other.in) && !reads_whole)) return false;
    if (&other != &node && is_there(other.out)) return false;
  }
  return true;
}

}  // namespace

template <class T>
void pointwise(const PointwiseCall<T>& call) {
  if (call.scale != nullptr) {
    NormalizeTask<T> t{};
    t.rows = call.rows;
    t.columns = call.columns;
    t.z = call.in;
    t.z_row = call.in_row;
    t.out = call.z;
    t.out_row = call.z_row;
    t.scale = call.scale;
    t.shift = call.shift;
    call.scale_rows(t);
    PointwiseCall<T> rest = call;
    rest.in = call.z;
    rest.in_row = call.z_row;
    rest.scale = nullptr;
    return pointwise(rest);
  }
  const T* z = call.in;
  ptrdiff_t z_row = call.in_row;
  const bool adds_first = call.add != nullptr && call.add_first;
  const bool keeps = call.z != call.y && call.z != call.in && call.activation != nullptr;
  if (adds_first) {
    add_rows(call.rows, call.columns, call.in, call.in_row, call.add, call.add_row, call.z, call.z_row);
    z = call.z;
    z_row = call.z_row;
  } else if (keeps) {
    copy_rows(call.rows, call.columns, call.in, call.in_row, call.z, call.z_row);
  }
  if (call.activation != nullptr) {
    ElementwiseTask<T> t{};
    t.rows = call.rows;
    t.columns = call.columns;
    t.in = z;
    t.in_row = z_row;
    t.out = call.y;
    t.out_row = call.y_row;
    t.parameter = call.parameter;
    t.parameter_step = call.parameter_step;
    call.activation(t);
  } else if (z != call.y) {
    copy_rows(call.rows, call.columns, z, z_row, call.y, call.y_row);
  }
  if (call.add != nullptr && !adds_first)
    add_rows(call.rows, call.columns, call.y, call.y_row, call.add, call.add_row, call.out, call.out_row);
}

template <class T>
Executor<T>::Executor(const Program& program, const Kernels<T>& kernels, const AffineKernel<T>& affine,
                      WeightFormat format, const std::vector<AffineConstants<T>>& constants)
    : kernels_(&kernels), affine_(affine) {
  std::vector<ptrdiff_t> words_row(program.values.size());
  const ForwardSchedule schedule = schedule_forward(program);
  elements_ = schedule.elements;
  for (const ForwardStep& step : schedule.steps) {
    const Node& node = program.node(step.node);
    const Value& out = program.value(node.out);
    if (!node.is<Affine>() && !node.is<Pointwise>() && !runs_on_images(node))
      throw std::invalid_argument("layer " + std::to_string(node.spec) + ": operation not supported on the CPU");
    BoundStep<T> b{};
    b.kind = node.is<Affine>()      ? BoundStep<T>::Kind::kAffine
             : runs_on_images(node) ? BoundStep<T>::Kind::kImages
                                    : BoundStep<T>::Kind::kPointwise;
    if (runs_on_images(node)) {
      check_images(node);
      b.images = {&node, &program.value(node.in).shape, &out.shape};
    }
    b.rowwise = node.epilogue.info().rowwise;
    b.is_output = node.out == program.result;
    b.padded = step.out.buffer >= 0 && out.shape.is_vector() && step.out.channel == 0 &&
               out.shape.c == program.storages[static_cast<std::size_t>(out.storage)];
    b.has_add = node.epilogue.add != kNone;
    b.pixels = out.shape.pixels();
    b.channels = out.shape.c;
    b.in = bound(step.in, schedule);
    b.add = bound(step.add, schedule);
    b.out = bound(step.out, schedule);
    b.of = &constants[static_cast<std::size_t>(step.node)];
    if (node.epilogue.activation != kIdentity) b.activation = kernels.activation[node.epilogue.activation].forward;
    if (format == WeightFormat::kBfloat16Pairs && b.kind == BoundStep<T>::Kind::kAffine && b.of->windows == nullptr) {
      b.has_words = words_row[static_cast<std::size_t>(node.in)] > 0;
      if (b.has_words) b.in.row = words_row[static_cast<std::size_t>(node.in)];
      if (b.padded && !b.rowwise && feeds_products(program, node))
        words_row[static_cast<std::size_t>(node.out)] = b.words_row =
            std::min(input_row(b.channels, format), b.out.row);
    }
    if (step.next_weights != kNone) {
      const AffineConstants<T>& next = constants[static_cast<std::size_t>(step.next_weights)];
      b.next = next.panels;
      b.next_size = next.first_panel;
    }
    steps_.push_back(b);
  }
}

template <class T>
template <bool kShared>
void Executor<T>::run_steps(const T* x, ptrdiff_t samples, T* y, bool logits) const {
  T* const arena = elements_ > 0 ? thread_scratch<T>(Scratch::kOutputs, samples * elements_) : nullptr;
  // x is only read: no step's output is the input.
  T* const base[] = {const_cast<T*>(x), y, arena};
  const auto at = [&](const BoundPlace& place) { return base[place.base] + samples * place.start + place.channel; };
  for (const BoundStep<T>& step : steps_) {
    const ptrdiff_t rows = samples * step.pixels;
    const bool activate = !(logits && step.is_output);
    T* const out = at(step.out);
    switch (step.kind) {
      case BoundStep<T>::Kind::kAffine: {
        AffineCall<T> call;  // not {}, which would clear it first: 30 cycles
        call.of = step.of;
        call.rows = rows;
        call.x = at(step.in);
        call.x_row = step.in.row;
        call.z = call.y = out;
        call.z_row = call.y_row = step.out.row;
        if (step.has_add) {
          call.add = at(step.add);
          call.add_row = step.add.row;
          call.sum = out;
          call.sum_row = step.out.row;
        }
        call.activate = activate;
        call.padded = step.padded;
        call.has_words = step.has_words;
        if (step.words_row > 0) call.words = out;
        call.words_row = step.words_row;
        if constexpr (kShared) {
          affine_forward(affine_, call);
        } else {
          call.last_block = step.of->blocks;
          call.next = step.next;
          call.next_size = step.next_size;
          affine_forward_serial(affine_, call);
        }
        break;
      }
      case BoundStep<T>::Kind::kPointwise: {
        const bool applies = activate && !step.rowwise;
        const auto run = [&](ptrdiff_t first, ptrdiff_t count) {
          T* const to = out + first * step.out.row;
          pointwise<T>({count, step.channels, at(step.in) + first * step.in.row, step.in.row,
                        step.has_add ? at(step.add) + first * step.add.row : nullptr, step.add.row, to, step.out.row,
                        to, step.out.row, to, step.out.row, step.of->add_first, applies ? step.activation : nullptr,
                        step.of->parameter, step.of->parameter_step, step.of->scale, step.of->shift,
                        kernels_->scale_rows});
        };
        if constexpr (kShared)
          for_row_blocks(rows, step.channels, run);
        else
          run(0, rows);
        break;
      }
      case BoundStep<T>::Kind::kImages: {
        const ImageForward<T> task{step.images, at(step.in), step.in.row, out, step.out.row};
        if constexpr (kShared)
          images_forward_shared(*kernels_, task, samples);
        else
          images_forward(*kernels_, task, 0, task.lines(samples));
        break;
      }
    }
    if (!activate || !step.rowwise) continue;
    const auto rowwise = [&](ptrdiff_t first, ptrdiff_t count) {
      T* const from = out + first * step.out.row;
      activate_rows(step.activation, count, step.channels, from, step.out.row, from, step.out.row);
    };
    if constexpr (kShared)
      for_row_blocks(rows, step.channels, rowwise);
    else
      rowwise(0, rows);
  }
}

template class Executor<float>;
template class Executor<double>;
template void pointwise(const PointwiseCall<float>&);
template void pointwise(const PointwiseCall<double>&);

}  // namespace fnnfast::cpu
