// The order of a program's steps, the places of its values, and, for training, which steps wait for the whole batch.
//
// Plain arithmetic on programs: no kernels, no memory. The CPU and the GPU execute the same schedules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "program.hpp"

namespace fnnfast {

// Buffers of the caller.
inline constexpr std::int32_t kInputBuffer = -2, kOutputBuffer = -3;

// The place of a value: rows of `row` elements, `pixels` rows per sample. It begins at element `channel` of a row.
struct Place {
  std::int32_t buffer = kNone;
  ptrdiff_t channel = 0, row = 0, pixels = 1;

  ptrdiff_t elements() const { return row * pixels; }  // of a sample
  friend bool operator==(const Place&, const Place&) = default;
};

// The row stride of a storage in one of our own buffers. Vectors: whole cache lines, and not a multiple of a page,
// since rows would then share a few cache sets. Images: exactly the channels, so that a batch is one dense matrix.
ptrdiff_t row_stride(const Shape& storage);

// One pass over the nodes, for inference.
struct ForwardStep {
  NodeId node;
  NodeId next_weights;  // the node whose weights are read next; after the last one, the first
  Place in, add, out;
};
struct ForwardSchedule {
  std::vector<ForwardStep> steps;
  std::vector<ptrdiff_t> start;  // of each buffer in the memory that they share, in elements per sample
  ptrdiff_t elements = 0;        // of that memory, per sample
};
enum class Keep : std::uint8_t {
  kNeeded,
  kAll  // every value in a buffer of its own, for inspection
};
ForwardSchedule schedule_forward(const Program& program, Keep keep = Keep::kNeeded);

// The kinds of steps of a training step, each for one node.
enum class Task : std::uint8_t {
  kForward,
  kStatistics,  // forward sums of a batch-wide reduction, over some samples
  kMerge,       // adds those of all samples
  kLoss,
  kEpilogue,  // from the gradient of the output to that of r (program.hpp); passes on the gradient of the addition
  kSums,      // as kStatistics, backward
  kMergeSums,
  kInput,   // the gradient of the input
  kWeights  // the gradient of the parameters, and their update
};
struct TrainingStep {
  Task task;
  NodeId node;        // kNone for the loss
  bool pass = false;  // kEpilogue: the addition's operand needs its gradient
  bool adds = false;  // adds to the gradient, else writes it first

  friend bool operator==(const TrainingStep&, const TrainingStep&) = default;
};

// The whole batch waits between regions. Within a region over samples, blocks of samples run all steps independently.
enum class Over : std::uint8_t { kSamples, kOnce, kParameters };
struct Region {
  Over over;
  std::int32_t first, last;  // steps [first, last)

  friend bool operator==(const Region&, const Region&) = default;
};

// A buffer for a whole batch: of elements, or of bytes.
struct BufferShape {
  ptrdiff_t row = 0, pixels = 1;
  bool bytes = false;
};

struct TrainingSchedule {
  std::vector<TrainingStep> steps;
  std::vector<Region> regions;
  std::vector<BufferShape> buffers;
  std::vector<Place> value, gradient;  // by value; no place for gradients that are not needed
  std::vector<Place> saved;            // by node: what the epilogue's backward pass reads, if anything
  std::vector<Place> choice;           // by node: which input won, as a byte: maxout's argmax, or a pool's tap
  bool input_in_place = false;         // dropout or noise overwrites the input, which must then be a copy
  ptrdiff_t samples_multiple = 1;      // of blocks of samples, so that no group of rows summed together is split
  NodeId first_trained = 0;            // gradients go back to this node

  const Place& value_at(ValueId id) const { return value[static_cast<std::size_t>(id)]; }
  const Place& gradient_at(ValueId id) const { return gradient[static_cast<std::size_t>(id)]; }
};

// Rows whose maxout argmax is sorted together, and rows whose contributions to a sum over the batch are added first,
// before these sums are added in order. Fixed, since the bits depend on them; they do not depend on the threads.
inline constexpr ptrdiff_t kMaxoutChunk = 64, kSumRows = 32;
// The same in samples of so many pixels each, whole ones.
constexpr ptrdiff_t sum_samples(ptrdiff_t pixels) { return pixels < kSumRows ? kSumRows / pixels : 1; }

// frozen: by block; missing entries are false. from_logits: the loss reads the last node before its activation.
TrainingSchedule schedule_training(const Program& training, const std::vector<bool>& frozen, bool from_logits);

// One line per step, for tests and for people.
std::string describe(const Program& program, const ForwardSchedule& schedule);
std::string describe(const Program& program, const TrainingSchedule& schedule);

}  // namespace fnnfast
