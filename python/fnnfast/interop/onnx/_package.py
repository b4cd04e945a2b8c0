"""The package onnx, which is imported only when a model is read or written."""

from __future__ import annotations

from types import ModuleType


def onnx() -> ModuleType:
    """The package; ModuleNotFoundError naming the extra without it."""
    try:
        import onnx
        import onnx.helper
        import onnx.reference
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "onnx":
            raise
        raise ModuleNotFoundError(
            "ONNX models need the package onnx: pip install 'fnnfast[onnx]'", name="onnx"
        ) from error
    return onnx  # type: ignore[no-any-return]
