#include "interrupt.hpp"

namespace fnnfast::cpu {

namespace {

thread_local InterruptCheck* innermost = nullptr;

}  // namespace

InterruptCheck::InterruptCheck(Function check, void* context) noexcept
    : check_(check), context_(context), outer_(innermost) {
  innermost = this;
}

InterruptCheck::~InterruptCheck() { innermost = outer_; }

void poll_interrupts() {
  if (innermost != nullptr) innermost->check_(innermost->context_);
}

}  // namespace fnnfast::cpu
