""" "Copy as Python": the script ends with the same bits as the page's run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from fnnfast._playground import build, data
from fnnfast._playground.run import Run
from fnnfast._playground.script import digest, script
from fnnfast._playground.settings import DATA, DEFAULTS, Hidden, Point, Settings, hidden_kinds

PLANE, LINE, DIGITS = (DEFAULTS[part] for part in ("classification", "regression", "digits"))
POINTS = tuple(Point(23 * i % 300, 31 * i % 300 - 150, i % 2) for i in range(30))


def executed(text: str) -> tuple[str, str]:
    """What a script prints, and the digest of its weights, from a process of its own."""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stdout.split()[-1]


def in_parts(settings: Settings, *parts: int) -> Run:
    run = Run(settings, data.make(settings))
    for steps in parts:
        run.advance(steps)
    return run


CASES = {
    "spiral": PLANE,
    "sign": replace(PLANE, data="sign", optimizer="adamw", head="squared_error"),
    "with points": replace(PLANE, data="moons", points=POINTS, batch=7, head="hinge", optimizer="momentum"),
    "drawn": replace(PLANE, data="drawn", points=POINTS, layers=(Hidden("maxout", 4, 3), Hidden("prelu", 5))),
    "perturbed": replace(PLANE, data="xor", dropout=0.2, input_noise=0.1, l2=0.01, init="0.1", bias_init="zeros"),
    "large batch": replace(PLANE, data="circle", batch=512, init="lecun", bias_init="1", optimizer="nesterov"),
    "curve": replace(LINE, data="absolute", points=POINTS[:3], layers=(Hidden("relu", 32),)),
    "gaussian": replace(LINE, head="gaussian", optimizer="sgd"),
    "stroke": replace(LINE, data="drawn", points=POINTS, layers=()),
}


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_the_script_has_the_same_bits(settings: Settings) -> None:
    run = in_parts(settings, 1, 80, 3, 53)
    expected = digest(run.network.parameters)
    text = script(settings, run.steps, run.changes, expected)
    compile(text, "script", "exec")
    assert max(map(len, text.splitlines())) <= 160
    printed, found = executed(text)
    assert found == expected
    assert f"# on the page: {expected}" in text
    assert ("test " in printed) == (settings.data != "drawn")


@pytest.mark.parametrize(
    "settings",
    [
        DIGITS,
        replace(DIGITS, filters=4, layers=(), head="multiclass_hinge"),
        pytest.param(
            replace(DIGITS, data="28x28", layers=(Hidden("relu", 16), Hidden("tanh", 8)), input_noise=0.2),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["dense", "convolution", "28 x 28"],
)
def test_of_digits(settings: Settings) -> None:
    pytest.importorskip("sklearn")
    if data.missing(settings.data):
        pytest.skip(f"needs {data.missing(settings.data)}")
    run = in_parts(settings, 5, 20)
    expected = digest(run.network.parameters)
    assert executed(script(settings, run.steps, run.changes, expected))[1] == expected


def test_rates_that_changed_in_between() -> None:
    run = in_parts(PLANE, 33)
    for rate, l2, steps in ((0.1, 0.0, 0), (0.003, 0.01, 50), (0.01, 0.0, 17)):
        run.change(replace(PLANE, learning_rate=rate, l2=l2))
        if steps:
            run.advance(steps)
    assert [step for step, _, _ in run.changes] == [0, 33, 83]
    expected = digest(run.network.parameters)
    assert executed(script(PLANE, run.steps, run.changes, expected))[1] == expected


def test_how_steps_are_grouped_changes_nothing() -> None:
    settings = replace(PLANE, batch=17, dropout=0.1)
    parts = in_parts(settings, *[1] * 40, 7, 100, 3)
    assert digest(parts.network.parameters) == digest(in_parts(settings, 150).network.parameters)
    assert parts.steps == 150


def test_a_run_that_has_diverged() -> None:
    """Steps whose loss is NaN change nothing, and the script makes as many steps as the page did."""
    settings = replace(LINE, learning_rate=100.0, optimizer="momentum", layers=(Hidden("identity", 8),) * 3)
    run = in_parts(settings, 200)
    assert run.diverged
    assert 0 < run.steps < 200
    expected = digest(run.network.parameters)
    assert executed(script(settings, run.steps, run.changes, expected))[1] == expected


@pytest.mark.parametrize("kind", hidden_kinds())
def test_every_kind_of_layer_is_written_as_it_is_made(kind: str) -> None:
    settings = replace(PLANE, layers=(Hidden(kind, 3, 2),))
    text = build.layer_texts(settings)[1]
    made = build.network(settings).layers[1]
    assert (made.kind if kind == "maxout" else made.activation.name) == kind
    assert text == ("fnn.Maxout(3, pieces=2)" if kind == "maxout" else f'fnn.Dense(3, "{kind}")')


@pytest.mark.parametrize("name", [name for part in ("classification", "regression") for name in DATA[part][:-1]])
def test_the_source_of_a_data_set_stands_by_itself(name: str) -> None:
    import numpy as np

    space: dict[str, object] = {"np": np}
    exec(data.source(name), space)
    made = space[name](40, 0.1, np.random.default_rng(3))  # type: ignore[operator]
    for ours, theirs in zip(data.MAKERS[name](40, 0.1, np.random.default_rng(3)), made, strict=True):
        np.testing.assert_array_equal(ours, theirs)
