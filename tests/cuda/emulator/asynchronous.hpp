// What Hopper's barriers, copies of boxes and products of warpgroups keep in mind. For the emulator's own sources
// alone.
//
// The copy engine and the tensor cores reach shared memory in their own way (the async proxy). Each four bytes of it
// know who wrote them, and what is still to read or write them, so that a missing wait or fence is an error, whatever
// the numbers come out as. Only instructions are seen here (copies and matrices), not plain stores.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <vector>

namespace fnnfast::emulator {

struct Block;
struct Thread;
struct Warp;

// Four bytes of shared memory.
struct Word {
  std::uint32_t writer;   // the thread that wrote them, its number plus one; 0: nobody, or the copy engine
  std::uint32_t fences;   // how many fences that thread had behind it
  std::uint16_t readers;  // stores of boxes and products in flight
  bool arriving;          // the load of a box is in flight
};

// An mbarrier. The eight bytes in shared memory are its image: who writes over them is found out.
struct Barrier {
  unsigned offset, count;
  unsigned missing;        // arrivals
  std::int64_t bytes;      // expected, and not copied yet
  std::uint64_t phase;     // as many have ended
  const Thread* maker;     // which initialized it
  std::uint64_t meetings;  // of the maker until then
  bool published;          // to the copy engine
  std::vector<std::size_t> waiting;
};

// A CUtensorMap, decoded. The unit is an element, of strides a byte.
struct TensorMap {
  std::uint64_t magic;
  unsigned char* data;
  std::uint64_t size[3], stride[2];
  std::uint16_t box[3];
  std::uint8_t rank, element;
  std::uint8_t span;  // of the swizzle, in bytes; 16: none

  std::size_t bytes() const { return std::size_t{box[0]} * box[1] * box[2] * element; }
};

struct BoxLoad {
  Thread* issuer;
  TensorMap map;
  int at[3];
  unsigned to;  // address in the issuer's block
  Barrier* barrier;
  std::uint64_t phase;  // of the barrier, when the load began
};
struct BoxStore {
  TensorMap map;
  int at[3];
  unsigned from;
  bool was_read, was_written;
  std::vector<unsigned char> bytes;  // once they are read
};

// Sums of a warp that products in flight add to. Meanwhile registers hold NaN, or, if products come at once, sums.
struct SumsInFlight {
  int columns;
  std::vector<float*> parts[32];  // of a lane: `each` registers at a place
  int each;
  std::vector<float> values, held;  // a lane's after the other's: the sums, and what registers must hold
  unsigned products;
};
// A warp's part of a product: 16 rows.
struct Product {
  SumsInFlight* sums;
  const std::uint32_t* registers[32];        // the left operand's, or null
  std::uint32_t a[32][4];                    // what they held
  std::vector<unsigned> chunks_a, chunks_b;  // addresses of 16 bytes
  bool transposed_a, transposed_b;
  bool done;
  void (*multiply)(const Product& product, const Block& block);
};
struct WarpProducts {
  std::list<Product> queue;
  std::vector<std::size_t> groups;  // how many belong to each, the oldest first
  std::size_t uncommitted = 0;
  std::list<SumsInFlight> sums;  // places that are not used are used again
  bool fenced = false;           // since registers may have been accessed
  std::size_t steps = 0;         // of the warpgroup, that this warp has done
  unsigned registers = 0;        // of a thread, if they were given or taken
};

// What the four warps of a warpgroup do alike.
struct WarpgroupStep {
  const char* name;
  std::uint64_t a, b;
  unsigned number;
};

struct AsyncBlock {
  std::vector<Word> words;
  bool used;                             // something has been in flight: else no word has readers, and none is arriving
  std::map<unsigned, Barrier> barriers;  // by offset
  std::vector<std::vector<WarpgroupStep>> warpgroups;
  std::uint64_t meetings = 0;  // of all threads
};
struct AsyncThread {
  std::uint32_t fences = 0;
  std::uint64_t meetings = 0;  // with other lanes
  std::uint64_t arrivals = 0;  // at barriers of shared memory
  std::uint64_t at_fence = 0;  // the sum of all of these and the block's meetings
  std::vector<BoxStore> stores;
  std::vector<std::size_t> groups;
  std::size_t uncommitted = 0;
};

// ---- for the rest of the emulator

void begin_async(Block& block);
void end_async(Block& block);
void end_async(Thread& thread);
// Lets a load of a box arrive, if there is one.
bool deliver_load();
std::string describe(const Barrier& barrier);

// ---- shared memory

// The addresses of PTX, of 32 bits. The block's memory does not begin at a multiple of 1024, as it need not on a
// device.
inline constexpr unsigned kFirstAddress = 1024 + 128, kBeforeShared = 128;

unsigned char* at_address(const Block& block, unsigned address);
Word* words_at(Block& block, unsigned address);
// By a thread's own instruction: it may write these bytes, it has written them, it may read them.
void check_unused(const char* what, const Thread& writer, const void* bytes, std::size_t size);
void mark_written(const Thread& writer, const void* bytes, std::size_t size);
void check_readable(const char* what, const void* bytes, std::size_t size);
// By the copy engine or the tensor cores for that thread, in 16 bytes.
void begin_reading(const char* what, const Thread& issuer, unsigned address);
void end_reading(Block& block, unsigned address);
void check_writable(const char* what, const Thread& issuer, unsigned address);

// The copy engine's and the tensor cores' permutation of the chunks of 16 bytes of 8 rows of `span` bytes.
inline unsigned swizzled(unsigned address, unsigned span) { return address ^ (address >> 7 & (span / 16 - 1)) << 4; }

Barrier& barrier_at(const char* what, unsigned address);
// Bytes have come that were issued in that phase.
void complete_bytes(Barrier& barrier, std::uint64_t phase, std::size_t bytes);

}  // namespace fnnfast::emulator
