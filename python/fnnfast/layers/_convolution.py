"""Layers with weights over the windows of an image: Conv2D and MaxoutConv2D."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks, activations
from .._checks import Array, message
from .._windows import Borders, Pair, Windows, pair, windows
from ..ops import MAX_SAVED_PIECES
from ..typing import ActivationName, BiasInitName, InitName, PaddingName
from ._base import Layer, scaled_units
from ._initial import initial_bias, initial_weight, initialisation, store_bias_init
from ._shape import Shape, image

if TYPE_CHECKING:
    from numpy.random import Generator


class _Convolution(Layer):
    """What Conv2D and MaxoutConv2D have in common: filters over windows.

    Fields are stored only where they differ from these defaults, so that files hold no more than a layer needs.
    """

    has_units = True
    reads_images = True
    cpu_only = True
    format_version = 2
    filters: int
    kernel_size: Pair
    pieces: int = 1
    strides: Pair = (1, 1)
    padding: PaddingName | Borders = "valid"
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True
    bias_init: BiasInitName | float | None = None

    def _store_filters(self, filters: int, kernel_size: Any) -> None:
        self._store(filters=_checks.integer("filters", filters, 1), kernel_size=pair("kernel_size", kernel_size))

    def _store_windows(self, strides: Any, padding: Any, dilation: Any) -> None:
        found = windows(self.kernel_size, strides, padding, dilation)
        padding = "valid" if found.padding == ((0, 0), (0, 0)) else found.padding
        self._store_changes(strides=found.strides, padding=padding, dilation=found.dilation)

    @property
    def _windows(self) -> Windows:
        return windows(self.kernel_size, self.strides, self.padding, self.dilation)

    def _channels(self, shape: Shape) -> int:
        """How many channels a filter reads."""
        channels = image(shape)[2]
        if channels % self.groups:
            raise ValueError(message("groups", f"a divisor of the {channels} channels of the input", self.groups))
        return channels // self.groups

    def output_shape(self, shape: Shape) -> Shape:
        height, width, _ = image(shape)
        self._channels(shape)
        return (*self._windows.outputs((height, width)), self.filters)

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        pieces = (self.pieces,) if self._is_maxout else ()
        shapes: dict[str, Shape] = {"weight": (*pieces, *self.kernel_size, self._channels(shape), self.filters)}
        if self.bias:
            shapes["bias"] = (*pieces, self.filters)
        if self.activation.learned:
            shapes["alpha"] = (self.filters,)
        return shapes

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        height, width, _ = image(shape)
        return (
            "convolution",
            self.filters,
            self.pieces,
            self._is_maxout,
            self.kernel_size,
            self.strides,
            self._windows.borders((height, width)),
            self.dilation,
            self.groups,
            self.activation.kernel,
            None if self.activation.learned else self.activation.parameter,
            self.bias,
        )

    def initial(self, shape: Shape, rng: Generator) -> dict[str, Array]:
        shapes = self.parameter_shapes(shape)
        inputs, units = self._fans(shape)
        values = {"weight": self._initial_weight(shapes["weight"], inputs, units, rng)}
        if self.bias:
            values["bias"] = initial_bias(self.bias_init, inputs, units, rng, shapes["bias"])
        if self.activation.learned:
            values["alpha"] = np.full(self.filters, self.activation.parameter)
        return values

    @property
    def _is_maxout(self) -> bool:
        return False

    def _fans(self, shape: Shape) -> tuple[int, int]:
        """How many inputs and units the variances of initial values are those of."""
        taps = math.prod(self.kernel_size)
        return taps * self._channels(shape), taps * self.filters // self.groups

    def _initial_weight(self, shape: Shape, inputs: int, units: int, rng: Generator) -> Array:
        raise NotImplementedError

    def _settings(self) -> dict[str, Any]:
        """The arguments that ``scaled`` keeps."""
        return {
            "strides": self.strides,
            "padding": self.padding,
            "dilation": self.dilation,
            "bias": self.bias,
            "bias_init": self.bias_init,
        }


class Conv2D(_Convolution):
    """Convolution over images: a dense layer over each window, ``activation(window @ weight + bias)``.

    Images are (height, width, channels). The weight has the shape (KH, KW, C / groups, filters). What a layer computes
    is described at ``fnnfast.conv2d``. The initial weights depend on the activation as those of ``Dense``.

    Parameters
    ----------
    filters : int >= 1
        F, the number of channels of the output.
    kernel_size : int >= 1 or (int, int)
        KH and KW, the height and the width of a window in taps.
    activation : str, Activation or None
        The activation function; None is identity. Learned slopes are one per filter.
    strides : int >= 1 or (int, int)
        Pixels from one window to the next, down and to the right.
    padding : {"valid", "same"}, int, (int, int) or ((int, int), (int, int))
        Zeros around the image, as for ``fnnfast.conv2d``: none; as many as make ``ceil(H / stride)`` by ``ceil(W /
        stride)`` windows; or their number.
    dilation : int >= 1 or (int, int)
        Pixels from one tap of a window to the next.
    groups : int >= 1
        Number of groups into which channels and filters are divided; a filter reads the channels of its group.
    bias : bool
        Whether the layer has a bias.
    init : str or float >= 0, optional
        The distribution of the initial weights, as for ``Dense``.
    bias_init : str or float >= 0, optional
        The distribution of the initial biases, as for ``Dense``.

    Notes
    -----
    For the variances of ``Dense``, the number of inputs is KH * KW * C / groups, that of units KH * KW * filters /
    groups.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> layer = fnn.Conv2D(16, 3, "relu", padding="same")
    >>> layer.output_shape((28, 28, 1))
    (28, 28, 16)
    >>> layer.parameter_shapes((28, 28, 1))
    {'weight': (3, 3, 1, 16), 'bias': (16,)}
    """

    kind = "conv2d"
    init: InitName | float | None = None

    @_checks.advised("Conv2D")
    def __init__(
        self,
        filters: int,
        kernel_size: int | Pair,
        activation: ActivationName | activations.Activation | None = "identity",
        *,
        strides: int | Pair = 1,
        padding: PaddingName | int | Pair | Borders = "valid",
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        init: InitName | float | None = None,
        bias_init: BiasInitName | float | None = None,
    ) -> None:
        self._store_filters(filters, kernel_size)
        self._store_changes(activation=activations.get(activation))
        if init is not None:
            self._store(init=initialisation(init))
        self._store_windows(strides, padding, dilation)
        self._store_changes(groups=_checks.integer("groups", groups, 1))
        if self.filters % self.groups:
            raise ValueError(message("groups", f"a divisor of the {self.filters} filters", groups))
        self._store_changes(bias=_checks.flag("bias", bias))
        store_bias_init(self, bias_init)
        self.activation.parameter_array(self.filters, _checks.FLOAT64)  # raises an error for a wrong number of slopes

    def _initial_weight(self, shape: Shape, inputs: int, units: int, rng: Generator) -> Array:
        init = self.activation.init if self.init is None else self.init
        return initial_weight(init, inputs, units, rng, shape)

    def scaled(self, factor: float) -> Conv2D:
        filters = self.groups * scaled_units(self.filters // self.groups, factor)
        settings = {**self._settings(), "groups": self.groups, "init": self.init}
        return Conv2D(filters, self.kernel_size, self.activation, **settings)


class MaxoutConv2D(_Convolution):
    """Maxout convolution over images: the maximum over the pieces of convolutions, see ``fnnfast.maxout_conv2d``.

    The weight has the shape (P, KH, KW, C, filters). The initial weights are normal with variance 1 / (KH * KW * C), as
    those of ``Maxout``.

    Parameters
    ----------
    filters : int >= 1
        F, the number of channels of the output.
    kernel_size : int >= 1 or (int, int)
        KH and KW, the height and the width of a window in taps.
    pieces : int >= 1
        P, the number of linear pieces per filter.
    strides, padding, dilation : optional
        As for ``Conv2D``.
    bias : bool
        Whether each piece has a bias.
    bias_init : str or float >= 0, optional
        The distribution of the initial biases, as for ``Dense``.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.MaxoutConv2D(16, 3, pieces=2).parameter_shapes((28, 28, 1))
    {'weight': (2, 3, 3, 1, 16), 'bias': (2, 16)}
    """

    kind = "maxout_conv2d"
    pieces: int = 2

    @_checks.advised("Conv2D")
    def __init__(
        self,
        filters: int,
        kernel_size: int | Pair,
        pieces: int = 2,
        *,
        strides: int | Pair = 1,
        padding: PaddingName | int | Pair | Borders = "valid",
        dilation: int | Pair = 1,
        bias: bool = True,
        bias_init: BiasInitName | float | None = None,
    ) -> None:
        self._store_filters(filters, kernel_size)
        self._store_changes(pieces=_checks.integer("pieces", pieces, 1))
        self._store_windows(strides, padding, dilation)
        self._store_changes(bias=_checks.flag("bias", bias))
        store_bias_init(self, bias_init)

    @property
    def _is_maxout(self) -> bool:
        return True

    def _initial_weight(self, shape: Shape, inputs: int, units: int, rng: Generator) -> Array:
        return rng.standard_normal(shape) * math.sqrt(1 / inputs)

    def scaled(self, factor: float) -> MaxoutConv2D:
        return MaxoutConv2D(scaled_units(self.filters, factor), self.kernel_size, self.pieces, **self._settings())

    def require_trainable(self, name: str) -> None:
        if self.pieces > MAX_SAVED_PIECES:
            raise ValueError(message(name, f"at most {MAX_SAVED_PIECES} pieces for training", self.pieces))
