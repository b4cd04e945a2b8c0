"""Two classes by softmax
======================

Two classes by one sigmoid or by two softmax scores: the same function, and the same training.

Lectures say that a binary problem can be solved as a multiclass one, and that softmax generalises the sigmoid. Indeed
sigmoid(z) = softmax([0, z])[1], for only the difference of the scores counts. Here a softmax network takes over the
parameters of a sigmoid network, with a first score of 0: their probabilities agree to rounding. Trained on the same
batches, with that score kept at 0 (its gradients are zeroed between the two halves of a step), they go on agreeing.
Where both scores learn, training takes another path, to much the same end.

Left: two moons, and where the first two networks, trained, put the probability 0.5. Right: the loss of the three
networks, and below how far the probabilities of the first two are apart, in both dtypes.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import make_moons

import fnnfast as fnn

EPOCHS, BATCH = 60, 25
HIDDEN = [fnn.Dense(16, "tanh"), fnn.Dense(16, "tanh")]
HEAD = ("dense_3.weight", "dense_3.bias")
STYLES = {
    "sigmoid": ("C0", "-", 5),
    "softmax, first score 0": ("C1", "-", 1.5),
    "softmax, both scores": ("0.3", ":", 1.5),
}


def networks(dtype: str) -> list[fnn.Sequential]:
    """A sigmoid network, and twice the softmax network of scores (0, z) that computes the same."""
    one = fnn.Sequential([fnn.Input(2), *HIDDEN, fnn.Dense(1, "sigmoid")], dtype=dtype, seed=1)
    two, free = (fnn.Sequential([fnn.Input(2), *HIDDEN, fnn.Dense(2, "softmax")], dtype=dtype) for _ in range(2))
    for name, values in one.parameters.items():
        scores = np.concatenate([np.zeros_like(values), values], axis=-1) if name in HEAD else values
        two.parameters[name] = free.parameters[name] = scores
    return [one, two, free]


def train(nets: list[fnn.Sequential], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each network and the distance of the first two's probabilities, before and after each epoch."""
    one, two, free = (fnn.Trainer(net, optimizer=fnn.Adam(0.01)) for net in nets)
    rng = np.random.default_rng(0)
    losses, distances = [], []
    for epoch in range(EPOCHS + 1):
        for rows in np.split(rng.permutation(len(x)), len(x) // BATCH) if epoch else []:
            one.step(x[rows], y[rows])
            grads = two.gradients(x[rows], y[rows])
            for name in HEAD:
                grads[name][..., 0] = 0
            two.apply(grads)
            free.step(x[rows], y[rows])
        losses.append([net.evaluate(x, y)["loss"] for net in nets])
        distances.append(np.abs(nets[0](x)[:, 0] - nets[1](x)[:, 1]).max())
    return np.array(losses), np.array(distances)


def main() -> None:
    x, y = make_moons(200, noise=0.2, random_state=0)
    figure, axes = plt.subplot_mosaic([["moons", "loss"], ["moons", "distance"]], figsize=(8.6, 4.2))

    worst = {}
    for dtype, colour in (("float32", "C1"), ("float64", "C0")):
        nets = networks(dtype)
        losses, distances = train(nets, x, y)
        worst[dtype] = distances.max()
        print(f"{dtype}: sigmoid and softmax apart by {distances[0]:.1e} at first, by {worst[dtype]:.1e} at most")
        axes["distance"].plot(distances, color=colour, label=dtype)
    print("loss after training: " + ", ".join(f"{n} {loss:.4f}" for n, loss in zip(STYLES, losses[-1], strict=True)))

    grid = np.stack(np.meshgrid(np.linspace(-1.6, 2.6, 200), np.linspace(-1.2, 1.7, 200)), axis=-1)
    for label, marker in ((0, "o"), (1, "^")):
        axes["moons"].plot(*x[y == label].T, marker, color="0.75", ms=5, label=f"class {label}")
    for k, (name, (colour, line, width)) in enumerate(STYLES.items()):
        p = nets[k](grid.reshape(-1, 2))[:, -1].reshape(grid.shape[:2])
        if k < 2:
            axes["moons"].contour(*np.moveaxis(grid, -1, 0), p, [0.5], colors=colour, linewidths=width)
        axes["loss"].plot(losses[:, k], line, color=colour, lw=width, label=name)

    axes["moons"].set(title="p = 0.5: sigmoid, and softmax on top")
    axes["moons"].legend(loc="upper left")
    axes["loss"].set(title="Training", ylabel="loss", ylim=(0, None))
    axes["loss"].legend()
    axes["distance"].set(xlabel="epoch", ylabel="largest difference of p", yscale="log", ylim=(1e-17, 1e-4))
    axes["distance"].legend(ncols=2)
    save(figure, __file__)

    assert worst["float32"] < 1e-4, f"float32: expected probabilities within 1e-4, got {worst['float32']:.1e}"
    assert worst["float64"] < 1e-12, f"float64: expected probabilities within 1e-12, got {worst['float64']:.1e}"


if __name__ == "__main__":
    main()
