"""Compound scaling
================

A network grown in depth, in width, in resolution, and in all three by one number, to the same work.

Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks" (2019), say two things. Grown in
one dimension alone, a network gets better at first and then hardly any more. Grown in all three at once, by fixed
powers of one coefficient phi, it is better for the same work::

    depth = base depth a^phi,   width = base width b^phi,   resolution = base resolution c^phi

``fnn.compound_scale(base, phi, depth=a, width=b, resolution=c)`` makes such networks. Here the base is a small fully
connected one for MNIST's digits, drawn with 7 x 7 pixels: two residual blocks of 16 units, F(x) + x, since plain layers
could not be stacked 49 deep (see the example of skip connections). It learns 4,000 digits and is tested on 1,000
others. Work is the number of multiply-adds for one digit, which is that of the weights.

The first three panels grow one dimension, over about ten times the work, to 28 x 28 pixels, 78 units or 49 blocks.
Points are means of six seeds with twice their standard error. Look for where each flattens. The last panel has the same
curves over the work, and two more: all three together, and width and resolution without depth. The factors of all
three, 1.32, 1.17 and 1.25, were chosen among sixteen of the same final work on digits held out of the 4,000, as the
paper chose its own by a small grid.

Both statements hold here, the first most clearly for resolution, which has all but stopped at 14 pixels. With 26,000 to
27,500 multiply-adds resolution alone ends at 10.2% errors, width and depth alone at 15.0% and 15.6%, all three at 8.8%:
less than any alone, and less than width and resolution without depth, 9.4%, so that depth has its part. At a third of
that work it is otherwise: there resolution alone has the fewest errors.

To try: other factors, for instance those of the paper, 1.2, 1.1 and 1.15, which double the work of a convolutional
network with every phi.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
from common import save
from digits import errors, mean_and_error, mnist, multiply_adds, train
from scipy.ndimage import zoom

import fnnfast as fnn

BLOCK = fnn.Residual([fnn.Dense(16, "swish"), fnn.Dense(16, init=0.0)])
BASE = [fnn.Input(7, 7), BLOCK, BLOCK, fnn.Dense(10, "softmax")]
WAYS = {  # factors of depth, width and resolution for phi = 1: about 26,000 multiply-adds for phi = 4
    "depth": ((2.225, 1, 1), "C1", "s"),
    "width": ((1, 1.486, 1), "C2", "^"),
    "resolution": ((1, 1, 1.4142), "C4", "v"),
    "width and resolution": ((1, 1.25, 1.248), "0.45", "D"),
    "all three": ((1.316, 1.17, 1.248), "C0", "o"),
}
SEEDS, TRAINED = range(6), 4000


def main() -> None:
    images, labels = mnist()
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 3.8), sharey=True, width_ratios=[1, 1, 1, 1.6])
    last = {}
    for way, (factors, colour, marker) in WAYS.items():
        sizes, work, wrong = [], [], []
        for phi in range(5):
            scaled = fnn.compound_scale(BASE, phi, **dict(zip(("depth", "width", "resolution"), factors, strict=True)))
            side = scaled[0].shape[0]
            x = zoom(images[..., 0], (1, side / 28, side / 28), order=1, grid_mode=True, mode="grid-constant")
            nets = [fnn.Sequential(scaled, seed=seed) for seed in SEEDS]
            train(nets, x[:TRAINED], labels[:TRAINED], fnn.Adam(), epochs=12)
            sizes.append({"depth": len(scaled) - 2, "width": scaled[1].layers[0].units, "resolution": side})
            work.append(multiply_adds(nets[0]))
            wrong.append(100 * errors(nets, x[TRAINED:], labels[TRAINED:]))
        mean, error = mean_and_error(wrong)
        last[way] = mean[-1], error[-1]
        end = sizes[-1]
        print(f"{way}: {end['depth']} blocks of {end['width']}, {end['resolution']} pixels a side at the end;", end=" ")
        print(", ".join(f"{w:,}: {m:.1f}%" for w, m in zip(work, mean, strict=True)), f"+- {error[-1]:.1f}")

        style = {"color": colour, "marker": marker, "capsize": 3, "ms": 5}
        axes[3].errorbar(work, mean, 2 * error, **style)
        if way in sizes[0]:
            ax = axes[list(WAYS).index(way)]
            ax.errorbar([size[way] for size in sizes], mean, 2 * error, **style)
            ax.set_title(f"{way} alone", color=colour)
    for ax, name, ticks in (
        (axes[0], "blocks", (2, 10, 20, 30, 40, 50)),
        (axes[1], "units of a layer", (16, 32, 48, 64, 80)),
        (axes[2], "pixels a side", (7, 14, 21, 28)),
        (axes[3], "multiply-adds of a digit", (2500, 5000, 10000, 25000)),
    ):
        ax.set(xscale="log" if ax is axes[3] else "linear", xlabel=name)
        ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        ax.minorticks_off()
    axes[0].set(ylabel="test error, %", ylim=(6, 23))
    axes[3].set_title("the same work")
    for text, place in (("depth", (12000, 19)), ("width", (5200, 15.2)), ("resolution", (11500, 11.4))):
        axes[3].text(*place, text, color=WAYS[text][1])
    axes[3].text(13000, 7.4, "all three", color="C0", weight="bold")
    axes[3].text(2500, 10, "width and\nresolution", color="0.35")
    save(figure, __file__)

    alone = min(last[way][0] for way in ("depth", "width", "resolution"))
    assert last["all three"][0] < alone - 0.5, f"expected all three below any alone, got {last}"
    assert last["all three"][0] < last["width and resolution"][0], f"expected all three below two of them, got {last}"


if __name__ == "__main__":
    main()
