// Barriers in shared memory (mbarrier), and what the copy engine and the tensor cores see of it.
#include <cinttypes>
#include <cstdio>

#include "hopper.hpp"
#include "machine.hpp"

namespace fnnfast::emulator {
namespace {

constexpr unsigned kMost = (1u << 20) - 1;  // arrivals, and bytes

std::uint64_t image(const Barrier& barrier) {
  return barrier.phase << 48 ^ std::uint64_t{barrier.missing} << 24 ^ static_cast<std::uint64_t>(barrier.bytes);
}
void store_image(const Barrier& barrier, const Block& block) {
  const std::uint64_t bits = image(barrier);
  std::memcpy(block.shared + barrier.offset, &bits, sizeof(bits));
}

// Ends the phase if nothing is missing. `block`: the barrier's.
void proceed(Barrier& barrier, const Block& block) {
  if (barrier.missing == 0 && barrier.bytes == 0) {
    ++barrier.phase;
    barrier.missing = barrier.count;
    for (const std::size_t thread : barrier.waiting) machine.ready.insert(thread);
    barrier.waiting.clear();
  }
  store_image(barrier, block);
}

// How often a thread has met others, all of its block or lanes of its warp.
std::uint64_t meetings(const Thread& thread) { return thread.async.meetings + thread.block->async.meetings; }

// A fence must lie between a thread's writes and others that the async proxy does for `issuer`, and if that is another
// thread, both must have met since. Of fences before the last one it is not known whether they have.
void check_fenced(const char* what, const Thread& issuer, const Word& word, std::size_t offset) {
  if (word.writer == 0) return;
  const Thread& writer = machine.threads[word.writer - 1];
  if (writer.async.fences == word.fences) {
    fail("%s: %s wrote to offset %zu in shared memory and has not called fence.proxy.async since", what,
         position(writer).c_str(), offset);
  }
  if (&writer != &issuer && writer.async.fences == word.fences + 1 &&
      meetings(writer) + writer.async.arrivals == writer.async.at_fence) {
    fail("%s: %s wrote to offset %zu in shared memory, called fence.proxy.async, and has met nobody since", what,
         position(writer).c_str(), offset);
  }
}

}  // namespace

std::string describe(const Barrier& barrier) {
  char text[160];
  std::snprintf(text, sizeof(text),
                "the barrier at offset %u: phase %" PRIu64 ", %u of %u arrivals and %" PRId64 " bytes missing",
                barrier.offset, barrier.phase, barrier.missing, barrier.count, barrier.bytes);
  return text;
}

// ---- addresses

unsigned address_of(const void* shared) {
  const Thread& self = this_thread("shared_address()");
  return kFirstAddress + static_cast<unsigned>(static_cast<const unsigned char*>(shared) - self.shared);
}

unsigned char* shared_at(const char* what, unsigned address, std::size_t size, std::size_t alignment) {
  const Thread& self = this_thread(what);
  const std::ptrdiff_t offset = std::ptrdiff_t{address} - std::ptrdiff_t{kFirstAddress};
  const auto bytes = static_cast<std::ptrdiff_t>(machine.launch->shared_bytes);
  if (offset < 0 || bytes - offset < static_cast<std::ptrdiff_t>(size)) {
    fail("%s: offset %td is outside the block's %td bytes of shared memory", what, offset, bytes);
  }
  if (address % alignment != 0) {
    fail("%s: offset %td in shared memory, address %u, is not aligned to %zu bytes", what, offset, address, alignment);
  }
  return self.shared + offset;
}

unsigned char* at_address(const Block& block, unsigned address) { return block.shared + (address - kFirstAddress); }

Word* words_at(Block& block, unsigned address) { return block.async.words.data() + (address - kFirstAddress) / 4; }

// ---- who reads and writes

void check_unused(const char* what, const Thread& writer, const void* bytes, std::size_t size) {
  const auto offset = static_cast<std::size_t>(static_cast<const unsigned char*>(bytes) - writer.shared);
  for (std::size_t i = offset / 4; i < (offset + size + 3) / 4; ++i) {
    const Word& word = writer.block->async.words[i];
    if (word.readers > 0) {
      fail("%s: writes to offset %zu in shared memory, which a copy or a product in flight reads", what, 4 * i);
    }
    if (word.arriving) fail("%s: writes to offset %zu in shared memory, where a copy is to arrive", what, 4 * i);
  }
}

FNNFAST_EMULATOR_UNCHECKED void mark_written(const Thread& writer, const void* bytes, std::size_t size) {
  const auto offset = static_cast<std::size_t>(static_cast<const unsigned char*>(bytes) - writer.shared);
  Word* const words = writer.block->async.words.data();
  for (std::size_t i = offset / 4; i < (offset + size + 3) / 4; ++i) {
    words[i].writer = static_cast<std::uint32_t>(writer.number) + 1;
    words[i].fences = writer.async.fences;
  }
}

void check_readable(const char* what, const void* bytes, std::size_t size) {
  const Thread& self = this_thread(what);
  const auto offset = static_cast<std::size_t>(static_cast<const unsigned char*>(bytes) - self.shared);
  for (std::size_t i = offset / 4; i < (offset + size + 3) / 4; ++i) {
    if (self.block->async.words[i].arriving) {
      fail("%s: reads offset %zu in shared memory, where a copy is still to arrive", what, 4 * i);
    }
  }
}

void begin_reading(const char* what, const Thread& issuer, unsigned address) {
  check_readable(what, shared_at(what, address, 16, 16), 16);
  Word* const words = words_at(*issuer.block, address);
  issuer.block->async.used = true;
  for (std::size_t i = 0; i < 4; ++i) {
    check_fenced(what, issuer, words[i], address - kFirstAddress + 4 * i);
    ++words[i].readers;
  }
}

void end_reading(Block& block, unsigned address) {
  Word* const words = words_at(block, address);
  for (std::size_t i = 0; i < 4; ++i) --words[i].readers;
}

void check_writable(const char* what, const Thread& issuer, unsigned address) {
  check_unused(what, issuer, at_address(*issuer.block, address), 16);
  const Word* const words = words_at(*issuer.block, address);
  for (std::size_t i = 0; i < 4; ++i) check_fenced(what, issuer, words[i], address - kFirstAddress + 4 * i);
}

void fence_async() {
  Thread& self = this_thread("fence.proxy.async");
  ++self.async.fences;
  self.async.at_fence = meetings(self) + self.async.arrivals;
}

// ---- barriers

Barrier& barrier_at(const char* what, unsigned address) {
  Thread& self = this_thread(what);
  shared_at(what, address, 8, 8);
  const unsigned offset = address - kFirstAddress;
  const auto found = self.block->async.barriers.find(offset);
  if (found == self.block->async.barriers.end()) fail("%s: there is no barrier at offset %u", what, offset);
  Barrier& barrier = found->second;
  const std::uint64_t expected = image(barrier);
  if (std::memcmp(self.shared + offset, &expected, sizeof(expected)) != 0) {
    fail("%s: something was written over the barrier at offset %u", what, offset);
  }
  if (barrier.maker != &self && meetings(*barrier.maker) == barrier.meetings) {
    fail("%s: %s initialized the barrier at offset %u and has met nobody since", what, position(*barrier.maker).c_str(),
         offset);
  }
  return barrier;
}

void init_barrier(unsigned address, unsigned count) {
  Thread& self = this_thread("barrier_init()");
  shared_at("barrier_init()", address, 8, 8);
  const unsigned offset = address - kFirstAddress;
  if (count < 1 || count > kMost) fail("barrier_init(): no phases of %u arrivals", count);
  const Barrier fresh{offset, count, count, 0, 0, &self, meetings(self), false, {}};
  const auto [at, is_new] = self.block->async.barriers.insert({offset, fresh});
  if (!is_new) fail("barrier_init(): there is a barrier at offset %u", offset);
  store_image(at->second, *self.block);
}

void fence_barriers() {
  Thread& self = this_thread("barrier_init_fence()");
  for (auto& [offset, barrier] : self.block->async.barriers) barrier.published |= barrier.maker == &self;
  fence_async();
}

void arrive_at_barrier(unsigned address, unsigned bytes) {
  constexpr const char* kName = "barrier_arrive()";
  Barrier& barrier = barrier_at(kName, address);
  Thread& self = *current;
  if (barrier.bytes + bytes > kMost)
    fail("%s: %u more bytes are too many for %s", kName, bytes, describe(barrier).c_str());
  if (barrier.missing == 0) fail("%s: one more than expected at %s", kName, describe(barrier).c_str());
  barrier.bytes += bytes;
  --barrier.missing;
  ++self.async.arrivals;
  proceed(barrier, *self.block);
}

void complete_bytes(Barrier& barrier, std::uint64_t phase, std::size_t bytes) {
  if (barrier.phase != phase) {
    fail("%zu bytes of a load of phase %" PRIu64 " come when it has ended: fewer were expected: %s", bytes, phase,
         describe(barrier).c_str());
  }
  barrier.bytes -= static_cast<std::int64_t>(bytes);
  if (barrier.bytes < -std::int64_t{kMost})
    fail("too many bytes that were not expected at %s", describe(barrier).c_str());
  proceed(barrier, *current->block);
}

void wait_at_barrier(unsigned address, unsigned parity) {
  constexpr const char* kName = "barrier_wait()";
  Barrier& barrier = barrier_at(kName, address);
  Thread& self = *current;
  if (parity > 1) fail("%s: a parity is 0 or 1, not %u", kName, parity);
  const std::uint64_t phase = barrier.phase;
  if ((phase & 1) != parity) return;
  barrier.waiting.push_back(self.number);
  self.barrier = &barrier;
  self.parity = parity;
  wait(self, kName);
  self.barrier = nullptr;
  // A device looks from time to time, and would wait on.
  if (barrier.phase != phase + 1) {
    fail("%s: %" PRIu64 " phases ended before the thread saw the end of one: %s", kName, barrier.phase - phase,
         describe(barrier).c_str());
  }
}

}  // namespace fnnfast::emulator
