"""The measuring apparatus: problems, the judge of answers, the processes, the judgement of figures."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast._bench import (
    activations,
    answers,
    architectures,
    compare,
    contention,
    float64,
    networks,
    problems,
    report,
    scaling,
    timing,
)
from fnnfast._bench.networks import Draw, chain, maxout
from fnnfast._bench.peers import Fnnfast, Numpy, Peer, all_peers
from fnnfast._bench.peers.jax import Jax
from fnnfast._bench.peers.openvino import OpenVino
from fnnfast._bench.peers.torch import Torch
from fnnfast._bench.problems import Problem
from fnnfast._bench.timing import Measurement, Outcome, Settings, Worker

SMALL = (
    Problem("s1", "network", 9, chain((5, 7, 3), "swish"), 1.0),
    Problem("s2", "network", 1, chain((5, 7, 3), "tanh"), 1.0),
    Problem("s3", "network", 9, chain((6, 4), "relu"), 1.0),
    Problem("s4", "network", 9, chain((5, 7, 3), "gelu"), 1.0),
    Problem("s5", "maxout", 9, maxout(5, 7, 3), 1.0),
    Problem("s6", "training", 8, chain((5, 7, 3), "relu"), 1.0),
    Problem("s7", "maxout_training", 9, maxout(5, 7, 3), 1.0),
    Problem("s8", "network", 9, chain((40, 50, 30), "swish"), 1.0, precision="bfloat16"),
    Problem("s9", "network", 9, chain((40, 50, 30), "gelu"), None, precision="int8"),
)
CUSTOM = (
    problems.custom([5, 7, 3], 9, "mish"),
    problems.custom([5, 7, 3], 9, "sigmoid", "float64"),
    problems.custom([40, 50, 30], 9, "hard_swish", "bfloat16"),
    problems.custom([40, 50, 30], 9, "softsign", "int8"),
    problems.custom([5, 7, 3], 8, "tanh", trains=True),
    problems.custom([5, 7, 3], 8, "swish", "float64", trains=True, loss="mse"),
)
IMAGES = tuple(dataclasses.replace(p, batch=min(p.batch, 3)) for p in problems.PROBLEMS if p.on_images)


# Problems ----------------------------------------------------------------------------------------------------------
def test_problems_have_the_ids_of_the_table() -> None:
    names = [problem.id for problem in problems.PROBLEMS]
    assert " ".join(names[:14]) == "I1 I2 I3 I4 I5 I6 I7 I8 M1 M2 T1 T2 T3 T4"
    assert " ".join(names[14:23]) == "C1 C2 C3 C4 C5 C6 C7 TC1 TC2"
    assert " ".join(names[23:]) == "I1b I1q I3b I3q I4b I4q I5b I5q I6b I6q I7b I7q I8b I8q T2b T3b"
    assert [problem.id for problem in problems.select("t1, i2,i4B")] == ["T1", "I2", "I4b"]
    assert [p.id for p in problems.select(contention.PROBLEMS)] == contention.PROBLEMS.split(",")


def test_problems_in_low_precision() -> None:
    full, bfloat16, int8 = map(problems.get, ("I4", "I4b", "I4q"))
    for low in (bfloat16, int8):
        assert (low.batch, low.network) == (full.batch, full.network)
        assert low.title == f"{full.title}, {low.precision}"
    assert (bfloat16.goal_ratio, int8.goal_ratio) == (1.5, None)
    weights = 784 * 512 + 512 * 512 + 512 * 10
    assert full.weight_bytes - bfloat16.weight_bytes == 2 * weights
    assert full.weight_bytes - int8.weight_bytes == 3 * weights


def test_cost_of_a_problem() -> None:
    assert problems.get("I1").flops == 2 * (784 * 256 + 256 * 128 + 128 * 10)
    assert problems.get("I1").weight_bytes == 4 * (785 * 256 + 257 * 128 + 129 * 10)
    # forward, dW, and dx of the second layer only
    assert problems.get("T1").flops == 2 * 32 * (64 * 100 * 2 + 100 * 10 * 3)
    # four pieces forward; of backward's dx and dW the piece that won
    assert problems.get("T4").flops == 2 * 4096 * 1024 * 512 * (4 + 2)
    assert problems.get("M2").weight_bytes == 4 * 2 * 65 * 64
    # nine places of 64 channels to an output, and a bias
    assert problems.get("C7").flops == 2 * 56 * 56 * 64 * (9 * 64)
    assert problems.get("C7").weight_bytes == 4 * 64 * (9 * 64 + 1)


MODELS = {
    architectures.DEEP_MNIST: lambda: fnn.models.deep_mnist().layers,
    architectures.VGG16: lambda: fnn.models.vgg(16, (32, 32, 3), 10, 512).layers,
    architectures.RESNET18: lambda: fnn.models.resnet(18).layers,
    architectures.RESNET20: lambda: fnn.models.resnet(20).layers,
    architectures.INCEPTION: lambda: [
        fnn.Input(28, 28, 192),
        next(layer for layer in fnn.models.googlenet((32, 32, 3)).layers if isinstance(layer, fnn.Parallel)),
        fnn.Flatten(),
    ],
}


@pytest.mark.parametrize("network", MODELS, ids=lambda network: network.title)
def test_architectures_are_those_of_the_models(network: networks.Network) -> None:
    problem = Problem("s", "network", 1, network, None)
    net = Fnnfast.network(fnn, problem)
    model = fnn.Sequential(MODELS[network](), seed=0)
    assert list(net.parameters.shapes.items()) == list(model.parameters.shapes.items())
    _, work = networks.flow(problem.layers, network.input_shape)
    for described in (net, model):
        assert f" {work:,} multiply-adds per sample" in described.summary()


@pytest.mark.parametrize("problem", CUSTOM, ids=lambda problem: problem.title)
def test_a_work_of_ones_own_is_the_same_in_another_process(problem: Problem) -> None:
    again = problems.get(json.loads(json.dumps(problem.key)))
    assert again.title == problem.title
    data = [
        (again.x, problem.x),
        *zip(networks.parameters(again.layers), networks.parameters(problem.layers), strict=True),
    ]
    if problem.trains:
        data += zip(again.batches[0], problem.batches[0], strict=True)
    assert all(one.dtype == two.dtype and np.array_equal(one, two) for one, two in data)
    assert (problem.goal_ratio, problem.goal_share) == (None, None)


def test_the_cost_of_a_work_of_ones_own() -> None:
    full = problems.custom([5, 7, 3], 4, "tanh")
    assert full.flops == 2 * 4 * (5 * 7 + 7 * 3)
    double = problems.custom([5, 7, 3], 4, "tanh", "float64")
    assert double.weight_bytes == 2 * full.weight_bytes
    assert (full.limit, double.limit, double.low) == ("fma", None, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"widths": [5]}, "widths such as"),
        ({"widths": [5, 0, 3]}, "widths such as"),
        ({"batch": 0}, "at least one row"),
        ({"batch": 2**30}, "2^31"),
        ({"widths": [2**16, 2**16]}, "2^31"),
        ({"activation": "swash"}, "an activation out of identity, relu"),
        ({"precision": "int4"}, "a precision out of float32, float64, bfloat16, int8"),
        ({"precision": "int8", "trains": True}, "float32, float64 or bfloat16 to train in"),
        ({"trains": True, "loss": "hinge"}, "a loss out of cross_entropy, mse"),
        ({"widths": [5, 1], "trains": True}, "two outputs"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_work_that_is_none(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        problems.custom(**({"widths": [5, 7, 3], "batch": 4, "activation": "relu"} | arguments))


def test_every_process_draws_the_same_data() -> None:
    first, again = (Problem("s1", "network", 9, chain((5, 7, 3), "swish"), 1.0) for _ in range(2))
    other = Problem("s2", "network", 9, chain((5, 7, 3), "swish"), 1.0)
    assert np.array_equal(first.x, again.x)
    assert np.array_equal(first.layers[1].weight, again.layers[1].weight)
    assert not np.array_equal(first.x, other.x)


# Checked answers ---------------------------------------------------------------------------------------------------
def faults(peer: Peer, problem: Problem) -> list[str | None]:
    """What is wrong with each of a contender's variants."""
    return [answers.mistake(problem, expected(problem), variant.answers()) for variant in peer.variants(problem, 1)]


