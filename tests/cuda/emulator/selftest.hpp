// What the self-test's files share.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "emulator.hpp"

namespace fnnfast::emulator::selftest {

using namespace cuda;

#define CHECK(condition) fnnfast::emulator::selftest::check(condition, #condition, __FILE__, __LINE__)
inline void check(bool condition, const char* text, const char* file, int line) {
  if (condition) return;
  std::fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
  std::exit(1);
}

inline constexpr unsigned kFull = 0xFFFFFFFF;

// n numbers in the device's memory.
template <class T>
class Array {
 public:
  explicit Array(std::size_t n) : n_(n) { CHECK(cudaMalloc(&data_, n * sizeof(T)) == cudaSuccess); }
  explicit Array(const std::vector<T>& v) : Array(v.size()) {
    CHECK(cudaMemcpy(data_, v.data(), n_ * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(data_); }
  T* get() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> v(n_);
    CHECK(cudaMemcpy(v.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return v;
  }

 private:
  T* data_ = nullptr;
  std::size_t n_;
};

template <class... P, class... A>
void run(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, A... args) {
  CHECK(launch_kernel(kernel, grid, block, shared_bytes, nullptr, false, args...) == cudaSuccess);
}

// Calls test under schedules of every kind.
template <class Test>
void under_all_schedules(Test test) {
  for (const Schedule kind : {Schedule::kAscending, Schedule::kDescending}) {
    set_schedule(kind);
    test();
  }
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    set_schedule(Schedule::kRandom, seed);
    test();
  }
  set_schedule(Schedule::kAscending);
}

// Runs function in a process of its own: how that ended, and what it wrote to stderr.
struct Ending {
  int status;
  std::string said;
};
template <class Function>
Ending apart(Function function) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    function();
    _exit(0);
  }
  close(ends[1]);
  Ending ending{0, ""};
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    ending.said.append(buffer, static_cast<std::size_t>(n));
  }
  close(ends[0]);
  CHECK(waitpid(child, &ending.status, 0) == child);
  return ending;
}

template <class Function>
bool function_aborts(const char* message, Function function) {
  const auto [status, said] = apart(function);
  const bool right = status != 0 && said.find(message) != std::string::npos;
  if (!right) std::fprintf(stderr, "expected \"%s\", got (status %d):\n%s\n", message, status, said.c_str());
  return right;
}

// True if one block of the kernel aborts and says so.
template <class... P, class... A>
bool aborts(const char* message, void (*kernel)(P...), dim3 block, std::size_t shared_bytes, A... args) {
  return function_aborts(message,
                         [&] { (void)launch_kernel(kernel, 1, block, shared_bytes, nullptr, false, args...); });
}

void test_environment();
void test_numbers();
void test_runtime();
void test_errors();
void test_hopper();

}  // namespace fnnfast::emulator::selftest
