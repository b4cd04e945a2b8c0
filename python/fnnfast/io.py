"""Networks on disk: safetensors files with the architecture in their metadata.

The metadata holds ``format`` ("fnnfast"), ``format_version``, ``architecture`` (JSON: dtype and layers, and the
precision if it is another) and ``sha256`` over the architecture and all tensors. The digest finds damage and careless
editing; it is no signature.

A tensor is a parameter. Weights in bfloat16 are kept as their 16 bits (U16), weights in int8 as they are (I8), beside
the layer's ``input_scale``, ``zero_point`` and ``weight_scale``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _checks, activations, inference, layers, sequential
from ._checks import Array, message
from .parameters import name_layers, parameter_shapes
from .sequential import Sequential

FORMAT = "fnnfast"
FORMAT_VERSIONS = ("1", "2")  # the second where a layer holds what the first does not know

_SAFETENSORS_DTYPES = {"F32": "float32", "F64": "float64", "U16": "uint16", "I8": "int8", "U8": "uint8"}


def save(net: Sequential, path: str | os.PathLike[str]) -> None:
    """Write a network to ``path``, replacing what is there at once or, on any error, not at all.

    Parameters
    ----------
    net : Sequential
    path : path-like

    Raises
    ------
    OSError
        The folder does not exist, is full or not writeable.
    """
    import safetensors.numpy

    tensors = net._tensors()
    architecture = encode(net)
    metadata = {
        "format": FORMAT,
        "format_version": str(max(layer.format_version for layer in net.named_layers.values())),
        "architecture": architecture,
        "sha256": digest(architecture, tensors),
    }
    replace(os.fsdecode(os.path.realpath(path)), safetensors.numpy.save(tensors, metadata))


def load(path: str | os.PathLike[str]) -> Sequential:
    """Read a network that ``Sequential.save`` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Sequential
        Answers with the same bits as the network that was saved; an InferenceNetwork if that was one.

    Raises
    ------
    ValueError
        The file is truncated, changed, not ours, or of a later format; the message says which.
    OSError
        There is no such file, or it cannot be read.
    """
    with open(path, "rb"):  # so that what the system has against the path is said in its own words
        pass
    try:
        return _read(os.fsdecode(path))
    except ValueError as error:
        raise ValueError(f"{os.fsdecode(path)!r} holds no fnnfast network: {error}") from error.__cause__


class _UnfitError(ValueError):
    """What is wrong with a file."""


def _read(path: str) -> Sequential:
    import safetensors

    try:
        file: Any = safetensors.safe_open(path, framework="numpy")
    except safetensors.SafetensorError as error:
        raise _UnfitError(f"not a whole safetensors file ({error})") from error
    with file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise _UnfitError(message("format", repr(FORMAT), repr(metadata.get("format"))))
        if metadata.get("format_version") not in FORMAT_VERSIONS:
            known = " or ".join(FORMAT_VERSIONS)
            raise _UnfitError(message("format_version", known, repr(metadata.get("format_version"))))
        architecture = metadata.get("architecture", "")
        dtype, precision, specs = _decode(architecture)
        # Checked against the file before anything is built: a forged architecture must not get to allocate.
        found = {}
        for name in file.keys():  # noqa: SIM118 - the file is no mapping
            tensor = file.get_slice(name)
            found[name] = (_SAFETENSORS_DTYPES.get(tensor.get_dtype(), tensor.get_dtype()), tuple(tensor.get_shape()))
        expected = inference.stored(parameter_shapes(*_named(specs)), dtype, precision)
        if found != expected:
            raise _UnfitError(_difference(expected, found))
        tensors = {name: file.get_tensor(name) for name in expected}
    if metadata.get("sha256") != digest(architecture, tensors):
        raise _UnfitError("its sha256 does not match: the file was damaged or changed")
    if precision != dtype:
        return inference.restore(inference.InferenceNetwork, specs, precision, tensors)
    return sequential.restore(Sequential, specs, dtype, tensors)


def _named(specs: list[Any]) -> tuple[layers.Input, dict[str, layers.Layer]]:
    try:
        return name_layers(specs)
    except (TypeError, ValueError) as error:
        raise _UnfitError(str(error)) from error


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
def encode(net: Sequential) -> str:
    """Dtype and layers as JSON."""
    import json

    fields = {"dtype": net.dtype.name, "layers": [_encode_layer(layer) for layer in net.layers]}
    return json.dumps(fields if net.precision == net.dtype.name else {**fields, "precision": net.precision})


def _encode_layer(layer: layers.Input | layers.Layer) -> dict[str, Any]:
    fields = {"kind": layer.kind, **vars(layer)}
    for key in ("layers", "shortcut"):
        if fields.get(key) is not None:
            fields[key] = [_encode_layer(inner) for inner in fields[key]]
    if "activation" in fields:
        fields["activation"] = {"name": fields["activation"].name, **vars(fields["activation"])}
    return fields


def _decode(architecture: str) -> tuple[str, str, list[Any]]:
    """The dtype, the precision and the layers."""
    import json

    try:
        fields = json.loads(architecture)
        dtype = _checks.dtype(fields["dtype"]).name
        precision = fields.get("precision", dtype)
        known = (dtype, *inference.PRECISIONS) if dtype == "float32" else (dtype,)
        if precision not in known:
            raise _checks.unknown("precision", precision, known)
        return dtype, precision, [_decode_layer(**layer) for layer in fields["layers"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _UnfitError(f"its architecture makes no sense ({error})") from error


def _decode_layer(kind: str, **fields: Any) -> layers.Input | layers.Layer:
    if kind == "input":
        return layers.Input(*fields.pop("shape"), **fields)
    if kind not in layers.BY_KIND:
        raise _checks.unknown("layer", kind, layers.BY_KIND)
    for key in ("layers", "shortcut"):
        if key in fields:
            fields[key] = [_decode_layer(**inner) for inner in fields[key]]
    if "activation" in fields:
        fields["activation"] = activations.get(**fields["activation"])
    return layers.BY_KIND[kind](**fields)


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

    A name for the temporary file, if given, is the caller's own: what an earlier, killed process left there goes.
    """
    mode = "xb" if temporary is None else "wb"
    temporary = temporary or f"{path}.{os.urandom(4).hex()}.tmp"
    try:
        with open(temporary, mode) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)  # so that the new name outlives a loss of power
    finally:
        os.close(folder)
