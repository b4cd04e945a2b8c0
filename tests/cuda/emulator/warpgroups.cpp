// Products of warpgroups (wgmma), a warp's 16 rows at a time, and what else a warpgroup does alike.
#include <algorithm>
#include <bit>

#include "fragments.hpp"
#include "hopper.hpp"
#include "machine.hpp"

namespace fnnfast::emulator {
namespace {

constexpr const char* kName = "multiply_async()";
constexpr std::uint32_t kInFlight = 0xFFFFDEAD;  // NaN: what the registers of sums are meanwhile
constexpr unsigned kRegistersPerMultiprocessor = 64 << 10;

// The warpgroup's warps come one after the other: the first says what it does, and the others must do the same.
void step(const WarpgroupStep& what) {
  const Thread& self = *current;
  const std::size_t warp = static_cast<std::size_t>(self.warp - self.block->warps.data());
  if (machine.threads_per_block % 128 != 0) fail("%s: the block does not consist of warpgroups", what.name);
  auto& steps = self.block->async.warpgroups[warp / 4];
  const std::size_t number = self.warp->products.steps++;
  if (number == steps.size()) {
    steps.push_back(what);
    return;
  }
  const WarpgroupStep& other = steps[number];
  if (what.name != other.name || what.a != other.a || what.b != other.b || what.number != other.number) {
    fail(
        "%s of %u (descriptors 0x%016lx, 0x%016lx), where another warp of the warpgroup called %s of %u (0x%016lx, "
        "0x%016lx)",
        what.name, what.number, what.a, what.b, other.name, other.number, other.a, other.b);
  }
}

// The addresses of the chunks of 16 bytes of an operand, from `first` on along m or n: k-major, each row's two, else
// each of 16 k's. By the layouts that PTX calls canonical.
std::vector<unsigned> chunks_of(std::uint64_t descriptor, bool transposed, unsigned first, unsigned count) {
  constexpr std::uint64_t kKnown = 0x3FFF | 0x3FFF << 16 | std::uint64_t{0x3FFF} << 32 | std::uint64_t{3} << 62;
  if ((descriptor & ~kKnown) != 0)
    fail("%s: the descriptor 0x%016lx has bits that mean nothing here", kName, descriptor);
  const auto field = [&](int at) { return static_cast<unsigned>(descriptor >> at & 0x3FFF) * 16; };
  const unsigned start = field(0), leading = field(16), stride = field(32);
  const auto swizzle = static_cast<unsigned>(descriptor >> 62);
  if (swizzle == 0) fail("%s: operands without swizzle are not emulated: descriptor 0x%016lx", kName, descriptor);
  const unsigned span = 256 >> swizzle, within = start % span;
  if (start % (8 * span) >= span) {
    fail("%s: address %u of the descriptor 0x%016lx is within the 8 rows of %u bytes that are swizzled together", kName,
         start, descriptor, span);
  }
  if (transposed ? within != 0 : within + 32 > span) {
    fail("%s: the operand at address %u does not end within its row of %u bytes: descriptor 0x%016lx", kName, start,
         span, descriptor);
  }
  std::vector<unsigned> chunks;
  if (transposed) {
    for (unsigned k = 0; k < 16; ++k)
      for (unsigned at = 2 * first; at < 2 * (first + count); at += 16)
        chunks.push_back(swizzled(start + at % span + at / span * leading + k % 8 * span + k / 8 * stride, span));
  } else {
    for (unsigned row = first; row < first + count; ++row)
      for (unsigned at = 0; at < 32; at += 16)
        chunks.push_back(swizzled(start + row % 8 * span + row / 8 * stride + at, span));
  }
  return chunks;
}

// Numbers of two bytes: 16 along k of each row.
using Numbers = std::vector<std::uint16_t>;

Numbers fetch(const std::vector<unsigned>& chunks, bool transposed, const Block& block) {
  Numbers numbers(chunks.size() * 8);
  const std::size_t rows = chunks.size() / 2;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    std::uint16_t chunk[8];
    std::memcpy(chunk, at_address(block, chunks[i]), 16);
    for (std::size_t e = 0; e < 8; ++e) {
      numbers[transposed ? (i % (rows / 8) * 8 + e) * 16 + i / (rows / 8) : 8 * i + e] = chunk[e];
    }
  }
  return numbers;
}

// Register i of a lane's sums is in row lane / 4 + 8 (i / 2 % 2), column 8 (i / 4) + 2 (lane % 4) + i % 2.
template <class T>
FNNFAST_EMULATOR_UNCHECKED void add(float* sums, int columns, const std::uint16_t* of_a, const std::uint16_t* of_b) {
  double a[16][16];
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k) a[row][k] = unpack<T>(of_a[row * 16 + k], 0);
  for (int first = 0; first < columns; first += 8) {
    Row b[16], d[16];
    for (int k = 0; k < 16; ++k)
      for (int column = 0; column < 8; ++column) b[k][column] = unpack<T>(of_b[(first + column) * 16 + k], 0);
    const auto sum = [=](int lane, int i) __attribute__((no_sanitize("address", "undefined"))) -> float& {
      return sums[lane * (columns / 2) + first / 2 + i];
    };
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) d[lane / 4 + i / 2 * 8][2 * (lane % 4) + i % 2] = sum(lane, i);
    add_products(d, a, b);
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) sum(lane, i) = static_cast<float>(d[lane / 4 + i / 2 * 8][2 * (lane % 4) + i % 2]);
  }
}