expected = functools.cache(answers.expected)


@pytest.mark.parametrize(
    ("peer", "problem"),
    [
        pytest.param(peer, problem, id=f"{peer.name}-{problem.id}-{problem.title}")
        for peer in all_peers()
        if not isinstance(peer, (Torch, Jax))
        for problem in SMALL + CUSTOM + IMAGES
        if peer.supports(problem)
    ],
)
def test_contenders_answer_right(peer: Peer, problem: Problem) -> None:
    if peer.version() is None:
        pytest.skip(f"{peer.name} is not installed")
    if isinstance(peer, OpenVino) and problem.precision == "bfloat16" and not openvino_has_bfloat16():
        pytest.skip("this processor has no bfloat16 in OpenVINO")
    assert set(faults(peer, problem)) == {None}


def openvino_has_bfloat16() -> bool:
    openvino = pytest.importorskip("openvino")
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("torch", "SMALL + CUSTOM + IMAGES"),
        ("jax", "SMALL + CUSTOM"),
        pytest.param("jax", "IMAGES", marks=pytest.mark.slow),  # JAX compiles each for seconds
    ],
)
def test_peers_with_settings_of_a_process_answer_right(name: str, work: str, trains: bool) -> None:
    """In processes of their own: torch switches gradients off for good where it needs none, JAX sets its threads."""
    pytest.importorskip(name)
    code = (
        "from test_bench import *; from fnnfast._bench.peers import get;"
        f"peer = get({name!r}); work = [p for p in {work} if p.trains == {trains} and peer.supports(p)];"
        "found = {p.title: faults(peer, p) for p in work};"
        "print(found); assert all(set(f) == {None} for f in found.values())"
    )
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "None" in done.stdout


