#include "schedule.hpp"

#include <algorithm>
#include <numeric>
#include <sstream>

namespace fnnfast {

namespace {

constexpr ptrdiff_t kLine = 16;  // elements: buffers begin at multiples of it

ptrdiff_t up(ptrdiff_t n, ptrdiff_t unit) { return (n + unit - 1) / unit * unit; }

template <class T>
T& at(std::vector<T>& vector, std::int32_t index) {
  return vector[static_cast<std::size_t>(index)];
}
template <class T>
const T& at(const std::vector<T>& vector, std::int32_t index) {
  return vector[static_cast<std::size_t>(index)];
}

// The shapes of storages: the images of which values are slices or flattened views.
std::vector<Shape> storage_shapes(const Program& program) {
  std::vector<Shape> shapes(program.storages.size());
  for (const Value& value : program.values) {
    Shape& shape = at(shapes, value.storage);
    if (shape.c == 0 || value.shape.pixels() > shape.pixels())
      shape = {value.shape.h, value.shape.w, at(program.storages, value.storage)};
  }
  return shapes;
}

// The place of a value in the buffer of its storage, whose rows are `row` apart.
Place place_in(const Value& value, const Shape& storage, std::int32_t buffer, ptrdiff_t row) {
  if (value.shape.pixels() == storage.pixels()) return {buffer, value.channel, row, storage.pixels()};
  return {buffer, 0, row * storage.pixels(), 1};  // flattened
}

NodeId node_count(const Program& program) { return static_cast<NodeId>(program.nodes.size()); }

// By storage, the last node that reads it, or kNone.
std::vector<NodeId> last_readers(const Program& program) {
  std::vector<NodeId> last(program.storages.size(), kNone);
  for (NodeId n = 0; n < node_count(program); ++n)
    for (const ValueId read : {program.node(n).in, program.node(n).epilogue.add})
      if (read != kNone) at(last, program.value(read).storage) = n;
  return last;
}

}  // namespace

ptrdiff_t row_stride(const Shape& storage) {
  if (!storage.is_vector()) return storage.c;
  const ptrdiff_t padded = up(storage.c, kLine);
  return padded % 256 == 0 ? padded + kLine : padded;
}

// A storage's buffer is free again after its last reader: a chain alternates between two, a residual block keeps its
// input in a third.
ForwardSchedule schedule_forward(const Program& program, Keep keep) {
  ForwardSchedule schedule;
  const std::vector<Shape> shapes = storage_shapes(program);
  const std::vector<NodeId> last = last_readers(program);
  const std::int32_t input = program.value(kInputValue).storage, result = program.value(program.result).storage;
  std::vector<std::int32_t> buffer_of(shapes.size(), kNone), occupant;
  std::vector<ptrdiff_t> size;
  at(buffer_of, input) = kInputBuffer;
  at(buffer_of, result) = kOutputBuffer;
  const auto place = [&](ValueId id) -> Place {
    if (id == kNone) return {};
    const Value& value = program.value(id);
    const Shape& shape = at(shapes, value.storage);
    const std::int32_t buffer = at(buffer_of, value.storage);
    return place_in(value, shape, buffer, buffer < 0 ? shape.c : row_stride(shape));
  };
  for (NodeId n = 0; n < node_count(program); ++n) {
    const Node& node = program.node(n);
    const std::int32_t storage = program.value(node.out).storage;
    if (at(buffer_of, storage) == kNone) {
      std::size_t buffer = keep == Keep::kAll ? occupant.size() : 0;
      while (buffer < occupant.size() && at(last, occupant[buffer]) >= n) ++buffer;
      if (buffer == occupant.size()) occupant.push_back(storage), size.push_back(0);
      occupant[buffer] = storage;
      at(buffer_of, storage) = static_cast<std::int32_t>(buffer);
      const Shape& shape = at(shapes, storage);
      size[buffer] = std::max(size[buffer], up(row_stride(shape) * shape.pixels(), kLine));
    }
    schedule.steps.push_back({n, kNone, place(node.in), place(node.epilogue.add), place(node.out)});
  }
  for (const ptrdiff_t elements : size) {
    schedule.start.push_back(schedule.elements);
    schedule.elements += elements;
  }
  NodeId next = kNone;  // wraps around, for the next block of samples
  for (int turn = 0; turn < 2; ++turn)
    for (NodeId n = node_count(program); n-- > 0;) {
      at(schedule.steps, n).next_weights = next;
      if (program.node(n).is<Affine>()) next = n;
    }
  return schedule;
}

namespace {

class TrainingScheduler {
 public:
  TrainingScheduler(const Program& program, const std::vector<bool>& frozen, bool from_logits)
      : program_(program),
        frozen_(frozen),
        from_logits_(from_logits),
        shapes_(storage_shapes(program)),
        readers_(program.storages.size(), 0) {
    for (const Node& node : program.nodes)
      for (const ValueId read : {node.in, node.epilogue.add})
        if (read != kNone) ++at(readers_, program.value(read).storage);
    schedule_.first_trained = first_trained();
    list_steps();
    place_values();
    place_gradients();
    share_buffers();
    schedule_.samples_multiple = samples_multiple();
  }

