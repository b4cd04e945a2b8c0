// Inside the emulator: who is ready, who is next. For its own sources alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "asynchronous.hpp"
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
// Whether what may happen at once or later happens at once; random schedules decide by chance if it may be deferred.
bool now(Choices& choices);
// Which of several is the next.
std::size_t one_of(std::size_t count, Choices& choices);

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
  void insert(std::size_t thread) { words_[thread / 64] |= std::uint64_t{1} << thread % 64; }
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

// An asynchronous copy of cp.async.
struct Copy {
  unsigned char* to;
  const void* from;
  int valid, size;
  bool done;

  void perform() const {
    if (valid > 0) std::memcpy(to, from, static_cast<std::size_t>(valid));
    std::memset(to + valid, 0, static_cast<std::size_t>(size - valid));
  }
};

// Lanes that wait for the rest of their mask. Several may gather in a warp at a time, each mask for itself.
struct Gathering {
  const Collective* what;
  unsigned mask, arrived;
};

struct Warp {
  unsigned lanes = 0xFFFFFFFF;  // the last warp of a block may be short
  unsigned gathering = 0;
  Gathering gatherings[32];
  void* operands[32];  // of the lanes that have arrived somewhere
  WarpProducts products;
};

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

struct Block {
  uint3 index;
  std::size_t first;  // of its threads
  unsigned at_barrier;
  std::unique_ptr<unsigned char, Free> memory;
  unsigned char* shared;  // in it
  std::vector<Warp> warps;
  AsyncBlock async;
};

struct Thread {
  std::size_t number;
  uint3 index;
  unsigned lane;
  Block* block;
  unsigned char* shared;
  Warp* warp;
  Fiber* fiber;
  const char* waits_at;    // what it waited at last
  unsigned mask;           // of that, if it was the warp's
  const Barrier* barrier;  // of that, if it was one of shared memory
  unsigned parity;
  bool ended;
  std::vector<Copy> copies;         // that nobody has waited for
  std::vector<std::size_t> groups;  // how many of them belong to each group, the oldest first
  std::size_t uncommitted;
  AsyncThread async;
};

// Of one launch at a time, and some of it for the next ones. Never destroyed: nothing depends on the order of that.
struct Machine {
  std::vector<std::unique_ptr<Fiber>> fibers;
  ReadyThreads ready;
  std::vector<Block> blocks;    // that exist at the same time
  std::vector<Thread> threads;  // theirs; each block begins at a multiple of 64
  const Launch* launch = nullptr;
  Choices* choices = nullptr;
  Fiber* host = nullptr;
  std::size_t threads_per_block = 0;
  std::size_t living = 0, at_grid_barrier = 0;
  const unsigned* counter = nullptr;  // of the grid barrier
  std::deque<BoxLoad> loads;          // that have not arrived
};
extern Machine& machine;
extern Thread* current;

FNNFAST_EMULATOR_UNCHECKED inline Thread& this_thread(const char* what) {
  if (current == nullptr) fail("%s outside a kernel", what);
  return *current;
}
std::string position(const Thread& thread);

// Lets others run until somebody lets this thread go on.
void wait(Thread& self, const char* at);

}  // namespace fnnfast::emulator
