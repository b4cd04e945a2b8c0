"""OpenVINO on models of ONNX."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib import import_module, metadata
from typing import Any

import numpy as np

from ..problems import Problem
from .base import Array, Peer, Variant, as_rows, channels_first
from .onnx_models import models, quantized


class OpenVino(Peer):
    """OpenVINO, told the precision: by default it is lower than that of the model on some processors.

    A model in int8 is the one that ONNX Runtime quantizes, with the scales found before.
    """

    name = "openvino"
    requires = ("openvino", "onnx")

    def supports(self, problem: Problem) -> bool:
        if problem.trains or problem.precision == "float64":
            return False
        return problem.precision != "int8" or _has_onnxruntime()

    def variants(self, problem: Problem, threads: int) -> Iterator[Variant]:
        openvino: Any = import_module("openvino")
        core = openvino.Core()
        hint = openvino.Type.bf16 if problem.precision == "bfloat16" else openvino.Type.f32
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        for name, content in _contents(problem):
            for low_ends in (False, True)[: 1 + (problem.precision == "bfloat16")]:
                model = core.read_model(io.BytesIO(content))
                if low_ends:
                    model = _with_low_ends(openvino, model)
                    name += ", bfloat16 in and out"
                compiled = core.compile_model(model, "CPU", settings)
                if compiled.get_property("INFERENCE_PRECISION_HINT") != hint:
                    raise RuntimeError(f"no {problem.precision} on this processor")
                yield from _requests(openvino, compiled, channels_first(problem.x), name, low_ends)


def _has_onnxruntime() -> bool:
    try:
        return bool(metadata.version("onnxruntime"))
    except metadata.PackageNotFoundError:
        return False


def _contents(problem: Problem) -> Iterator[tuple[str, bytes]]:
    """The good models, each with what to add to the name of a variant."""
    if problem.precision == "int8":
        yield from ((f" quantize_{name}", content) for name, content in quantized(problem) if name == "static")
    else:
        yield from ((name, model.SerializeToString()) for name, model in models(problem))


def _with_low_ends(openvino: Any, model: Any) -> Any:
    """The model with its input and output in bfloat16."""
    ends: Any = import_module("openvino.preprocess").PrePostProcessor(model)
    ends.input().tensor().set_element_type(openvino.Type.bf16)
    ends.output().tensor().set_element_type(openvino.Type.bf16)
    return ends.build()


def _requests(openvino: Any, compiled: Any, x: Array, name: str, low_ends: bool) -> Iterator[Variant]:
    """The input and output bound once; in bfloat16 they are bits, for NumPy has no such numbers."""
    request = compiled.create_infer_request()
    shape = tuple(compiled.output(0).shape)
    if low_ends:
        x, y = _to_bfloat16(x), np.empty(shape, np.uint16)
        bound = [openvino.Tensor(array, array.shape, openvino.Type.bf16) for array in (x, y)]
    else:
        y = np.empty(shape, np.float32)
        bound = [openvino.Tensor(array, shared_memory=True) for array in (x, y)]
    request.set_input_tensor(bound[0])
    request.set_output_tensor(bound[1])
    space = {"infer": request.infer, "start": request.start_async, "wait": request.wait}
    space |= {"x": x, "y": y}  # for as long as the request has their memory
    yield _into(f"infer{name}", "infer()", space)
    yield _into(f"start_async, wait{name}", "start(); wait()", space)


def _into(name: str, code: str, space: dict[str, Any]) -> Variant:
    """A variant whose code writes its output into y."""

    def answers() -> list[Array]:
        y = space["y"]
        y.view(np.uint8).fill(0xFF)  # NaN
        exec(code, space)
        return [as_rows(y if y.dtype == np.float32 else _from_bfloat16(y))]

    return Variant(name, code, space, answers)


def _to_bfloat16(x: Array) -> Array:
    """The bits, rounded to nearest, ties to even."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _from_bfloat16(bits: Array) -> Array:
    return (bits.astype(np.uint32) << 16).view(np.float32)