def every_layer(draw: Draw) -> list[networks.Layer]:
    """Each kind of layer with a gradient."""
    body = (draw.conv(4, 6, stride=2, norm=True), draw.conv(6, 6, 3, "identity", norm=True))
    residual = networks.Residual(body, (draw.conv(4, 6, 1, "identity", stride=2, norm=True),))
    branches = networks.Parallel(((draw.conv(6, 3, 1),), (networks.MaxPool(3, 1, 1), draw.conv(6, 2, 5))))
    square = networks.Residual((draw.conv(5, 5, 3, "identity"),))
    tail = [networks.MaxPool(2, 2), draw.dense((2, 2, 5), 6, "relu")]
    return [draw.conv(3, 4, padding=2), residual, branches, square, *tail, draw.dense(6, 4)]


def averaged(draw: Draw) -> list[networks.Layer]:
    return [draw.conv(3, 4, stride=2, norm=True), networks.GlobalAverage(), draw.dense(4, 3)]


@pytest.mark.parametrize("name", activations.FORMULAS)
def test_slopes_are_those_of_finite_differences(name: str) -> None:
    formula = activations.formula(name)
    z = np.array([-7.3, -3.4, -2.1, -0.6, -0.2, 0.3, 0.9, 2.4, 3.7, 6.8])  # no kinks
    step = 1e-6
    slopes = (formula.value(z + step) - formula.value(z - step)) / (2 * step)
    kept = formula.value(z) if formula.of_output else z
    np.testing.assert_allclose(formula.slope(kept) * np.ones_like(z), slopes, rtol=1e-7, atol=1e-8)


def test_activations_are_those_of_the_package() -> None:
    z = np.linspace(-8, 8, 101)
    for name, formula in activations.FORMULAS.items():
        np.testing.assert_allclose(formula.value(z), fnn.activations.get(name)(z), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [every_layer, averaged])
def test_gradients_in_float64_are_those_of_finite_differences(make: Callable[[Draw], list[networks.Layer]]) -> None:
    rng = np.random.default_rng(0)
    layers = float64.converted(make(Draw(rng)))
    x = rng.standard_normal((3, 7, 7, 3))
    y, backward = float64.run(layers, x)
    dy = rng.standard_normal(y.shape)
    dx, gradients = backward(dy)
    values = [x, *networks.parameters(layers)]
    for value, gradient in zip(values, [dx, *gradients], strict=True):
        assert gradient.shape == value.shape
        for place in rng.integers(0, value.size, 5):
            at = np.unravel_index(place, value.shape)
            middle, outputs = value[at], []
            for step in (1e-6, -1e-6):
                value[at] = middle + step
                outputs.append(float64.run(layers, x)[0])
            value[at] = middle
            slope = ((outputs[0] - outputs[1]) * dy).sum() / 2e-6
            assert gradient[at] == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_folding_changes_no_answer() -> None:
    rng = np.random.default_rng(0)
    layers = float64.converted(averaged(Draw(rng)))
    x = rng.standard_normal((3, 7, 7, 3))
    folded = networks.folded(layers)
    assert folded[0].norm is None
    np.testing.assert_allclose(float64.forward(folded, x), float64.forward(layers, x), rtol=1e-7)


