"""Read damaged model files, many a second, and see that each is refused in words.

Usage: ``python tools/fuzz_models.py [--seconds S] [--seed N] [KIND ...]``, kinds onnx, keras and torch; by default all
whose packages are installed. A file is damaged as bytes, as fields of its protobuf messages, or as members of its
archive. Reading it may give a network, a ValueError (which a ConversionError is) or an OSError, within some seconds and
some hundred MiB. Whatever else happens, such as another exception, a crash or a hang, is reported, and the file is kept
in build/fuzz. The status is 1 then.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fnnfast as fnn

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "fuzz"
ONNX_FILES = ROOT / "tests" / "interop" / "model_files" / "onnx"
KERAS_FILES = ROOT / "tests" / "interop" / "model_files" / "keras"

FILES_PER_PROCESS = 300
SECONDS_PER_FILE = 20
MORE_MEMORY = 2**30  # than the process has before it reads its first file
ALLOWED = (ValueError, OSError)

Damage = Callable[[bytes, random.Random], bytes]


# Files that can be read ----------------------------------------------------------------------------------------------
def networks() -> list[fnn.Sequential]:
    layers: list[list[Any]] = [
        [fnn.Dense(5, "relu"), fnn.Dense(3, "softmax")],
        [fnn.Residual([fnn.Dense(4, "tanh")], activation="relu"), fnn.Maxout(3, 2), fnn.Dense(1, "sigmoid")],
        [fnn.Dense(4, "prelu", bias=False), fnn.Activation("gelu"), fnn.Dropout(0.2), fnn.Dense(2)],
        [fnn.Dense(4, "step"), fnn.Dense(4, "mish"), fnn.Dense(4, "log_sigmoid"), fnn.Dense(2, "softplus")],
    ]
    return [fnn.Sequential([fnn.Input(4), *rest], seed=seed) for seed, rest in enumerate(layers)]


def onnx_files() -> list[bytes]:
    files = []
    for net in networks():
        for opset in (13, 20):
            model = fnn.to_onnx(net, opset=opset)
            files.append(model.SerializeToString())
            del model.metadata_props[:]  # so that the nodes are read
            files.append(model.SerializeToString())
    return files + [path.read_bytes() for path in sorted(ONNX_FILES.glob("*.onnx"))]


def keras_files() -> list[bytes]:
    return [path.read_bytes() for path in sorted(KERAS_FILES.glob("*.keras"))]


def torch_files() -> list[bytes]:
    import torch

    files = []
    for net in networks():
        buffer = io.BytesIO()
        torch.save(fnn.to_torch(net).state_dict(), buffer)
        files.append(buffer.getvalue())
    return files


# Damage --------------------------------------------------------------------------------------------------------------
NUMBERS = [0, 1, 2, 127, 128, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32, 2**40, 2**63 - 1, 2**64 - 1]


def damage_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bits, numbers and stretches of a file; one to eight changes."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if not damaged:
            break
        at = rng.randrange(len(damaged))
        length = min(rng.choice([1, 1, 2, 4, 8, 64]), len(damaged) - at)
        match rng.randrange(7):
            case 0:
                damaged[at] ^= 1 << rng.randrange(8)
            case 1:
                damaged[at : at + length] = rng.randbytes(length)
            case 2:
                number = rng.choice(NUMBERS).to_bytes(8, rng.choice(["little", "big"]))
                damaged[at : at + length] = number[:length]
            case 3:
                del damaged[at : at + length]
            case 4:
                damaged[at:at] = damaged[at : at + length] * rng.choice([1, 2, 100])
            case 5:
                other = rng.randrange(len(damaged))
                damaged[at : at + length] = damaged[other : other + length]
            case _:
                if rng.random() < 0.1:
                    del damaged[at:]
    return bytes(damaged)


def damage_message(data: bytes, rng: random.Random) -> bytes:
    """Fields anywhere in an ONNX model: numbers, names, and parts left out, doubled or in another order."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.randint(1, 4)):
        owner: Any = model
        while True:  # down to a field at some depth
            fields = [field for field, _ in owner.ListFields()]
            if not fields:
                break
            field = rng.choice(fields)
            value = getattr(owner, field.name)
            parts = list(value) if _is_repeated(field) else [value]
            if field.message_type is not None and parts and rng.random() < 0.85:
                owner = rng.choice(parts)
                continue
            _damage_field(owner, field, value, rng)
            break
    return bytes(model.SerializeToString())


def _is_repeated(field: Any) -> bool:
    repeated = getattr(field, "is_repeated", None)  # newer protobuf
    return bool(field.label == field.LABEL_REPEATED if repeated is None else repeated)


def _damage_field(owner: Any, field: Any, value: Any, rng: random.Random) -> None:
    if _is_repeated(field):
        at = rng.randrange(len(value)) if value else 0
        match rng.randrange(3):
            case 0:
                del value[at : at + 1]
            case 1 if field.message_type is not None and value:
                value.add().CopyFrom(value[at])
            case _ if value and field.message_type is None:
                value[at] = _other(value[at], rng)
    elif field.message_type is not None:
        owner.ClearField(field.name)
    else:
        try:
            setattr(owner, field.name, _other(value, rng))
        except (ValueError, TypeError):
            owner.ClearField(field.name)


