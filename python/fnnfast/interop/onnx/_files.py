"""ONNX files from anywhere: nothing is allocated that the file does not hold, and nothing read outside its folder."""

from __future__ import annotations

import math
import os
import stat
from typing import Any, NamedTuple

import numpy as np

from ... import _checks
from ..._checks import FLOAT32, Array, message
from .._errors import ConversionError
from ._package import onnx


class Source(NamedTuple):
    """A model as it was parsed, its folder if it is a file, and how many bytes it has without external data."""

    model: Any
    folder: str | None
    size: int


def open_model(model: Any) -> Source:
    """A model from a path, bytes or a ModelProto, its tensors unread.

    Raises
    ------
    ConversionError
        Bytes that hold no ONNX model.
    OSError
        There is no such file, or it cannot be read.
    """
    package = onnx()
    if isinstance(model, package.ModelProto):
        return Source(model, None, model.ByteSize())
    if isinstance(model, (bytes, bytearray, memoryview)):
        return Source(_parsed(bytes(model), "the bytes"), None, len(model))
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(message("model", "a path, bytes or an onnx.ModelProto", type(model).__name__))
    path = _checks.path("model", model)
    with open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ConversionError(message("model", "a file", f"{path!r}, which is something else"))
        content = file.read()
    return Source(_parsed(content, repr(path)), os.path.dirname(os.path.realpath(path)), len(content))


def _parsed(content: bytes, name: str) -> Any:
    from google.protobuf.message import DecodeError

    model = onnx().ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise ConversionError(f"{name}: no ONNX model, or one that is damaged ({error})") from error
    if not model.ir_version or not model.HasField("graph"):
        raise ConversionError(f"{name}: no ONNX model: it has no {'graph' if model.ir_version else 'IR version'}")
    return model


# Tensors -------------------------------------------------------------------------------------------------------------
class _Type(NamedTuple):
    stored: Any  # NumPy's dtype of its bytes, little-endian
    field: str  # where its numbers are if not in raw_data
    name: str


_TYPES = {
    1: _Type("<f4", "float_data", "float32"),
    2: _Type("u1", "int32_data", "uint8"),
    3: _Type("i1", "int32_data", "int8"),
    6: _Type("<i4", "int32_data", "int32"),
    7: _Type("<i8", "int64_data", "int64"),
    9: _Type("?", "int32_data", "bool"),
    10: _Type("<u2", "int32_data", "float16"),
    11: _Type("<f8", "double_data", "float64"),
    16: _Type("<u2", "int32_data", "bfloat16"),
}
FLOATS = {1: 2.0**-23, 10: 2.0**-10, 11: 2.0**-52, 16: 2.0**-7}
"""The types of numbers that a network may have been computed in, and their epsilons."""
DOUBLE = 11
_MOST_AXES = 32


def type_name(number: int) -> str:
    """What a type of tensors is called."""
    return _TYPES[number].name if number in _TYPES else f"type {number}"


def read_tensor(tensor: Any, folder: str | None) -> Array:
    """A tensor as an array of native byte order; float16 and bfloat16 become float32.

    Raises
    ------
    ConversionError
        A size that its data do not have, a type of numbers that no parameter has, data outside the folder.
    """
    place = f"tensor {tensor.name!r}"
    kind = _TYPES.get(tensor.data_type)
    if kind is None:
        known = ", ".join(sorted(known.name for known in _TYPES.values()))
        raise ConversionError(message(place, f"numbers of {known}", type_name(tensor.data_type)))
    shape = tuple(tensor.dims)
    if min(shape, default=0) < 0 or len(shape) > _MOST_AXES or tensor.HasField("segment"):
        raise ConversionError(message(place, "a whole tensor of lengths >= 0", f"shape {shape[: _MOST_AXES + 1]}"))
    count, width = math.prod(shape), np.dtype(kind.stored).itemsize
    if tensor.data_location == 1:
        values = np.frombuffer(_external(tensor, folder, place, count * width), kind.stored)
    elif tensor.HasField("raw_data"):
        if len(tensor.raw_data) != count * width:
            raise ConversionError(message(place, f"{count * width} bytes for shape {shape}", len(tensor.raw_data)))
        values = np.frombuffer(tensor.raw_data, kind.stored)
    else:
        numbers = getattr(tensor, kind.field)
        if len(numbers) != count:
            raise ConversionError(message(place, f"{count} numbers for shape {shape}", len(numbers)))
        try:
            values = np.array(numbers, np.int64 if kind.field == "int32_data" else None).astype(kind.stored)
        except OverflowError as error:
            raise ConversionError(f"{place}: {error}") from error
    values = values.reshape(shape)
    if kind.name == "bfloat16":
        return (values.astype(np.uint32) << 16).view(FLOAT32)
    if kind.name == "float16":
        return values.view("<f2").astype(FLOAT32)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def external_path(tensor: Any, folder: str | None) -> str:
    """The file that holds a tensor's data; ConversionError if it is not in the model's folder."""
    place = f"tensor {tensor.name!r}"
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    if folder is None:
        raise ConversionError(
            f"{place}: its data are in another file, {location!r}; give the path of the model, or load it with "
            "onnx.load first"
        )
    inside = location and not os.path.isabs(location) and "\\" not in location and "\0" not in location
    path = os.path.realpath(os.path.join(folder, location)) if inside else ""
    if not inside or ".." in location.split("/") or os.path.commonpath([folder, path]) != folder or path == folder:
        raise ConversionError(message(place, "external data in the model's folder", repr(location)))
    return path


def _open_without_waiting(path: str, flags: int) -> int:
    """A pipe of that name would be waited for, and a link could lead outside."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _external(tensor: Any, folder: str | None, place: str, size: int) -> bytes:
    """The bytes of a tensor that another file holds."""
    path = external_path(tensor, folder)
    fields = {entry.key: entry.value for entry in tensor.external_data}
    try:
        offset, length = int(fields.get("offset", 0)), int(fields.get("length", size))
    except ValueError as error:
        raise ConversionError(message(place, "external data at a number of bytes", str(error))) from error
    try:
        file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - closed below
    except OSError as error:
        raise ConversionError(f"{place}: its external data cannot be read ({error})") from error
    with file:
        status = os.fstat(file.fileno())
        held = status.st_size if stat.S_ISREG(status.st_mode) else 0
        if length != size or offset < 0 or offset + length > held:
            expected = f"{size} bytes of external data for shape {tuple(tensor.dims)}"
            raise ConversionError(message(place, expected, f"{length} at {offset} in a file of {held}"))
        file.seek(offset)
        return file.read(size)
