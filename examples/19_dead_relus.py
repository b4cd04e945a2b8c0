"""Dead ReLUs
==========

How many ReLUs the learning rate kills, how early, and what happens to units that cannot die.

A ReLU whose input is negative for all data has no gradient, so it never learns again. Too large a learning rate brings
that about, in as much as 40 % of a network (CS231n); the lecture notes call 10 to 20 % a problem. Maxout, CS231n says,
does not have this drawback. A network of 64-64-64-10 learns small digits with Adam at six learning rates, three starts
each. ``fit`` counts the dead units of every epoch and warns above 10 %. ``net.diagnose`` counts them on any data: units
whose derivative is below a thousandth for all rows, and pieces of maxout that win in no row.

Top left: dead units on test data. Leaky ReLU and PReLU have no flat side; ELU dies where a step carries a unit far into
its own. Top right: most ReLUs die within the first epoch, and they stay dead. Bottom left: maxout does lose something
at the rates that kill ReLUs. The piece that wins always learns, so no unit stops; but pieces that no longer win get no
gradient, and a unit with one piece left is linear. Bottom right: what it costs. A third of the ReLUs can be missed
here; with nearly all dead, ReLU is far behind all others.

To try: start the ReLUs with a positive bias, ``fnn.Dense(64, "relu", bias_init=0.1)``, or warm up the learning rate.
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_digits

import fnnfast as fnn

EPOCHS, SEEDS = 15, 3
RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.2]
HIDDEN = {
    "relu": (fnn.Dense(64, "relu"), "C0o-"),
    "leaky_relu": (fnn.Dense(64, fnn.LeakyReLU(0.1)), "C1s--"),
    "prelu": (fnn.Dense(64, "prelu"), "C2^-."),
    "elu": (fnn.Dense(64, "elu"), "C3v:"),
    "maxout 2": (fnn.Maxout(64, pieces=2), "C4D-"),
    "maxout 4": (fnn.Maxout(64, pieces=4), "C5P-"),
}


def main() -> None:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    x, y, x_test, y_test = x[:1200], y[:1200], x[1200:], y[1200:]

    figure, ((units, epochs), (pieces, right)) = plt.subplots(2, 2, figsize=(9.6, 7))
    dead, linear, accuracy = {}, {}, {}
    for name, (hidden, style) in HIDDEN.items():
        for rate in RATES:
            found, curves, scores = [], [], []
            for seed in range(SEEDS):
                net = fnn.Sequential([fnn.Input(64), hidden, hidden, fnn.Dense(10, "softmax")], seed=seed)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # that they die is the point here
                    history = net.fit(x, y, None, fnn.Adam(rate), EPOCHS, seed=seed, progress=False)
                found.append(net.diagnose(x_test))
                curves.append(list(history.dead.values()))
                scores.append(net.evaluate(x_test, y_test)["accuracy"])
            dead[name, rate] = np.mean([list(of_seed["dead"].values()) for of_seed in found])
            accuracy[name, rate] = np.median(scores)
            print(f"{name}, rate {rate}: dead {dead[name, rate]:.0%}, right {accuracy[name, rate]:.1%}", end="")
            if "maxout" in name:
                linear[name, rate] = np.mean([list(of_seed["linear"].values()) for of_seed in found])
                print(f", linear units {linear[name, rate]:.0%}", end="")
            print()
            if name == "relu":
                curve = np.mean(curves, axis=(0, 1))
                epochs.plot(range(1, EPOCHS + 1), curve, color="C0", alpha=0.4 + 0.1 * RATES.index(rate))
                place = {0.001: "top", 0.003: "bottom"}.get(rate, "center")
                epochs.text(EPOCHS + 0.3, curve[-1], f"{rate}", va=place, fontsize="small")
        if "maxout" in name:
            pieces.plot(RATES, [dead[name, rate] for rate in RATES], style, label=f"{name}: pieces that never win")
            share = [linear[name, rate] for rate in RATES]
            pieces.plot(RATES, share, style[:3] + "--", mfc="white", label=f"{name}: linear units")
        else:
            units.plot(RATES, [dead[name, rate] for rate in RATES], style, label=name)
        right.plot(RATES, [accuracy[name, rate] for rate in RATES], style, label=name)

    units.axhspan(0.1, 0.2, color="0.9")
    units.text(RATES[0], 0.17, "10 to 20 %", va="center", color="0.3", fontsize="small")
    units.set(title="Dead units on test data", xlabel="learning rate", xscale="log", ylim=(-0.02, 1))
    epochs.text(EPOCHS + 1.8, 1.02, "rate", ha="right", fontsize="small")
    epochs.set(title="ReLUs dead throughout an epoch", xlabel="epoch", xlim=(0.5, EPOCHS + 2), ylim=(-0.02, 1.05))
    epochs.set(xticks=(1, 2, 5, 10, 15))
    pieces.set(title="Maxout on test data", xlabel="learning rate", xscale="log", ylim=(-0.02, 1))
    right.set(title=f"Right on test data, median of {SEEDS} starts", xlabel="learning rate", xscale="log")
    for ax in (units, epochs, pieces, right):
        ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    for ax in (units, pieces, right):
        ax.legend(fontsize="small")
    save(figure, __file__)

    of_relu = [dead["relu", rate] for rate in RATES]
    assert of_relu[0] < 0.15, f"expected few dead ReLUs at the lowest rate, got {of_relu[0]:.0%}"
    assert of_relu[-1] > 0.7, f"expected most ReLUs dead at the highest rate, got {of_relu[-1]:.0%}"
    for name in ("leaky_relu", "prelu"):
        most = max(dead[name, rate] for rate in RATES)
        assert most < 0.02, f"{name}: expected no dead units, got {most:.0%}"
    lost = linear["maxout 2", 0.03] - linear["maxout 2", 0.001]
    assert lost > 0.1, f"expected a tenth more of maxout's units to be linear at a rate of 0.03, got {lost:.0%}"
    worst = {name: accuracy[name, RATES[-1]] for name in HIDDEN}
    assert worst["relu"] == min(worst.values()), f"expected ReLU to suffer most from the highest rate, got {worst}"


if __name__ == "__main__":
    main()
