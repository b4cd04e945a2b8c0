"""Gaussian regression
===================

A network that predicts a normal distribution for every input: where the curve is, and how far from it data may lie.

Regression in lectures starts from a target t = y(x) + noise, with a normal distribution of precision beta, the inverse
of the variance::

    p(t | x) = N(t | y(x), 1 / beta)

With one beta for all inputs its likelihood is largest where the squared error is smallest, so that a network needs to
predict the mean only. If the noise depends on the input, beta can be a second output: the head ``fnn.Gaussian(1)``
gives the mean and log beta, and the loss is the negative log-likelihood (Nix and Weigend, 1994).

Left: 1,000 points around a sine, whose noise the script chose and so knows, and what a 1-32-32 network with a Gaussian
head learned from them: the mean and the interval that should hold 90% of the points. At three inputs the predicted
density is drawn sideways on the curve, beside the true one (black, dotted). Middle: the standard deviation over the
input, as the mean of networks of ten data sets with twice their standard deviation, beside the true one and the only
one that a constant beta can give. Look at x = 0: the constant is 2.6 times too large there.

Right, real data: scikit-learn's 442 patients, ten measurements each, and how far their diabetes went within a year.
Networks of 10-8-1 answer for patients that they were not trained on (ten folds, ten times). Drawn is the share of
patients within their 90% interval, for all and for thirds of them by predicted mean, with twice its standard error.
Learned precisions are more even over the thirds and give a higher likelihood, but 442 patients are too few to be sure:
most of the bars overlap, and the gain in log-likelihood is smaller than twice its standard error. Both kinds hold a
little less than 90%.

To try: fewer points of the sine, 100 for instance, and see what becomes of the middle panel.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_diabetes

import fnnfast as fnn

X = np.linspace(-1, 1, 201)
DRAWN = (-0.5, 0.0, 0.7)
POINTS, SETS = 1000, 10
FOLDS, REPEATS, L2 = 10, 10, 0.03
SCALE = 0.09  # of the densities drawn sideways


def curve(x: np.ndarray) -> np.ndarray:
    return np.sin(np.pi * x)


def noise(x: np.ndarray) -> np.ndarray:
    """The true standard deviation."""
    return 0.1 + 0.3 * np.sin(np.pi * x) ** 2


def trained(
    x: np.ndarray, y: np.ndarray, layers: list[fnn.layers.Layer], seed: int, epochs: int, l2: float = 0.0
) -> fnn.Sequential:
    net = fnn.Sequential([fnn.Input(x.shape[1]), *layers], seed=seed)
    settings = {"schedule": fnn.CosineDecay(epochs), "l2": l2, "seed": seed, "progress": False}
    net.fit(x, y, None, fnn.Adam(0.01), epochs, **settings)  # the loss is that of the head
    return net


def on_a_sine(seed: int) -> tuple[np.ndarray, np.ndarray, fnn.Sequential, float]:
    """Points, a network with a Gaussian head, and the standard deviation of the residuals of one without."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (POINTS, 1))
    t = curve(x[:, 0]) + noise(x[:, 0]) * rng.standard_normal(POINTS)
    hidden = [fnn.Dense(32, "tanh")] * 2
    learned = trained(x, t, [*hidden, fnn.Gaussian(1)], seed, 200)
    fixed = trained(x, t, [*hidden, fnn.Dense(1)], seed, 200)
    return x[:, 0], t, learned, float(np.std(fixed(x)[:, 0] - t))


