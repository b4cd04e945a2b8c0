#include "fibers.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(FNNFAST_EMULATOR_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

// fnnfast_emulator_switch(&from, to) pushes the registers that a function must preserve, stores the stack pointer in
// from, and returns to where the stack `to` had called it. The floating-point modes are nobody's in particular and
// stay.
#if defined(FNNFAST_EMULATOR_ASSEMBLY)
extern "C" void fnnfast_emulator_switch(void** from, void* to);
#if defined(__x86_64__)
__asm__(R"(
    .pushsection .text
    .globl fnnfast_emulator_switch
    .hidden fnnfast_emulator_switch
    .type fnnfast_emulator_switch, %function
    .p2align 4
fnnfast_emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx       # not ret: the processor would predict the caller on the other stack
    jmpq *%rcx
    .size fnnfast_emulator_switch, . - fnnfast_emulator_switch
    .popsection
)");
#else
extern "C" void fnnfast_emulator_begin();
__asm__(R"(
    .pushsection .text
    .globl fnnfast_emulator_switch
    .hidden fnnfast_emulator_switch
    .type fnnfast_emulator_switch, %function
    .p2align 4
fnnfast_emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size fnnfast_emulator_switch, . - fnnfast_emulator_switch

    .globl fnnfast_emulator_begin
    .hidden fnnfast_emulator_begin
    .type fnnfast_emulator_begin, %function
    .p2align 4
fnnfast_emulator_begin:
    mov x30, xzr    // nobody called: here a backtrace ends
    br x19
    .size fnnfast_emulator_begin, . - fnnfast_emulator_begin
    .popsection
)");
#endif
#endif

namespace fnnfast::emulator {
namespace {

// The fiber that gave up the processor last, and the one that has it: a new stack cannot know them otherwise.
Fiber* previous = nullptr;
Fiber* present = nullptr;

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::abort();
}

}  // namespace

Fiber::Fiber(std::size_t number) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t bytes = kStackBytes + page;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) give_up("fnnfast emulator: no memory for a thread's stack");
  if (mprotect(memory, page, PROT_NONE) != 0) give_up("fnnfast emulator: no guard page");
  // Stacks that all began at the beginning of a page would compete for the same few lines of the cache.
  top_ = static_cast<unsigned char*>(memory) + bytes - number % 32 * 128;
  bottom_ = static_cast<unsigned char*>(memory) + page;
  size_ = static_cast<std::size_t>(top_ - static_cast<const unsigned char*>(bottom_));
}

void Fiber::start(void (*function)()) {
  function_ = function;
#if defined(FNNFAST_EMULATOR_ASSEMBLY)
#if defined(__x86_64__)
  // As fnnfast_emulator_switch leaves it: six registers, where to go on, and the return address of who never returns.
  auto* frame = reinterpret_cast<std::uintptr_t*>(top_) - 8;
  for (int i = 0; i < 8; ++i) frame[i] = 0;
  frame[6] = reinterpret_cast<std::uintptr_t>(&Fiber::begin);
#else
  auto* frame = reinterpret_cast<std::uintptr_t*>(top_) - 20;
  for (int i = 0; i < 20; ++i) frame[i] = 0;
  frame[0] = reinterpret_cast<std::uintptr_t>(&Fiber::begin);             // x19
  frame[11] = reinterpret_cast<std::uintptr_t>(&fnnfast_emulator_begin);  // x30
#endif
  stack_pointer_ = frame;
#else
  if (getcontext(&context_) != 0) give_up("fnnfast emulator: getcontext");
  context_.uc_stack.ss_sp = const_cast<void*>(bottom_);
  context_.uc_stack.ss_size = size_;
  context_.uc_link = nullptr;
  makecontext(&context_, &Fiber::begin, 0);
#endif
}

// On the stack that the processor came to. What it came from is the host's own stack at least once: only here
// AddressSanitizer tells where that lies, which it wants to hear on the way back.
FNNFAST_EMULATOR_UNCHECKED inline void Fiber::arrive([[maybe_unused]] void* fake_stack) {
#if defined(FNNFAST_EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, &previous->bottom_, &previous->size_);
#endif
}

// This frame and what it calls before the function stay behind when the fiber leaves and its stack is used again:
// nothing of it may be poisoned.
FNNFAST_EMULATOR_UNCHECKED void Fiber::begin() {
  arrive(nullptr);
  present->function_();
  std::abort();  // it returned
}

FNNFAST_EMULATOR_UNCHECKED inline void Fiber::hand_over(Fiber& next, [[maybe_unused]] void** fake_stack) {
#if defined(FNNFAST_EMULATOR_ASAN)
  __sanitizer_start_switch_fiber(fake_stack, next.bottom_, next.size_);
#endif
  previous = this;
  present = &next;
#if defined(FNNFAST_EMULATOR_ASSEMBLY)
  fnnfast_emulator_switch(&stack_pointer_, next.stack_pointer_);
#else
  swapcontext(&context_, &next.context_);
#endif
}

FNNFAST_EMULATOR_UNCHECKED void Fiber::switch_to(Fiber& next) {
  hand_over(next, &fake_stack_);
  arrive(fake_stack_);
}

FNNFAST_EMULATOR_UNCHECKED void Fiber::leave_to(Fiber& next) {
  hand_over(next, nullptr);
  std::abort();  // somebody switched to a fiber that had left
}

}  // namespace fnnfast::emulator
