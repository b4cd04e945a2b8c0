"""Networks in files: safetensors files with the architecture in their metadata.

The metadata holds ``format`` ("fnnfast"), ``format_version``, ``architecture`` (JSON: dtype and layers, and the
precision if it is another) and ``sha256`` over the architecture and all tensors. The digest finds damage and careless
editing; it is no signature.

A tensor is a parameter or a buffer. Weights in bfloat16 are kept as their 16 bits (U16), weights in int8 as they are
(I8), beside the layer's ``input_scale``, ``zero_point`` and ``weight_scale``.
"""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, activations
from .._checks import Array, message
from ..layers import BY_KIND, Input, Layer
from .structure import Structure
from .tensors import MIXED_BFLOAT16, NARROW, stored

FORMAT = "fnnfast"
FORMAT_VERSIONS = ("1", "2")  # the second where a layer holds what the first does not know

# Bytes of a name to which those of a temporary file are added; some file systems take 143, most 255.
_LONG_NAME = 100

# Of safetensors itself.
_LARGEST_HEADER = 100_000_000

_DTYPES = {
    "BOOL": "bool",
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "UI" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    "C64": "<c8",
}

# Of the tensors of networks.
_OURS = {"F32": "float32", "F64": "float64", "U16": "uint16", "I8": "int8", "U8": "uint8"}


class Stored(NamedTuple):
    """What is in a file."""

    layers: list[Any]
    dtype: str
    compute_dtype: str
    tensors: dict[str, Array]


class UnfitError(ValueError):
    """What is wrong with a file, in few words: names and numbers in it may be of any length."""

    def __init__(self, text: str) -> None:
        super().__init__(_checks.short(text, 1000))


def write(path: str, architecture: str, version: int, tensors: Mapping[str, Array]) -> None:
    """Write a network to ``path``, replacing what is there at once or, on any error, not at all.

    The architecture is what ``encode`` gives, and the version that of the oldest format that holds it.
    """
    import safetensors.numpy

    metadata = {
        "format": FORMAT,
        "format_version": str(version),
        "architecture": architecture,
        "sha256": digest(architecture, tensors),
    }
    replace(path, safetensors.numpy.save(dict(tensors), metadata))


def read(path: str) -> Stored:
    """What ``write`` wrote, checked; UnfitError for anything else."""
    metadata, found, content = parts(path)
    if metadata.get("format") != FORMAT:
        raise UnfitError(message("format", repr(FORMAT), repr(metadata.get("format"))))
    if metadata.get("format_version") not in FORMAT_VERSIONS:
        known = " or ".join(FORMAT_VERSIONS)
        raise UnfitError(message("format_version", known, repr(metadata.get("format_version"))))
    architecture = metadata.get("architecture", "")
    dtype, compute_dtype, specs = decode(architecture)
    # Checked against the file before anything is built: a forged architecture must not get to allocate.
    expected = stored(_structure(specs).state_shapes, dtype, compute_dtype)
    got = {name: (_OURS.get(place.dtype, place.dtype), place.shape) for name, place in found.items()}
    if got != expected:
        raise UnfitError(_difference(expected, got))
    tensors = {name: found[name].array(content) for name in expected}
    if metadata.get("sha256") != digest(architecture, tensors):
        raise UnfitError("its sha256 does not match: the file was damaged or changed")
    return Stored(specs, dtype, compute_dtype, tensors)


def _structure(specs: list[Any]) -> Structure:
    try:
        return Structure(specs)
    except (TypeError, ValueError) as error:
        raise UnfitError(str(error)) from error


