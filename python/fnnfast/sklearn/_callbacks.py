"""The callback protocol of scikit-learn, from 1.9 on: which task of a fit begins or ends, told to the user's callbacks.

A fit is a task, and each of its iterations a task within it. Older versions have no callbacks, and nothing is told.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin
    from sklearn.callback import with_callbacks as _with_callbacks
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Base class without ``set_callbacks``."""

    _with_callbacks = None

Method = TypeVar("Method", bound=Callable[..., Any])


def with_callbacks(method: Method) -> Method:
    """Decorate a ``fit`` that makes ``Tasks``: callbacks are torn down also if it raises an error."""
    decorated: Method = method if _with_callbacks is None else _with_callbacks(method)
    return decorated


class Tasks:
    """The tasks of one fit of an estimator, with its data as the user passed them.

    Every method does nothing if the estimator has no callbacks.
    """

    def __init__(self, estimator: Any, data: dict[str, Any], most: int) -> None:
        self._estimator, self._data = estimator, data
        self._fit = self._iteration = None
        if hasattr(estimator, "_init_callback_context"):
            context = estimator._init_callback_context(max_subtasks=most)
            self._fit = context if getattr(estimator, "_skl_callbacks", None) else None
        self._begin(self._fit, {})

    def begin_iteration(self) -> None:
        if self._fit is not None:
            self._iteration = self._fit.subcontext(task_name="iteration")
            self._begin(self._iteration, self._fitted)

    def end_iteration(self) -> bool:
        """Whether a callback wants training to stop."""
        return self._end(self._iteration, self._fitted)

    def end(self) -> None:
        self._end(self._fit, {})

    def _begin(self, context: Any, fitted: Any) -> None:
        if context is not None:
            context.call_on_fit_task_begin(estimator=self._estimator, reconstruction_attributes=fitted, **self._data)

    def _end(self, context: Any, fitted: Any) -> bool:
        if context is None:
            return False
        told = {"estimator": self._estimator, "reconstruction_attributes": fitted, **self._data}
        return bool(context.call_on_fit_task_end(**told))

    def _fitted(self) -> dict[str, Any]:
        """The attributes that make a copy of the estimator one that is fitted, as if training had ended here."""
        copied = {name: copy.copy(value) for name, value in vars(self._estimator).items() if name.endswith("_")}
        return {**copied, "_trainer": None}


class Nothing(Tasks):
    """For ``partial_fit``, of which scikit-learn tells no callback."""

    def __init__(self) -> None:
        self._fit = self._iteration = None
