"""Measure the float32 activations of PyTorch and ONNX Runtime as ``python -m fnnfast certify`` measures ours.

Usage: ``python tools/accuracy_of_peers.py [--every N] [--activation NAMES]``, with fnnfast, mpmath, torch, onnx and
onnxruntime installed. Every N-th float is tried (1: all 2^32, minutes a function). Prints the largest errors in ulp; a
value that is no rounding error, such as NaN for an infinity, is named.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from fnnfast._certify.exact import Formulas
from fnnfast._certify.sweep import Case, measure, one_thread_each

Function = Callable[[np.ndarray], np.ndarray]

TORCH: dict[str, Callable[[Any], Any]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "elu": torch.nn.functional.elu,
    "selu": torch.nn.functional.selu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    "softplus": torch.nn.functional.softplus,
    "swish": torch.nn.functional.silu,
    "hard_sigmoid": torch.nn.functional.hardsigmoid,
    "hard_swish": torch.nn.functional.hardswish,
    "mish": torch.nn.functional.mish,
    "softsign": torch.nn.functional.softsign,
    "exponential": torch.exp,
    "log_sigmoid": torch.nn.functional.logsigmoid,
}

# The operator of ONNX, its attributes and the opset that has it.
ONNX: dict[str, tuple[str, dict[str, Any]]] = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "elu": ("Elu", {}),
    "selu": ("Selu", {}),
    "gelu": ("Gelu", {}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "softplus": ("Softplus", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_swish": ("HardSwish", {}),
    "mish": ("Mish", {}),
    "softsign": ("Softsign", {}),
    "exponential": ("Exp", {}),
}


def of_torch(name: str) -> Function:
    """PyTorch's function on arrays."""
    function = TORCH[name]
    return lambda z: function(torch.from_numpy(z)).numpy()


def of_onnxruntime(name: str) -> Function:
    """ONNX Runtime's function on arrays."""
    operator, attributes = ONNX[name]
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["n"]) for end in ("z", "y")]
    graph = helper.make_graph([helper.make_node(operator, ["z"], ["y"], **attributes)], name, ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda z: np.asarray(session.run(None, {"z": z})[0])


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--activation", default=",".join(TORCH))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(1)  # blocks go to threads of their own
    formulas = Formulas()
    print(f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}")
    with one_thread_each():
        for name in options.activation.split(","):
            for peer, table, function in (("torch", TORCH, of_torch), ("onnxruntime", ONNX, of_onnxruntime)):
                if name not in table:
                    continue
                found = measure(
                    Case(name), function(name), every=options.every, threads=options.threads, formulas=formulas
                )
                wrong = f"; {found.wrong}" if found.wrong else ""
                print(
                    f"{name:<14}{peer:<12}{found.largest:>14.4f} ulp at {found.at:<16.9g}"
                    f"{found.rounded:>8.2%} rounded{wrong}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
