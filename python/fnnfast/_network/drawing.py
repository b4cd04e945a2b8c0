"""Networks as figures: neurons and connections as in lecture notes, and the function of one or two inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._checks import Array
from .._extras import pyplot
from ..layers import Dense
from ..layers._shape import Shape, is_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from .network import Network

_MOST = 8  # neurons of a layer that are drawn; of more, the first and the last ones
_LINES = 32  # hidden units that are drawn
_GRID = 121  # points along an axis
_RANGE = (-3.0, 3.0)


def plot(network: Network, x: ArrayLike | None, y: ArrayLike | None, axes: Any) -> Any:
    """``Network.plot``."""
    inputs = network.input.size
    shows = inputs <= 2
    points = None if x is None else np.asarray(x, np.float64).reshape(-1, inputs)
    targets = None if y is None else np.asarray(y)
    if axes is None:
        wide = max(4.0, 1.1 * (len(_columns(network)) + 1))
        sizes = {"figsize": (wide + 4.2 * shows, 3.6), "width_ratios": (wide, 4.2)[: 1 + shows]}
        axes = pyplot().subplots(1, 1 + shows, layout="constrained", **sizes)[1]
    drawn = np.atleast_1d(axes)
    _draw_network(network, drawn[0])
    if shows and len(drawn) > 1:
        (_draw_curve if inputs == 1 else _draw_plane)(network, drawn[1], points, targets)
    return drawn


# Neurons and connections ---------------------------------------------------------------------------------------------
def _columns(network: Network) -> list[tuple[str, Shape]]:
    """The input and the layers that are not inside another one and have outputs of their own, with their shapes."""
    structure = network._structure
    named = structure.named.items()
    own = [(name, structure.output_shapes[name]) for name, layer in named if "." not in name and layer.can_end]
    return [("input", structure.sample_shape), *own]


def _draw_network(network: Network, ax: Axes) -> None:
    columns = _columns(network)
    most = max(_shown(shape) for _, shape in columns)
    places = [_places(shape, 2 / max(most - 1, 1)) for _, shape in columns]
    connected = {name for name, layer in network.named_layers.items() if layer.has_units}
    for column, (name, shape) in enumerate(columns):
        if column:
            _connect(ax, column, places[column - 1], places[column], all_to_all=name in connected)
        if is_image(shape):
            ax.add_patch(_box(column))
        else:
            ax.scatter([column] * len(places[column]), places[column], s=120, c="white", edgecolors="C0", zorder=3)
            if len(places[column]) < shape[0]:
                ax.text(column, 0, "⋮", ha="center", va="center", fontsize="large")
        layer = network.named_layers.get(name)
        activation = "" if layer is None or layer.activation.name == "identity" else f"\n{layer.activation.name}"
        ax.text(column, -1.25, f"{name}\n{' x '.join(map(str, shape))}{activation}", ha="center", va="top", size=8)
    ax.set(xlim=(-0.6, len(columns) - 0.4), ylim=(-2.0, 1.15))
    ax.set_title(network.summary().splitlines()[0], fontsize=9)
    ax.set_axis_off()


def _shown(shape: Shape) -> int:
    """How many neurons of a layer are drawn; an image is a box."""
    return 1 if is_image(shape) else min(shape[0], _MOST)


def _places(shape: Shape, distance: float) -> Array:
    """Heights of the neurons that are drawn, around 0."""
    shown = _shown(shape)
    if not is_image(shape) and shown < shape[0]:  # room for the dots
        return np.concatenate((np.linspace(1, 0.3, _MOST // 2), np.linspace(-0.3, -1, _MOST // 2)))
    return np.asarray(distance * ((shown - 1) / 2 - np.arange(shown)))


def _connect(ax: Axes, column: int, before: Array, after: Array, *, all_to_all: bool) -> None:
    pairs = [(a, b) for a in before for b in after]
    if not all_to_all:
        pairs = list(zip(before, after, strict=True)) if len(before) == len(after) else [(0.0, 0.0)]
    for a, b in pairs:
        ax.plot((column - 1, column), (a, b), color="0.7", lw=0.6, zorder=1)


def _box(column: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.22, -0.6), 0.44, 1.2, facecolor="white", edgecolor="C0", zorder=3)


# What it computes ----------------------------------------------------------------------------------------------------
def _limits(values: Array | None) -> tuple[float, float]:
    if values is None or not len(values):
        return _RANGE
    low, high = float(values.min()), float(values.max())
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin


def _draw_curve(network: Network, ax: Axes, points: Array | None, targets: Array | None) -> None:
    axis = np.linspace(*_limits(points), 4 * _GRID)[:, np.newaxis]
    by_layer = list(network.hidden(axis).values())
    if len(by_layer) > 1 and by_layer[-2].ndim == 2:
        ax.plot(axis, by_layer[-2][:, :_LINES], color="0.8", lw=0.8, zorder=1)
    if points is not None and targets is not None:
        wide = targets.reshape(len(points), -1)
        ax.scatter(np.repeat(points, wide.shape[1]), wide.reshape(-1), s=8, color="C1", zorder=2)
    ax.plot(axis, by_layer[-1], color="C0", zorder=3)
    ax.set_title("outputs; grey: the last hidden layer" if len(by_layer) > 1 else "outputs", fontsize=9)
    ax.set_xlabel("x")


def _draw_plane(network: Network, ax: Axes, points: Array | None, targets: Array | None) -> None:
    limits = [_limits(None if points is None else points[:, i]) for i in (0, 1)]
    grid = np.stack(np.meshgrid(*(np.linspace(*limit, _GRID) for limit in limits)), axis=-1)
    across, up = np.moveaxis(grid, -1, 0)
    rows = grid.reshape(-1, 2)
    head = network.head.name
    if head == "softmax":
        levels = np.arange(network.outputs + 1) - 0.5
        ax.contourf(across, up, network.predict(rows).reshape(across.shape), levels=levels, cmap="Pastel1")
        title = "the predicted class"
    else:
        title = "the probability of 1" if head == "sigmoid" and network.outputs == 1 else "the first output"
        values = network(rows)[:, 0].reshape(across.shape)
        filled = ax.contourf(across, up, values, levels=12, cmap="RdBu_r", alpha=0.7)
        ax.figure.colorbar(filled, ax=ax, shrink=0.8)
    first = network.layers[1]
    if isinstance(first, Dense) and len(network.layers) > 2:
        weight, bias = network.parameters["dense_1.weight"], network.parameters.get("dense_1.bias")
        z = rows @ weight[:, :_LINES] + (0 if bias is None else bias[:_LINES])
        for unit in z.T:
            ax.contour(across, up, unit.reshape(across.shape), levels=[0], colors="0.4", linewidths=0.6)
        title += "; grey: where units change sign"
    if points is not None:
        ax.scatter(
            points[:, 0],
            points[:, 1],
            c="k" if targets is None else targets.reshape(len(points), -1)[:, 0],
            s=10,
            cmap="tab10",
        )
    ax.set(xlabel="$x_1$", ylabel="$x_2$", xlim=limits[0], ylim=limits[1])
    ax.set_title(title, fontsize=9)
