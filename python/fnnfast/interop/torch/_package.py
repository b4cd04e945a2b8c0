"""The package torch, which is imported only when a module is read or made."""

from __future__ import annotations

from ..._extras import needs


def require() -> None:
    """Import it; ModuleNotFoundError that says how to install it."""
    with needs("torch", "PyTorch modules need the package torch, see pytorch.org"):
        import torch  # noqa: F401