  TrainingSchedule take() { return std::move(schedule_); }

 private:
  // Queries -----------------------------------------------------------------------------------------------------------
  bool is_trained(BlockId block) const {
    return block != kNone &&
           !(block < static_cast<BlockId>(frozen_.size()) && frozen_[static_cast<std::size_t>(block)]);
  }
  // A product's slopes may be a block of their own.
  bool has_trained(const Node& node) const { return is_trained(block_of(node)) || is_trained(node.epilogue.slopes); }
  NodeId first_trained() const {
    NodeId n = 0;
    while (n < node_count(program_) && !has_trained(program_.node(n))) ++n;
    return n;
  }
  // Whether statistics of the batch are computed: a frozen normalization uses its running ones.
  bool reduces(const Node& node) const { return traits(node.op).batch && is_trained(block_of(node)); }
  std::int32_t storage_of(ValueId id) const { return program_.value(id).storage; }
  // Whether the gradient of the value is needed.
  bool is_wanted(ValueId id) const {
    for (NodeId n = schedule_.first_trained; n < node_count(program_); ++n)
      if (storage_of(program_.node(n).out) == storage_of(id)) return true;
    return false;
  }
  bool is_whole(ValueId id) const {
    const Value& value = program_.value(id);
    return value.shape == at(shapes_, value.storage);
  }
  // Whether the gradient of a node's input replaces that of its output.
  bool is_gradient_in_place(const Node& node) const {
    return traits(node.op).gradient_in_place && at(readers_, storage_of(node.in)) == 1 && is_whole(node.in) &&
           is_whole(node.out);
  }
  const ActivationInfo& activation_of(const Node& node) const {
    return from_logits_ && node.out == program_.result ? kActivationInfo[kIdentity] : node.epilogue.info();
  }
  // Whether the epilogue's backward pass reads something other than the output.
  bool saves_apart(const Node& node) const {
    const Saves saves = activation_of(node).saves;
    return saves == Saves::kInput ||
           (saves == Saves::kOutput && node.epilogue.add != kNone && !node.epilogue.add_first);
  }

  // Steps -------------------------------------------------------------------------------------------------------------
  void push(Task task, NodeId node, bool pass = false, bool adds = false) {
    schedule_.steps.push_back({task, node, pass, adds});
  }
  std::int32_t step_count() const { return static_cast<std::int32_t>(schedule_.steps.size()); }
  void close(Over over) {
    const std::int32_t first = schedule_.regions.empty() ? 0 : schedule_.regions.back().last;
    if (step_count() > first) schedule_.regions.push_back({over, first, step_count()});
  }
  // The whole batch waits for one step that merges the sums of all samples. Then follow the gradients of parameters
  // whose samples are done.
  void cut(Task task, NodeId node) {
    close(Over::kSamples);
    push(task, node);
    close(Over::kOnce);
    flush();
  }
  void flush() {
    std::sort(waiting_.begin(), waiting_.end());
    for (const NodeId node : waiting_) push(Task::kWeights, node);
    waiting_.clear();
    close(Over::kParameters);
  }

