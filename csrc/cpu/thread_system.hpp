// The thread pool's interface to the operating system and the processor. Only for threads.cpp.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#if defined(__linux__)
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#endif

namespace fnnfast::cpu {

// Longer waits sleep. The classic bound for spinning is about twice the time of a wake-up (10 to 25 us in a virtual
// machine); it also covers the time between two calls in a Python loop.
inline constexpr std::chrono::nanoseconds kSpin = std::chrono::microseconds(40);

// Leaves the core's resources to its other hardware thread for 25 to 45 ns.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("isb" ::: "memory");  // yield does nothing on most cores
#endif
}

// True as soon as done() is; false after kSpin, or if worthwhile() is false. That and the clock (20 ns) are read every
// sixteenth time.
template <class Done, class Worthwhile>
bool spin_until(Done done, Worthwhile worthwhile) noexcept {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      pause();
    }
  } while (worthwhile() && std::chrono::steady_clock::now() < deadline);
  return false;
}

// Sleeps unless word differs from value; may return spuriously. On Linux not std::atomic::wait, which yields the
// processor several times before it sleeps.
inline void sleep_while(std::atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
#if defined(__linux__) && defined(SYS_futex)
  static_assert(sizeof(word) == sizeof(std::uint32_t) && std::atomic<std::uint32_t>::is_always_lock_free);
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
#else
  word.wait(value);
#endif
}

// Wakes the one thread that sleeps on word, after a change of it.
inline void wake(std::atomic<std::uint32_t>& word) noexcept {
#if defined(__linux__) && defined(SYS_futex)
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
#else
  word.notify_one();
#endif
}

// The processor that runs this thread; -1 if unknown.
inline int current_processor() noexcept {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

// Restricts this thread to the other processors that the process may use (the affinity of its main thread, which users
// set). False if there are none.
inline bool leave_processor([[maybe_unused]] int processor) noexcept {
#if defined(__linux__)
  cpu_set_t others;
  if (processor >= CPU_SETSIZE || sched_getaffinity(getpid(), sizeof(others), &others) != 0) return false;
  CPU_CLR(static_cast<unsigned>(processor), &others);
  return CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof(others), &others) == 0;
#else
  return false;
#endif
}

// The name in top and in debuggers.
inline void name_this_thread() noexcept {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), "fnnfast");
#endif
}

// Threads started in its scope block all signals, which are for the process's own threads (Ctrl-C must interrupt
// Python's main thread), except those of a thread's own faults.
class SignalsBlocked {
 public:
#if defined(_WIN32)
  SignalsBlocked() noexcept {}
#else
  SignalsBlocked() noexcept {
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&blocked, fault);
    changed_ = pthread_sigmask(SIG_SETMASK, &blocked, &previous_) == 0;
  }
  ~SignalsBlocked() {
    if (changed_) pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
  }

 private:
  sigset_t previous_;
  bool changed_;

 public:
#endif
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
};

}  // namespace fnnfast::cpu
