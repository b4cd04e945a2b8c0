// How a long call is ended from outside, by Ctrl-C above all: between parts of its work the thread that made the call
// asks, at most some milliseconds apart, and what it asks may throw. The parts depend on nothing that is asked, so the
// bits are the same.
#pragma once

#include <algorithm>
#include <cstddef>

#include "threads.hpp"

namespace fnnfast::cpu {

// In force for calls that this thread makes while the object lives. check(context) throws to end the call.
class InterruptCheck {
 public:
  using Function = void (*)(void* context);
  InterruptCheck(Function check, void* context) noexcept;
  ~InterruptCheck();
  InterruptCheck(const InterruptCheck&) = delete;
  InterruptCheck& operator=(const InterruptCheck&) = delete;

 private:
  friend void poll_interrupts();
  Function check_;
  void* context_;
  InterruptCheck* outer_;
};

// Asks, where this thread has somebody to ask. Not for tasks of a parallel_for, which must not throw.
void poll_interrupts();

// Multiply-adds of one thread between two questions: 4 ms at 50 a nanosecond, 100 ms for one that does 2. A question
// costs two switches of Python's lock, about a microsecond.
inline constexpr double kPollWork = 2e8;

// What a value costs beside its multiply-adds, in such: reading, activation, writing.
inline constexpr double kValueWork = 16;

// How many tasks of so many multiply-adds run before the next question, on all threads together.
inline std::ptrdiff_t tasks_between_polls(std::ptrdiff_t tasks, double work_each) {
  const double most = kPollWork * num_threads() / std::max(work_each, 1.0);
  if (most >= static_cast<double>(tasks)) return std::max(tasks, std::ptrdiff_t{1});
  return std::max(static_cast<std::ptrdiff_t>(most), static_cast<std::ptrdiff_t>(num_threads()));
}

// parallel_for with questions between groups of tasks, for tasks of so many multiply-adds each.
template <class F>
void long_parallel_for(std::ptrdiff_t tasks, double work_each, F&& f) {
  const std::ptrdiff_t each = tasks_between_polls(tasks, work_each);
  for (std::ptrdiff_t first = 0; first < tasks; first += each) {
    if (first > 0) poll_interrupts();
    parallel_for(std::min(each, tasks - first), [&](std::ptrdiff_t i) { f(first + i); });
  }
}

// The same on this thread alone.
template <class F>
void long_serial_for(std::ptrdiff_t tasks, double work_each, F&& f) {
  const std::ptrdiff_t each = tasks_between_polls(tasks, work_each);
  for (std::ptrdiff_t i = 0; i < tasks; ++i) {
    if (i > 0 && i % each == 0) poll_interrupts();
    f(i);
  }
}

}  // namespace fnnfast::cpu