  void list_steps() {
    written_.assign(program_.storages.size(), 0);
    for (NodeId n = 0; n < node_count(program_); ++n) {
      if (reduces(program_.node(n))) {
        push(Task::kStatistics, n);
        cut(Task::kMerge, n);
      }
      push(Task::kForward, n);
    }
    push(Task::kLoss, kNone);
    at(written_, storage_of(program_.result)) = 1;
    for (NodeId n = node_count(program_); n-- > schedule_.first_trained;) list_backward(n);
    close(Over::kSamples);
    flush();
  }

  // Whether the gradient of a value has been written. From now on it has.
  bool write(ValueId id) {
    const bool before = at(written_, storage_of(id)) != 0;
    at(written_, storage_of(id)) = 1;
    return before;
  }

  void list_backward(NodeId n) {
    const Node& node = program_.node(n);
    if (traits(node.op).takes_epilogue) {
      const bool pass = node.epilogue.add != kNone && is_wanted(node.epilogue.add);
      push(Task::kEpilogue, n, pass, pass && write(node.epilogue.add));
    }
    if (reduces(node)) {
      push(Task::kSums, n);
      cut(Task::kMergeSums, n);
    }
    if (is_wanted(node.in)) {
      const bool in_place = is_gradient_in_place(node), adds = write(node.in);
      if (!(in_place && node.is<Pointwise>())) push(Task::kInput, n, false, adds);
    }
    if (has_trained(node)) waiting_.push_back(n);
  }

  // Places ------------------------------------------------------------------------------------------------------------
  // Each storage first gets a buffer of its own. share_buffers() then joins those that are never in use at the same
  // time.
  std::int32_t new_buffer(const Shape& storage, bool bytes) {
    schedule_.buffers.push_back({row_stride(storage), storage.pixels(), bytes});
    return static_cast<std::int32_t>(schedule_.buffers.size()) - 1;
  }
  Place place(ValueId id, std::int32_t buffer, ptrdiff_t row) const {
    const Value& value = program_.value(id);
    return place_in(value, at(shapes_, value.storage), buffer, row);
  }
  Place new_place(ValueId like, bool bytes = false) {
    const std::int32_t buffer = new_buffer(program_.value(like).shape, bytes);
    return {buffer, 0, at(schedule_.buffers, buffer).row, program_.value(like).shape.pixels()};
  }

  void place_values() {
    std::vector<std::int32_t> buffer_of(shapes_.size(), kNone);
    at(buffer_of, storage_of(kInputValue)) = kInputBuffer;
    for (NodeId n = 0; n < node_count(program_); ++n) {
      const Node& node = program_.node(n);
      std::int32_t& buffer = at(buffer_of, storage_of(node.out));
      if (buffer == kNone && overwrites_input(n)) {
        buffer = at(buffer_of, storage_of(node.in));
        schedule_.input_in_place = schedule_.input_in_place || buffer == kInputBuffer;
      }
      if (buffer == kNone) buffer = new_buffer(at(shapes_, storage_of(node.out)), false);
    }
    for (ValueId id = 0; id < static_cast<ValueId>(program_.values.size()); ++id) {
      const Shape& shape = at(shapes_, storage_of(id));
      schedule_.value.push_back(place(id, at(buffer_of, storage_of(id)), row_stride(shape)));
    }
    for (const Node& node : program_.nodes) {
      const ActivationInfo& activation = activation_of(node);
      const bool reads = traits(node.op).takes_epilogue && activation.saves != Saves::kNothing;
      schedule_.saved.push_back(!reads              ? Place{}
                                : saves_apart(node) ? new_place(node.out)
                                                    : schedule_.value_at(node.out));
      const Traits t = traits(program_, node);
      schedule_.choice.push_back(t.saves_choice ? new_place(node.out, true) : Place{});
    }
  }
  // Dropout and noise may, if no other node and no backward pass reads the value that they overwrite.
  bool overwrites_input(NodeId n) const {
    const Node& node = program_.node(n);
    if (!node.is<Perturb>() || at(readers_, storage_of(node.in)) != 1 || !is_whole(node.in) || !is_whole(node.out))
      return false;
    for (const Node& before : program_.nodes)
      if (before.out == node.in)
        return traits(before.op).takes_epilogue &&
               (activation_of(before).saves != Saves::kOutput || saves_apart(before));
    return node.in == kInputValue;
  }

