// Fibers: functions with stacks of their own that hand the processor to each other, within one host thread.
#pragma once

#include <cstddef>

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__)) && !defined(FNNFAST_EMULATOR_UCONTEXT)
#define FNNFAST_EMULATOR_ASSEMBLY 1  // a switch is a dozen instructions instead of two system calls
#else
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define FNNFAST_EMULATOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FNNFAST_EMULATOR_ASAN 1
#endif
#endif

// For what happens at every switch and has nothing of the kernel's: the sanitizers' checks would be most of the time.
// Such a function inlines only its like, so it uses plain pointers.
#define FNNFAST_EMULATOR_UNCHECKED __attribute__((no_sanitize("address", "undefined")))

namespace fnnfast::emulator {

// Of a fiber. Pages that nobody touches cost nothing, and a stack overflow meets a guard page. Kernels keep their tiles
// in arrays, which an unoptimised build with sanitizers makes large.
inline constexpr std::size_t kStackBytes = std::size_t{256} << 10;

// It keeps its stack for the life of the process: whoever makes fibers reuses them.
class Fiber {
 public:
  Fiber() = default;                   // the stack that the host thread runs on
  explicit Fiber(std::size_t number);  // a new stack; different numbers put their frames on different cache lines
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From its next turn on the fiber runs function, from the beginning. It must not return, but leave.
  void start(void (*function)());
  // Called on this fiber: lets next run, and returns when somebody switches back.
  void switch_to(Fiber& next);
  [[noreturn]] void leave_to(Fiber& next);

 private:
  static void begin();
  static void arrive(void* fake_stack);
  void hand_over(Fiber& next, void** fake_stack);

  unsigned char* top_ = nullptr;  // stacks grow downwards
  void (*function_)() = nullptr;
#if defined(FNNFAST_EMULATOR_ASSEMBLY)
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_{};
#endif
  // What AddressSanitizer knows the stack by.
  void* fake_stack_ = nullptr;
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace fnnfast::emulator
