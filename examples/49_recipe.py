"""The recipe
==========

A recipe for a dense network, one ingredient after the other: the test error after each of them is added.

Saito's "Deep learning from scratch", chapter 8, has a recipe: ReLU, weights as He et al. start them, dropout, Adam; and
for more accuracy a learning rate that decays, augmentation (more images, made by turning and shifting those there are)
and an ensemble (several networks, whose probabilities are averaged). The book's network is convolutional, and example
31 is about that one and compares augmentation and ensembles. This one is dense, 196-128-64-10, begins without any of
it, with sigmoids and gradient descent, and takes one ingredient more in every row. It learns 4,000 digits of MNIST at
14 x 14 pixels in twenty epochs.

The rates are not the same but the best of a few, each for its method, as found on 1,000 of the training digits: a poor
rate for gradient descent would make everything after it look good. Left: the error on 1,000 test digits of six seeds
(nine with augmentation), their mean and its standard error; last, three ensembles of three. Right: the mean error after
every epoch.

ReLU, dropout, augmentation and the ensemble each take away errors. He's weights do little in a network that is not deep
(``33_initialisation.py`` has ten layers). Adam and decay do not help here, with as many epochs and the rate of gradient
descent well chosen: Adam is ahead in the first epochs only, and then all digits that are trained with are right. What
helps after that is what works against overfitting. The whole halves the errors.

To try: the ingredients in another order, or the last recipe without one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import mean_and_error, mnist

import fnnfast as fnn

augment = import_module("43_digits").augment

EPOCHS, BATCH, SEEDS, ENSEMBLES, MEMBERS = 20, 50, 6, 3, 3


@dataclass(frozen=True)
class Recipe:
    optimizer: fnn.optimizers.Optimizer
    activation: str = "relu"
    init: str = "he"
    decay: bool = False
    dropout: float = 0.0
    augmented: bool = False

    def network(self, seed: int) -> fnn.Sequential:
        layers: list[fnn.Layer] = [fnn.Input(14, 14, 1)]
        for units in (128, 64):
            layers.append(fnn.Dense(units, self.activation, init=self.init))
            if self.dropout:
                layers.append(fnn.Dropout(self.dropout))
        return fnn.Sequential([*layers, fnn.Dense(10, "softmax")], seed=seed)


RECIPES = {
    "sigmoid, gradient descent": Recipe(fnn.SGD(3), "sigmoid", "xavier"),
    "+ ReLU": Recipe(fnn.SGD(1), init="xavier"),
    "+ He's weights": Recipe(fnn.SGD(1)),
    "+ Adam": Recipe(fnn.Adam(0.004)),
    "+ decay": Recipe(fnn.Adam(0.004), decay=True),
    "+ dropout": Recipe(fnn.Adam(0.004), decay=True, dropout=0.2),
    "+ augmentation": Recipe(fnn.Adam(0.004), decay=True, dropout=0.2, augmented=True),
}
COLOURS = dict(zip(RECIPES, ("0.45", "C1", "C4", "C3", "C0", "C5", "C2"), strict=True))


def train(
    recipe: Recipe, seed: int, epochs: list[np.ndarray], y: np.ndarray, test: tuple[np.ndarray, np.ndarray]
) -> tuple[fnn.Sequential, list[float]]:
    """The network, and its error on test data after each epoch, for the images of each epoch."""
    net, schedule, rng = recipe.network(seed), fnn.CosineDecay(len(epochs)), np.random.default_rng(seed)
    trainer, errors = fnn.Trainer(net, optimizer=recipe.optimizer, seed=seed), []
    for epoch, x in enumerate(epochs):
        if recipe.decay:
            trainer.learning_rate = recipe.optimizer.lr * schedule(epoch)
        for rows in np.array_split(rng.permutation(len(x)), len(x) // BATCH):
            trainer.step(x[rows], y[rows])
        errors.append(100 * (1 - net.evaluate(*test)["accuracy"]))
    return net, errors


def main() -> None:
    images, labels = mnist(14)
    test, x, y = (images[:1000], labels[:1000]), images[1000:], labels[1000:]
    rng, variants = np.random.default_rng(0), [x.copy() for _ in range(EPOCHS)]
    for variant in variants:  # a random half of the images, turned and shifted anew for every epoch
        half = rng.random(len(x)) < 0.5
        variant[half, ..., 0] = augment(x[half, ..., 0], rng)

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), width_ratios=[1.25, 1])
    last = {}
    for name, recipe in RECIPES.items():
        count = ENSEMBLES * MEMBERS if recipe.augmented else SEEDS
        epochs = variants if recipe.augmented else [x] * EPOCHS
        nets, curves = zip(*(train(recipe, seed, epochs, y, test) for seed in range(count)), strict=True)
        last[name] = np.array(curves)[:, -1]
        if name not in ("+ He's weights", "+ dropout"):
            right.plot(range(1, EPOCHS + 1), np.mean(curves, axis=0), color=COLOURS[name], label=name)
    groups = [fnn.Ensemble(nets[i : i + MEMBERS]) for i in range(0, len(nets), MEMBERS)]
    last["+ ensemble of 3"] = 100 * np.array([1 - group.evaluate(*test)["accuracy"] for group in groups])

    means, spreads = zip(*map(mean_and_error, last.values()), strict=True)
    left.step(means, range(len(means)), color="0.7", lw=1, zorder=0)
    for place, (name, values) in enumerate(last.items()):
        colour, mean, spread = COLOURS.get(name, "k"), means[place], spreads[place]
        left.plot(values, np.full(len(values), place), "o", color=colour, ms=4, alpha=0.35, mew=0)
        left.errorbar(mean, place, xerr=spread, fmt="|", color=colour, ms=16, mew=2.5, capsize=3)
        text = f"{mean:.1f} ± {spread:.1f}%"
        left.text(1, place, text, transform=left.get_yaxis_transform(), va="center", color=colour)
        print(f"{name}: test error {mean:.2f}% +- {spread:.2f}")
    left.set_yticks(range(len(last)), last)
    left.invert_yaxis()
    left.set(title="Error on 1,000 test digits", xlabel="test error", xlim=(2, None))
    left.xaxis.set_major_formatter("{x:.0f}%")
    right.set(title="The way there", xlabel="epoch", yscale="log", ylim=(3, 40))
    right.set_yticks([3, 5, 10, 20, 40], [f"{tick}%" for tick in (3, 5, 10, 20, 40)])
    right.minorticks_off()
    right.legend()
    save(figure, __file__)

    errors = dict(zip(last, means, strict=True))
    start, _, he, adam, decay, dropout, augmentation, ensemble = means
    assert he < start - 0.3, f"expected ReLU and He's weights to be better than sigmoids, got {errors}"
    assert min(adam, decay) > he - 0.5, f"expected Adam and decay to bring little, got {errors}"
    assert augmentation < dropout - 0.4, f"expected augmentation to help most, got {errors}"
    assert ensemble < augmentation < 0.75 * start, f"expected the whole recipe to be far better, got {errors}"


if __name__ == "__main__":
    main()
