#include "program.hpp"

#include <sstream>
#include <stdexcept>
#include <string>

namespace fnnfast {

namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

Shape Windows::output(const Shape& in, ptrdiff_t c) const {
  const ptrdiff_t sizes[2] = {in.h, in.w};
  ptrdiff_t counts[2];
  for (int axis = 0; axis < 2; ++axis) {
    const ptrdiff_t padded = sizes[axis] + before[axis] + after[axis];
    if (extent(axis) > padded)
      throw std::invalid_argument("a window of " + std::to_string(extent(0)) + " x " + std::to_string(extent(1)) +
                                  " pixels does not fit an image of " + std::to_string(in.h) + " x " +
                                  std::to_string(in.w) + " with its padding");
    counts[axis] = (padded - extent(axis)) / stride[axis] + 1;
  }
  return {counts[0], counts[1], c};
}

Traits traits(const Operation& op) {
  Traits t;
  std::visit(
      Overloaded{
          [&](const Affine&) { t.takes_epilogue = t.reads_input_backward = true; },
          [&](const Pool& pool) { t.saves_choice = pool.maximum; },
          [&](const Normalize&) { t.batch = t.takes_epilogue = t.gradient_in_place = t.reads_input_backward = true; },
          // Backward computes the scales again: to store them would take as much memory as the outputs.
          [&](const LocalResponse&) { t.reads_input_backward = true; },
          [&](const Pointwise&) { t.takes_epilogue = t.gradient_in_place = true; },
          [&](const Perturb&) { t.gradient_in_place = true; },
          [&](const ChannelsLast&) {},
      },
      op);
  return t;
}

Traits traits(const Program& program, const Node& node) {
  Traits t = traits(node.op);
  if (const Affine* const affine = node.as<Affine>()) t.saves_choice = program.block(affine->block).pieces > 1;
  return t;
}

BlockId block_of(const Node& node) {
  if (const Affine* const affine = node.as<Affine>()) return affine->block;
  if (const Normalize* const normalize = node.as<Normalize>()) return normalize->block;
  return node.is<Pointwise>() ? node.epilogue.slopes : kNone;
}

double Program::work() const {
  double sum = 0.0;
  for (const Node& node : nodes)
    if (const Affine* const affine = node.as<Affine>())
      sum += block(affine->block).work() * static_cast<double>(value(node.out).shape.pixels());
  return sum;
}

BlockId Program::find(std::int64_t spec) const {
  if (spec < 0 || spec >= specs())
    throw std::out_of_range("layer index must be in [0, " + std::to_string(specs()) + "), got " + std::to_string(spec));
  return block_of_spec[static_cast<std::size_t>(spec)];
}

namespace {

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  if (shape.is_vector()) return out << shape.c;
  return out << shape.h << 'x' << shape.w << 'x' << shape.c;
}

std::ostream& operator<<(std::ostream& out, const Windows& w) {
  out << ' ' << w.kernel[0] << 'x' << w.kernel[1];
  if (w.stride[0] != 1 || w.stride[1] != 1) out << " stride " << w.stride[0] << 'x' << w.stride[1];
  if (w.dilation[0] != 1 || w.dilation[1] != 1) out << " dilation " << w.dilation[0] << 'x' << w.dilation[1];
  if (w.before[0] != 0 || w.before[1] != 0 || w.after[0] != 0 || w.after[1] != 0)
    out << " padding " << w.before[0] << ' ' << w.after[0] << ' ' << w.before[1] << ' ' << w.after[1];
  return out;
}

}  // namespace

std::string describe(const Program& program) {
  std::ostringstream out;
  const auto name = [&](ValueId id) {
    const Value& value = program.value(id);
    std::ostringstream text;
    text << 'v' << id << " (" << value.shape;
    if (value.shape.c < program.storages[static_cast<std::size_t>(value.storage)])
      text << " of s" << value.storage << '[' << value.channel << "..]";
    text << ')';
    return text.str();
  };
  for (const Node& node : program.nodes) {
    out << name(node.out) << " = ";
    std::visit(
        Overloaded{
            [&](const Affine& op) {
              const ParameterBlock& block = program.block(op.block);
              out << (op.windowed ? "convolution" : "product") << " b" << op.block << " of " << block.inputs;
              if (block.maxout) out << " maxout " << block.pieces;
              if (block.groups > 1) out << " groups " << block.groups;
              if (op.windowed) out << op.windows;
            },
            [&](const Pool& op) { out << (op.maximum ? "maximum" : "average") << op.windows; },
            [&](const Normalize& op) { out << "normalize b" << op.block; },
            [&](const LocalResponse& op) { out << "local response " << op.size; },
            [&](const Pointwise&) { out << "pointwise"; },
            [&](const Perturb& op) { out << (op.noise ? "noise " : "dropout ") << op.amount << " #" << op.stream; },
            [&](const ChannelsLast&) { out << "channels last"; },
        },
        node.op);
    out << ' ' << name(node.in);
    const Epilogue& e = node.epilogue;
    if (e.norm != kNone) out << ", norm b" << e.norm;
    if (e.add != kNone && e.add_first) out << " + " << name(e.add);
    if (e.activation != kIdentity) out << ", " << e.info().name;
    if (e.slopes != kNone) out << " b" << e.slopes;
    if (e.add != kNone && !e.add_first) out << " + " << name(e.add);
    out << '\n';
  }
  return out.str();
}

}  // namespace fnnfast
