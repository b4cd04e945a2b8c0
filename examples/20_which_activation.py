"""Which activation?
=================

Which activation? One task, each activation at its own best learning rate, and what of the notes' advice holds.

The advice of CS231n and of the lecture slides: ReLU, with care for the learning rate; leaky ReLU, maxout, ELU and swish
are good, too; tanh may be tried, but less is to be expected of it; sigmoid never. Here three hidden layers of 32 units
learn scikit-learn's digits with Adam and a decaying rate, in 30 epochs. On three random splits the rate is chosen, one
of four, by the mean error on 300 validation digits; on 18 others networks learn 1,000 digits at that rate, and 497 are
for testing. Maxout of k pieces has k times as many weights in its layers, so a ReLU network of about as many parameters
as that of four pieces is beside it.

Left: the test error as the difference to ReLU on the same split, with its standard error. All learn the same splits,
and what makes one of them hard cancels out of the difference. The error itself is on the right of each row, and the
number of parameters where it is not about 4,500. Right: the error on validation digits over the rate.

What holds: sigmoid is the worst, and needs a higher rate than the others to learn in that time. All five that are
called good have fewer errors than ReLU, though only maxout by three standard errors, and more units do not bring ReLU
as far. Care for the rate is needed, too: at 0.1 all are worse, tanh and sigmoid learn almost nothing, and maxout
suffers less than ReLU. What does not hold here: tanh is no worse than ReLU. With twelve comparisons, less than two or
three standard errors may be chance.

To try: ``fnn.SGD`` in the place of Adam, with rates from 0.03 to 1.
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_digits

import fnnfast as fnn

EPOCHS, RATES = 30, (0.003, 0.01, 0.03, 0.1)
SEARCH, SPLITS = 3, 18  # splits to choose the rates with, and others to measure the errors on
HIDDEN = {
    "maxout, 4 pieces": fnn.Maxout(32, 4),
    "maxout, 2 pieces": fnn.Maxout(32, 2),
    "leaky ReLU": fnn.Dense(32, "leaky_relu"),
    "ELU": fnn.Dense(32, "elu"),
    "swish": fnn.Dense(32, "swish"),
    "PReLU": fnn.Dense(32, fnn.PReLU()),
    "SELU": fnn.Dense(32, "selu"),
    "GELU": fnn.Dense(32, "gelu"),
    "ReLU, 75 units": fnn.Dense(75, "relu"),
    "ReLU": fnn.Dense(32, "relu"),
    "tanh": fnn.Dense(32, "tanh"),
    "softplus": fnn.Dense(32, "softplus"),
    "sigmoid": fnn.Dense(32, "sigmoid"),
}
ADVICE = {
    "use it, with care": ("C0", ("ReLU",)),
    "good": ("C2", ("maxout, 4 pieces", "maxout, 2 pieces", "leaky ReLU", "ELU", "swish")),
    "not so useful": ("C1", ("tanh",)),
    "never": ("C3", ("sigmoid",)),
    "nothing said": ("0.5", ("PReLU", "SELU", "GELU", "ReLU, 75 units", "softplus")),
}
COLOURS = {name: colour for colour, names in ADVICE.values() for name in names}


def network(name: str, seed: int) -> fnn.Sequential:
    return fnn.Sequential([fnn.Input(64), *[HIDDEN[name]] * 3, fnn.Dense(10, "softmax")], seed=seed)


def errors(x: np.ndarray, y: np.ndarray, rates: dict[str, tuple[float, ...]], split: int) -> np.ndarray:
    """Errors on validation and test digits of one split, by activation and rate."""
    order = np.random.default_rng(split).permutation(len(x))
    train, *others = ((x[rows], y[rows]) for rows in np.split(order, [1000, 1300]))
    nets = [network(name, split) for name in HIDDEN for _ in rates[name]]
    optimizers = [fnn.Adam(rate) for name in HIDDEN for rate in rates[name]]
    settings = {"schedule": fnn.CosineDecay(EPOCHS), "seed": split, "progress": False}
    fnn.fit_many(nets, *train, None, optimizers, EPOCHS, **settings)
    found = [[1 - net.evaluate(*data)["accuracy"] for data in others] for net in nets]
    return 100 * np.reshape(found, (len(HIDDEN), -1, 2))


def main() -> None:
    warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # pixels that are always 0 and high rates: part of the search
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    grid = dict.fromkeys(HIDDEN, RATES)
    validation = np.mean([errors(x, y, grid, split)[..., 0] for split in range(SEARCH)], axis=0)
    best = {name: (RATES[row.argmin()],) for name, row in zip(HIDDEN, validation, strict=True)}
    splits = range(SEARCH, SEARCH + SPLITS)
    test = np.array([errors(x, y, best, split)[:, 0, 1] for split in splits])
    differences = test - test[:, [list(HIDDEN).index("ReLU")]]
    gains = dict(zip(HIDDEN, differences.mean(axis=0), strict=True))
    spreads = dict(zip(HIDDEN, differences.std(axis=0, ddof=1) / np.sqrt(SPLITS), strict=True))

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.6), width_ratios=[1.6, 1])
    names = sorted(HIDDEN, key=gains.__getitem__, reverse=True)
    for place, name in enumerate(names):
        error = test[:, list(HIDDEN).index(name)].mean()
        size = sum(parameter.size for parameter in network(name, 0).parameters.values())
        left.errorbar(gains[name], place, xerr=spreads[name], fmt="o", color=COLOURS[name], capsize=3)
        text = f"{error:.1f}%" + (f", {size:,}" if size > 5000 else "")
        left.text(1.02, place, text, transform=left.get_yaxis_transform(), va="center", color=COLOURS[name])
        print(f"{name} ({size:,} parameters), rate {best[name][0]:g}: test error {error:.2f}%", end=", ")
        print(f"less that of ReLU {gains[name]:+.2f} +- {spreads[name]:.2f}")
    left.axvline(0, color="0.6", lw=1)
    left.set_yticks(range(len(names)), names)
    for label in left.get_yticklabels():
        label.set_color(COLOURS[label.get_text()])
    left.set(title="Test error at the best rate, less that of ReLU", xlabel="percentage points")
    for advice, (colour, _) in ADVICE.items():
        left.plot([], [], "o", color=colour, label=advice)
    left.legend(title="advice of the notes", loc="upper right", handletextpad=0)

    for name, row in zip(HIDDEN, validation, strict=True):
        shown = name in ("ReLU", "maxout, 4 pieces", "tanh", "sigmoid")
        style = {"color": COLOURS[name], "zorder": 3, "lw": 2} if shown else {"color": "0.8", "lw": 1}
        right.plot(RATES, row, "o-", ms=4, label=name if shown else None, **style)
    right.plot([], [], "o-", ms=4, color="0.8", lw=1, label="others")
    right.set(title="Error over the learning rate", xlabel="learning rate", xscale="log", yscale="log", ylim=(2, 100))
    right.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
    right.set_yticks([2, 5, 10, 20, 50, 100], [f"{tick}%" for tick in (2, 5, 10, 20, 50, 100)])
    right.minorticks_off()
    right.legend(loc="upper center")
    save(figure, __file__)

    assert gains["sigmoid"] > 0.3, f"sigmoid: expected to be worse than ReLU, got {gains['sigmoid']:+.2f} points"
    assert gains["tanh"] < 0.3, f"tanh: expected to be no worse than ReLU, got {gains['tanh']:+.2f} points"
    maxout = max(gains["maxout, 2 pieces"], gains["maxout, 4 pieces"])
    assert maxout < -0.1, f"maxout: expected to be better than ReLU, got {maxout:+.2f} points"
    others = [gain for name, gain in gains.items() if name not in ("sigmoid", "softplus")]
    assert max(map(abs, others)) < 1, f"expected all but sigmoid and softplus within a point, got {gains}"


if __name__ == "__main__":
    main()
