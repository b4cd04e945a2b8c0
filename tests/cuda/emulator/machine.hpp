// Inside the emulator: who is ready, who is next. For its own sources alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "emulator.hpp"
#include "fibers.hpp"

namespace fnnfast::emulator {

// Runs a launch that is known to be a possible one. One at a time.
void run(const Launch& what);

// What set_schedule, set_copies or the environment say; read first by a launch.
struct Choices {
  Schedule schedule = Schedule::kAscending;
  std::uint64_t state = 0;  // of the random numbers
  Copies copies = Copies::kDeferred;
};
Choices& choices();

// The threads that can go on, a bit each. The bits of a block begin with a word, so that a barrier releases whole words
// and a warp is half of one.
class ReadyThreads {
 public:
  static constexpr std::size_t kNone = ~std::size_t{0};

  void clear(std::size_t threads) {
    storage_.assign(threads / 64, 0);
    words_ = storage_.data();
    count_ = storage_.size();
  }
  FNNFAST_EMULATOR_UNCHECKED void erase(std::size_t thread) {
    words_[thread / 64] &= ~(std::uint64_t{1} << thread % 64);
  }
  FNNFAST_EMULATOR_UNCHECKED void insert_lanes(std::size_t first, unsigned lanes) {
    words_[first / 64] |= std::uint64_t{lanes} << first % 64;
  }
  void insert_block(std::size_t first, std::size_t threads);
  // Whose turn it is by the schedule; it stays ready.
  std::size_t choose(Choices& choices) const;

 private:
  std::vector<std::uint64_t> storage_;
  std::uint64_t* words_ = nullptr;
  std::size_t count_ = 0;
};

// The blocks of a grid in the order of the schedule.
class BlockOrder {
 public:
  explicit BlockOrder(std::uint64_t blocks);
  std::uint64_t at(std::uint64_t i) const;

 private:
  std::uint64_t blocks_;
  std::vector<std::uint64_t> shuffled_;  // empty if they come in order, or in reverse
};

}  // namespace fnnfast::emulator