// Adds a product to its sums. In registers the left operand is as for mma16816.
template <class T>
void multiply(const Product& product, const Block& block) {
  Numbers a(16 * 16);
  if (product.registers[0] == nullptr) {
    a = fetch(product.chunks_a, product.transposed_a, block);
  } else {
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned i = 0; i < 8; ++i) {
        const unsigned row = lane / 4 + i / 2 % 2 * 8, k = 2 * (lane % 4) + i % 2 + i / 4 * 8;
        a[row * 16 + k] = static_cast<std::uint16_t>(product.a[lane][i / 2] >> 16 * (i % 2));
      }
  }
  const Numbers b = fetch(product.chunks_b, product.transposed_b, block);
  add<T>(product.sums->values.data(), product.sums->columns, a.data(), b.data());
}

template <class F>
void for_each_part(SumsInFlight& sums, F f) {
  std::size_t at = 0;
  for (auto& lane : sums.parts)
    for (float* part : lane) {
      f(part, at);
      at += static_cast<std::size_t>(sums.each);
    }
}

// To the registers, at the end or at once.
void write_back(SumsInFlight& sums) {
  for_each_part(sums, [&](float* part, std::size_t at) {
    std::memcpy(part, &sums.values[at], static_cast<std::size_t>(sums.each) * sizeof(float));
  });
  sums.held = sums.values;
}

void check_held(SumsInFlight& sums) {
  for_each_part(sums, [&](const float* part, std::size_t at) {
    if (std::memcmp(part, &sums.held[at], static_cast<std::size_t>(sums.each) * sizeof(float)) != 0) {
      fail("products_wait(): sums were written during the products that add to them");
    }
  });
}

SumsInFlight& find_sums(WarpProducts& products, void* const* operands) {
  const auto& first = *static_cast<const WarpgroupOperand*>(operands[0]);
  SumsInFlight* unused = nullptr;
  for (SumsInFlight& sums : products.sums) {
    if (sums.products == 0) {
      unused = &sums;
    } else if (std::find(sums.parts[0].begin(), sums.parts[0].end(), first.sums[0]) != sums.parts[0].end()) {
      if (sums.columns != first.columns || sums.parts[0][0] != first.sums[0]) {
        fail("%s: products of another shape are adding to the sums", kName);
      }
      return sums;
    }
  }
  if (!products.fenced) fail("%s: no products_begin() since the registers may have been accessed", kName);
  if (unused == nullptr) unused = &products.sums.emplace_back();
  SumsInFlight& sums = *unused;
  sums.columns = first.columns;
  sums.each = first.each;
  const int parts = first.columns / 2 / first.each;
  for (int lane = 0; lane < 32; ++lane) {
    float* const* const of = static_cast<const WarpgroupOperand*>(operands[lane])->sums;
    sums.parts[lane].assign(of, of + parts);
  }
  sums.values.resize(static_cast<std::size_t>(16 * first.columns));
  sums.held.assign(sums.values.size(), std::bit_cast<float>(kInFlight));
  for_each_part(sums, [&](float* part, std::size_t at) {
    std::memcpy(&sums.values[at], part, static_cast<std::size_t>(sums.each) * sizeof(float));
    std::memcpy(part, &sums.held[at], static_cast<std::size_t>(sums.each) * sizeof(float));
  });
  return sums;
}

void end(Product& product, Block& block) {
  if (!product.done) product.multiply(product, block);
  for (const unsigned address : product.chunks_a) end_reading(block, address);
  for (const unsigned address : product.chunks_b) end_reading(block, address);
  if (product.registers[0] != nullptr) {
    for (int lane = 0; lane < 32; ++lane) {
      if (std::memcmp(product.registers[lane], product.a[lane], sizeof(product.a[lane])) != 0) {
        fail("products_wait(): the left operand was written during its product");
      }
    }
  }
  if (product.sums->products == 1) check_held(*product.sums);
  if (--product.sums->products == 0) write_back(*product.sums);
}

}  // namespace

