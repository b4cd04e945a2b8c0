// Threads, and how they wait for each other: at barriers, with the lanes of a warp, for copies.
#include "emulator.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "fibers.hpp"
#include "machine.hpp"

#if defined(FNNFAST_EMULATOR_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fnnfast::emulator {

Machine& machine = *new Machine;
Thread* current = nullptr;

std::string position(const Thread& thread) {
  char text[160];
  const uint3 b = thread.block->index, t = thread.index;
  std::snprintf(text, sizeof(text), "block (%u, %u, %u), thread (%u, %u, %u)", b.x, b.y, b.z, t.x, t.y, t.z);
  return text;
}

namespace {

Thread* first_thread = nullptr;  // machine.threads.data()

template <class Function>
void for_each_thread(Function function) {
  for (const Block& block : machine.blocks)
    for (std::size_t i = 0; i < machine.threads_per_block; ++i) function(machine.threads[block.first + i]);
}

// Everybody waits or has ended: says how many where, and who is the first of them.
[[noreturn]] void fail_deadlocked() {
  struct Group {
    const Thread* first;
    std::size_t count;
  };
  std::vector<Group> groups;
  for_each_thread([&](const Thread& thread) {
    for (Group& group : groups) {
      const Thread& other = *group.first;
      const bool same = thread.ended == other.ended &&
                        (thread.ended || (thread.waits_at == other.waits_at && thread.mask == other.mask &&
                                          thread.barrier == other.barrier && thread.parity == other.parity));
      if (same) {
        ++group.count;
        return;
      }
    }
    groups.push_back({&thread, 1});
  });
  std::string text = "deadlock";
  for (const Group& group : groups) {
    char mask[40] = "";
    if (group.first->mask != 0 && !group.first->ended) {
      std::snprintf(mask, sizeof(mask), " with mask 0x%08x", group.first->mask);
    }
    const std::string barrier =
        group.first->barrier == nullptr || group.first->ended
            ? ""
            : " for parity " + std::to_string(group.first->parity) + " of " + describe(*group.first->barrier);
    text += (&group == &groups.front() ? ": " : "; ") + std::to_string(group.count) +
            (group.count == 1 ? " thread " : " threads ") +
            (group.first->ended ? "ended" : std::string("at ") + group.first->waits_at) + mask + barrier +
            (group.count == 1 ? ": " : ", the first of them: ") + position(*group.first);
  }
  fail("%s", text.c_str());
}

// The thread whose turn it is, which becomes the running one.
FNNFAST_EMULATOR_UNCHECKED inline Thread& take_turn() {
  std::size_t number;
  while ((number = machine.ready.choose(*machine.choices)) == ReadyThreads::kNone) {
    if (!deliver_load()) fail_deadlocked();
  }
  Thread& next = first_thread[number];
  current = &next;
  running.thread = next.index;
  running.lane = next.lane;
  running.block = next.block->index;
  running.shared = next.shared;
  return next;
}

// Returns when it is this thread's turn again.
FNNFAST_EMULATOR_UNCHECKED inline void let_others_run(Thread& self) {
  Thread& next = take_turn();
  if (&next != &self) self.fiber->switch_to(*next.fiber);
}

// The same, and it is not before somebody lets it go on.
FNNFAST_EMULATOR_UNCHECKED inline void park(Thread& self, const char* at, unsigned mask) {
  self.waits_at = at;
  self.mask = mask;
  machine.ready.erase(self.number);
  let_others_run(self);
}

// Where a thread begins. The frame stays behind on the stack when the thread leaves: see Fiber::begin.
FNNFAST_EMULATOR_UNCHECKED void run_thread() {
  try {
    machine.launch->thread(machine.launch->call);
  } catch (...) {
    fail("an exception left the kernel");
  }
  Thread& self = *current;
  if (!self.copies.empty()) fail("the thread ends with %zu copies that it has not waited for", self.copies.size());
  end_async(self);
  self.ended = true;
  machine.ready.erase(self.number);
  if (--machine.living == 0) {
    current = nullptr;
    self.fiber->leave_to(*machine.host);
  }
  self.fiber->leave_to(*take_turn().fiber);
}

void allocate_blocks(std::size_t count, const Launch& what) {
  const std::size_t size = machine.threads_per_block, padded = (size + 63) / 64 * 64;
  machine.blocks.clear();
  machine.blocks.resize(count);
  machine.threads.resize(std::max(machine.threads.size(), count * padded));
  first_thread = machine.threads.data();
  machine.ready.clear(count * padded);
  while (machine.fibers.size() < count * size) {
    machine.fibers.push_back(std::make_unique<Fiber>(machine.fibers.size()));
  }
  for (std::size_t b = 0; b < count; ++b) {
    Block& block = machine.blocks[b];
    block.first = b * padded;
    void* shared = nullptr;
    if (posix_memalign(&shared, 1024, kBeforeShared + what.shared_bytes) != 0) {
      fail("no memory for a block's shared memory");
    }
    block.memory.reset(static_cast<unsigned char*>(shared));
    block.shared = block.memory.get() + kBeforeShared;
#if defined(FNNFAST_EMULATOR_ASAN)
    __asan_poison_memory_region(shared, kBeforeShared);
#endif
    block.warps.resize((size + 31) / 32);
    if (size % 32 != 0) block.warps.back().lanes = (1u << size % 32) - 1;
    for (std::size_t i = 0; i < size; ++i) {
      Thread& thread = machine.threads[block.first + i];
      const auto n = static_cast<unsigned>(i);
      thread.number = block.first + i;
      thread.index = {n % what.block.x, n / what.block.x % what.block.y, n / what.block.x / what.block.y};
      thread.lane = n % 32;
      thread.block = &block;
      thread.shared = block.shared;
      thread.warp = &block.warps[i / 32];
      thread.fiber = machine.fibers[b * size + i].get();
    }
  }
}

void begin_block(Block& block, std::uint64_t number, const Launch& what) {
  const std::uint64_t x = what.grid.x, y = what.grid.y;
  block.index = {static_cast<unsigned>(number % x), static_cast<unsigned>(number / x % y),
                 static_cast<unsigned>(number / x / y)};
  block.at_barrier = 0;
  if (what.shared_bytes > 0) std::memset(block.shared, 0xFF, what.shared_bytes);
  for (std::size_t i = 0; i < machine.threads_per_block; ++i) {
    Thread& thread = machine.threads[block.first + i];
    thread.ended = false;
    thread.groups.clear();
    thread.uncommitted = 0;
    thread.barrier = nullptr;
    thread.parity = 0;
    thread.async = AsyncThread{};
    thread.fiber->start(run_thread);
  }
  begin_async(block);
  machine.ready.insert_block(block.first, machine.threads_per_block);
}

}  // namespace

