"""Files of networks and checkpoints: any bytes, and files that are forged with their digests right."""

import copy
import json
import os
import struct
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

import fnnfast as fnn
from fnnfast._network import file_format
from fuzz_source import FaultError, Source, SourceRandom, same

ALLOWED = (ValueError, OSError, MemoryError)
LARGEST = 64
"""Of a number in the architecture of a network that is called: a file may well describe years of work."""

X, Y = np.ones((8, 2), np.float32), np.array([0, 1] * 4)
SETTINGS: dict[str, Any] = {"epochs": 4, "seed": 0, "batch_size": 4, "progress": False}
NAMES = {
    "float32": "F32",
    "float64": "F64",
    "uint16": "U16",
    "int8": "I8",
    "uint8": "U8",
    "int64": "I64",
    "float16": "F16",
    "bool": "BOOL",
    "int32": "I32",
}


@cache
def folder() -> Path:
    """Of this process; removed at its end."""
    directory = tempfile.TemporaryDirectory()
    _DIRECTORIES.append(directory)
    return Path(directory.name)


_DIRECTORIES: list[tempfile.TemporaryDirectory[str]] = []


def networks() -> list[Any]:
    layers: list[list[Any]] = [
        [fnn.Input(4), fnn.Dense(5, "relu"), fnn.Dense(3, "softmax")],
        [fnn.Input(3), fnn.Residual([fnn.Dense(4, "tanh")], activation="relu"), fnn.Maxout(3, 2), fnn.Gaussian(1)],
        [fnn.Input(2, 2), fnn.Dense(4, "prelu", bias=False), fnn.Activation("gelu"), fnn.Dropout(0.2), fnn.Dense(2)],
        [
            fnn.Input(5, 5, 2),
            fnn.Conv2D(2, 3, padding="same"),
            fnn.BatchNorm(),
            fnn.MaxPool2D(2),
            fnn.LocalResponseNorm(),
            fnn.MaxoutConv2D(2, 1),
            fnn.GlobalAveragePool2D(),
            fnn.Parallel([[fnn.Dense(2)], [fnn.Dense(1, fnn.ELU(learn=True))]]),
            fnn.Dense(2, "sigmoid"),
        ],
    ]
    nets = [
        fnn.Sequential(of, seed=0, dtype=dtype) for of, dtype in zip(layers, ["float32"] * 3 + ["float64"], strict=True)
    ]
    return [*nets, nets[0].astype("bfloat16"), nets[1].quantize(np.eye(3))]


@cache
def network_files() -> list[bytes]:
    path, found = folder() / "base", []
    for net in networks():
        net.save(path)
        found.append(path.read_bytes())
    return found


def small() -> Any:
    return fnn.Sequential([fnn.Input(2), fnn.Dense(3, "tanh"), fnn.BatchNorm(), fnn.Dense(2, "softmax")], seed=7)


def fit(net: Any, path: Path, epochs: int) -> Any:
    return net.fit(
        X,
        Y,
        optimizer=fnn.SGD(0.1, momentum=0.5),
        callbacks=[fnn.EarlyStopping(9)],
        checkpoint=path,
        validation=0.25,
        **{**SETTINGS, "epochs": epochs},
    )


@cache
def checkpoint_files() -> list[bytes]:
    found = []
    for epochs in (1, 2, 4):
        path = folder() / f"checkpoint-{epochs}"
        fit(small(), path, epochs)
        found.append(path.read_bytes())
    return found


