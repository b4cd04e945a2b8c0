"""Let threadpoolctl, and whatever uses it (joblib, scikit-learn), limit fnnfast's threads."""

from __future__ import annotations

import ctypes
import functools


@functools.cache
def register() -> None:
    """Make fnnfast's thread pool known to threadpoolctl; once is enough, more does no harm.

    Afterwards ``threadpoolctl.threadpool_limits(limits=1)`` covers fnnfast as well, and ``limits={"fnnfast": 1}`` means
    it alone.

    Raises
    ------
    ImportError
        threadpoolctl is not installed.
    """
    import threadpoolctl

    class Controller(threadpoolctl.LibController):  # type: ignore[misc]  # threadpoolctl carries no types
        """fnnfast's extension: found among the loaded libraries by its file name, known by its symbols."""

        user_api = "fnnfast"
        internal_api = "fnnfast"
        filename_prefixes = ("_cpu",)
        check_symbols = ("fnnfast_get_num_threads", "fnnfast_set_num_threads")

        def get_num_threads(self) -> int:
            get = self.dynlib.fnnfast_get_num_threads
            get.restype = ctypes.c_int
            return int(get())

        def set_num_threads(self, num_threads: int) -> None:
            set_ = self.dynlib.fnnfast_set_num_threads
            set_.argtypes, set_.restype = (ctypes.c_int,), None
            set_(num_threads)

        def get_version(self) -> None:
            return None

    threadpoolctl.register(Controller)
