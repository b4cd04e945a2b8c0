"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import _checks
from .._checks import Array
from . import _classes
from ._base import REGISTRY, Activation, learned_alpha
from ._classes import ELU, GELU, HardSwish, Identity, Sigmoid, Swish


class Registered(Activation):
    """An activation of the registry that has no class of its own.

    Parameters
    ----------
    name : str
        The name in the registry of the kernels.
    accurate : bool
        Whether float32 is computed in float64 and rounded once.
    **parameters : float or sequence of O floats
        ``alpha``, if the activation has a parameter. It must be > 0 if the backward pass reads the output, which
        otherwise does not determine the sign of the input. A learned alpha may be a sequence with one value per neuron.

    Raises
    ------
    TypeError
        If the activation does not have this parameter.
    """

    alpha: float | tuple[float, ...]

    def __init__(self, name: str, *, accurate: bool = False, **parameters: Any) -> None:
        info = REGISTRY[name]
        unknown = [key for key in parameters if key != "alpha" or not info["parameter"]]
        if unknown:
            raise TypeError(f"{name} got an unexpected keyword argument {unknown[0]!r}")
        self._store(name=name)
        if info["parameter"]:
            alpha = parameters.get("alpha", info["default"])
            check = _checks.positive if info["saves"] == "output" else _checks.finite
            self._store(alpha=learned_alpha(alpha) if info["learned"] else check("alpha", alpha))
        self._store_accuracy(accurate)

    @property
    def learned(self) -> bool:
        return REGISTRY[self.name]["learned"]

    @property
    def parameter(self) -> float | Array | None:
        alpha = vars(self).get("alpha")
        return np.array(alpha) if isinstance(alpha, tuple) else alpha


CLASSES: tuple[type[Activation], ...] = tuple(
    cls for cls in vars(_classes).values() if isinstance(cls, type) and "name" in vars(cls)
)
BY_NAME: dict[str, Callable[..., Activation]] = {
    **{cls.__name__.lower(): cls for cls in CLASSES},
    **{cls.name: cls for cls in CLASSES},
    "linear": Identity,
    "hard_silu": HardSwish,
    "logistic": Sigmoid,
    "silu": Swish,
    # The names in the kernels for variants of a class:
    "gelu_tanh": lambda **parameters: GELU(approximate="tanh", **parameters),
    "elu_learned": lambda **parameters: ELU(learn=True, **parameters),
}
_KEYS = {_checks.key(name): name for name in (*REGISTRY, *BY_NAME)}


def get(name: str | Activation | None, **parameters: Any) -> Activation:
    """Return the activation of a name.

    Parameters
    ----------
    name : str, Activation or None
        A name of the registry or of a class, in upper or lower case, with or without underscores. "linear" and None
        are identity, "silu" is swish, "hard_silu" is hard_swish, "logistic" is sigmoid. An activation object is
        returned as it is.
    **parameters : float, str or bool
        The parameters of its class, instead of the defaults. With ``accurate=True``, which every activation takes here,
        float32 is computed in float64 and rounded once, forward and in ``derivative``: the error is then half an ulp,
        at several times the cost. The backward pass, float64 and activations that are exact as they are, such as ReLU,
        do not change. It runs on the CPU only.

    Returns
    -------
    Activation
        The activation.

    Raises
    ------
    ValueError
        If there is no activation of this name.
    TypeError
        If ``name`` is neither a name nor an activation object, or if the activation does not have a parameter.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.activations.get("leaky_relu", alpha=0.1)
    LeakyReLU(alpha=0.1)
    >>> fnn.activations.get("ReLU").name
    'relu'
    >>> fnn.activations.get("tanh", accurate=True)
    Tanh(accurate=True)
    """
    if isinstance(name, Activation) and not parameters:
        return name
    accurate = _checks.flag("accurate", parameters.pop("accurate", False))
    if name is None:
        name = Identity.name
    if not isinstance(name, str):
        raise TypeError(_checks.message("activation", "a name or an activation object", repr(name)) + _meant(name))
    known = name.lower()
    if known not in REGISTRY:
        known = _KEYS.get(_checks.key(name), known)
    make = BY_NAME.get(known) or (partial(Registered, known) if known in REGISTRY else None)
    if make is None:
        raise _checks.unknown("activation", name, list(dict.fromkeys([*REGISTRY, *BY_NAME])))
    found = make(**parameters)
    return make(**parameters, accurate=True) if accurate and not REGISTRY[found.formula]["exact"] else found


def _meant(value: object) -> str:
    """What to write for a class, or for a function or an object of another library."""
    if isinstance(value, type) and issubclass(value, Activation):
        return f"; write {value.__name__}()"
    known = _KEYS.get(_checks.key(getattr(value, "__name__", type(value).__name__)))
    return f"; write {known!r}" if known else ""
