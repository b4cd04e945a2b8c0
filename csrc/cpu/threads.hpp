// One thread pool for the whole library: parallel_for, and how many threads it may use.
#pragma once

#include <atomic>
#include <cstddef>
#include <new>

#include "../core/macros.hpp"

#if defined(_WIN32)
#define FNNFAST_EXPORT __declspec(dllexport)
#else
#define FNNFAST_EXPORT __attribute__((visibility("default"), used))
#endif

namespace fnnfast::cpu {

inline constexpr int kMaxThreads = 1024;

// OMP_NUM_THREADS (the first number of a list such as "4,2"; ignored if invalid); without it the processors that this
// process may run on, but no more than the CPU quota of its cgroup rounded up. At least 1.
int default_num_threads() noexcept;

// The threads that a parallel_for may use, its caller included: default_num_threads() until it is set.
int num_threads() noexcept;
// n >= 1 (std::invalid_argument otherwise); it may exceed the processors; more than kMaxThreads count as kMaxThreads.
// It holds for jobs that start later. Fewer threads than before leave the surplus asleep.
void set_num_threads(int n);

using TaskFunction = void (*)(void* context, std::ptrdiff_t index);

// Runs function(context, i) once for every i in [0, tasks), in any order, on up to num_threads() threads, the caller
// included, and returns when all are done: what the tasks wrote is then visible to the caller. Tasks must not throw.
//
// Task i goes by preference to thread i mod (number of threads) where there are few tasks (48 or fewer), always the
// same one, so that data which tasks of equal index share from call to call stays in that core's cache. A thread that
// has run out takes what others have not begun, so nobody waits for a thread that the system is not running.
//
// All tasks run in the caller where the pool is busy with another thread's job, or with the job that this call is
// nested in, where num_threads() is 1, and where the system refuses to start threads. Tasks run in FloatEnvironment.
//
// The child of a fork starts a pool of its own, whatever its parent was doing. Only a fork from within a task leaves a
// child that may not return from it: the threads that had other tasks are not there.
void parallel_for(std::ptrdiff_t tasks, TaskFunction function, void* context) noexcept;

// The same for a callable f(i), which need not outlive the call. All that f may throw is std::bad_alloc: the other
// tasks still run, and the caller gets it.
template <class F>
FNNFAST_INLINE void parallel_for(std::ptrdiff_t tasks, F&& f) {
  struct Job {
    decltype(&f) callable;
    std::atomic<bool> out_of_memory{false};
  } job{&f};
  parallel_for(
      tasks,
      [](void* context, std::ptrdiff_t index) noexcept {
        Job& own = *static_cast<Job*>(context);
        try {
          (*own.callable)(index);
        } catch (const std::bad_alloc&) {
          own.out_of_memory.store(true, std::memory_order_relaxed);
        }
      },
      &job);
  if (job.out_of_memory.load(std::memory_order_relaxed)) throw std::bad_alloc();
}

}  // namespace fnnfast::cpu

// For threadpoolctl, which finds them by name in the loaded library. n < 1 counts as 1.
extern "C" {
FNNFAST_EXPORT int fnnfast_get_num_threads(void);
FNNFAST_EXPORT void fnnfast_set_num_threads(int n);
}
