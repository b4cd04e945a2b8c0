"""Compound scaling: depth, width and resolution by one number."""

import numpy as np
import pytest

import fnnfast as fnn

BASE = [
    *(fnn.Input(16, 16, 3), fnn.Dropout(0.1)),
    *(fnn.Dense(100, "relu"), fnn.Dropout(0.2)),
    *(fnn.Maxout(50, 3), fnn.Dense(10)),
]


def work(layers):
    """Multiply-adds a row."""
    net = fnn.Sequential(layers)
    return sum(values.size for name, values in net.parameters.items() if name.endswith("weight"))


def test_phi_0_is_the_base():
    assert fnn.compound_scale(BASE, 0) == BASE
    assert fnn.compound_scale(fnn.Sequential(BASE), 0) == BASE


def test_each_factor_alone():
    deeper = fnn.compound_scale(BASE, 2, depth=1.5, width=1, resolution=1)
    assert [type(layer).__name__ for layer in deeper] == [
        *("Input", "Dropout", "Dense", "Dropout", "Dense", "Dropout", "Maxout", "Maxout", "Dense")
    ]
    wider = fnn.compound_scale(BASE, 2, depth=1, width=1.5, resolution=1)
    assert wider == [*BASE[:2], fnn.Dense(225, "relu"), BASE[3], fnn.Maxout(112, 3), BASE[5]]
    deeper = fnn.compound_scale(BASE, 1, depth=1.4, width=1, resolution=1)  # 2.8 layers are 3
    assert deeper == [*BASE[:4], *BASE[2:]]
    base = [fnn.Input(9), fnn.Dense(128), fnn.Maxout(123, 2), fnn.Dense(4)]  # 140.8 is rounded up, 135.3 down
    assert fnn.compound_scale(base, 1, depth=1) == [base[0], fnn.Dense(141), fnn.Maxout(135, 2), base[3]]
    finer = fnn.compound_scale(BASE, 2, depth=1, width=1, resolution=1.5)
    assert finer == [fnn.Input(36, 36, 3), *BASE[1:]]
    smaller = fnn.compound_scale(BASE, -2, depth=2, width=2, resolution=2)
    assert smaller == [fnn.Input(4, 4, 3), BASE[1], fnn.Dense(25, "relu"), BASE[3], BASE[5]]


def test_what_is_kept():
    base = [fnn.Input(9), fnn.Residual([fnn.Dense(10, "tanh", init="he"), fnn.Dense(20)]), fnn.Gaussian(2)]
    block = fnn.Residual([fnn.Dense(20, "tanh", init="he"), fnn.Dense(40)])
    assert fnn.compound_scale(base, 1, depth=2, width=2, resolution=3) == [fnn.Input(9), block, block, fnn.Gaussian(2)]
    assert fnn.compound_scale(base, -9, width=2)[1] == fnn.Residual([fnn.Dense(1, "tanh", init="he"), fnn.Dense(1)])


def test_the_work_about_doubles():
    base = [fnn.Input(8, 8), *[fnn.Dense(64, "relu")] * 10, fnn.Dense(10, "softmax")]
    sizes = [work(fnn.compound_scale(base, phi)) for phi in range(5)]
    ratios = np.divide(sizes[1:], sizes[:-1])
    assert ((ratios > 1.3) & (ratios < 2)).all()  # 1.2 * 1.1^2 for the hidden layers, 1.15^2 * 1.1 for the first


@pytest.mark.parametrize(
    ("base", "options", "error", "message"),
    [
        (BASE, {"phi": "1"}, TypeError, "phi: expected a finite number"),
        (BASE, {"phi": 1, "width": 0}, ValueError, "width: expected a number > 0"),
        (BASE, {"phi": 1, "depth": -1}, ValueError, "depth: expected a number > 0"),
        (BASE, {"phi": 1e5}, ValueError, r"phi: expected depth\^phi of at most 10000, got depth 1.2, phi 100000.0"),
        (BASE[:2], {"phi": 1}, ValueError, "last, got Dropout"),
        ([BASE[0], BASE[-1]], {"phi": 1}, ValueError, "at least one hidden layer to scale"),
    ],
)
def test_invalid_arguments(base, options, error, message):
    with pytest.raises(error, match=message):
        fnn.compound_scale(base, **options)
