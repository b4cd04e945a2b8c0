"""ONNX models in and out (extra "onnx"); the package onnx is imported by the first call."""

from ... import _public
from ._export import to_onnx
from ._import import from_onnx

__all__ = ["from_onnx", "to_onnx"]

_public.publish(__name__, globals(), __all__)
