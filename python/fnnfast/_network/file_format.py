"""Networks in files: safetensors files with the architecture in their metadata.

The metadata holds ``format`` ("fnnfast"), ``format_version``, ``architecture`` (JSON: dtype and layers, and the
precision if it is another) and ``sha256`` over the architecture and all tensors. The digest finds damage and careless
editing; it is no signature.

A tensor is a parameter. Weights in bfloat16 are kept as their 16 bits (U16), weights in int8 as they are (I8), beside
the layer's ``input_scale``, ``zero_point`` and ``weight_scale``.
"""

from __future__ import annotations

import errno
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
from .tensors import NARROW, stored

FORMAT = "fnnfast"
FORMAT_VERSIONS = ("1", "2")  # the second where a layer holds what the first does not know

# Bytes of a name to which those of a temporary file are added; some file systems take 143, most 255.
_LONG_NAME = 100

_SAFETENSORS_DTYPES = {"F32": "float32", "F64": "float64", "U16": "uint16", "I8": "int8", "U8": "uint8"}


class Stored(NamedTuple):
    """What is in a file."""

    layers: list[Any]
    dtype: str
    compute_dtype: str
    tensors: dict[str, Array]


class UnfitError(ValueError):
    """What is wrong with a file."""


def write(path: str | os.PathLike[str], architecture: str, version: int, tensors: Mapping[str, Array]) -> None:
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
    replace(os.fsdecode(path), safetensors.numpy.save(dict(tensors), metadata))


def read(path: str) -> Stored:
    """What ``write`` wrote, checked; UnfitError for anything else."""
    import safetensors

    try:
        file: Any = safetensors.safe_open(path, framework="numpy")
    except safetensors.SafetensorError as error:
        raise UnfitError(f"not a whole safetensors file ({error})") from error
    with file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise UnfitError(message("format", repr(FORMAT), repr(metadata.get("format"))))
        if metadata.get("format_version") not in FORMAT_VERSIONS:
            known = " or ".join(FORMAT_VERSIONS)
            raise UnfitError(message("format_version", known, repr(metadata.get("format_version"))))
        architecture = metadata.get("architecture", "")
        dtype, compute_dtype, specs = decode(architecture)
        # Checked against the file before anything is built: a forged architecture must not get to allocate.
        found = {}
        for name in file.keys():  # noqa: SIM118 - the file is no mapping
            tensor = file.get_slice(name)
            found[name] = (_SAFETENSORS_DTYPES.get(tensor.get_dtype(), tensor.get_dtype()), tuple(tensor.get_shape()))
        expected = stored(_structure(specs).shapes, dtype, compute_dtype)
        if found != expected:
            raise UnfitError(_difference(expected, found))
        tensors = {name: file.get_tensor(name) for name in expected}
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
        parts.append(f"missing tensors {', '.join(sorted(missing))}")
    if extra := found.keys() - expected.keys():
        parts.append(f"unknown tensors {', '.join(sorted(extra))}")
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
    fields = {"kind": layer.kind, **vars(layer)}
    for key in ("layers", "shortcut"):
        if fields.get(key) is not None:
            fields[key] = [_encode_layer(inner) for inner in fields[key]]
    if "activation" in fields:
        fields["activation"] = {"name": fields["activation"].name, **vars(fields["activation"])}
    return fields


def decode(architecture: str) -> tuple[str, str, list[Any]]:
    """The dtype, the number format of products and the layers."""
    import json

    try:
        fields = json.loads(architecture)
        dtype = _checks.dtype(fields["dtype"]).name
        compute_dtype = fields.get("precision", dtype)
        known = (dtype, *NARROW) if dtype == "float32" else (dtype,)
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
    if "activation" in fields:
        fields["activation"] = activations.get(**fields["activation"])
    return BY_KIND[kind](**fields)


# Bytes ---------------------------------------------------------------------------------------------------------------
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

    What is replaced hands on its permissions and, where that is allowed, its owner. A name for the temporary file, if
    given, is the caller's own: what an earlier, killed process left there goes. OSErrors name ``path``.
    """
    with _named(path):
        target = os.path.realpath(path)
        before = _replaceable(target)
        descriptor, temporary = _open_beside(target, temporary, 0o666 if before is None else 0o600)
        try:
            with open(descriptor, "wb") as file:
                if before is not None:
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
