"""What is seen of a state: answers over the plane, marks of units, scores. Arrays, whatever draws them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from .._checks import Array
from ..layers import Gaussian, Maxout
from . import build
from .data import Data
from .settings import EDGE, Settings

REGION = 120  # points of the decision region, along each side
UNIT = 24  # the same of a unit's picture
CURVE = 241
_SATURATED = 0.9  # the share of a unit's values from which it is marked
_SCORED = 1000  # rows of the training set that are scored in a frame, at most

# Values in pictures are bytes: 0 is transparent, 1 to 255 stand for -1 to 1.
_MIDDLE, _SCALE = 128, 127


def as_bytes(values: Array, most: float | Array = 1.0) -> Array:
    """Values from -most to most as bytes; NaN is transparent."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        scaled = np.clip(values / most, -1, 1) * _SCALE + _MIDDLE
    return np.where(np.isnan(scaled), 0, scaled).astype(np.uint8)


def plane(points: int) -> Array:
    """The points of a square grid, (points * points, 2); the second coordinate grows with the row."""
    axis = np.linspace(-EDGE, EDGE, points + 1, dtype=np.float32)
    centers = (axis[1:] + axis[:-1]) / 2
    return np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 2)


class Shown:
    """A copy of the network in training, with the parameters of one state."""

    def __init__(self, settings: Settings, data: Data) -> None:
        self.settings = settings
        self._data = data
        self.network = build.network(settings)
        self._loss = build.trainer(settings, self.network).loss if len(data.x) else None
        self._region, self._grid = plane(REGION), plane(UNIT)

    def take(self, parameters: Mapping[str, Array]) -> None:
        """Show these parameters."""
        for name, values in parameters.items():
            self.network.parameters[name] = values

    @property
    def hidden_names(self) -> list[str]:
        """The names of the hidden layers with units, from the input on."""
        return [name for name, layer in self.network.named_layers.items() if layer.has_units][:-1]

    # A plane --------------------------------------------------------------------------------------------------------
    def decision(self) -> Array:
        """How sure the network is of class 1 over the plane, bytes (REGION, REGION)."""
        values = self.network(self._region)[:, 0]
        sides = values if self.settings.head == "hinge" else 2 * values - 1
        return as_bytes(sides.reshape(REGION, REGION))

    def unit_pictures(self) -> list[Array]:
        """What each unit of each hidden layer answers over the plane, bytes (units, UNIT, UNIT) by layer."""
        hidden = self.network.hidden(self._grid)
        found = []
        for name in self.hidden_names:
            values = hidden[name].T.astype(np.float64)
            most = np.abs(values).max(axis=1, keepdims=True)
            found.append(as_bytes(values, np.where(most > 0, most, 1)).reshape(-1, UNIT, UNIT))
        return found

    # A line ---------------------------------------------------------------------------------------------------------
    def curve(self) -> tuple[Array, Array, Array | None]:
        """Inputs (CURVE,), answers (CURVE,) and, of a Gaussian head, where 90 % should lie (2, CURVE)."""
        x = np.linspace(-EDGE, EDGE, CURVE, dtype=np.float32)
        y = self.network.predict(x[:, np.newaxis])[:, 0]
        if not isinstance(self.network.layers[-1], Gaussian):
            return x, y, None
        with np.errstate(all="ignore"):
            interval = np.stack(self.network.distribution(x[:, np.newaxis]).interval(0.9))[:, :, 0]
        return x, y, interval

    def unit_curves(self, most: int = 32) -> Array:
        """What units of the last hidden layer answer, (units, CURVE)."""
        x = np.linspace(-EDGE, EDGE, CURVE, dtype=np.float32)[:, np.newaxis]
        names = self.hidden_names
        return self.network.hidden(x)[names[-1]].T[:most] if names else np.zeros((0, CURVE), np.float32)

    def piece_lines(self, most: int = 32) -> Array:
        """The lines of which a first layer of maxout takes the largest, (lines, CURVE); none of others."""
        first = next((layer for layer in self.network.layers if layer.kind not in ("input", "gaussian_noise")), None)
        if not isinstance(first, Maxout):
            return np.zeros((0, CURVE), np.float32)
        x = np.linspace(-EDGE, EDGE, CURVE, dtype=np.float32)
        weight, bias = (self.network.parameters[f"maxout_1.{key}"] for key in ("weight", "bias"))
        return (weight[:, 0, :, np.newaxis] * x + bias[:, :, np.newaxis]).reshape(-1, CURVE)[:most]

    # Images ---------------------------------------------------------------------------------------------------------
    def probabilities(self, image: Array) -> Array:
        """Those of the ten digits for one image (side, side, 1)."""
        values: Array = self.network(image[np.newaxis])[0]
        if self.settings.head == "cross_entropy":
            return values
        exponentials: Array = np.exp(values - values.max())
        values = exponentials / exponentials.sum()
        return values

    def first_weights(self, most: int = 40) -> Array:
        """What units of the first layer look for, (units, height, width), the largest weight of each being 1."""
        name = next(name for name, layer in self.network.named_layers.items() if layer.has_units)
        weight = self.network.parameters[f"{name}.weight"]
        side = self.network.input.shape[0]
        if weight.ndim == 4:  # (height, width, channels, filters)
            pictures = weight[:, :, 0].transpose(2, 0, 1)
        elif weight.ndim == 3:  # maxout: the first piece
            pictures = weight[0].T.reshape(-1, side, side)
        else:
            pictures = weight.T.reshape(-1, side, side)
        pictures = pictures[:most]
        largest = np.abs(pictures).max(axis=(1, 2), keepdims=True)
        return pictures / np.where(largest > 0, largest, 1)

    # Figures --------------------------------------------------------------------------------------------------------
    def scores(self) -> dict[str, float]:
        """Loss and accuracy (or R2) on rows of the training set and, if there is one, of the test set."""
        found: dict[str, float] = {}
        for name, x, y in (
            ("train", self._data.x[:_SCORED], self._data.y[:_SCORED]),
            ("test", self._data.x_test[:_SCORED], self._data.y_test[:_SCORED]),
        ):
            if len(x):
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    loss, score = self.network.evaluate(x, y, loss=self._loss).values()
                    if self.settings.part == "classification" and self.settings.head == "squared_error":
                        score = float(np.mean(self.network.predict(x) == y))  # evaluate would have R2 of it
                found |= {f"{name}_loss": loss, f"{name}_score": score}
        return found

    def marks(self) -> dict[str, Array]:
        """By hidden layer, of each unit: 0 if it works, 1 if dead, 2 if saturated, 3 if a maxout is linear."""
        shapes = self.network._structure.output_shapes
        found = {name: np.zeros(shapes[name][-1], np.int8) for name in self.hidden_names}
        if not len(self._data.x):
            return found
        with np.errstate(all="ignore"):
            seen = self.network.diagnose(self._data.x[:_SCORED], units=True)
        for name in found:
            if name in seen["linear"]:
                found[name][seen["linear"][name]] = 3
            elif name in seen["dead"]:
                found[name][seen["dead"][name]] = 1
            elif name in seen["saturated"]:
                found[name][seen["saturated"][name] >= _SATURATED] = 2
        return found

    def connections(self) -> list[Array]:
        """By layer from the first hidden one to the output, one number per connection, (inputs, units).

        Of maxout it is that of the piece with the largest weight.
        """
        found = []
        for name, layer in self.network.named_layers.items():
            if layer.has_units:
                weight = self.network.parameters[f"{name}.weight"]
                if weight.ndim == 3:
                    largest = np.abs(weight).argmax(axis=0)
                    weight = np.take_along_axis(weight, largest[np.newaxis], axis=0)[0]
                found.append(weight)
        return found
