"""The package torch, which is imported only when a module is read or made."""

from __future__ import annotations


def require() -> None:
    """Import it; ModuleNotFoundError that says how to install it."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "torch":
            raise
        raise ModuleNotFoundError("PyTorch modules need the package torch, see pytorch.org", name="torch") from error
