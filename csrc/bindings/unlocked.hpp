// The scope of a kernel: without the GIL, in the floating-point modes that the bits depend on, and ended by Ctrl-C
// where it takes long.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>

#include "../cpu/floatenv.hpp"
#include "../cpu/interrupt.hpp"

namespace fnnfast::cpu {

// Ends the calls of the threads that are in its scope, from any other thread: signals reach the main thread alone.
class Cancellation {
 public:
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool is_cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  void enter();  // for the calling thread
  static void leave();

 private:
  std::atomic<bool> cancelled_{false};
};

// A thread that the interpreter ends, since it is a daemon and the process exits, ends where it takes the lock back: it
// is unwound from there, through the destructor and through check(). Neither may be noexcept, nor take the lock twice.
class Unlocked {
 public:
  Unlocked() : thread_(PyEval_SaveThread()) {}
  ~Unlocked() noexcept(false) {
    if (thread_ != nullptr) PyEval_RestoreThread(thread_);
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  static void check(void* self);

  PyThreadState* thread_;  // null while check() has the lock
  FloatEnvironment environment_;
  InterruptCheck interrupts_{check, this};
};

}  // namespace fnnfast::cpu
