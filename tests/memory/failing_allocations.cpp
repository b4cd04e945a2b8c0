// Preloaded, lets an allocation of one library fail: malloc, calloc, realloc and operator new, called from its code.
#include <cstddef>
#include <cstdint>
#include <new>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
}

namespace {

std::uintptr_t low, high;  // the library's code
long countdown;            // calls until one fails; 0: none does
long seen;

// pybind11 does not survive the failure of one kind of allocation, an entry of 24 bytes in its registry of instances.
constexpr std::size_t kEntry = 24;

bool fails(void* caller, std::size_t size) {
  const auto at = reinterpret_cast<std::uintptr_t>(caller);
  if (at < low || at >= high || size == kEntry) return false;
  __atomic_add_fetch(&seen, 1, __ATOMIC_RELAXED);
  return __atomic_load_n(&countdown, __ATOMIC_RELAXED) > 0 && __atomic_sub_fetch(&countdown, 1, __ATOMIC_RELAXED) == 0;
}

void* allocate(std::size_t size, void* caller) {
  void* const given = fails(caller, size) ? nullptr : __libc_malloc(size ? size : 1);
  if (given == nullptr) throw std::bad_alloc();
  return given;
}

}  // namespace

extern "C" {
void failing_watch(std::uintptr_t first, std::uintptr_t last) {
  low = first;
  high = last;
}
// The n-th allocation from now on fails; none with 0. Returns how many there were since the last call.
long failing_arm(long n) {
  countdown = n;
  const long before = seen;
  seen = 0;
  return before;
}
void* malloc(std::size_t size) { return fails(__builtin_return_address(0), size) ? nullptr : __libc_malloc(size); }
void* calloc(std::size_t n, std::size_t size) {
  return fails(__builtin_return_address(0), n * size) ? nullptr : __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t size) {
  return fails(__builtin_return_address(0), size) ? nullptr : __libc_realloc(p, size);
}
}

void* operator new(std::size_t size) { return allocate(size, __builtin_return_address(0)); }
void* operator new[](std::size_t size) { return allocate(size, __builtin_return_address(0)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return fails(__builtin_return_address(0), size) ? nullptr : __libc_malloc(size ? size : 1);
}