def almost(problem: Problem) -> Iterator[list[np.ndarray]]:
    """Answers that are a little wrong."""
    right = expected(problem)
    for index, array in enumerate(right):
        place = np.unravel_index(np.flatnonzero(np.isfinite(array))[-1], array.shape)
        for slip in (1e-3, np.nan):
            wrong = [np.nan_to_num(a) for a in right]
            wrong[index][place] += slip * max(1.0, np.nanmax(np.abs(array)))
            yield wrong
        yield [np.nan_to_num(a) if i != index else a[..., :-1] for i, a in enumerate(right)]
    yield right[:-1]


@pytest.mark.parametrize("problem", SMALL[:7] + IMAGES[-3:], ids=lambda problem: problem.title)
def test_wrong_answers_are_noticed(problem: Problem) -> None:
    right = [np.nan_to_num(array) for array in expected(problem)]
    assert answers.mistake(problem, expected(problem), right) is None
    for wrong in almost(problem):
        assert answers.mistake(problem, expected(problem), wrong)


def test_the_approximation_of_gelu_is_not_gelu() -> None:
    problem = Problem("s4", "network", 64, chain((32, 32, 8), "gelu"), 1.0)
    first, second = problem.layers
    z = problem.x @ first.weight + first.bias
    h = 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
    assert answers.mistake(problem, expected(problem), [h @ second.weight + second.bias])


@pytest.mark.parametrize("problem", SMALL[7:], ids=lambda problem: problem.precision)
def test_low_precision_is_not_a_mistake_and_a_mistake_is(problem: Problem) -> None:
    (right,) = expected(problem)
    off = answers.LOW_PRECISION[problem.precision] * np.abs(right).max()
    assert answers.mistake(problem, [right], [right + 0.9 * off]) is None
    assert answers.mistake(problem, [right], [right + 1.1 * off])
    full = dataclasses.replace(problem, precision="float32")
    assert answers.mistake(full, [right], [right + 0.9 * off])


# The processes -----------------------------------------------------------------------------------------------------
def test_a_process_loads_its_contender_alone() -> None:
    folder = str(Path(timing.__file__).resolve().parent.parent)
    code = timing.BOOT.format(folder=folder) + "print(*sys.modules, file=sys.stderr)\nprint(*sys.path, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], input="", capture_output=True, text=True, timeout=60, check=True
    )
    modules, path = done.stderr.splitlines()
    assert "_bench.worker" in modules.split()
    assert not {"fnnfast", "torch", "onnxruntime", "sklearn", "scipy"} & set(modules.split())
    assert folder not in path.split()


def test_measure() -> None:
    problem = problems.get("I2")
    settings = Settings(threads=1, rounds=2, turn_seconds=0.005, pause_seconds=0.0, limit_seconds=0.005)
    result = timing.measure(problem, [Fnnfast(), Numpy()], settings, (1 << 20, 0, 0))
    assert [outcome.name for outcome in result.outcomes] == ["fnnfast", "numpy"]
    for outcome in result.outcomes:
        assert outcome.excluded is None
        assert len(outcome.seconds) == 2
        assert 0 < outcome.best <= outcome.median < 1e-2
    assert result.limits.keys() == {"fma", "bandwidth"}
    assert result.weights_in == "L1"


def test_contention() -> None:
    settings = Settings(threads=1, rounds=1, turn_seconds=0.005, pause_seconds=0.0, mean_seconds=0.02)
    result = contention.measure(problems.get("I2"), [Fnnfast(), Wrong()], settings)
    ours, failed = result.outcomes
    assert (len(ours.calm), len(ours.busy), failed.factor) == (1, 1, None)
    assert ours.factor == ours.busy[0] / ours.calm[0] > 0
    assert result.passes is (ours.factor <= contention.GOAL)
    assert "2.5x" not in contention.table([result], settings)
    text = contention.table([result], settings, goals=True)
    (row,) = (line for line in text.splitlines() if line.startswith("I2  "))
    assert f" {ours.factor:.2f}x  excluded  2.5x  " in row
    assert "I2 abacus: " in text
    (entry,) = contention.record([result], settings, {})["contention"]
    assert [c["slowdown"] for c in entry["contenders"]] == [ours.factor, None]