  void place_gradients() {
    schedule_.gradient.resize(program_.values.size());
    std::vector<Place> of_storage(shapes_.size());
    const auto whole = [&](ValueId id) -> Place& {
      Place& place = at(of_storage, storage_of(id));
      if (place.buffer == kNone) {
        const Shape& shape = at(shapes_, storage_of(id));
        place = {new_buffer(shape, false), 0, row_stride(shape), shape.pixels()};
      }
      return place;
    };
    whole(program_.result);
    for (NodeId n = node_count(program_); n-- > schedule_.first_trained;) {
      const Node& node = program_.node(n);
      const Place out = whole(node.out);
      if (is_wanted(node.in)) {
        if (is_gradient_in_place(node))
          at(of_storage, storage_of(node.in)) = out;
        else
          whole(node.in);
      }
      if (node.epilogue.add != kNone && is_wanted(node.epilogue.add)) whole(node.epilogue.add);
    }
    for (ValueId id = 0; id < static_cast<ValueId>(program_.values.size()); ++id) {
      const Place& place = at(of_storage, storage_of(id));
      if (place.buffer != kNone) at(schedule_.gradient, id) = this->place(id, place.buffer, place.row);
    }
  }

  // Images that are in use in different regions share a buffer. Vectors do not: the padding of their rows must stay
  // zero, since the weight gradient reads it.
  void share_buffers() {
    struct Use {
      std::int32_t first = -1, last = -1;
    };
    std::vector<Use> uses(schedule_.buffers.size());
    for (std::int32_t r = 0; r < static_cast<std::int32_t>(schedule_.regions.size()); ++r) {
      const Region& region = at(schedule_.regions, r);
      for (std::int32_t s = region.first; s < region.last; ++s)
        for (const Place& place : touched(at(schedule_.steps, s)))
          if (place.buffer >= 0) {
            Use& use = at(uses, place.buffer);
            if (use.first < 0) use.first = r;
            use.last = r;
          }
    }
    std::vector<std::int32_t> to(uses.size(), kNone), free_after;
    std::vector<BufferShape> kept;
    std::vector<std::size_t> order(uses.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return uses[a].first < uses[b].first; });
    for (const std::size_t b : order) {
      if (uses[b].first < 0) continue;  // nothing touches it
      const BufferShape& shape = schedule_.buffers[b];
      std::size_t k = 0;
      while (k < kept.size() && !(shape.pixels > 1 && kept[k].row == shape.row && kept[k].pixels == shape.pixels &&
                                  kept[k].bytes == shape.bytes && free_after[k] < uses[b].first))
        ++k;
      if (k == kept.size()) kept.push_back(shape), free_after.push_back(0);
      free_after[k] = uses[b].last;
      to[b] = static_cast<std::int32_t>(k);
    }
    schedule_.buffers = std::move(kept);
    for (std::vector<Place>* places : {&schedule_.value, &schedule_.gradient, &schedule_.saved, &schedule_.choice})
      for (Place& place : *places)
        if (place.buffer >= 0) place.buffer = at(to, place.buffer);
  }

  // The places that a step reads and writes.
  std::vector<Place> touched(const TrainingStep& step) const {
    if (step.task == Task::kLoss) return {schedule_.value_at(program_.result), schedule_.gradient_at(program_.result)};
    const Node& node = program_.node(step.node);
    const Place none, in = schedule_.value_at(node.in), out = schedule_.value_at(node.out);
    const Place din = schedule_.gradient_at(node.in), dout = schedule_.gradient_at(node.out);
    const Place add = node.epilogue.add == kNone ? none : schedule_.value_at(node.epilogue.add);
    const Place dadd = step.pass ? schedule_.gradient_at(node.epilogue.add) : none;
    const Place saved = at(schedule_.saved, step.node), choice = at(schedule_.choice, step.node);
    switch (step.task) {
      case Task::kForward:
        return {in, add, out, saved, choice};
      case Task::kStatistics:
        return {in};
      case Task::kEpilogue:
        return {dout, dadd, saved, choice};
      case Task::kSums:
        return {in, dout};
      case Task::kInput:
        return {in, out, dout, din, choice};
      case Task::kWeights:
        return {in, dout, choice};
      case Task::kMerge:
      case Task::kMergeSums:
      case Task::kLoss:
        return {};
    }
    return {};
  }

