#include "unlocked.hpp"

#include <utility>

namespace fnnfast::cpu {

namespace {

thread_local const Cancellation* entered = nullptr;

}  // namespace

void Cancellation::enter() { entered = this; }

void Cancellation::leave() { entered = nullptr; }

// Runs the handlers of signals that have come meanwhile. One that raises ends the call with its exception; the lock is
// then held, as it is where exceptions of Python are handled.
void Unlocked::check(void* self) {
  Unlocked& own = *static_cast<Unlocked*>(self);
  PyEval_RestoreThread(std::exchange(own.thread_, nullptr));
  if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
  if (entered != nullptr && entered->is_cancelled()) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    throw pybind11::error_already_set();
  }
  own.thread_ = PyEval_SaveThread();
}

}  // namespace fnnfast::cpu
