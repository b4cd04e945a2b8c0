// Whose turn it is: the schedules.
#include <charconv>
#include <cstdlib>
#include <numeric>
#include <string_view>

#include "machine.hpp"

namespace fnnfast::emulator {
namespace {

bool parse_schedule(std::string_view text, Choices& choices) {
  constexpr std::string_view kRandom = "random:";
  if (text == "ascending") {
    choices.schedule = Schedule::kAscending;
  } else if (text == "descending") {
    choices.schedule = Schedule::kDescending;
  } else if (text.substr(0, kRandom.size()) == kRandom) {
    choices.schedule = Schedule::kRandom;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + kRandom.size(), end, choices.state);
    return error == std::errc() && stop == end;
  } else {
    return false;
  }
  return true;
}

Choices from_environment() {
  Choices choices;
  if (const char* text = std::getenv("FNNFAST_EMULATOR_SCHEDULE"); text != nullptr && !parse_schedule(text, choices)) {
    fail("FNNFAST_EMULATOR_SCHEDULE must be ascending, descending or random:SEED, not \"%s\"", text);
  }
  if (const char* text = std::getenv("FNNFAST_EMULATOR_COPIES"); text != nullptr) {
    if (text != std::string_view("deferred") && text != std::string_view("at_once")) {
      fail("FNNFAST_EMULATOR_COPIES must be deferred or at_once, not \"%s\"", text);
    }
    if (text == std::string_view("at_once")) choices.copies = Copies::kAtOnce;
  }
  return choices;
}

// splitmix64
FNNFAST_EMULATOR_UNCHECKED inline std::uint64_t random_bits(std::uint64_t& state) {
  std::uint64_t z = state += 0x9E3779B97F4A7C15;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}
FNNFAST_EMULATOR_UNCHECKED inline std::size_t random_below(std::size_t n, std::uint64_t& state) {
  return static_cast<std::size_t>(random_bits(state) % n);
}

}  // namespace

Choices& choices() {
  static Choices made = from_environment();
  return made;
}

bool now(Choices& choices) {
  if (choices.copies == Copies::kAtOnce) return true;
  return choices.schedule == Schedule::kRandom && random_below(2, choices.state) == 0;
}

std::size_t one_of(std::size_t count, Choices& choices) {
  if (choices.schedule == Schedule::kRandom) return random_below(count, choices.state);
  return choices.schedule == Schedule::kDescending ? count - 1 : 0;
}

void set_schedule(Schedule kind, std::uint64_t seed) {
  choices().schedule = kind;
  choices().state = seed;
}

void set_copies(Copies when) { choices().copies = when; }

void ReadyThreads::insert_block(std::size_t first, std::size_t threads) {
  std::size_t word = first / 64;
  for (; threads >= 64; threads -= 64) words_[word++] = ~std::uint64_t{0};
  if (threads > 0) words_[word] = (std::uint64_t{1} << threads) - 1;
}

FNNFAST_EMULATOR_UNCHECKED std::size_t ReadyThreads::choose(Choices& choices) const {
  const std::uint64_t* words = words_;
  const std::size_t n = count_;
  switch (choices.schedule) {
    case Schedule::kAscending:
      for (std::size_t w = 0; w < n; ++w) {
        if (words[w] != 0) return w * 64 + static_cast<std::size_t>(__builtin_ctzll(words[w]));
      }
      break;
    case Schedule::kDescending:
      for (std::size_t w = n; w-- > 0;) {
        if (words[w] != 0) return w * 64 + 63 - static_cast<std::size_t>(__builtin_clzll(words[w]));
      }
      break;
    case Schedule::kRandom: {
      // The next word from a random one on, and any of its threads.
      const std::size_t start = random_below(n, choices.state);
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t w = start + i < n ? start + i : start + i - n;
        std::uint64_t word = words[w];
        if (word == 0) continue;
        std::size_t skip = random_below(static_cast<std::size_t>(__builtin_popcountll(word)), choices.state);
        for (; skip > 0; --skip) word &= word - 1;
        return w * 64 + static_cast<std::size_t>(__builtin_ctzll(word));
      }
      break;
    }
  }
  return kNone;
}

BlockOrder::BlockOrder(std::uint64_t blocks) : blocks_(blocks) {
  if (choices().schedule != Schedule::kRandom) return;
  shuffled_.resize(blocks);
  std::iota(shuffled_.begin(), shuffled_.end(), std::uint64_t{0});
  for (std::size_t i = shuffled_.size(); i > 1; --i) {
    std::swap(shuffled_[i - 1], shuffled_[random_below(i, choices().state)]);
  }
}

std::uint64_t BlockOrder::at(std::uint64_t i) const {
  if (!shuffled_.empty()) return shuffled_[i];
  return choices().schedule == Schedule::kDescending ? blocks_ - 1 - i : i;
}

}  // namespace fnnfast::emulator
