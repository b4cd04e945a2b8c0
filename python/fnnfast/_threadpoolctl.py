"""Let threadpoolctl, and packages that use it (joblib, scikit-learn), limit the threads of fnnfast."""

from __future__ import annotations

import ctypes
import functools


@functools.cache
def register() -> None:
    """Register the thread pool of fnnfast with threadpoolctl.

    Afterwards ``threadpoolctl.threadpool_limits(limits=1)`` limits fnnfast as well, and ``limits={"fnnfast": 1}``
    limits only fnnfast. Calling it more than once has no effect.

    Raises
    ------
    ImportError
        If threadpoolctl is not installed.

    Examples
    --------
    >>> import threadpoolctl
    >>> import fnnfast as fnn
    >>> from fnnfast.interop.threadpoolctl import register
    >>> register()
    >>> with threadpoolctl.threadpool_limits(limits={"fnnfast": 1}):
    ...     fnn.get_num_threads()
    1
    """
    import threadpoolctl

    class Controller(threadpoolctl.LibController):  # type: ignore[misc]  # threadpoolctl carries no types
        """The extension module of fnnfast: found among the loaded libraries by file name, identified by its symbols."""

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