template <class T>
void begin_products(void* const* operands, unsigned) {
  const Thread& self = *current;
  Block& block = *self.block;
  WarpProducts& products = self.warp->products;
  const auto& first = *static_cast<const WarpgroupOperand*>(operands[0]);
  for (int lane = 1; lane < 32; ++lane) {
    const auto& other = *static_cast<const WarpgroupOperand*>(operands[lane]);
    if (other.a != first.a || other.b != first.b) fail("%s: the lanes have different descriptors", kName);
  }
  step({kName, first.a, first.b, static_cast<unsigned>(first.columns)});
  Product& product = products.queue.emplace_back();
  product = {
      &find_sums(products, operands), {}, {}, {}, {}, first.transposed_a, first.transposed_b, false, multiply<T>};
  if (first.a_registers == nullptr) {
    const auto warp = static_cast<unsigned>(self.warp - block.warps.data());
    product.chunks_a = chunks_of(first.a, first.transposed_a, warp % 4 * 16, 16);
  } else {
    if (!products.fenced) fail("%s: no products_begin() since the registers may have been accessed", kName);
    for (int lane = 0; lane < 32; ++lane) {
      product.registers[lane] = static_cast<const WarpgroupOperand*>(operands[lane])->a_registers;
      std::memcpy(product.a[lane], product.registers[lane], sizeof(product.a[lane]));
    }
  }
  product.chunks_b = chunks_of(first.b, first.transposed_b, 0, static_cast<unsigned>(first.columns));
  for (const unsigned address : product.chunks_a) begin_reading(kName, self, address);
  for (const unsigned address : product.chunks_b) begin_reading(kName, self, address);
  ++product.sums->products;
  ++products.uncommitted;
  if (machine.choices->copies == Copies::kAtOnce) {
    check_held(*product.sums);
    multiply<T>(product, block);
    product.done = true;
    write_back(*product.sums);
  }
}
template void begin_products<__half>(void* const*, unsigned);
template void begin_products<__nv_bfloat16>(void* const*, unsigned);

void fence_products(void* const*, unsigned) {
  step({kProductsBegin.name, 0, 0, 0});
  current->warp->products.fenced = true;
}

void commit_products(void* const*, unsigned) {
  step({kProductsCommit.name, 0, 0, 0});
  WarpProducts& products = current->warp->products;
  products.groups.push_back(products.uncommitted);
  products.uncommitted = 0;
}

void wait_for_products(void* const* operands, unsigned) {
  const std::size_t left = *static_cast<const std::size_t*>(operands[0]);
  step({kProductsWait.name, 0, 0, static_cast<unsigned>(left)});
  WarpProducts& products = current->warp->products;
  while (products.groups.size() > left) {
    for (; products.groups.front() > 0; --products.groups.front()) {
      end(products.queue.front(), *current->block);
      products.queue.pop_front();
    }
    products.groups.erase(products.groups.begin());
    products.fenced = false;  // who waits wants to access them
  }
}

void change_registers(void* const* operands, unsigned) {
  const auto& wanted = *static_cast<const RegistersOperand*>(operands[0]);
  step({wanted.more ? kTakeRegisters.name : kGiveRegisters.name, 0, 0, wanted.count});
  // As many as a kernel can have that leaves no thread of the block without.
  const auto most = static_cast<unsigned>(kRegistersPerMultiprocessor / machine.threads_per_block / 8 * 8);
  unsigned& registers = current->warp->products.registers;
  if (registers == 0) registers = std::min(most, 255u);
  if (wanted.more ? wanted.count < registers : wanted.count > registers) {
    fail("%s: %u registers, where a thread has %u", wanted.more ? kTakeRegisters.name : kGiveRegisters.name,
         wanted.count, registers);
  }
  registers = wanted.count;
}

// ---- of blocks

void begin_async(Block& block) {
  block.async.words.resize((machine.launch->shared_bytes + 3) / 4);
  if (!block.async.words.empty()) std::memset(block.async.words.data(), 0, block.async.words.size() * sizeof(Word));
  block.async.used = false;
  block.async.barriers.clear();
  block.async.meetings = 0;
  block.async.warpgroups.assign((block.warps.size() + 3) / 4, {});
  for (Warp& warp : block.warps) warp.products = WarpProducts{};
}

void end_async(Block& block) {
  const uint3 index = block.index;
  const auto said = [&](const char* what) { fail("block (%u, %u, %u): %s", index.x, index.y, index.z, what); };
  std::size_t registers = 0;
  for (std::size_t w = 0; w < block.warps.size(); ++w) {
    const WarpProducts& products = block.warps[w].products;
    if (!products.queue.empty()) said("a warp ends with products that it has not waited for");
    if (products.steps != block.async.warpgroups[w / 4].size()) said("a warp did less than the rest of its warpgroup");
    registers += 32 * products.registers;
  }
  if (registers > kRegistersPerMultiprocessor) said("the warps take more registers than others give: a device hangs");
  for (const BoxLoad& load : machine.loads) {
    if (load.issuer->block == &block) said("it ends before loads of boxes have arrived");
  }
}

}  // namespace fnnfast::emulator