def _other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bytes):
        return damage_bytes(value, rng)
    if isinstance(value, str):
        return rng.choice(["", "x", "y", "Gemm", "Add", "Reshape", "Loop", "If", "Scan", value * 2, value[:-1]])
    if isinstance(value, float):
        return rng.choice([0.0, -1.0, 1e30, float("nan"), float("inf"), value * 2])
    return rng.choice([-1, 0, 1, 2, 3, 7, 11, 2**31 - 1, value + 1])


def damage_archive(data: bytes, rng: random.Random) -> bytes:
    """The contents of one member, its name, or which members there are."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    match rng.randrange(6):
        case 0:
            del members[at]
        case 1:
            members.append(members[at])
        case 2:
            members[at] = rng.choice(["../" + name, "/" + name, name * 2, ""]) or "x", content
        case _:
            damage = damage_json if name.endswith(".json") and rng.random() < 0.7 else damage_bytes
            members[at] = name, damage(content, rng)
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", rng.choice([0, zipfile.ZIP_DEFLATED])) as archive:
        warnings.simplefilter("ignore")  # of two members of one name
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


TOKENS = [b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b'""', b"[]", b"{}", b"[[[[[[[[[[]]]]]]]]]]", b"1000000000"]


def damage_json(data: bytes, rng: random.Random) -> bytes:
    """One value, or a stretch between two separators, becomes another."""
    places = [i for i, c in enumerate(data) if c in b":,[{"]
    ends = [i for i, c in enumerate(data) if c in b",]}"]
    if not places or not ends:
        return damage_bytes(data, rng)
    start = rng.choice(places) + 1
    end = next((i for i in ends if i >= start), len(data))
    return data[:start] + rng.choice(TOKENS) + data[end:]


# Reading -------------------------------------------------------------------------------------------------------------
KINDS: dict[str, tuple[str, Callable[[], list[bytes]], Callable[[str], object], Sequence[Damage]]] = {
    "keras": ("h5py", keras_files, lambda path: fnn.from_keras(path), (damage_bytes, damage_archive, damage_archive)),
    "onnx": ("onnx", onnx_files, lambda path: fnn.from_onnx(path), (damage_bytes, damage_message, damage_message)),
    "torch": ("torch", torch_files, lambda path: fnn.from_torch(path), (damage_bytes, damage_archive)),
}
SUFFIXES = {"onnx": ".onnx", "keras": ".keras", "torch": ".pt"}


def read_many(kind: str, seed: int, current: Path, results: Any) -> None:
    """In a process of its own: files damaged by successive seeds, the one that is read at ``current``."""
    _, files, read, damages = KINDS[kind]
    originals = files()
    if not originals:
        raise SystemExit(f"{kind}: no files to damage")
    with open("/proc/self/statm", encoding="ascii") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY,) * 2)
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    for number in range(seed, seed + FILES_PER_PROCESS):
        rng = random.Random(number)
        current.write_bytes(rng.choice(damages)(rng.choice(originals), rng))
        results.put(("reads", number))
        signal.alarm(SECONDS_PER_FILE)
        try:
            read(str(current))
            results.put(("done", "a network"))
        except ALLOWED as error:
            results.put(("done", type(error).__name__))
        except BaseException as error:  # what should not happen, such as MemoryError
            results.put(("fault", _keep(kind, number, current, f"{type(error).__name__}: {str(error)[:200]}")))
        signal.alarm(0)
    results.put(("end", None))


def fuzz(kind: str, seconds: float, seed: int) -> tuple[Counter[str], list[str]]:
    """What became of the files, and a line for each that was not read as it should be."""
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    context = multiprocessing.get_context("spawn")
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        current = Path(folder) / f"model{SUFFIXES[kind]}"
        while time.monotonic() < deadline:
            results = context.SimpleQueue()
            process = context.Process(target=read_many, args=(kind, seed, current, results), daemon=True)
            process.start()
            number, ended = seed, False
            while not ended:
                while results.empty() and process.is_alive():
                    time.sleep(0.001)
                if results.empty():
                    faults.append(_keep(kind, number, current, f"the process ended with {process.exitcode}"))
                    break
                what, value = results.get()
                if what == "reads":
                    number = value
                elif what == "done":
                    outcomes[value] += 1
                elif what == "fault":
                    faults.append(value)
                ended = what == "end"
            if not ended and number == seed:
                break  # it does not even start
            process.join()
            seed = number + 1
    return outcomes, faults


def _keep(kind: str, number: int, current: Path, problem: str) -> str:
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"{kind}-{number}{SUFFIXES[kind]}"
    kept.write_bytes(current.read_bytes())
    return f"{kept}: {problem}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=60, help="for all kinds together (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the first file (default: 0)")
    options = parser.parse_args(arguments)
    if unknown := set(options.kinds) - KINDS.keys():
        parser.error(f"expected kinds out of {', '.join(KINDS)}, got {', '.join(sorted(unknown))}")
    kinds = options.kinds or [kind for kind, (package, *_) in KINDS.items() if importlib.util.find_spec(package)]
    status = 0
    for kind in kinds:
        outcomes, faults = fuzz(kind, options.seconds / len(kinds), options.seed)
        told = ", ".join(f"{count} {name}" for name, count in outcomes.most_common())
        print(f"{kind}: {sum(outcomes.values()) + len(faults)} files: {told}; {len(faults)} faults")
        seen: set[str] = set()
        for fault in faults:
            _, _, problem = fault.partition(": ")
            if problem not in seen and len(seen) < 20:
                print(f"  {fault}")
            seen.add(problem)
        status |= bool(faults)
    return status


if __name__ == "__main__":
    sys.exit(main())
