"""The .keras files of Keras 3: a zip of JSON and HDF5, from anywhere.

Nothing is extracted to a disk, nothing is executed, and no size is believed that the file does not have.
"""

from __future__ import annotations

import json
import os
import stat
import zipfile
import zlib
from typing import Any

from ... import _checks
from ..._checks import message, short
from .._errors import ConversionError
from ._hdf5 import Weights, h5py
from ._source import Source

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_MOST_JSON = 2**23
_MOST_EXPANSION = 16  # Keras stores weights as they are, and compression gains little on more than these bytes
_SMALL = 2**24
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_OTHER_ADVICE = 'load it with Keras, keras.models.load_model(path), and save it by model.save("model.keras")'


def open_file(model: str | os.PathLike[str]) -> Source:
    """The parts of a .keras file.

    Raises
    ------
    ConversionError
        It is no such file, or one that is damaged or says what it does not hold.
    OSError
        There is no such file, or it cannot be read.
    ModuleNotFoundError
        The package h5py is missing.
    """
    h5py()
    path = _checks.path("model", model)
    if stat.S_ISDIR(os.stat(path).st_mode):
        raise ConversionError(message("model", "a .keras file", f"{path!r}, a folder") + f"; {_OTHER_ADVICE}")
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ConversionError(message("model", "a .keras file", f"{path!r}, which is no file"))
    with open(path, "rb") as file:
        if file.read(len(_HDF5)) == _HDF5:
            got = f"{path!r}, a file of HDF5, as Keras wrote whole models before"
            raise ConversionError(message("model", "a .keras file", got) + f"; {_OTHER_ADVICE}")
        size = file.seek(0, os.SEEK_END)
        try:
            with zipfile.ZipFile(file) as archive:
                members = {name: _member(archive, name, size) for name in (_METADATA, _CONFIG, _WEIGHTS)}
        except _DAMAGES as error:
            if isinstance(error, ConversionError):
                raise
            raise ConversionError(f"{path!r}: no .keras file, or one that is damaged ({short(error)})") from error
    metadata = _json(members[_METADATA], _METADATA)
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not version.startswith("3."):
        got = f"one of version {short(repr(version), 40)}"
        raise ConversionError(message(_METADATA, "a file of Keras 3", got) + f"; {_OTHER_ADVICE}")
    weights = Weights(members[_WEIGHTS])
    return Source(_json(members[_CONFIG], _CONFIG), weights.root(), weights.held, {"keras": short(version, 40)})


def _member(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """The bytes of a member, once its sizes are found to be possible."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        others = [other for other in archive.namelist()[:1000] if other.endswith(".json")]
        advice = ", which has its weights in several files" if "model.weights.json" in others else ""
        raise ConversionError(message("model", f"a .keras file with {name}", f"one without{advice}")) from None
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ConversionError(message(name, "a member that is stored or deflated", f"method {info.compress_type}"))
    most = max(_SMALL, _MOST_EXPANSION * info.compress_size) if name == _WEIGHTS else _MOST_JSON
    if info.compress_size > size or info.file_size > most:
        got = f"{info.file_size} bytes from {info.compress_size} in a file of {size}"
        raise ConversionError(message(name, f"at most {most} bytes", got))
    content = archive.read(info)
    if len(content) != info.file_size:
        raise ConversionError(message(name, f"{info.file_size} bytes", len(content)))
    return content


def _json(content: bytes, name: str) -> Any:
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ConversionError(f"{name}: it is nested too deep") from error
    except ValueError as error:
        raise ConversionError(f"{name}: no JSON ({short(error)})") from error