def of_patients(x: np.ndarray, t: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """For each patient the mean, both bounds and the log-likelihood, (4, N), by networks that did not see it."""
    found = {"constant": np.empty((4, len(t))), "learned": np.empty((4, len(t)))}
    folds = np.random.default_rng(seed).permutation(len(x)) % FOLDS
    for test in (folds == k for k in range(FOLDS)):
        fixed, learned = (
            trained(x[~test], t[~test], [fnn.Dense(8, "tanh"), head], seed, 60, L2)
            for head in (fnn.Dense(1), fnn.Gaussian(1))
        )
        precision = 1 / np.mean((fixed.predict(x[~test])[:, 0] - t[~test]) ** 2)
        predicted = (fixed.distribution(x[test], precision=precision), learned.distribution(x[test]))
        for name, says in zip(found, predicted, strict=True):
            found[name][:, test] = np.hstack([says.mean, *says.interval(0.9), says.log_prob(t[test])]).T
    return found


def main() -> None:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.6, 4.2), width_ratios=[1.7, 1.1, 1])

    sets = [on_a_sine(seed) for seed in range(SETS)]
    x, t, net, _ = sets[0]
    says = net.distribution(X[:, None])
    low, high = (bound[:, 0] for bound in says.interval(0.9))
    left.plot(x, t, ".", color="0.6", ms=3, zorder=1)
    left.fill_between(X, low, high, color="C0", alpha=0.25, lw=0)
    left.plot(X, says.mean[:, 0], "C0", lw=2.5)
    targets = np.linspace(-2.2, 2.2, 881)
    for x0 in DRAWN:
        density = np.exp(net.distribution(np.full((len(targets), 1), x0)).log_prob(targets[:, None]))[:, 0]
        true = np.exp(-(((targets - curve(x0)) / noise(x0)) ** 2) / 2) / noise(x0) / np.sqrt(2 * np.pi)
        near = np.abs(targets - curve(x0)) < 3.5 * noise(x0)
        left.fill_betweenx(targets[near], x0, x0 + SCALE * density[near], color="C1", alpha=0.35, lw=0)
        left.plot(x0 + SCALE * density[near], targets[near], "C1", lw=2)
        left.plot(x0 + SCALE * true[near], targets[near], "k:", lw=1.4)
        left.plot([x0, x0], targets[near][[0, -1]], "C1", lw=1)
    left.text(-0.9, 1.6, "mean and 90% interval", color="C0")
    left.text(-0.9, 1.3, "density of t at three x", color="C1")
    left.text(-0.9, 1.05, "dotted: the true density", fontsize="small")
    left.set(title="A normal distribution at every x", xlabel="x", ylabel="t", xlim=(-1, 1.02), ylim=(-2.2, 2))

    deviations = np.sqrt([net.distribution(X[:, None]).variance[:, 0] for _, _, net, _ in sets])
    mean, spread, constant = deviations.mean(axis=0), deviations.std(axis=0, ddof=1), np.mean([s[3] for s in sets])
    middle.fill_between(X, mean - 2 * spread, mean + 2 * spread, color="C0", alpha=0.25, lw=0)
    middle.plot(X, mean, "C0", lw=2.2)
    middle.plot(X, noise(X), "k:", lw=1.6)
    middle.axhline(constant, color="0.45", ls="--")
    middle.text(0, 0.285, "constant", color="0.35", ha="center", fontsize="small")
    middle.text(0, 0.045, "learned", color="C0", ha="center")
    middle.text(0.5, 0.47, "true", ha="center")
    middle.set(title="Standard deviation of the noise", xlabel="x", xlim=(-1, 1), ylim=(0, 0.53))
    off = np.abs(mean - noise(X)).max()
    print(f"sine: the learned standard deviation is at most {off:.3f} off in the mean, {spread.max():.3f} its spread,")
    print(
        f"from {mean.min():.3f} to {mean.max():.3f}, where the true one goes from 0.1 to 0.4; constant {constant:.3f}"
    )

    x, t = load_diabetes(return_X_y=True)
    x, t = x / x.std(axis=0), (t - t.mean()) / t.std()
    runs = [of_patients(x, t, seed) for seed in range(REPEATS)]
    held, likelihood = {}, {}
    for name, colour, marker, shift in (("constant", "0.45", "s", -0.12), ("learned", "C0", "o", 0.12)):
        mean, _, _, likelihood[name] = np.mean([run[name] for run in runs], axis=0)
        within = np.mean([(run[name][1] <= t) & (t <= run[name][2]) for run in runs], axis=0)
        groups = [np.arange(len(t)), *np.array_split(np.argsort(mean), 3)]
        held[name] = np.array([within[group].mean() for group in groups])
        errors = [2 * within[group].std() / np.sqrt(len(group)) for group in groups]
        right.errorbar(
            np.arange(4) + shift, 100 * held[name], 100 * np.array(errors), fmt=marker, color=colour, capsize=3
        )
        print(f"{name}: the 90% intervals hold {held[name][0]:.1%} of all, ", end="")
        print(f"{', '.join(f'{share:.1%}' for share in held[name][1:])} of the thirds; ", end="")
        print(f"mean log-likelihood {likelihood[name].mean():.3f}")
    gain = likelihood["learned"] - likelihood["constant"]
    print(f"gain of a patient: {gain.mean():.3f}, standard error {gain.std() / np.sqrt(len(gain)):.3f}")
    right.axhline(90, color="k", lw=0.8)
    right.text(0.03, 0.03, "learned", color="C0", transform=right.transAxes)
    right.text(0.03, 0.1, "constant", color="0.35", transform=right.transAxes)
    right.set(title="442 patients: % within", xlabel="by predicted mean", ylim=(70, 102))
    right.set_xticks(range(4), ["all", "low", "mid", "high"])
    save(figure, __file__)

    assert off < 0.06, f"sine: expected the learned standard deviation within 0.06 of the true one, got {off:.3f}"
    assert constant > 2.3 * deviations[:, 100].mean(), "at x = 0 the constant should be far too large"
    uneven = {name: np.ptp(shares[1:]) for name, shares in held.items()}
    for name, shares in held.items():
        assert 0.83 < shares[0] < 0.93, f"{name}: expected to hold nearly 90% of all, got {shares[0]:.1%}"
    assert uneven["learned"] < 0.8 * uneven["constant"], f"expected a more even share, got {uneven}"


if __name__ == "__main__":
    main()
