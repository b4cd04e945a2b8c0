"""The package onnx, which is imported only when a model is read or written."""

from __future__ import annotations

from types import ModuleType

from ..._extras import needs


def onnx() -> ModuleType:
    """The package; ModuleNotFoundError naming the extra without it."""
    with needs("onnx", "ONNX models need the package onnx: pip install 'fnnfast[onnx]'"):
        import onnx
        import onnx.helper
        import onnx.reference
    return onnx  # type: ignore[no-any-return]