def _difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    parts = []
    if missing := expected.keys() - found.keys():
        parts.append(f"missing tensors {_checks.listed(sorted(missing))}")
    if extra := found.keys() - expected.keys():
        parts.append(f"unknown tensors {_checks.listed(sorted(extra))}")
    parts += [
        message(name, f"{expected[name][0]} {expected[name][1]}", f"{found[name][0]} {found[name][1]}")
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    return "; ".join(parts)


# The architecture as JSON --------------------------------------------------------------------------------------------
def encode(layers: Sequence[Input | Layer], dtype: str, compute_dtype: str) -> str:
    """Number formats and layers as JSON."""
    import json

    fields = {"dtype": dtype, "layers": [_encode_layer(layer) for layer in layers]}
    return json.dumps(fields if compute_dtype == dtype else {**fields, "precision": compute_dtype})


def _encode_layer(layer: Input | Layer) -> dict[str, Any]:
    return {"kind": layer.kind, **{name: _encode(value) for name, value in vars(layer).items()}}


def _encode(value: Any) -> Any:
    """A field of a layer: layers inside it, an activation, or what JSON has."""
    if isinstance(value, Layer):
        return _encode_layer(value)
    if isinstance(value, activations.Activation):
        return {"name": value.name, **vars(value)}
    return [_encode(part) for part in value] if isinstance(value, tuple) else value


def decode(architecture: str) -> tuple[str, str, list[Any]]:
    """The dtype, the number format of products and the layers."""
    import json

    try:
        fields = json.loads(architecture)
        dtype = _checks.dtype(fields["dtype"]).name
        compute_dtype = fields.get("precision", dtype)
        known = (dtype, MIXED_BFLOAT16, *NARROW) if dtype == "float32" else (dtype,)
        if compute_dtype not in known:
            raise _checks.unknown("precision", compute_dtype, known)
        return dtype, compute_dtype, [_decode_layer(**layer) for layer in fields["layers"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UnfitError(f"its architecture makes no sense ({error})") from error


def _decode_layer(kind: str, **fields: Any) -> Input | Layer:
    if kind == "input":
        return Input(*fields.pop("shape"), **fields)
    if kind not in BY_KIND:
        raise _checks.unknown("layer", kind, BY_KIND)
    for key in ("layers", "shortcut"):
        if key in fields:
            fields[key] = [_decode_layer(**inner) for inner in fields[key]]
    if "branches" in fields:
        fields["branches"] = [[_decode_layer(**inner) for inner in branch] for branch in fields["branches"]]
    if "activation" in fields:
        fields["activation"] = activations.get(**fields["activation"])
    return BY_KIND[kind](**fields)


# Bytes in ------------------------------------------------------------------------------------------------------------
class Place(NamedTuple):
    """Where a tensor is in the bytes of a file."""

    dtype: str
    shape: tuple[int, ...]
    first: int
    last: int

    def array(self, content: bytes) -> Array:
        """The tensor as a read-only view of these bytes; UnfitError for a dtype that no file of ours has."""
        if self.dtype not in _DTYPES:
            raise UnfitError(message("dtype", f"one of {', '.join(_DTYPES)}", self.dtype))
        values = np.frombuffer(content, _DTYPES[self.dtype], math.prod(self.shape), self.first)
        return values.reshape(self.shape)


def parts(path: str) -> tuple[dict[str, str], dict[str, Place], bytes]:
    """A safetensors file: its metadata, where its tensors are, and its bytes; UnfitError for any other file.

    It is read once. A mapping of it, as safetensors itself makes one, ends the process with SIGBUS where the file is
    cut while it is looked into; what is read while another process writes is a damaged file like any.
    """
    with open(path, "rb", buffering=0) as file:
        if file.seekable():  # a look at its beginning, since what is no such file may be long, or without end
            _header_size(file.read(8))
            file.seek(0)
        content = file.read()
    try:
        metadata, places = _parse(content)
    except UnfitError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UnfitError(f"not a whole safetensors file ({error})") from error
    return metadata, places, content


def _header_size(beginning: bytes) -> int:
    size = int.from_bytes(beginning[:8], "little")
    if len(beginning) < 8 or not 2 <= size <= _LARGEST_HEADER:
        raise UnfitError("not a whole safetensors file (it does not begin with the size of a header)")
    return size


def _parse(content: bytes) -> tuple[dict[str, str], dict[str, Place]]:
    """The header of a safetensors file, which says where its tensors are: one after the other, up to the end."""
    import json

    start = 8 + _header_size(content)
    fields = json.loads(content[8:start].decode())
    if not isinstance(fields, dict) or start > len(content):
        raise ValueError("its header is not whole")
    metadata = fields.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise TypeError("its metadata is no table of texts")
    places = {}
    end = start
    for name, field in sorted(fields.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = (_checks.integer("data_offsets", offset, 0, None) for offset in field["data_offsets"])
        shape = tuple(_checks.integer("shape", length, 0, None) for length in field["shape"])
        kind = _DTYPES.get(field["dtype"])
        if first != end - start or last < first:
            raise ValueError(f"{name} is not where the tensor before it ends")
        if kind is not None and last - first != math.prod(shape) * np.dtype(kind).itemsize:
            raise ValueError(f"{name} has not the size of its shape")
        places[name] = Place(field["dtype"], shape, end, start + last)
        end = start + last
    if end != len(content):
        raise ValueError(f"{end} bytes expected, {len(content)} found")
    return metadata, places


# Bytes out -----------------------------------------------------------------------------------------------------------
def digest(text: str, tensors: Mapping[str, Array]) -> str:
    """sha256 over a text and all tensors, with their names, dtypes and shapes."""
    import hashlib

    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        values = tensors[name]
        little_endian = values.astype(values.dtype.newbyteorder("<"), copy=False)
        digest.update(f"\n{name} {values.dtype.name} {values.shape}\n".encode())
        digest.update(little_endian.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def replace(path: str, content: bytes, temporary: str | None = None) -> None:
    """Write beside ``path`` and rename, so that a reader finds the old file or the new one, whole.

    What is replaced hands on its permissions and, where that is allowed, its owner, except on Windows. A name for the
    temporary file, if given, is the caller's own: what an earlier, killed process left there goes. OSErrors name
    ``path``.
    """
    with _named(path):
        target = os.path.realpath(path)
        before = _replaceable(target)
        descriptor, temporary = _open_beside(target, temporary, 0o666 if before is None else 0o600)
        try:
            with open(descriptor, "wb") as file:
                if before is not None and hasattr(os, "fchown"):
                    _hand_on(before, descriptor)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        with suppress(OSError):  # a folder that may be written to but not read, or that cannot be synced
            folder = os.open(os.path.dirname(target), os.O_RDONLY)
            try:
                os.fsync(folder)  # so that the new name outlives a loss of power
            finally:
                os.close(folder)


def require_replaceable(path: str) -> None:
    """OSError, which names ``path``, where ``replace`` could not write."""
    with _named(path):
        target = os.path.realpath(path)
        _replaceable(target)
        descriptor, temporary = _open_beside(target, None, 0o600)
        os.close(descriptor)
        os.unlink(temporary)


def is_there(path: str) -> bool:
    """Whether there is a file to go on with; OSError for what is none, which might be waited for for ever."""
    with _named(path):
        return _replaceable(os.path.realpath(path)) is not None


def temporary_name(path: str, infix: str = "") -> str:
    """A name beside ``path``, and none that is too long where that of ``path`` is not."""
    folder, name = os.path.split(os.path.realpath(path))
    if len(os.fsencode(name)) > _LONG_NAME:
        import hashlib

        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return os.path.join(folder, f"{name}{infix}.tmp")


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Let OSErrors name the file that was asked for, and none that nobody has heard of."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, path) from error


def _replaceable(target: str) -> os.stat_result | None:
    """What stands there, or None; OSError for what is no file, such as a folder or a device."""
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", target)
    return found


def _open_beside(target: str, temporary: str | None, mode: int) -> tuple[int, str]:
    """A new file, open for writing, and its name; a link that stands there is not followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    if temporary is not None:
        with suppress(OSError):  # a folder of that name, or the file of another user: then under another name
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            return os.open(temporary, flags, mode), temporary
    temporary = temporary_name(target, f".{os.urandom(8).hex()}")
    return os.open(temporary, flags, mode), temporary


def _hand_on(before: os.stat_result, descriptor: int) -> None:
    """Owner, group and permissions, as far as the system allows."""
    mode, now = before.st_mode & 0o777, os.fstat(descriptor)
    if now.st_uid != before.st_uid:
        with suppress(OSError):
            os.fchown(descriptor, before.st_uid, -1)
    if now.st_gid != before.st_gid:
        try:
            os.fchown(descriptor, -1, before.st_gid)
        except OSError:  # another group may do no more than all others
            mode = mode & 0o707 | (mode & 0o007) << 3
    with suppress(OSError):  # a file system without permissions
        os.fchmod(descriptor, mode)