void wait(Thread& self, const char* at) { park(self, at, 0); }

void fail(const char* format, ...) {
  std::fputs("fnnfast emulator: ", stderr);
  if (current != nullptr) std::fprintf(stderr, "%s: ", position(*current).c_str());
  std::va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
#if defined(FNNFAST_EMULATOR_ASAN)
  __sanitizer_print_stack_trace();
#endif
  std::abort();
}

void run(const Launch& what) {
  const std::uint64_t total = std::uint64_t{what.grid.x} * what.grid.y * what.grid.z;
  Fiber host;
  machine.launch = &what;
  machine.choices = &choices();
  machine.host = &host;
  machine.threads_per_block = std::size_t{what.block.x} * what.block.y * what.block.z;
  machine.at_grid_barrier = 0;
  machine.counter = nullptr;
  allocate_blocks(what.cooperative ? total : 1, what);
  running.block_size = what.block;
  running.grid_size = what.grid;
  running.shared_bytes = what.shared_bytes;

  BlockOrder order(total);
  for (std::uint64_t begun = 0; begun < total; begun += machine.blocks.size()) {
    for (std::size_t b = 0; b < machine.blocks.size(); ++b) begin_block(machine.blocks[b], order.at(begun + b), what);
    machine.living = machine.blocks.size() * machine.threads_per_block;
    host.switch_to(*take_turn().fiber);
    for (Block& block : machine.blocks) end_async(block);
  }
  machine.blocks.clear();
  running = Running{};
}

FNNFAST_EMULATOR_UNCHECKED void block_barrier() {
  Thread& self = this_thread("__syncthreads()");
  Block& block = *self.block;
  if (++block.at_barrier < machine.threads_per_block) return park(self, "__syncthreads()", 0);
  block.at_barrier = 0;
  ++block.async.meetings;
  machine.ready.insert_block(block.first, machine.threads_per_block);
  let_others_run(self);
}

void meet_grid(const unsigned* counter) {
  Thread& self = this_thread("grid_barrier()");
  if (!machine.launch->cooperative) fail("grid_barrier() in a launch that is not cooperative");
  if (running.grid_size.y != 1 || running.grid_size.z != 1) fail("grid_barrier() counts the blocks along x alone");
  if (machine.counter == nullptr) machine.counter = counter;
  if (counter == nullptr || counter != machine.counter) {
    fail("grid_barrier() with the counter %p, others with %p", static_cast<const void*>(counter),
         static_cast<const void*>(machine.counter));
  }
  (void)*static_cast<const volatile unsigned*>(counter);  // that it may be read
  if (++machine.at_grid_barrier < machine.blocks.size() * machine.threads_per_block) {
    return park(self, "grid_barrier()", 0);
  }
  machine.at_grid_barrier = 0;
  machine.counter = nullptr;
  for (Block& block : machine.blocks) {
    ++block.async.meetings;
    machine.ready.insert_block(block.first, machine.threads_per_block);
  }
  let_others_run(self);
}

unsigned char* in_block(const void* bytes, std::size_t size, unsigned number) {
  check_shared("in_block()", bytes, size);
  const auto place = static_cast<const unsigned char*>(bytes) - running.shared;
  for (const Block& block : machine.blocks)
    if (block.index.x == number) return block.shared + place;
  fail("in_block(): no block %u in the cluster", number);
}

