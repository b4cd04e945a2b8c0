"""What is seen of a network: arrays, without a browser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fnnfast._playground import curves, data
from fnnfast._playground.history import History
from fnnfast._playground.pixels import as_data
from fnnfast._playground.run import Run
from fnnfast._playground.settings import DEFAULTS, Hidden, Settings
from fnnfast._playground.shown import CURVE, REGION, UNIT, Shown, as_bytes, plane

PLANE, LINE, DIGITS = (DEFAULTS[part] for part in ("classification", "regression", "digits"))


def shown(settings: Settings, steps: int = 0) -> Shown:
    made = data.make(settings)
    run = Run(settings, made)
    if steps:
        run.advance(steps)
    seen = Shown(settings, made)
    seen.take(run.network.parameters)
    return seen


def test_bytes() -> None:
    assert as_bytes(np.array([-np.inf, -1.0, 0.0, 0.5, 1.0, np.inf, np.nan])).tolist() == [1, 1, 128, 191, 255, 255, 0]


@pytest.mark.parametrize("head", ["cross_entropy", "hinge", "squared_error"])
def test_the_region_shows_the_predictions(head: str) -> None:
    seen = shown(replace(PLANE, data="circle", head=head), 500)
    region = seen.decision()
    assert region.shape == (REGION, REGION)
    sure = np.abs(region.astype(int) - 128) > 2
    predicted = seen.network(plane(REGION))[:, 0].reshape(region.shape) > (0 if head == "hinge" else 0.5)
    np.testing.assert_array_equal((region > 128)[sure], predicted[sure])
    assert region[REGION // 2, REGION // 2] > 200  # the disc
    assert region[1, 1] < 60


def test_pictures_of_units_and_lines() -> None:
    settings = replace(PLANE, layers=(Hidden("tanh", 3), Hidden("maxout", 2, 4)))
    seen = shown(settings)
    first, second = seen.unit_pictures()
    assert (first.shape, second.shape) == ((3, UNIT, UNIT), (2, UNIT, UNIT))
    weight = np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 2.0]])
    seen.take({**seen.network.parameters, "dense_1.weight": weight, "dense_1.bias": np.zeros(3)})
    left_to_right, right_to_left, upwards = seen.unit_pictures()[0].astype(int)
    assert (np.diff(left_to_right, axis=1) >= 0).all()
    assert (np.diff(right_to_left, axis=1) <= 0).all()
    assert (np.diff(upwards, axis=0) >= 0).all()
    lines = seen.connections()
    assert [of_layer.shape for of_layer in lines] == [(2, 3), (3, 2), (2, 1)]
    np.testing.assert_array_equal(lines[0], weight)
    pieces = seen.network.parameters["maxout_1.weight"]
    assert np.abs(lines[1]).tolist() == np.abs(pieces).max(axis=0).tolist()


def test_marks() -> None:
    seen = shown(replace(PLANE, layers=(Hidden("relu", 2), Hidden("tanh", 2), Hidden("maxout", 2, 2))))
    parameters = dict(seen.network.parameters)
    parameters["dense_1.weight"], parameters["dense_1.bias"] = np.array([[1.0, 0], [0, 1]]), np.array([0, -9.0])
    parameters["dense_2.weight"], parameters["dense_2.bias"] = np.array([[0.1, 0], [0, 0]]), np.array([0, 5.0])
    weight = np.zeros((2, 2, 2))
    weight[:, 0, 0] = [1, -1]  # its sign decides which piece of the first unit wins, one of the second always does
    parameters["maxout_1.weight"], parameters["maxout_1.bias"] = weight, np.array([[-0.05, 1], [0, 0]])
    seen.take(parameters)
    assert {name: marks.tolist() for name, marks in seen.marks().items()} == {
        "dense_1": [0, 1],
        "dense_2": [0, 2],
        "maxout_1": [0, 3],
    }


def test_a_curve_and_its_interval() -> None:
    x, y, interval = shown(LINE).curve()
    assert x.shape == y.shape == (CURVE,)
    assert interval is None
    seen = shown(replace(LINE, head="gaussian", layers=(Hidden("maxout", 2, 3),), noise=0.3), 2000)
    x, y, interval = seen.curve()
    assert interval is not None
    assert (interval[0] < y).all()
    assert (y < interval[1]).all()
    widths = interval[1] - interval[0]
    assert widths[180] > widths[40]  # the noise grows
    np.testing.assert_allclose(
        seen.piece_lines().reshape(3, 2, CURVE).max(axis=0), seen.unit_curves(), rtol=1e-5, atol=1e-5
    )
    assert shown(LINE).piece_lines().shape == (0, CURVE)
    assert shown(replace(LINE, layers=())).unit_curves().shape == (0, CURVE)


def test_scores_say_nothing_of_what_is_not_there() -> None:
    assert shown(replace(PLANE, data="drawn")).scores() == {}
    found = shown(PLANE, 3000).scores()
    assert found["test_score"] > 0.9
    assert found["train_loss"] < 0.3
    settings = replace(PLANE, data="circle", head="squared_error")
    seen = shown(settings, 1000)
    made = data.make(settings)
    assert seen.scores()["test_score"] == np.mean(seen.network.predict(made.x_test) == made.y_test)


def test_digits() -> None:
    pytest.importorskip("sklearn")
    seen = shown(DIGITS, 300)
    image = data.make(DIGITS).x_test[0]
    assert seen.probabilities(image).sum() == pytest.approx(1, abs=1e-5)
    assert seen.first_weights().shape == (32, 8, 8)
    assert np.abs(seen.first_weights()).max() == 1
    assert shown(replace(DIGITS, layers=(Hidden("maxout", 5, 2),))).first_weights().shape == (5, 8, 8)
    convolution = shown(replace(DIGITS, filters=4, head="multiclass_hinge"))
    assert convolution.first_weights().shape == (4, 3, 3)
    assert convolution.probabilities(image).sum() == pytest.approx(1, abs=1e-5)
    assert {name: len(marks) for name, marks in convolution.marks().items()} == {"conv2d_1": 4, "dense_1": 32}


def test_a_drawn_digit_is_put_where_those_of_the_data_are() -> None:
    drawn = np.zeros((280, 280), np.float32)
    drawn[200:260, 20:35] = 1  # a one, small and in a corner
    small, large = as_data(drawn, 8), as_data(drawn, 28)
    assert small.shape == (8, 8, 1)
    assert small[:, 3:5].sum() == pytest.approx(small.sum())
    assert small[0].sum() > 0  # from top
    assert small[-1].sum() > 0  # to bottom
    rows = np.flatnonzero(large.sum(axis=(1, 2)))
    assert rows[-1] - rows[0] + 1 == 20
    middle = (np.arange(28) * large.sum(axis=(0, 2))).sum() / large.sum()
    assert middle == pytest.approx(13.5, abs=0.51)
    assert not as_data(np.zeros((280, 280), np.float32), 28).any()


def test_a_history_keeps_its_size() -> None:
    history = History(["a", "b"])
    for step in range(5000):
        history.add(step, {"a": step})
    columns = history.columns()
    assert 200 < len(columns["step"]) <= 501
    assert (columns["a"] == columns["step"]).all()
    assert np.isnan(columns["b"]).all()
    assert columns["step"][0] == 0
    assert columns["step"][-1] > 4900
    assert len(set(np.diff(columns["step"]))) == 1


@pytest.mark.parametrize("name", curves.names())
def test_every_activation_has_its_curves(name: str) -> None:
    found = curves.curves(curves.make(name, None), 6)
    assert len(found.z) == len(found.y) == curves.POINTS
    assert np.abs(found.errors).max() < 3
    assert "y = " in curves.description(name) or "y_j = " in curves.description(name)
    assert (found.derivative is None) == (name in ("step", "sign"))
    if found.derivative is not None:
        assert (np.abs(found.derivative[found.small]) < curves.make(name, None).small).all()


def test_parameters_of_activations() -> None:
    assert curves.parameter("swish") == ("beta", 1.0)
    assert curves.parameter("leaky_relu") == ("alpha", 0.01)
    assert curves.parameter("tanh") is None
    assert curves.make("elu", 0.5).parameter == 0.5
    with pytest.raises(ValueError, match="alpha"):
        curves.make("elu", -1.0)
    assert curves.curves(curves.make("tanh", None), 6).small.mean() > 0.5
