"""What is set, and its permalink."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fnnfast import activations
from fnnfast._playground.settings import DATA, DEFAULTS, PARTS, Hidden, Point, Settings, from_query, hidden_kinds

EXTRAORDINARY = Settings(
    data="xor",
    rows=60,
    noise=0.25,
    points=(Point(-300, 12, 1), Point(5, 0, 0)),
    layers=(Hidden("maxout", 3, 4), Hidden("leaky_relu", 16)),
    head="hinge",
    optimizer="nesterov",
    learning_rate=0.0003,
    batch=7,
    l2=0.001,
    dropout=0.35,
    input_noise=0.05,
    init="0.1",
    bias_init="zeros",
    seed=2**31 - 1,
)


@pytest.mark.parametrize("settings", [*DEFAULTS.values(), EXTRAORDINARY], ids=[*DEFAULTS, "extraordinary"])
def test_a_permalink_restores_everything(settings: Settings) -> None:
    assert from_query(settings.part, settings.query()) == settings


def test_a_network_without_hidden_layers_has_a_permalink() -> None:
    linear = replace(DEFAULTS["classification"], layers=())
    assert from_query("classification", linear.query()) == linear


def test_what_a_query_does_not_mention_is_the_default() -> None:
    assert from_query("classification", "") == DEFAULTS["classification"]
    assert from_query("digits", "seed=3&unknown=1") == replace(DEFAULTS["digits"], seed=3)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("data=mnist", "data: expected one of circle"),
        ("rows=many", "rows: expected a whole number, got 'many'"),
        ("learning_rate=x", "learning_rate: expected a number, got 'x'"),
        ("learning_rate=nan", "learning_rate: expected a number from 1e-06 to 100, got nan"),
        ("kind=tanh&units=8", "kind, units and pieces: expected one of each per layer"),
        ("kind=softmax&units=8&pieces=2", "kind: expected one of "),
        ("kind=step&units=8&pieces=2", "kind: expected one of "),
        ("kind=tanh&units=17&pieces=2", "units: expected a number from 1 to 16, got 17"),
        ("points=1.2", "points: expected x.y.label of each, got '1.2'"),
        ("points=301.0.0", "points: expected a number from 0 to 300, got 301"),
        ("points=1.2.2", "label: expected a number from 0 to 1, got 2"),
        ("filters=8", "filters: expected a number from 0 to 0, got 8"),
        ("dropout=0.95", "dropout: expected a number from 0 to 0.9"),
    ],
)
def test_what_is_invalid_is_said(query: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        from_query("classification", query)
    assert message in str(caught.value)


def test_every_activation_that_can_be_trained_unit_by_unit_is_offered() -> None:
    kinds = hidden_kinds()
    assert kinds[-1] == "maxout"
    assert {"identity", "relu", "prelu", "gelu", "swish", "log_sigmoid"} < set(kinds)
    assert set(kinds).isdisjoint({"step", "sign", "softmax"})
    assert len(kinds) == len(set(kinds))
    for kind in kinds[:-1]:
        assert activations.get(kind).name == kind


def test_only_rates_may_change_while_it_trains() -> None:
    settings = DEFAULTS["classification"]
    assert settings.only_rates_differ(replace(settings, learning_rate=0.5, l2=0.1))
    assert not settings.only_rates_differ(replace(settings, seed=1))


def test_every_part_has_data_and_defaults() -> None:
    assert set(PARTS) == set(DATA) == set(DEFAULTS)
