"""ONNX Runtime on models of ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from ..problems import Problem
from .base import Array, Peer, Variant, as_rows, channels_first, expression
from .onnx_models import models, quantized

# What its kernels for the CPU have in float64; of bfloat16 they have nothing.
_FLOAT64 = {"identity", "relu", "relu6", "sigmoid", "tanh", "swish", "hard_tanh"}


class OnnxRuntime(Peer):
    name = "onnxruntime"
    requires = ("onnxruntime", "onnx")

    def supports(self, problem: Problem) -> bool:
        match problem.precision:
            case "bfloat16":
                return False
            case "float64":
                return not problem.trains and problem.activations <= _FLOAT64
        return not problem.trains

    def variants(self, problem: Problem, threads: int) -> Iterator[Variant]:
        if problem.precision == "int8":
            for name, model in quantized(problem):
                yield _bound(_session(model, threads), problem, f"run_with_iobinding, quantize_{name}")
            return
        for name, model in models(problem):
            session = _session(model.SerializeToString(), threads)
            space = {"run": session.run, "feed": {"x": channels_first(problem.x)}}
            yield expression(f"run{name}", "run(None, feed)[0]", space)
            yield _bound(session, problem, f"run_with_iobinding{name}")


def _bound(session: Any, problem: Problem, name: str) -> Variant:
    """The input and output bound once: the nearest that ONNX Runtime has to ``out=``."""
    ort: Any = import_module("onnxruntime")
    (output,) = session.get_outputs()
    x, y = map(ort.OrtValue.ortvalue_from_numpy, (channels_first(problem.x), np.empty(output.shape, problem.dtype)))
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", x)
    binding.bind_ortvalue_output("y", y)

    def answers() -> list[Array]:
        session.run_with_iobinding(binding)
        return [as_rows(y.numpy())]

    space = {
        "run": session.run_with_iobinding,
        "binding": binding,
        "x": x,
        "y": y,
    }  # kept: not by every version of a binding
    return Variant(name, "run(binding)", space, answers)


def _session(model: bytes, threads: int) -> Any:
    ort: Any = import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
