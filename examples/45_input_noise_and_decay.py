"""Input noise and decay
=====================

Regularisation of a network that would learn wrong labels by heart: input noise, dropout, and two kinds of decay.

CS231n: against overfitting use L2, dropout or noise on the input, not a smaller network. Three hundred small digits, a
seventh of them with a random label, and a network of 128-128 that can remember them all. Noise on the input
(`GaussianNoise`) shows it every image anew, dropout takes away half of what it may rely on, L2 adds the squared weights
to the loss, and weight decay takes a share from every weight at every step; both keep the weights small. The strengths
are about the best of some that were tried.

Left and middle: the error on the labels it is trained on, wrong ones included, and on test digits, which are labelled
right; the mean of three seeds. Without regularisation the test error rises while the wrong labels are learned. With it
most of them are not, and the test error rises later, or, with noise on the input, not at all.

Right: why AdamW's decay is not L2 (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019). Adam divides
L2's part of the gradient by the same root as the rest, so the weights of a pixel that hardly varies, whose gradients
are small, shrink to nothing. AdamW takes the same share from every weight at every step; where no gradient comes, that
is all there is, and (1 - rate x decay) ^ steps is left, the dashed line.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_digits

import fnnfast as fnn

SAMPLES, WRONG, EPOCHS, SEEDS = 300, 1 / 7, 120, 3
HIDDEN = fnn.Dense(128, "swish")
PLAIN = [HIDDEN, HIDDEN]
SETTINGS = {
    "none": (PLAIN, fnn.Adam(), 0.0, "0.5"),
    "input noise, 0.3": ([fnn.GaussianNoise(0.3), *PLAIN], fnn.Adam(), 0.0, "C0"),
    "dropout, 0.5": ([HIDDEN, fnn.Dropout(0.5), HIDDEN, fnn.Dropout(0.5)], fnn.Adam(), 0.0, "C2"),
    "L2, 0.01": (PLAIN, fnn.Adam(), 0.01, "C1"),
    "AdamW's decay, 1": (PLAIN, fnn.AdamW(weight_decay=1.0), 0.0, "C3"),
}
Data = tuple[np.ndarray, np.ndarray]


def train(name: str, seen: Data, unseen: Data, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors after each epoch on both data, (2, EPOCHS), and how large each pixel's weights are beside their start."""
    layers, optimizer, l2, _ = SETTINGS[name]
    net = fnn.Sequential([fnn.Input(64), *layers, fnn.Dense(10, "softmax")], seed=seed)
    start = net.parameters["dense_1.weight"]
    errors = []

    def measure(epoch: int, history: fnn.History) -> None:
        errors.append([1 - net.evaluate(*data)["accuracy"] for data in (seen, unseen)])

    net.fit(*seen, None, optimizer, EPOCHS, l2=l2, callbacks=[measure], seed=seed, progress=False)
    left = np.linalg.norm(net.parameters["dense_1.weight"], axis=1) / np.linalg.norm(start, axis=1)
    return np.transpose(errors), left


def main() -> None:
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    labels = np.where(rng.random(len(y)) < WRONG, rng.integers(0, 10, len(y)), y)
    seen, unseen = (x[:SAMPLES], labels[:SAMPLES]), (x[SAMPLES:], y[SAMPLES:])
    wrong = np.mean(labels[:SAMPLES] != y[:SAMPLES])

    still = seen[0].std(axis=0) == 0
    alone = (1 - 0.001 * 1.0) ** (EPOCHS * -(-SAMPLES // 32))  # Adam's learning rate, the decay, batches of 32
    figure, (first, second, right) = plt.subplots(1, 3, figsize=(11, 4))
    last, of_still = {}, {}
    for name, (*_, colour) in SETTINGS.items():
        curves, sizes = zip(*(train(name, seen, unseen, seed) for seed in range(SEEDS)), strict=True)
        mean = np.mean(curves, axis=0)
        last[name] = mean[:, -10:].mean(axis=1)
        print(f"{name}: error {last[name][0]:.1%} seen, {last[name][1]:.1%} unseen, at best {mean[1].min():.1%}")
        for ax, errors in zip((first, second), mean, strict=True):
            ax.plot(range(1, EPOCHS + 1), errors, color=colour, label=name)
        of_still[name] = np.mean([size[still] for size in sizes])
        if name.startswith(("L2", "AdamW")):
            right.plot(seen[0].std(axis=0), sizes[0], ".", color=colour, label=name)
    first.axhline(wrong, color="k", lw=0.8, ls="--")
    first.text(EPOCHS, wrong + 0.005, "all wrong labels", ha="right")
    first.set(title="Error on the labels it learns", ylim=(0, 0.3))
    second.set(title="Error on test digits", ylim=(0, 0.3))
    for ax in (first, second):
        ax.set(xlabel="epoch")
        ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    right.axhline(alone, color="C3", lw=0.8, ls="--")
    right.set(title="What is left of a pixel's weights", xlabel="standard deviation of the pixel", ylim=(-0.02, 1))
    second.legend(fontsize="small", ncols=2, loc="lower right", columnspacing=1)
    right.legend(fontsize="small", loc="lower right")
    save(figure, __file__)

    print(f"left of the weights of the {still.sum()} pixels that never vary:", end=" ")
    print(", ".join(f"{name} {share:.3f}" for name, share in of_still.items()), f"(decay alone {alone:.3f})")
    none = last["none"]
    assert none[0] < 0.02 < 0.15 < none[1], f"expected the wrong labels learned, at the cost of test digits: {none}"
    for name in list(SETTINGS)[1:]:
        assert last[name][1] < 0.75 * none[1], (
            f"{name}: expected < 0.75 of the test error {none[1]:.1%}, got {last[name]}"
        )
    assert abs(of_still["AdamW's decay, 1"] - alone) < 1e-3, f"AdamW: expected {alone:.3f} to be left, got {of_still}"
    assert of_still["L2, 0.01"] < 0.01, f"L2 through Adam: expected nothing to be left, got {of_still}"


if __name__ == "__main__":
    main()
