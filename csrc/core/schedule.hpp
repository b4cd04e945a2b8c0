// In what order a program runs, where its values lie, and, for training, which steps wait for the whole batch.
//
// Pure arithmetic on programs: no kernels, no memory. The CPU and the GPU execute the same schedules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "program.hpp"

namespace fnnfast {

// Buffers of the caller.
inline constexpr std::int32_t kInputBuffer = -2, kOutputBuffer = -3;

// Where a value lies: rows of `row` elements, `pixels` rows a sample; the value begins at element `channel` of a row.
struct Place {
  std::int32_t buffer = kNone;
  ptrdiff_t channel = 0, row = 0, pixels = 1;

  ptrdiff_t elements() const { return row * pixels; }  // of a sample
  friend bool operator==(const Place&, const Place&) = default;
};

// The row stride of a storage in a buffer of our own. Vectors: whole cache lines, and not a multiple of a page, where
// rows would share a few cache sets. Images: the channels exactly, so that a batch of them is one dense matrix.
ptrdiff_t row_stride(const Shape& storage);

// One pass over the nodes, for inference.
struct ForwardStep {
  NodeId node;
  NodeId next_weights;  // whose weights are read next: those of the first node again after the last
  Place in, add, out;
};
struct ForwardSchedule {
  std::vector<ForwardStep> steps;
  std::vector<ptrdiff_t> start;  // of each buffer, in elements per sample of the memory that they share
  ptrdiff_t elements = 0;        // of that memory, per sample
};
enum class Keep : std::uint8_t {
  kNeeded,
  kAll  // every value in a buffer of its own, to be looked at afterwards
};
ForwardSchedule schedule_forward(const Program& program, Keep keep = Keep::kNeeded);

// What is done to a node in a training step.
enum class Task : std::uint8_t {
  kForward,
  kStatistics,  // sums over some samples of a batch-wide reduction: forward
  kMerge,       // those of all samples
  kLoss,
  kEpilogue,  // from the gradient of the output to that of r (program.hpp); the addition's share is handed on
  kSums,      // as kStatistics: backward
  kMergeSums,
  kInput,   // the gradient of the input
  kWeights  // the gradient of the parameters, and their update
};
struct TrainingStep {
  Task task;
  NodeId node;        // kNone for the loss
  bool pass = false;  // kEpilogue: the addition's operand wants its gradient
  bool adds = false;  // to a gradient that is there already, else it is the first to write it

  friend bool operator==(const TrainingStep&, const TrainingStep&) = default;
};

// Steps between which the whole batch waits. Within a region over samples, blocks of samples run all steps on their
// own.
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
  std::vector<Place> value, gradient;  // by value; no place for gradients that nobody wants
  std::vector<Place> saved;            // by node: what the epilogue's backward pass reads; none if it reads nothing
  std::vector<Place> choice;           // by node: which piece or tap won
  bool input_in_place = false;         // dropout or noise works on the input where it lies: it must be a copy
  ptrdiff_t samples_multiple = 1;  // blocks of samples are multiples of this: what is summed together stays together
  NodeId first_trained = 0;        // gradients go back to this node

  const Place& value_at(ValueId id) const { return value[static_cast<std::size_t>(id)]; }
  const Place& gradient_at(ValueId id) const { return gradient[static_cast<std::size_t>(id)]; }
};

// Rows whose maxout winners are sorted together, and rows whose contributions to a sum over the batch are added up on
// their own before these sums are added in order. Fixed: they show in the bits, the number of threads does not.
inline constexpr ptrdiff_t kMaxoutChunk = 64, kSumRows = 32;

// frozen: by block; those after the last are not. from_logits: the loss takes the last node before its activation.
TrainingSchedule schedule_training(const Program& training, const std::vector<bool>& frozen, bool from_logits);

// One line per step, for tests and for people.
std::string describe(const Program& program, const ForwardSchedule& schedule);
std::string describe(const Program& program, const TrainingSchedule& schedule);

}  // namespace fnnfast
