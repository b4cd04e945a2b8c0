"""Dead ReLUs
==========

Dead ReLUs: how many the learning rate kills, how early, and which activations live on.

The notes: a ReLU whose input is negative for all data has no gradient, so it never learns again; a very large learning
rate brings that about, and 10 to 20 % of them can be a problem. A network of 64-64-64-10 learns small digits with Adam
at six learning rates. `fit` counts the dead units of every epoch and warns above 10 %, `net.diagnose` counts them on
test data: units whose derivative is below a thousandth for all of it.

Left: their share over the learning rate. ELU dies too where a step carries it far into its flat side; leaky ReLU and
PReLU have no flat side, and in maxout the piece that wins learns. Middle: the share of ReLUs that were dead throughout
an epoch. Most die within the first, so that the second finds them dead, and they stay so. Right: what it costs. A third
of the ReLUs can be missed here; with nearly all dead, ReLU is far behind all activations that live on.
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
    "maxout": (fnn.Maxout(64, pieces=2), "C4D-"),
}


def main() -> None:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    x, y, x_test, y_test = x[:1200], y[:1200], x[1200:], y[1200:]

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.8))
    dead, accuracy = {}, {}
    for name, (hidden, style) in HIDDEN.items():
        for rate in RATES:
            shares, curves, found = [], [], []
            for seed in range(SEEDS):
                net = fnn.Sequential([fnn.Input(64), hidden, hidden, fnn.Dense(10, "softmax")], seed=seed)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # that they die is the point here
                    history = net.fit(x, y, None, fnn.Adam(rate), EPOCHS, seed=seed, progress=False)
                shares.append(list(net.diagnose(x_test)["dead"].values()))
                curves.append(list(history.dead.values()))
                found.append(net.evaluate(x_test, y_test)["accuracy"])
            if name != "maxout":  # it has nothing that could die
                dead[name, rate] = np.mean(shares)
            accuracy[name, rate] = np.median(found)
            share = f"dead {dead[name, rate]:.0%}, " if (name, rate) in dead else ""
            print(f"{name}, rate {rate}: {share}right {accuracy[name, rate]:.1%}")
            if name == "relu":
                curve = np.mean(curves, axis=(0, 1))
                middle.plot(range(1, EPOCHS + 1), curve, color="C0", alpha=0.4 + 0.1 * RATES.index(rate))
                place = {0.001: "top", 0.003: "bottom"}.get(rate, "center")
                middle.text(EPOCHS + 0.3, curve[-1], f"{rate}", va=place, fontsize="small")
        if name != "maxout":
            left.plot(RATES, [dead[name, rate] for rate in RATES], style, label=name)
        right.plot(RATES, [accuracy[name, rate] for rate in RATES], style, label=name)

    left.axhspan(0.1, 0.2, color="0.9")
    left.text(RATES[0], 0.17, "a problem?", va="center", color="0.3", fontsize="small")
    left.set(title="Dead units on test data", xlabel="learning rate", xscale="log", ylim=(-0.02, 1))
    middle.text(EPOCHS + 1.8, 1.02, "rate", ha="right", fontsize="small")
    middle.set(title="ReLUs dead throughout an epoch", xlabel="epoch", xlim=(0.5, EPOCHS + 2), ylim=(-0.02, 1.05))
    middle.set(xticks=(1, 2, 5, 10, 15))
    right.set(title=f"Right on test data, median of {SEEDS} starts", xlabel="learning rate", xscale="log")
    for ax in (left, middle, right):
        ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    left.legend(fontsize="small")
    right.legend(fontsize="small")
    save(figure, __file__)

    of_relu = [dead["relu", rate] for rate in RATES]
    assert of_relu[0] < 0.15, f"expected few dead ReLUs at the lowest rate, got {of_relu[0]:.0%}"
    assert of_relu[-1] > 0.7, f"expected most ReLUs dead at the highest rate, got {of_relu[-1]:.0%}"
    for name in ("leaky_relu", "prelu"):
        most = max(dead[name, rate] for rate in RATES)
        assert most < 0.02, f"{name}: expected no dead units, got {most:.0%}"
    worst = {name: accuracy[name, RATES[-1]] for name in HIDDEN}
    assert worst["relu"] == min(worst.values()), f"expected ReLU to suffer most from the highest rate, got {worst}"


if __name__ == "__main__":
    main()
