"""Depth and generalisation
========================

Does depth generalise better than width? Dense networks of equal numbers of parameters, each at its own best rate.

The lecture slides say that deeper networks generalise better, and that more parameters without more depth make them
worse, with the curves of Goodfellow et al., "Multi-digit number recognition from Street View imagery using deep
convolutional neural networks", 2013. CS231n says less of dense networks: two hidden layers are often better than one,
and more hardly help. Here networks of one to eight hidden layers of ReLUs learn 3,000 digits of MNIST at 14 x 14 pixels
in ten epochs; their width is what the number of parameters leaves. For each network one of four rates of Adam is
chosen, on 1,000 validation digits and three seeds. Six other seeds are then trained, and 1,000 digits are for testing.

Left: the test error over the depth, as mean and standard error over the seeds. More parameters help at every depth,
also without more depth. Depth does not: one layer is as good as two or three or better, and more are worse, most of all
where they have to be narrow. The claim is of convolutional networks and large images; for dense ones on these digits it
was not found. Right: why such comparisons need care. With one low rate for all, two and three layers look better than
one; with a high one, depth looks bad from the start. A single layer bears and needs a higher rate, and most of what
depth seems to gain at a low one is speed. (At 0.01, too, three layers are ahead of one, but by hardly more than the
error bars.)

To try: ``EPOCHS = 40``. With time enough for lower rates, too, one layer is still ahead of three.
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import errors, mean_and_error, mnist

import fnnfast as fnn

BUDGETS = {3000: "C2", 10000: "C4", 30000: "C0"}
DEPTHS, RATES = (1, 2, 3, 5, 8), {0.002: "#F4A582", 0.005: "#D6604D", 0.01: "#B2182B", 0.03: "#67001F"}
EPOCHS, SEARCH, SEEDS = 10, 3, 6


def network(depth: int, width: int, seed: int) -> fnn.Sequential:
    hidden = [fnn.Dense(width, "relu")] * depth
    return fnn.Sequential([fnn.Input(14, 14, 1), *hidden, fnn.Dense(10, "softmax")], seed=seed)


def width_for(depth: int, budget: int) -> int:
    """The width at which a network has about that many parameters."""
    return min(range(1, budget), key=lambda w: abs(197 * w + (depth - 1) * w * (w + 1) + 10 * (w + 1) - budget))


def main() -> None:
    x, y = mnist(14)
    test, validation, train = ((x[rows], y[rows]) for rows in np.split(np.arange(len(x)), [1000, 2000]))
    sizes = [(depth, width_for(depth, budget)) for budget in BUDGETS for depth in DEPTHS]

    def trained(rates: list[list[float]], seeds: range) -> np.ndarray:
        """Networks of each size, at each of its rates, from each seed."""
        cases = [(*size, rate, seed) for size, own in zip(sizes, rates, strict=True) for rate in own for seed in seeds]
        nets = [network(depth, width, seed) for depth, width, _, seed in cases]
        optimizers, order = [fnn.Adam(case[2]) for case in cases], [case[3] for case in cases]
        settings = {"schedule": fnn.CosineDecay(EPOCHS), "seed": order, "progress": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # at high rates, which are a part of the search
            fnn.fit_many(nets, *train, None, optimizers, EPOCHS, 50, **settings)
        return np.array(nets, dtype=object).reshape(len(sizes), -1, len(seeds))

    found = trained([[*RATES]] * len(sizes), range(100, 100 + SEARCH))
    shape = len(BUDGETS), len(DEPTHS)
    searched = 100 * errors(found.ravel(), *validation).reshape(*shape, len(RATES), SEARCH)
    best = np.array([*RATES])[searched.mean(axis=3).argmin(axis=2)]
    nets = trained(best.reshape(-1, 1).tolist(), range(SEEDS))
    mean, spread = mean_and_error(100 * errors(nets.ravel(), *test).reshape(*shape, SEEDS))
    widths = np.reshape([width for _, width in sizes], shape)

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.4), sharey=True, width_ratios=[1.3, 1])
    places = np.arange(len(DEPTHS))
    for i, (budget, colour) in enumerate(BUDGETS.items()):
        left.errorbar(places, mean[i], spread[i], fmt="o-", ms=5, color=colour, capsize=3)
        for place, width in zip(places, widths[i], strict=True):
            where = {"textcoords": "offset points", "ha": "center", "va": "top"}
            left.annotate(str(width), (place, mean[i, place] - spread[i, place]), (0, -4), color=colour, **where)
        left.text(places[-1] + 0.2, mean[i, -1], f"{budget:,}\nparameters", color=colour, va="center")
        for depth, width, rate, *error in zip(DEPTHS, widths[i], best[i], mean[i], spread[i], strict=True):
            print(f"{budget} parameters, {depth} x {width}, rate {rate:g}: test error", end=" ")
            print("{:.2f}% +- {:.2f}".format(*error))
    left.set(title="Test error, each at its best rate; numbers are widths", xlabel="hidden layers")
    left.set(xlim=(-0.4, places[-1] + 1.2), yscale="log", ylim=(4.5, 30), yticks=[5, 7, 10, 15, 20, 30])
    left.yaxis.set_major_formatter("{x:.0f}%")
    alike, deviation = mean_and_error(searched[-1])
    for rate, error, bar in zip(RATES, alike.T, deviation.T, strict=True):
        right.errorbar(places, error, bar, fmt="o-", ms=5, color=RATES[rate], capsize=3, label=f"{rate:g}")
        print(f"{max(BUDGETS)} parameters, rate {rate:g}: validation errors by depth {error.round(1)}")
    right.set(title=f"{max(BUDGETS):,} parameters, validation error", xlabel="hidden layers")
    right.legend(title="one rate for all:", loc="upper left")
    for ax in (left, right):
        ax.set_xticks(places, DEPTHS)
        ax.minorticks_off()
    save(figure, __file__)

    assert (mean[0] > mean[2] + 1).all(), f"more parameters should help at every depth: {mean}"
    assert (mean[:, -1] > mean[:, :2].mean(axis=1) + 0.5).all(), f"eight layers should be worse than one or two: {mean}"
    assert (mean[:, 2] > mean[:, 0] - 0.6).all(), f"three layers should not be better than one: {mean}"
    low = alike[:, 0]
    assert low[2] < low[0] - 0.4, f"with one low rate for all, three layers should look better than one: {low}"


if __name__ == "__main__":
    main()
