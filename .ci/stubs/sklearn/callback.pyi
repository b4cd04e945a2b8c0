from collections.abc import Callable
from typing import Any, TypeVar

_Method = TypeVar("_Method", bound=Callable[..., Any])

class CallbackSupportMixin: ...

def with_callbacks(method: _Method) -> _Method: ...
