// The thread pool. It runs one job at a time, one word describes the job, and no thread waits for one that is not
// running.
//
// The word, ticket_, holds the tasks that no thread has begun and the number of participants. A thread takes a task
// with one compare-exchange.
//
// - A successful exchange gives a task of the job that is in the word at that moment, to a thread that participates
//   according to the same word, whatever the thread saw before and however long it slept. So equal words of different
//   jobs (ABA) are harmless, and neither epochs nor reclamation are needed: a late thread fails, or works on the
//   current job.
// - The job's other fields are plain memory, written only by the thread that holds busy_, before it publishes the word,
//   and read by a worker only while it owns an unreported task. Reading after writing: its exchange (acquire) reads
//   what the publishing store wrote (release), or an exchange in the release sequence of that. Writing after reading:
//   it reports with a release, and the job does not end before all tasks are reported (acquire).
// - A worker reports the number of its tasks once, when it finds no further one. It owns unreported tasks until then,
// so
//   no other job can have been published meanwhile: all its tasks belong to one job, and it may read the fields once.
// - After its report, a worker accesses only the pool, which is never freed, and nothing of the job. Each worker that
//   took a task reports before the job ends, so reported_ does not change between jobs, and its value at the end of a
//   job is known as soon as the caller has done its own tasks.
//
// Sleeping is a Dekker handshake in sequentially consistent order. A worker writes "asleep", then reads the word; the
// publisher writes the word, then reads who is asleep; one of the two sees the other. If a wake-up were missed, a job
// would be slower but would finish: the caller takes every task that no worker takes. The caller must not miss the end
// of its own sleep: it writes "asleep", then reads reported_ (and the kernel reads it once more before the thread
// sleeps), while a worker changes reported_, then reads "asleep".
#include "threads.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "cpu_count.hpp"
#include "floatenv.hpp"
#include "thread_system.hpp"

namespace fnnfast::cpu {
namespace {

constexpr std::size_t kCacheLine = 64;

// The word: bits 0 to 47 hold the tasks, in the form that bit 63 tells, and bits 48 to 62 the number of participants.
//   set of tasks:     bit i is task i, not begun
//   counted (bit 63): the number of tasks left; the next is tasks - left
class Ticket {
 public:
  static constexpr int kPayloadBits = 48;
  static constexpr std::uint64_t kPayload = (std::uint64_t{1} << kPayloadBits) - 1;
  static constexpr std::uint64_t kCounted = std::uint64_t{1} << 63;

  explicit Ticket(std::uint64_t word = 0) noexcept : word_(word) {}
  // Without task 0, which the caller keeps: this saves a contended exchange.
  static Ticket of_job(std::ptrdiff_t tasks, int participants) noexcept {
    const auto rest = static_cast<std::uint64_t>(tasks - 1);
    const std::uint64_t payload =
        tasks <= kPayloadBits ? kPayload >> (kPayloadBits - tasks) & ~std::uint64_t{1} : rest | kCounted;
    return Ticket(payload | static_cast<std::uint64_t>(participants) << kPayloadBits);
  }

  std::uint64_t word() const noexcept { return word_; }
  int participants() const noexcept { return static_cast<int>((word_ & ~kCounted) >> kPayloadBits); }
  bool counted() const noexcept { return (word_ & kCounted) != 0; }
  std::int64_t left() const noexcept {
    return counted() ? static_cast<std::int64_t>(word_ & kPayload) : std::popcount(word_ & kPayload);
  }
  bool has_task_for(int thread) const noexcept { return (word_ & kPayload) != 0 && thread < participants(); }

  // For a set: a thread's own tasks, those whose index is `thread` modulo the participants, from the front; else the
  // last of the rest.
  int choose(int thread) const noexcept {
    const std::uint64_t tasks = word_ & kPayload;
    const std::uint64_t own = tasks & (kEvery[static_cast<std::size_t>(participants())] << thread);
    return own != 0 ? std::countr_zero(own) : 63 - std::countl_zero(tasks);
  }
  Ticket without(int task) const noexcept { return Ticket(word_ & ~(std::uint64_t{1} << task)); }
  Ticket with_one_less() const noexcept { return Ticket(word_ - 1); }

