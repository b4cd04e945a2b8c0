"""What all activations have: their entry in the registry of the kernels, a call and a derivative."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks, _cpu
from .._checks import Array, Float
from .._device import select
from .._frozen import Frozen

REGISTRY = {info["name"]: info for info in _cpu.activations()}


class Activation(Frozen):
    """Base class of all activations.

    Activations are immutable. They are equal if their class and their parameters are.

    Attributes
    ----------
    name : str
        The public name, which ``get`` and the layers accept.
    accurate : bool
        Whether float32 is computed in float64 and rounded once, see ``get``.
    """

    name: str
    accurate: bool = False

    @property
    def formula(self) -> str:
        """The name of the activation in the registry of the kernels."""
        return self.name

    @property
    def kernel(self) -> str:
        """The name of the kernel: that of the formula, or of its accurate form."""
        return f"accurate {self.formula}" if self.accurate else self.formula

    @property
    def parameter(self) -> float | Array | None:
        """The parameter alpha or beta.

        One number, or an array with one number per neuron; None for an activation without parameter.
        """
        return None

    @property
    def learned(self) -> bool:
        """Whether training adapts the parameter, with one value per neuron."""
        return False

    @property
    def differentiable(self) -> bool:
        """Whether gradients can pass through: True for all but step and sign."""
        return REGISTRY[self.formula]["differentiable"]

    @property
    def rowwise(self) -> bool:
        """Whether an output depends on its whole row, as in softmax."""
        return REGISTRY[self.formula]["rowwise"]

    @property
    def saves(self) -> str:
        """What the backward pass reads: "input" (z), "output" (y) or "nothing"."""
        return REGISTRY[self.formula]["saves"]

    @property
    def init(self) -> str:
        """How the weights of a dense layer with this activation are initialized: "he", "lecun" or "xavier"."""
        return REGISTRY[self.formula]["init"]

    @property
    def watch(self) -> str:
        """What small derivatives are counted as: "dead" units, "saturated" values, or "" if they are not counted."""
        return REGISTRY[self.formula]["watch"]

    @property
    def small(self) -> float:
        """The limit below which ``watch`` counts a derivative as small."""
        return REGISTRY[self.formula]["small"]

    def _store_accuracy(self, accurate: bool) -> None:
        """Set the field if it is not the default: a file holds it only then."""
        if _checks.flag("accurate", accurate):
            self._store(accurate=True)

    def parameter_array(self, units: int, dtype: _checks.DType) -> Array | None:
        """Return the parameter as an array for the kernels.

        Parameters
        ----------
        units : int
            O, the number of neurons.
        dtype : dtype
            The dtype of the arrays that the activation is applied to.

        Returns
        -------
        ndarray of shape (1,) or (units,), or None
            The parameter, on the host; None for an activation without parameter.

        Raises
        ------
        ValueError
            If the number of values is neither 1 nor ``units``, or if a value is not finite in this dtype.
        """
        parameter = self.parameter
        if parameter is None:
            return None
        dtype = _checks.sum_type(dtype)
        values = _checks.fit(np.array(parameter, ndmin=1), dtype)
        if not np.isfinite(values).all():
            raise ValueError(_checks.message(self.name, f"a parameter in {dtype}'s range", parameter))
        if len(values) not in (1, units):
            raise ValueError(_checks.message(f"{self.name} alpha", f"1 or {units} values, one per neuron", len(values)))
        return values

    def require_differentiable(self) -> None:
        """Check that gradients can pass through.

        Raises
        ------
        ValueError
            If the activation is not differentiable.
        """
        if not self.differentiable:
            raise ValueError(f"{self.name} is not differentiable: it can be used forward only")

    @overload
    def __call__(self, z: NDArray[Float], out: NDArray[Float] | None = None) -> NDArray[Float]: ...
    @overload
    def __call__(self, z: ArrayLike, out: Array | None = None) -> Array: ...
    def __call__(self, z: ArrayLike, out: Array | None = None) -> Array:
        """Apply the activation to every element of z, or, for softmax, to every row along the last axis.

        Parameters
        ----------
        z : array_like of shape (..., O)
            Real numbers. float32 and float64 are kept, bfloat16 is converted to float32, everything else to float64. On
            a GPU, float16 and bfloat16 are kept, too.
        out : ndarray of shape (..., O), optional
            Array of the dtype of the result that receives it. It may be z itself.

        Returns
        -------
        ndarray of shape (..., O)
            The activation of z; ``out`` if it is given.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> fnn.ReLU()([-1.0, 0.0, 2.0])
        array([0., 0., 2.])
        """
        return self._elementwise("activation_forward", z, out)

    @overload
    def derivative(self, z: NDArray[Float]) -> NDArray[Float]: ...
    @overload
    def derivative(self, z: ArrayLike) -> Array: ...
    def derivative(self, z: ArrayLike) -> Array:
        """Return the derivative dy/dz at every element of z.

        Parameters
        ----------
        z : array_like of shape (..., O)
            Real numbers, converted as in a call.

        Returns
        -------
        ndarray of shape (..., O)
            The derivative.

        Raises
        ------
        ValueError
            For step and sign, which are not differentiable, and for softmax, which has no elementwise derivative.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> fnn.Sigmoid().derivative([0.0])
        array([0.25])
        """
        self.require_differentiable()
        if self.rowwise:
            raise ValueError(
                f"{self.name} has no elementwise derivative; its backward, a Jacobian-vector product, is dense_backward"
            )
        return self._elementwise("activation_derivative", z, None)

    def _elementwise(self, kernel: str, z: ArrayLike, out: Array | None) -> Array:
        device = select.of(z=z, out=out)
        array = device.array("z", z)
        if self.rowwise and array.ndim == 0:
            raise ValueError(_checks.message("z", "rows, shape (..., O)", array.shape))
        dtype = device.promote(array)
        inputs = {} if device.same_memory(array, out) else {"z": array}
        result = device.output(out, array.shape, dtype, **inputs)
        rows = _checks.matrix(result)
        parameter = self.parameter_array(rows.shape[1], dtype)
        if array.size:
            getattr(device, kernel)(self.kernel, parameter, _checks.matrix(device.fit(array, dtype)), rows)
        return device.deliver(result, out)


class Rounded(Activation):
    """Base class of activations without parameter that round more than once, so that an accurate form is a gain."""

    def __init__(self, *, accurate: bool = False) -> None:
        self._store_accuracy(accurate)


class PerNeuron(Activation):
    """Base class of activations whose alpha may be one number per neuron."""

    alpha: float | tuple[float, ...]

    @property
    def parameter(self) -> float | Array:
        return self.alpha if isinstance(self.alpha, float) else np.array(self.alpha)


def learned_alpha(alpha: Any) -> float | tuple[float, ...]:
    """Return one number or one per neuron, checked."""
    if isinstance(alpha, int):
        alpha = _checks.finite("alpha", alpha)  # NumPy would make an object array of a huge one
    values = _checks.fit(_checks.real_array("alpha", alpha), _checks.FLOAT64)
    if values.ndim > 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(_checks.message("alpha", "a finite number, or one per neuron, shape (O,)", repr(alpha)))
    numbers: float | list[float] = values.tolist()
    return tuple(numbers) if isinstance(numbers, list) else numbers