def test_the_busy_core_is_given_back() -> None:
    with contextlib.suppress(KeyboardInterrupt), contention.busy_core() as process:
        assert process.poll() is None
        if hasattr(os, "sched_getaffinity"):
            assert len(os.sched_getaffinity(process.pid)) == 1
        raise KeyboardInterrupt
    assert process.poll() is not None


class Wrong(Numpy):
    """A contender that its own process has never heard of."""

    name = "abacus"


def test_a_contender_that_fails_is_excluded_and_the_others_go_on() -> None:
    settings = Settings(threads=1, rounds=1, turn_seconds=0.005, pause_seconds=0.0)
    result = timing.measure(problems.get("I2"), [Wrong(), Numpy()], settings)
    failed, fine = result.outcomes
    assert failed.excluded
    assert "expected a contender" in failed.excluded
    assert fine.excluded is None
    assert report.judge(result).ratio is None


def test_a_process_that_fails_or_dies_says_so() -> None:
    worker = Worker(Settings(threads=1))
    try:
        assert "AttributeError" in worker.ask("nonsense")["error"]
        worker._process.kill()
        worker._process.wait()
        assert "ended with status -9" in worker.ask("turn", seconds=1)["error"]
    finally:
        worker.stop()


def test_a_process_that_does_not_answer_is_not_waited_for() -> None:
    worker = Worker(Settings(threads=1, answer_seconds=0.2))
    try:
        assert worker.receive()["error"] == "no answer within 0.2 s"
    finally:
        worker.stop()


# Goals and tables --------------------------------------------------------------------------------------------------
def measured(problem: Problem, **seconds: float) -> Measurement:
    outcomes = [Outcome(name, "1", name != "shown", seconds=[2 * time, time]) for name, time in seconds.items()]
    return Measurement(problem, outcomes, {"fma": 1e11, "bandwidth": 1e10, "product": 8e-3}, "L2")


def test_ratio_is_to_the_best_peer_that_counts() -> None:
    problem = Problem(
        "p", "network", 100, chain((1000, 1000), "relu"), 1.5, goal_share=0.8
    )  # 2e8 FLOP: 2 ms at the limit
    j = report.judge(measured(problem, fnnfast=2.2e-3, slow=9e-3, fast=4e-3, shown=1e-3))
    assert (j.best_peer, j.passes) == ("fast", True)
    assert j.ratio == pytest.approx(4 / 2.2)
    assert j.share == pytest.approx(2 / 2.2)
    assert not report.judge(measured(problem, fnnfast=2.2e-3, fast=3e-3)).passes  # ratio 1.36
    assert not report.judge(measured(problem, fnnfast=2.6e-3, fast=4e-3)).passes  # share 0.77


@pytest.mark.parametrize(("limit", "seconds"), [("fma", 2e-3), ("bandwidth", 4e-4), ("time", 5e-3), ("product", 8e-3)])
def test_limits(limit: problems.Limit, seconds: float) -> None:
    own = 5e-3 if limit == "time" else None
    problem = Problem("p", "network", 100, chain((1000, 1000), "relu"), 1.5, limit=limit, limit_seconds=own)
    j = report.judge(measured(problem, fnnfast=16e-3))
    assert j.limit_seconds == pytest.approx(seconds, rel=2e-3)  # the bias is counted
    assert j.share == pytest.approx(seconds / 16e-3, rel=2e-3)
    assert j.passes is None


def test_a_goal_of_the_share_alone() -> None:
    problem = Problem("p", "network", 100, chain((1000, 1000), "relu"), None, goal_share=0.8)
    assert report.judge(measured(problem, fnnfast=2.2e-3, fast=1e-3)).passes
    assert report.judge(measured(problem, fnnfast=2.6e-3, fast=4e-3)).passes is False


def test_table() -> None:
    problem = Problem("p", "network", 100, chain((1000, 1000), "relu"), 1.5, goal_share=0.8)
    result = measured(problem, fnnfast=2.2e-3, fast=4e-3, shown=1e-3)
    result.outcomes.append(Outcome("liar", "1", True, excluded="wrong answer (x): array 0: not finite"))
    text = report.table([result], Settings(threads=2, rounds=2), goals=True)
    times, goals = (line.split() for line in text.splitlines() if line.startswith("p  "))
    assert times[-7:] == ["2.20", "ms", "4.00", "ms", "(1.00", "ms)", "excluded"]
    assert goals == ["p", "fast", "1.82x", "1.5x", "91%", "80%", "FMA", "100", "GFLOP/s", "pass"]
    assert "p liar: wrong answer (x): array 0: not finite" in text