 private:
  // kEvery[n]: the bits 0, n, 2n, ...
  static constexpr std::array<std::uint64_t, kPayloadBits + 1> kEvery = [] {
    std::array<std::uint64_t, kPayloadBits + 1> every{};
    for (int n = 1; n <= kPayloadBits; ++n) {
      for (int bit = 0; bit < kPayloadBits; bit += n) every[static_cast<std::size_t>(n)] |= std::uint64_t{1} << bit;
    }
    return every;
  }();

  std::uint64_t word_;
};
static_assert(kMaxThreads < 1 << 15, "participants have 15 bits");

class Pool {
 public:
  Pool(const Pool* predecessor, int processors) noexcept : processors_(processors), predecessor_(predecessor) {}

  // False, with nothing done, if the pool is busy or has no workers.
  bool try_run(std::ptrdiff_t tasks, TaskFunction function, void* context, int threads) noexcept;

 private:
  enum : std::uint32_t { kAwake, kAsleep };

  int start_workers(int wanted) noexcept;
  void serve(int thread) noexcept;
  void wait_for_task(int thread) noexcept;
  void sleep(int thread) noexcept;
  std::ptrdiff_t drain(int thread, std::ptrdiff_t task) noexcept;
  std::ptrdiff_t take(int thread) noexcept;
  void wake_sleepers(int count) noexcept;
  void await_reports(std::uint32_t end) noexcept;
  bool keep_from_caller() noexcept;
  // With fewer processors than threads, the awaited thread may need this processor.
  bool may_spin() const noexcept { return num_threads() <= processors_; }

  // Published by the caller, read by all: one cache line to fetch.
  alignas(kCacheLine) std::atomic<std::uint64_t> ticket_{0};
  TaskFunction function_ = nullptr;
  void* context_ = nullptr;
  std::ptrdiff_t tasks_ = 0;
  std::atomic<int> callers_processor_{-1};

  alignas(kCacheLine) std::atomic<std::uint32_t> reported_{0};  // tasks done by workers, in all jobs, modulo 2^32
  std::atomic<std::uint32_t> caller_sleeps_{0};

  // Read by all, rarely written.
  alignas(kCacheLine) std::atomic<int> sleepers_{0};  // at least the number of workers that are kAsleep
  const int processors_;
  // The pool before a fork, so that leak checkers find it.
  [[maybe_unused]] const Pool* const predecessor_;

  // The callers'. The fields after busy_ belong to its holder.
  alignas(kCacheLine) std::atomic<bool> busy_{false};
  int workers_ = 0;       // started
  bool refused_ = false;  // the system would not start another

