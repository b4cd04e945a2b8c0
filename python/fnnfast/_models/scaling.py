"""The size of a network as a single number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import _checks
from .._checks import message
from .._network.network import Network
from .._network.structure import Structure
from ..layers import Input, Layer

_LARGEST = math.log(10_000)  # of a factor: more or wider layers do not fit in memory


def compound_scale(
    base: Network | Sequence[Input | Layer],
    phi: float,
    *,
    depth: float = 1.2,
    width: float = 1.1,
    resolution: float = 1.15,
) -> list[Input | Layer]:
    """Scale the depth, width and input resolution of a network together.

    Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019: for a coefficient phi,
    the factor of the depth is depth^phi, that of the width width^phi, and that of the resolution resolution^phi. The
    defaults are those of the paper, for which the number of operations about doubles if phi increases by 1.

    Parameters
    ----------
    base : Network or sequence of layers
        The network for phi = 0: an Input, hidden layers and a head.
    phi : float
        The coefficient; negative for smaller networks.
    depth : float > 0
        Factor of the number of hidden layers for phi = 1.
    width : float > 0
        Factor of the widths of hidden layers for phi = 1.
    resolution : float > 0
        Factor of the height and the width of the input, its first two dimensions, for phi = 1.

    Returns
    -------
    list of layers
        Layers for ``Sequential``. The hidden layers (Dense, Maxout, Conv2D, Residual) are repeated as evenly as
        possible, each with the dropout and noise that follow it, and a residual block as a whole. A pool follows the
        last copy only. All their widths, of convolutions the filters, are scaled, to at least 1. An input of one
        dimension is not scaled. The head does not change.

    Raises
    ------
    ValueError
        If the layers do not make a network with a hidden layer, or a number is invalid or makes the network too large.
    TypeError
        If a layer is not a layer or a number is not a number.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> base = [fnn.Input(28, 28), fnn.Dense(100, "relu"), fnn.Dense(10, "softmax")]
    >>> for layer in fnn.compound_scale(base, phi=3):
    ...     print(layer)
    Input(43, 43)
    Dense(units=133, activation=ReLU())
    Dense(units=133, activation=ReLU())
    Dense(units=10, activation=Softmax())
    """
    if not (isinstance(base, Network) or _checks.is_sequence(base)):
        raise TypeError(message("base", "a network or a sequence of layers", repr(base)))
    layers = list(base.layers if isinstance(base, Network) else base)
    Structure(layers)  # raises an error if the layers do not make a network
    phi = _checks.finite("phi", phi)
    deeper, wider, finer = (
        _power(name, factor, phi) for name, factor in (("depth", depth), ("width", width), ("resolution", resolution))
    )
    first, head = layers[0], layers[-1]
    assert isinstance(first, Input)
    shape = list(first.shape)
    for axis in () if len(shape) == 1 else (1, 2) if first.channels_first else (0, 1):
        shape[axis] = max(1, round(shape[axis] * finer))

    groups: list[list[Layer]] = [[]]  # perturbations of the input, then each hidden layer with its perturbations
    for layer in layers[1:-1]:
        assert isinstance(layer, Layer)
        if layer.has_units:
            groups.append([])
        groups[-1].append(layer.scaled(wider))
    hidden = groups[1:]
    if not hidden:
        raise ValueError(message("base", "at least one hidden layer to scale", "none"))
    wanted = max(1, round(len(hidden) * deeper))
    chosen = [hidden[i * len(hidden) // wanted] for i in range(wanted)]
    result: list[Input | Layer] = [Input(*shape, channels=first.channels), *groups[0]]
    for group, following in zip(chosen, [*chosen[1:], None], strict=True):
        is_last_copy = group is not following
        result += [layer for layer in group if is_last_copy or not layer.is_pool]
    return [*result, head]


def _power(name: str, factor: float, phi: float) -> float:
    exponent = phi * math.log(_checks.positive(name, factor))
    if exponent > _LARGEST:
        raise ValueError(
            message("phi", f"{name}^phi of at most {math.exp(_LARGEST):.0f}", f"{name} {factor}, phi {phi}")
        )
    return math.exp(exponent)