  ptrdiff_t samples_multiple() const {
    ptrdiff_t multiple = 1;
    for (const Node& node : program_.nodes) {
      const ptrdiff_t pixels = program_.value(node.out).shape.pixels();
      const Affine* const affine = node.as<Affine>();
      const bool rows = affine && !affine->windowed && program_.value(node.in).shape.is_vector();
      if (rows && program_.block(affine->block).pieces > 1) multiple = std::lcm(multiple, kMaxoutChunk);
      if (node.epilogue.slopes != kNone || traits(node.op).batch) multiple = std::lcm(multiple, sum_samples(pixels));
    }
    return multiple;
  }

  const Program& program_;
  const std::vector<bool>& frozen_;
  bool from_logits_;
  std::vector<Shape> shapes_;          // by storage
  std::vector<int> readers_;           // by storage
  std::vector<std::uint8_t> written_;  // by storage: whether its gradient has been written
  std::vector<NodeId> waiting_;        // for a region over parameters
  TrainingSchedule schedule_;
};

}  // namespace

TrainingSchedule schedule_training(const Program& training, const std::vector<bool>& frozen, bool from_logits) {
  return TrainingScheduler(training, frozen, from_logits).take();
}

namespace {

std::ostream& operator<<(std::ostream& out, const Place& place) {
  if (place.buffer == kNone) return out << '-';
  if (place.buffer == kInputBuffer)
    out << "input";
  else if (place.buffer == kOutputBuffer)
    out << "output";
  else
    out << place.buffer;
  if (place.channel > 0) out << '+' << place.channel;
  return out;
}

constexpr const char* kTaskNames[] = {"forward", "statistics", "merge", "loss",   "epilogue",
                                      "sums",    "merge sums", "input", "weights"};
constexpr const char* kOverNames[] = {"samples", "once", "parameters"};

}  // namespace

std::string describe(const Program& program, const ForwardSchedule& schedule) {
  std::ostringstream out;
  for (const ForwardStep& step : schedule.steps) {
    out << 'n' << step.node << ": v" << program.node(step.node).in << " at " << step.in;
    if (step.add.buffer != kNone) out << ", + v" << program.node(step.node).epilogue.add << " at " << step.add;
    out << " -> v" << program.node(step.node).out << " at " << step.out << '\n';
  }
  out << schedule.start.size() << " buffers, " << schedule.elements << " elements per sample\n";
  return out.str();
}

std::string describe(const Program& program, const TrainingSchedule& schedule) {
  std::ostringstream out;
  for (const Region& region : schedule.regions) {
    out << kOverNames[static_cast<int>(region.over)] << ":\n";
    for (std::int32_t s = region.first; s < region.last; ++s) {
      const TrainingStep& step = schedule.steps[static_cast<std::size_t>(s)];
      out << "  " << kTaskNames[static_cast<int>(step.task)];
      if (step.node != kNone) {
        const Node& node = program.node(step.node);
        out << " n" << step.node;
        if (step.task == Task::kForward)
          out << ": v" << node.in << " at " << schedule.value_at(node.in) << " -> v" << node.out << " at "
              << schedule.value_at(node.out);
        if (step.task == Task::kEpilogue) {
          out << ": g" << node.out << " at " << schedule.gradient_at(node.out);
          if (step.pass) out << ", " << (step.adds ? "adds to" : "writes") << " g" << node.epilogue.add;
        }
        if (step.task == Task::kInput)
          out << ": " << (step.adds ? "adds to" : "writes") << " g" << node.in << " at "
              << schedule.gradient_at(node.in);
      }
      out << '\n';
    }
  }
  out << schedule.buffers.size() << " buffers\n";
  return out.str();
}

}  // namespace fnnfast
