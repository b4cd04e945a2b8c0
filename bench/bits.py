"""Count the rows whose answer depends on their batch, or on the number of threads: ours and the peers'.

Usage: ``python bench/bits.py``, with the extra ``bench`` installed. One network, 784-512-512-10 with relu, the same
parameters everywhere: in float32, and ours in bfloat16 and int8, too. A row counts once if any of its ten outputs
differs in any bit from the answer to the whole batch of 4,096 on two threads, when it comes alone, within a batch of 2
to 257 rows, or on 1, 3 or 8 threads.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

import numpy as np

import fnnfast as fnn

WIDTHS = (784, 512, 512, 10)
ROWS = 4096
Answer = Callable[[np.ndarray], np.ndarray]


def inputs() -> np.ndarray:
    """The whole batch."""
    return np.random.default_rng(0).standard_normal((ROWS, WIDTHS[0]), dtype=np.float32)


def network() -> fnn.Sequential:
    """What all contenders compute."""
    hidden = [fnn.Dense(units, "relu") for units in WIDTHS[1:-1]]
    return fnn.Sequential([fnn.Input(WIDTHS[0]), *hidden, fnn.Dense(WIDTHS[-1])], seed=0)


def layers(net: fnn.Sequential) -> list[tuple[np.ndarray, np.ndarray]]:
    """Its weights and biases."""
    return [(net.parameters[f"dense_{i}.weight"], net.parameters[f"dense_{i}.bias"]) for i in range(1, len(WIDTHS))]


def ours(net: fnn.Sequential | fnn.InferenceNetwork, threads: int) -> Answer:
    """fnnfast."""

    def answer(x: np.ndarray) -> np.ndarray:
        with fnn.num_threads(threads):
            return net(x)

    return answer


def bfloat16(net: fnn.Sequential, threads: int) -> Answer:
    """fnnfast, with the products of this CPU."""
    return ours(net.astype("bfloat16"), threads)


def bfloat16_weights(net: fnn.Sequential, threads: int) -> Answer:
    """fnnfast, with weights alone in bfloat16."""
    return ours(net.astype("bfloat16", weights_only=True), threads)


def int8(net: fnn.Sequential, threads: int) -> Answer:
    """fnnfast in int8."""
    return ours(net.quantize(inputs()), threads)


def numpy(net: fnn.Sequential, threads: int) -> Answer:
    """``x @ w + b``."""
    from threadpoolctl import threadpool_limits

    def answer(x: np.ndarray) -> np.ndarray:
        with threadpool_limits(threads):
            for i, (weight, bias) in enumerate(layers(net)):
                x = x @ weight + bias
                if i < len(WIDTHS) - 2:
                    x = np.maximum(x, 0)
            return x

    return answer


def torch(net: fnn.Sequential, threads: int) -> Answer:
    """Eager."""
    import torch as peer

    parameters = [(peer.tensor(weight.T.copy()), peer.tensor(bias)) for weight, bias in layers(net)]

    def answer(x: np.ndarray) -> np.ndarray:
        peer.set_num_threads(threads)
        h = peer.from_numpy(np.ascontiguousarray(x))
        for i, (weight, bias) in enumerate(parameters):
            h = peer.nn.functional.linear(h, weight, bias)
            if i < len(parameters) - 1:
                h = peer.relu(h)
        return h.numpy()

    return answer


def onnxruntime(net: fnn.Sequential, threads: int) -> Answer:
    """One graph of Gemm and Relu."""
    import onnx
    import onnxruntime as peer
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, last = [], [], "x"
    for i, (weight, bias) in enumerate(layers(net)):
        constants += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"z{i}"]))
        last = f"z{i}"
        if i < len(WIDTHS) - 2:
            nodes.append(helper.make_node("Relu", [last], [f"y{i}"]))
            last = f"y{i}"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTHS[0]])
    y = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", WIDTHS[-1]])
    graph = helper.make_graph(nodes, "network", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = peer.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.onnx")
        onnx.save(model, path)
        session = peer.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": np.ascontiguousarray(x)})[0]


def differing(make: Callable[[fnn.Sequential, int], Answer]) -> dict[str, int]:
    """For each way to ask, of how many rows the answer differs."""
    net = network()
    x = inputs()
    answer = make(net, 2)
    whole = answer(x).view(np.uint32)

    def rows(y: np.ndarray, first: int = 0) -> np.ndarray:
        return (y.view(np.uint32) != whole[first : first + len(y)]).any(axis=1)

    alone = sum(int(rows(answer(x[i : i + 1]), i).sum()) for i in range(ROWS))
    batches = np.zeros(ROWS, bool)
    for size in range(2, 258):
        first = 97 * size % (ROWS - size)
        batches[first : first + size] |= rows(answer(x[first : first + size]), first)
    threads = np.zeros(ROWS, bool)
    for count in (1, 3, 8):
        threads |= rows(make(net, count)(x))
    return {"alone": alone, "in batches of 2 to 257": int(batches.sum()), "on 1, 3 or 8 threads": int(threads.sum())}


def main() -> None:
    """Print the table; a peer that is not installed is left out."""
    print(f"Rows of {ROWS} whose bits differ from those in the whole batch on 2 threads:\n")
    for make in (ours, bfloat16, bfloat16_weights, int8, numpy, torch, onnxruntime):
        try:
            counts = differing(make)
        except ImportError:
            continue
        name = "fnnfast" if make is ours else make.__name__
        print(f"{name:17}" + "".join(f"  {count:5} {way}" for way, count in counts.items()), flush=True)


if __name__ == "__main__":
    main()