  // By thread number; unused for 0, the caller.
  alignas(kCacheLine) std::array<std::atomic<std::uint32_t>, kMaxThreads> state_{};
};

bool Pool::try_run(std::ptrdiff_t tasks, TaskFunction function, void* context, int threads) noexcept {
  if (tasks > std::numeric_limits<std::int32_t>::max()) return false;  // more than reported_ can count
  if (busy_.load(std::memory_order_relaxed) || busy_.exchange(true, std::memory_order_acquire)) return false;
  const int participants = 1 + start_workers(static_cast<int>(std::min<std::ptrdiff_t>(threads, tasks)) - 1);
  if (participants == 1) {
    busy_.store(false, std::memory_order_release);
    return false;
  }
  function_ = function;
  context_ = context;
  tasks_ = tasks;
  callers_processor_.store(current_processor(), std::memory_order_relaxed);
  const std::uint32_t before = reported_.load(std::memory_order_relaxed);
  ticket_.store(Ticket::of_job(tasks, participants).word(), std::memory_order_seq_cst);
  const std::ptrdiff_t finished = drain(0, 0);
  await_reports(before + static_cast<std::uint32_t>(tasks - finished));
  busy_.store(false, std::memory_order_release);
  return true;
}

// Runs a task, then more until none is left; returns their number.
std::ptrdiff_t Pool::drain(int thread, std::ptrdiff_t task) noexcept {
  const FloatEnvironment environment;
  const TaskFunction function = function_;
  void* const context = context_;
  std::ptrdiff_t done = 0;
  do {
    // Before tasks 1, 2, 4, 8 ... the caller wakes one worker and every worker two, so that waking all takes
    // logarithmic time. No thread makes more than a few system calls, and none depends on one that was woken but does
    // not run.
    if ((done & (done - 1)) == 0 && sleepers_.load(std::memory_order_seq_cst) > 0) wake_sleepers(thread == 0 ? 1 : 2);
    function(context, task);
    ++done;
    task = take(thread);
  } while (task >= 0);
  return done;
}

// A task for this thread, or -1.
std::ptrdiff_t Pool::take(int thread) noexcept {
  std::uint64_t word = ticket_.load(std::memory_order_relaxed);
  for (;;) {
    const Ticket ticket(word);
    if (!ticket.has_task_for(thread)) return -1;
    const int task = ticket.counted() ? 0 : ticket.choose(thread);
    const Ticket rest = ticket.counted() ? ticket.with_one_less() : ticket.without(task);
    if (ticket_.compare_exchange_weak(word, rest.word(), std::memory_order_acquire, std::memory_order_relaxed)) {
      return ticket.counted() ? tasks_ - static_cast<std::ptrdiff_t>(ticket.left()) : task;
    }
  }
}

void Pool::wake_sleepers(int count) noexcept {
  const Ticket ticket(ticket_.load(std::memory_order_relaxed));
  count = static_cast<int>(std::min<std::int64_t>(count, ticket.left()));
  for (int thread = 1; count > 0 && thread < ticket.participants(); ++thread) {
    auto& state = state_[static_cast<std::size_t>(thread)];
    std::uint32_t asleep = kAsleep;
    if (state.load(std::memory_order_seq_cst) == kAsleep && state.compare_exchange_strong(asleep, kAwake)) {
      sleepers_.fetch_sub(1);
      wake(state);
      --count;
    }
  }
}

void Pool::await_reports(std::uint32_t end) noexcept {
  // Acquire: every report is a release, and in one release sequence with those before it.
  const auto ended = [&] { return reported_.load(std::memory_order_acquire) == end; };
  if (ended() || (may_spin() && spin_until(ended, [] { return true; }))) return;
  caller_sleeps_.store(1, std::memory_order_seq_cst);
  for (std::uint32_t now; (now = reported_.load(std::memory_order_seq_cst)) != end;) sleep_while(reported_, now);
  caller_sleeps_.store(0, std::memory_order_relaxed);
}

void Pool::serve(int thread) noexcept {
  name_this_thread();
  for (;;) {
    if (const std::ptrdiff_t task = take(thread); task >= 0) {
      reported_.fetch_add(static_cast<std::uint32_t>(drain(thread, task)), std::memory_order_seq_cst);
      // The caller may already be in its next job, which at worst gets a needless wake.
      if (caller_sleeps_.load(std::memory_order_seq_cst) != 0) wake(reported_);
    } else {
      wait_for_task(thread);
    }
  }
}

void Pool::wait_for_task(int thread) noexcept {
  const auto has_task = [&] { return Ticket(ticket_.load(std::memory_order_relaxed)).has_task_for(thread); };
  if (!may_spin()) return sleep(thread);
  if (spin_until(has_task, [&] { return keep_from_caller(); })) return;
  sleep(thread);
  keep_from_caller();
}

// Some kernels wake a thread on the processor of its waker although others are idle (to pack the load, or for the
// cache), and leave both there for long. A worker there is useless, and a spinning one would even delay its caller, so
// it moves to another processor. False if it cannot.
bool Pool::keep_from_caller() noexcept {
  const int processor = callers_processor_.load(std::memory_order_relaxed);
  return processor < 0 || current_processor() != processor || leave_processor(processor);
}

void Pool::sleep(int thread) noexcept {
  auto& state = state_[static_cast<std::size_t>(thread)];
  sleepers_.fetch_add(1);
  state.store(kAsleep, std::memory_order_seq_cst);
  if (Ticket(ticket_.load(std::memory_order_seq_cst)).has_task_for(thread)) {
    std::uint32_t asleep = kAsleep;
    if (state.compare_exchange_strong(asleep, kAwake)) sleepers_.fetch_sub(1);  // else a waker has done both
    return;
  }
  while (state.load(std::memory_order_acquire) == kAsleep) sleep_while(state, kAsleep);
}

// Starts workers up to that number, if the system allows it; returns the number available.
int Pool::start_workers(int wanted) noexcept {
  if (wanted <= workers_) return wanted;
  if (refused_) return workers_;
  try {
    const SignalsBlocked blocked;
    // Never joined: the pool outlives exit().
    for (; workers_ < wanted; ++workers_) std::thread(&Pool::serve, this, workers_ + 1).detach();
  } catch (...) {  // std::system_error: a limit on threads; std::bad_alloc
    refused_ = true;
  }
  return workers_;
}

// Never destroyed, and constant-initialized, so the order of construction and destruction does not matter, and there is
// no lock that a fork could leave held.
std::atomic<Pool*> g_pool{nullptr};
std::atomic<const Pool*> g_abandoned{nullptr};
std::atomic<int> g_threads{0};  // 0: not yet determined

Pool* the_pool() noexcept {
  if (Pool* pool = g_pool.load(std::memory_order_acquire)) return pool;
  auto* const fresh = new (std::nothrow) Pool(g_abandoned.load(), available_processors());
  Pool* present = nullptr;
  if (fresh == nullptr || g_pool.compare_exchange_strong(present, fresh)) return fresh;
  delete fresh;  // another thread was first
  return present;
}

#if !defined(_WIN32)
// The child of a fork has the pool's memory, perhaps during a job, but none of its threads, so it starts a new one.
// Registered when the library is loaded, so that the handler exists before any pool.
[[maybe_unused]] const int g_fork_handler = pthread_atfork(nullptr, nullptr, [] {
  if (const Pool* pool = g_pool.exchange(nullptr)) g_abandoned.store(pool);
});
#endif

}  // namespace

int default_num_threads() noexcept {
  if (const char* variable = std::getenv("OMP_NUM_THREADS")) {
    // A number, perhaps with blanks around it, up to the end or the comma of a list of levels.
    std::string_view text(variable);
    text = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    text = text.substr(0, text.find_last_not_of(" \t") + 1);
    int threads = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
    if (error == std::errc() && end == text.data() + text.size() && threads >= 1) return std::min(threads, kMaxThreads);
  }
  return std::min(available_processors(), kMaxThreads);
}

int num_threads() noexcept {
  const int threads = g_threads.load(std::memory_order_relaxed);
  if (threads != 0) return threads;
  int unset = 0;
  const int counted = default_num_threads();
  return g_threads.compare_exchange_strong(unset, counted) ? counted : unset;
}

void set_num_threads(int n) {
  if (n < 1) throw std::invalid_argument("number of threads: expected at least 1, got " + std::to_string(n));
  g_threads.store(std::min(n, kMaxThreads));
}

void parallel_for(std::ptrdiff_t tasks, TaskFunction function, void* context) noexcept {
  const int threads = tasks > 1 ? num_threads() : 1;
  if (threads > 1) {
    Pool* const pool = the_pool();
    if (pool != nullptr && pool->try_run(tasks, function, context, threads)) return;
  }
  const FloatEnvironment environment;
  for (std::ptrdiff_t task = 0; task < tasks; ++task) function(context, task);
}

}  // namespace fnnfast::cpu

int fnnfast_get_num_threads(void) { return fnnfast::cpu::num_threads(); }
void fnnfast_set_num_threads(int n) { fnnfast::cpu::set_num_threads(std::max(n, 1)); }