// Of these lanes of the warp that begins with that thread.
FNNFAST_EMULATOR_UNCHECKED static void count_meeting(std::size_t first, unsigned lanes) {
  for (; lanes != 0; lanes &= lanes - 1)
    ++first_thread[first + static_cast<unsigned>(__builtin_ctz(lanes))].async.meetings;
}

FNNFAST_EMULATOR_UNCHECKED void meet(const Collective& what, unsigned mask, void* operand) {
  Thread& self = this_thread(what.name);
  Warp& warp = *self.warp;
  // What is asked of all 32 lanes needs a warp that has them; else a mask may name lanes that never existed.
  const unsigned lanes = what.whole_warp ? mask : mask & warp.lanes, own = 1u << self.lane;
  if ((mask & own) == 0) fail("%s: lane %u is not in its own mask 0x%08x", what.name, self.lane, mask);
  if ((lanes & ~warp.lanes) != 0) fail("%s: the warp has only the lanes 0x%08x", what.name, warp.lanes);

  Gathering* gathering = warp.gatherings;
  Gathering* const end = gathering + warp.gathering;
  while (gathering != end && gathering->mask != mask) ++gathering;
  if (gathering == end) {
    *gathering = {&what, mask, 0};
    ++warp.gathering;
  }
  if (gathering->what != &what) {
    fail("%s, where other lanes of the mask 0x%08x are at %s", what.name, mask, gathering->what->name);
  }
  warp.operands[self.lane] = operand;
  gathering->arrived |= own;
  if (gathering->arrived != lanes) return park(self, what.name, mask);
  --warp.gathering;
  *gathering = warp.gatherings[warp.gathering];
  what.perform(warp.operands, lanes);
  if (&what == &kSyncWarp) count_meeting(self.number - self.lane, lanes);
  machine.ready.insert_lanes(self.number / 32 * 32, lanes);
  let_others_run(self);
}

void check_shared(const char* what, const void* bytes, std::size_t size) {
  const Thread& self = this_thread(what);
  const auto address = reinterpret_cast<std::uintptr_t>(bytes);
  const std::uintptr_t offset = address - reinterpret_cast<std::uintptr_t>(self.block->shared);
  const std::size_t shared_bytes = machine.launch->shared_bytes;
  if (offset >= shared_bytes || shared_bytes - offset < size) {
    fail("%s: offset %td is outside the block's %zu bytes of shared memory", what, static_cast<std::ptrdiff_t>(offset),
         shared_bytes);
  }
  if (address % size != 0) fail("%s: offset %zu in shared memory is not aligned to %zu bytes", what, offset, size);
}

void issue_copy(void* to, const void* from, int valid, int size) {
  Thread& self = this_thread("copy_async()");
  const auto bytes = static_cast<std::size_t>(size);
  check_shared("copy_async()", to, bytes);
  if (valid < 0 || valid > size) fail("copy_async(): %d valid bytes of %d", valid, size);
  if (reinterpret_cast<std::uintptr_t>(from) % bytes != 0) {
    fail("copy_async(): the address %p in global memory is not aligned to %d bytes", from, size);
  }
#if defined(FNNFAST_EMULATOR_ASAN)
  // Read what must not be read here, where the backtrace shows who wants it, not where it is waited for.
  if (valid > 0) {
    void* poisoned = __asan_region_is_poisoned(const_cast<void*>(from), static_cast<std::size_t>(valid));
    if (poisoned != nullptr) (void)*static_cast<const volatile unsigned char*>(poisoned);
  }
#endif
  const bool done = machine.choices->copies == Copies::kAtOnce;
  self.copies.push_back({static_cast<unsigned char*>(to), from, valid, size, done});
  if (self.block->async.used) check_unused("copy_async()", self, to, bytes);
  if (done) self.copies.back().perform();
  ++self.uncommitted;
}

void commit_copies() {
  Thread& self = this_thread("copy_commit()");
  self.groups.push_back(self.uncommitted);
  self.uncommitted = 0;
}

void wait_for_copies(std::size_t groups_left) {
  Thread& self = this_thread("copy_wait()");
  if (self.groups.size() <= groups_left) return;
  const auto groups = static_cast<std::ptrdiff_t>(self.groups.size() - groups_left);
  const auto last_group = self.groups.begin() + groups;
  const auto last = self.copies.begin() +
                    static_cast<std::ptrdiff_t>(std::accumulate(self.groups.begin(), last_group, std::size_t{0}));
  for (auto copy = self.copies.begin(); copy != last; ++copy) {
    if (!copy->done) copy->perform();
    mark_written(self, copy->to, static_cast<std::size_t>(copy->size));  // now: a fence before this does not do
  }
  self.copies.erase(self.copies.begin(), last);
  self.groups.erase(self.groups.begin(), last_group);
}

}  // namespace fnnfast::emulator