def test_table_without_goals() -> None:
    problem = Problem("p", "network", 100, chain((1000, 1000), "relu"), 1.5, goal_share=0.8)
    result = measured(problem, fnnfast=2.2e-3, fast=4e-3, shown=1e-3)
    text = report.table([result], Settings(threads=2, rounds=2))
    (row,) = (line.split() for line in text.splitlines() if line.startswith("p  "))
    assert row[-8:] == ["2.20", "ms", "4.00", "ms", "(1.00", "ms)", "fast", "1.82x"]
    assert "%" not in text
    assert "pass" not in text


def test_scaling() -> None:
    problem = Problem("p", "network", 100, chain((1000, 1000), "relu"), 1.5)
    one, two = measured(problem, fnnfast=4e-3, fast=4e-3), measured(problem, fnnfast=2e-3, fast=5e-3)
    two.threads = 2
    two.outcomes[1].excluded = "its process ended"
    settings = Settings(threads=1, rounds=2)
    text = scaling.table([one, two], settings)
    _, _, head, ours, theirs, *_, why = text.splitlines()
    assert head.split() == ["work", "1", "thread", "2", "threads", "t(1)/t(2)"]
    assert ours.split()[-6:] == ["fnnfast", "4.00", "ms", "2.00", "ms", "2.00x"]
    assert theirs.split()[-5:] == ["fast", "4.00", "ms", "excluded", "-"]
    assert why == "p fast: its process ended"
    record = scaling.record([one, two], settings, {"threads": [1, 2]})
    assert record["settings"]["threads"] == [1, 2]
    assert [result["threads"] for result in record["results"]] == [1, 2]


def test_records_beside_each_other() -> None:
    problem = Problem("p", "network", 100, chain((1000, 1000), "relu"), 1.5)
    machine = {"cpu": "a", "isa": "avx2", "threads": 1}
    slow, quick = (measured(problem, fnnfast=time, fast=4e-3) for time in (4e-3, 2e-3))
    quick.outcomes[1].excluded = "wrong answer"
    first = report.record([slow], Settings(threads=1), machine)
    second = report.record([quick], Settings(threads=1), machine | {"cpu": "b"})
    _, row = compare.table(first, second).splitlines()
    assert row.split()[-7:] == ["1", "fnnfast", "4.00", "ms", "2.00", "ms", "2.00x"]
    assert list(compare.differences(first, first)) == []
    assert list(compare.differences(first, second)) == ["cpu: a and b"]
    quick.threads = 2
    other = report.record([quick], Settings(threads=2), machine)
    other["results"][0]["contenders"][0]["version"] = "2"
    assert compare.table(first, other) == ""
    assert list(compare.differences(first, other)) == ["threads: 1 and 2"]


def test_low_precision_has_tables_of_its_own() -> None:
    full = Problem("p", "network", 100, chain((1000, 1000), "relu"), 1.5)
    lows = (
        Problem("pb", "network", 100, chain((1000, 1000), "relu"), 1.5, precision="bfloat16"),
        Problem("pq", "network", 100, chain((1000, 1000), "relu"), None, limit=None, precision="int8"),
    )
    settings = Settings(threads=2, rounds=2)
    table = functools.partial(report.table, settings=settings, goals=True)
    alone = table([measured(full, fnnfast=2.2e-3, fast=4e-3)])
    results = [measured(problem, fnnfast=1e-3, other=2e-3, shown=3e-3) for problem in lows]
    text = table([*results, measured(full, fnnfast=2.2e-3, fast=4e-3)])
    assert text.startswith(alone)
    assert "low precision" not in alone
    assert "float32" not in table(results)
    assert "both in the row's precision" in text
    *_, bfloat16, int8 = text.splitlines()
    assert bfloat16.split() == ["pb", "other", "2.00x", "1.5x", "200%", "-", "FMA", "100", "GFLOP/s", "pass"]
    assert int8.split() == ["pq", "other", "2.00x", "-", "-", "-", "-", "shown"]
    assert report.judge(results[1]).passes is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(6.12e-7, "0.612 us"), (1.19e-5, "11.9 us"), (3.11e-2, "31.1 ms"), (0.2296, "230 ms"), (2.5, "2.50 s")],
)
def test_duration(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text