# Forging -------------------------------------------------------------------------------------------------------------
@cache
def opened(data: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    path = folder() / "opened"
    path.write_bytes(data)
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def packed(metadata: dict[str, str], tensors: dict[str, Any]) -> bytes:
    header: dict[str, Any] = {"__metadata__": metadata}
    content = b""
    for name, array in tensors.items():
        part = array.tobytes()
        place = [len(content), len(content) + len(part)]
        header[name] = {"dtype": NAMES[array.dtype.name], "shape": list(array.shape), "data_offsets": place}
        content += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content


NUMBERS = (-1, 0, 1, 2, 3, 5, 9, 0.5, 1e308, 2**31 - 1, 2**31, 2**64, 10**30, float("nan"), float("inf"), -0.5)
TEXTS = (
    "",
    "relu",
    "prelu",
    "softmax",
    "dense",
    "conv2d",
    "residual",
    "same",
    "valid",
    "x",
    "float64",
    "bfloat16",
    "int8",
)


def json_value(source: Source, depth: int = 0) -> Any:
    match source.integer(0, 7 if depth < 3 else 5):
        case 0:
            return source.choice(NUMBERS)
        case 1:
            return source.choice(TEXTS)
        case 2:
            return None
        case 3:
            return source.one_in(2)
        case 4:
            return source.integer(0, 12)
        case 5:
            return {"kind": source.choice(TEXTS), "units": source.integer(0, 5)}
        case 6:
            return [json_value(source, depth + 1) for _ in range(source.integer(0, 3))]
        case _:
            return {source.choice(TEXTS): json_value(source, depth + 1) for _ in range(source.integer(0, 3))}


def edit_json(source: Source, value: Any) -> Any:
    """One place in it becomes something else, goes, or is doubled."""
    owner, place = None, None
    inner = value
    while isinstance(inner, (dict, list)) and inner and not (owner is not None and source.one_in(5)):
        owner, place = inner, source.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        inner = inner[place]
    if owner is None:
        return json_value(source)
    match source.integer(0, 4):
        case 0:
            del owner[place]
        case 1 if isinstance(owner, list):
            owner.insert(place, copy.deepcopy(inner))
        case 2 if isinstance(owner, dict):
            owner[source.choice((*TEXTS, "units", "alpha", "kind", "bias", "shape", "layers"))] = json_value(source)
        case 3 if isinstance(inner, (int, float)):
            owner[place] = source.choice([inner + 1, inner - 1, -inner, inner * 2, float(inner)])
        case _:
            owner[place] = json_value(source)
    return value


def edit_tensors(source: Source, tensors: dict[str, Any]) -> None:
    name = source.choice(list(tensors))
    array = tensors[name]
    match source.integer(0, 6):
        case 0:
            del tensors[name]
        case 1:
            tensors[name] = array.T
        case 2:
            with np.errstate(all="ignore"):
                tensors[name] = array.astype(source.choice(list(NAMES)))
        case 3:
            tensors[source.choice([name + "x", "dense_9.weight", "x"])] = array
        case 4:
            tensors[name] = array[..., np.newaxis] if source.one_in(2) else array.reshape(-1)
        case 5:
            tensors[name] = array.ravel()[: source.integer(0, array.size)]
        case _:
            changed = np.array(array)
            if changed.size:
                with np.errstate(all="ignore"):
                    value = np.asarray(source.choice((np.nan, np.inf, -1.0, 0.0, 1e30, 255.0))).astype(array.dtype)
                changed.reshape(-1)[source.integer(0, changed.size - 1)] = value
            tensors[name] = changed


def forged(source: Source, base: bytes, key: str) -> bytes:
    """A changed file with the right digest, most of the time."""
    metadata, tensors = opened(base)
    metadata, tensors = dict(metadata), dict(tensors)
    values = json.loads(metadata[key])
    for _ in range(source.integer(0, 3)):
        values = edit_json(source, values)
    for _ in range(source.integer(0, 2)):
        if tensors:
            edit_tensors(source, tensors)
    metadata[key] = json.dumps(values)
    metadata["sha256"] = file_format.digest(metadata[key], tensors)
    if source.one_in(8):
        metadata[source.choice(["format", "format_version", "sha256", key, "x"])] = source.choice(
            ["1", "2", "3", "", "{}"]
        )
    data = packed(metadata, tensors)
    if source.one_in(8):
        import fuzz_models

        data = fuzz_models.damage_bytes(data, SourceRandom(source))
    return data


# Targets -------------------------------------------------------------------------------------------------------------
def _largest(value: Any) -> float:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return max(map(_largest, value), default=0)
    return abs(value) if isinstance(value, (int, float)) else 0


def network_file(source: Source) -> None:
    """It is refused in words, or a network that answers and comes back the same from a file of its own."""
    mode = source.integer(0, 3)
    data = source.rest() if mode == 3 else forged(source, source.choice(network_files()), "architecture")
    path = folder() / "network"
    path.write_bytes(data)
    try:
        net = fnn.load(path)
    except ALLOWED as error:
        if str(path) not in str(error) and not isinstance(error, MemoryError):
            raise FaultError(f"an error that names no file: {error}") from error
        if len(str(error)) > 2000 + len(str(path)):
            raise FaultError(f"an error of {len(str(error))} letters") from error
        return
    if path.read_bytes() != data:
        raise FaultError("load changed the file")
    architecture = json.loads(opened(data)[0]["architecture"])
    if _largest(architecture["layers"]) > LARGEST:
        return
    x = np.ones((2, *net.input.shape))
    y = net(x)
    if y.shape != (2, net.outputs):
        raise FaultError(f"{net.layers}: {y.shape}")
    net.save(folder() / "again")
    again = fnn.load(folder() / "again")
    if again.layers != net.layers:
        raise FaultError(f"{net.layers}, and from a file {again.layers}")
    same(again(x), y, f"{net.layers}")


def checkpoint(source: Source) -> None:
    """It is refused before anything changes, or training goes on to its end."""
    mode = source.integer(0, 3)
    data = source.rest() if mode == 3 else forged(source, source.choice(checkpoint_files()), "run")
    path = folder() / "run"
    path.write_bytes(data)
    net = small()
    before = {**net.parameters, **net.buffers}
    try:
        history = fit(net, path, 4)
    except ALLOWED as error:
        if str(path) not in str(error) and "row" not in str(error) and "loss" not in str(error):
            raise FaultError(f"an error that names no file: {error}") from error
        if str(path) in str(error):
            same({**net.parameters, **net.buffers}, before, "the network after a checkpoint was refused")
            if path.read_bytes() != data:
                raise FaultError("a checkpoint that was refused has changed") from error
        return
    if not len(history.loss) == len(history.learning_rate) == len(history.validation_loss) <= 4:
        raise FaultError(f"a history of {len(history.loss)} losses, {len(history.learning_rate)} rates")


def seeds(target: str) -> list[bytes]:
    files = network_files() if target == "network_file" else checkpoint_files()
    return [b"\3" + data for data in files if len(data) < 6000][:4]


def prepare() -> None:
    os.chdir(folder())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network_files()
        checkpoint_files()


TARGETS = {"network_file": network_file, "checkpoint": checkpoint}
