"""from_torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from ... import _checks
from ..._models.sequential import Sequential
from ...layers import Input
from . import _package


def from_torch(
    module: Any, input_shape: int | Sequence[int] | None = None, *, check: ArrayLike | tuple[Any, Any] | None = None
) -> Sequential:
    """Return a network with the layers and parameters of a PyTorch module.

    The network computes what the module computes in eval mode. The module itself is not changed: neither its mode nor
    its parameters nor the state of random number generators.

    Parameters
    ----------
    module : torch.nn.Module
        A ``torch.nn.Sequential``, or any other module that ``torch.fx`` can trace.
    input_shape : int or sequence of int, optional
        The shape of one row of the input, without the batch axis. It can be left out if the first layer that reads the
        input is a Linear or a BatchNorm1d.
    check : array_like of shape (B, *input_shape), or a pair of that and an array (B, O), optional
        Rows on which the outputs of the network and of the module are compared, or rows and the right outputs. By
        default, 32 random rows from the standard normal distribution.

    Returns
    -------
    Sequential
        The network. It is float64 if the weights are float64, else float32. ``converted_from`` contains the version of
        PyTorch, what was folded, and the largest difference between the outputs.

    Raises
    ------
    ConversionError
        If the module contains what a Sequential cannot compute. It is a ValueError. The message names the module or the
        call, what is supported and what to do.
    TypeError
        If ``module`` is no module, for example if it is a state dict.
    ValueError
        If the module does not take rows of ``input_shape``.
    ModuleNotFoundError
        If PyTorch is not installed.

    See Also
    --------
    to_torch : The opposite direction.

    Notes
    -----
    Batch normalization and arithmetic with constants become part of the layer before or after them. Dropout keeps its
    rate. docs/interop/torch.md lists all modules and functions.

    Examples
    --------
    >>> import torch
    >>> import fnnfast as fnn
    >>> module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    >>> net = fnn.from_torch(module)
    >>> net.layers
    (Input(3), Dense(units=4, activation=ReLU()), Dense(units=2, activation=Identity()))
    >>> net.converted_from.largest_difference < 1e-6
    True
    """
    _package.require()
    from ._convert import convert

    return convert(module, _shape(input_shape), check)


def _shape(given: Any) -> tuple[int, ...] | None:
    if given is None:
        return None
    return Input(*(tuple(given) if _checks.is_sequence(given) else (given,))).shape
