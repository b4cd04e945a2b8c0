// The library's thread pool: parallel_for, and the number of threads it may use.
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

// OMP_NUM_THREADS (the first number of a list such as "4,2"; ignored if invalid), else the processors that this process
// may run on, at most the CPU quota of its cgroup rounded up. At least 1.
int default_num_threads() noexcept;

// The threads that a parallel_for may use, including its caller. Initially default_num_threads().
int num_threads() noexcept;
// n >= 1, else std::invalid_argument. n may exceed the processors; it is limited to kMaxThreads. It applies to jobs
// that start later; surplus threads stay asleep.
void set_num_threads(int n);

using TaskFunction = void (*)(void* context, std::ptrdiff_t index);

// Runs function(context, i) once for every i in [0, tasks), in any order, on up to num_threads() threads including the
// caller, and returns when all are done. What the tasks wrote is then visible to the caller. Tasks must not throw.
//
// With few tasks (48 or fewer), task i preferably runs on thread i mod (number of threads), so that data which tasks of
// equal index share from call to call stays in that core's cache. A thread without tasks takes those that others have
// not begun, so no thread waits for one that the system is not running.
//
// All tasks run in the caller if the pool is busy with another job (which includes the one that this call is nested
// in), if num_threads() is 1, or if the system does not start threads. Tasks run in FloatEnvironment.
//
// The child of a fork starts a pool of its own. A fork from within a task leaves a child whose parallel_for may not
// return, since the threads that had other tasks do not exist there.
void parallel_for(std::ptrdiff_t tasks, TaskFunction function, void* context) noexcept;

// The same for a callable f(i), which need not outlive the call. f may throw only std::bad_alloc: the other tasks still
// run, and the caller gets it.
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

// For threadpoolctl, which finds them by name in the loaded library. n < 1 is treated as 1.
extern "C" {
FNNFAST_EXPORT int fnnfast_get_num_threads(void);
FNNFAST_EXPORT void fnnfast_set_num_threads(int n);
}
