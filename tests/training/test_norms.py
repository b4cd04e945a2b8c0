"""Norms of gradients and updates that training records."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import watched_data, watched_network
from fnnfast.training import _progress

pytestmark = [
    pytest.mark.usefixtures("machine_restored"),
    pytest.mark.filterwarnings("ignore::fnnfast.DeadUnitsWarning"),
]


def norm(arrays, layer):
    """Of the weights and biases of a layer."""
    found = [arrays[f"{layer}.{key}"].astype(float) for key in ("weight", "bias")]
    return np.sqrt(sum((values**2).sum() for values in found))


NORM_CASES = {
    "sgd": {"optimizer": fnn.SGD(0.1, momentum=0.9)},
    "adam with l2": {"optimizer": fnn.Adam(0.01), "l2": 0.1},
    "adamw": {"optimizer": fnn.AdamW(0.01, weight_decay=0.5)},
    "clipped": {"optimizer": fnn.SGD(0.1), "clip_norm": 0.01},
    "clipped with l2": {"optimizer": fnn.Adam(0.01), "clip_norm": 0.01, "l2": 0.1},
}


@pytest.mark.parametrize("case", NORM_CASES)
def test_norms_of_gradients_and_updates(isa, dtype, case):
    """The gradient before l2 and clipping, and the change that came of it; root mean squares over the steps."""
    settings = NORM_CASES[case]
    hidden = [fnn.Dense(9, "prelu"), fnn.Residual([fnn.Maxout(7, 3), fnn.Dense(11, "swish")]), fnn.Dense(5, "tanh")]
    net, twin = watched_network(hidden, dtype=dtype), watched_network(hidden, dtype=dtype)
    x, y = watched_data(dtype)
    history = net.fit(x[:1], y[:1], epochs=1, batch_size=1, **settings)  # one row, so that the order is known
    trainer, layers = fnn.Trainer(twin, **settings), list(history.gradient_norm)
    assert layers == ["dense_1", "residual_1", "residual_1.maxout_1", "residual_1.dense_1", "dense_2", "dense_3"]
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    squares = {layer: [] for layer in layers}
    for rows in (slice(0, 1), slice(0, 20), slice(20, 60)):
        grads, before = trainer.gradients(x[rows], y[rows]), dict(twin.parameters)
        trainer.step(x[rows], y[rows])
        after = {name: values - before[name] for name, values in twin.parameters.items()}
        for layer in layers:
            squares[layer].append((norm(grads, layer) ** 2, norm(after, layer) ** 2))
        if rows.stop == 1:
            for layer in layers:
                assert history.gradient_norm[layer] == [pytest.approx(norm(grads, layer), rel=rtol)]
                assert history.update_norm[layer] == [pytest.approx(norm(after, layer), rel=1e-3, abs=1e-9)]
    found = trainer._diagnosis()
    for layer in layers:
        gradient, update = np.sqrt(np.mean(squares[layer], axis=0))
        assert found["gradient_norm"][layer] == pytest.approx(gradient, rel=rtol)
        assert found["update_norm"][layer] == pytest.approx(update, rel=1e-3 if dtype == np.float32 else 1e-9)


def test_norms_of_epochs_are_counted_one_by_one():
    net = watched_network([fnn.Dense(9, "tanh")])
    trainer = fnn.Trainer(net, optimizer=fnn.SGD(0.1))
    x, y = watched_data()
    for rows in (slice(0, 60), slice(0, 5), slice(5, 60)):
        grads, before = trainer.gradients(x[rows], y[rows]), dict(net.parameters)
        trainer.step(x[rows], y[rows])
        found = trainer._diagnosis()
        after = {name: values - before[name] for name, values in net.parameters.items()}
        for layer in ("dense_1", "dense_2"):
            assert found["gradient_norm"][layer] == pytest.approx(norm(grads, layer), rel=1e-9)
            assert found["update_norm"][layer] == pytest.approx(norm(after, layer), rel=1e-9)


def test_norms_over_all_layers_are_shown():
    class Display(_progress.Silent):
        def epoch(self, values):
            shown.append(values)

    shown = []
    x, y = watched_data()
    hidden = [fnn.Dense(9, "prelu"), fnn.Maxout(7, 3)]
    history = watched_network(hidden).fit(x, y, epochs=2, progress=Display())
    for name in ("gradient", "update"):
        layers = getattr(history, f"{name}_norm").values()
        norms = np.sqrt(np.sum(np.square(list(layers)), axis=0))
        assert [f"{values[name]:g}" for values in shown] == [f"{norm:.2g}" for norm in norms]


def test_norms_of_a_network_that_diverges():
    """What is infinite or NaN is recorded as it is."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1)], seed=0)
    with pytest.warns(fnn.DivergenceWarning, match="the loss is inf: a lower learning rate, clip_norm") as caught:
        history = net.fit([[1e20]], [1.0], optimizer=fnn.SGD(1e20), epochs=3)
    assert len(caught) == 1
    assert not np.isfinite(history.gradient_norm["dense_1"]).all()
    assert len(history.gradient_norm["dense_1"]) == 3
