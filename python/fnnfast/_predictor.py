"""What a network is and answers: its layers and parameters, outputs and distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import DynamicClassAttribute, MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import _backends, _checks, _cpu
from . import layers as layers_
from ._checks import Array, message
from ._cuda_device import Cuda
from ._device import CPU
from .activations import Activation
from .distributions import Bernoulli, Categorical, Distribution, Gaussian, discriminant
from .layers import Input, Layer
from .parameters import Parameters, inputs_of, name_layers, outermost, parameter_shapes

if TYPE_CHECKING:
    from inspect import Signature

    from ._device_network import DeviceNetwork


class Predictor(_cpu.Forward):
    """The half of ``Sequential`` that answers, made by ``_build``; the call itself is in C++."""

    def _build(self, layers: Sequence[Input | Layer], dtype: Any, device: str) -> None:
        """All but the values of the parameters."""
        self._device = _backends.named(device)
        precision = self._device.precision(dtype)
        self._input, self._named = name_layers(layers)
        self._layers = tuple(layers)
        self._dtype = self._device.dtype(precision)
        self._frozen: frozenset[str] = frozenset()
        inputs = inputs_of(self._input, self._named)
        for name, layer in self._named.items():
            units = layer.outputs(inputs[name])
            layer.activation.parameter_array(units, self._dtype)  # refuses what is infinite in this dtype
        plans = layers_.plans(outermost(self._named), self._input.size)
        self._network: _cpu.Network | DeviceNetwork
        if isinstance(self._device, Cuda):
            from ._device_network import DeviceNetwork

            self._network = DeviceNetwork(self._device, precision, self._input.size, plans)
        else:
            self._network = _cpu.Network(precision, self._input.size, plans)
            self._attach(self._network)
        self._parameters = Parameters(
            self._network, self._device, _checks.sum_type(self._dtype), parameter_shapes(self._input, self._named)
        )

    # What it is made of ----------------------------------------------------------------------------------------------
    @property
    def input(self) -> Input:
        """The shape of an input row."""
        return self._input

    @property
    def layers(self) -> tuple[Input | Layer, ...]:
        """The layers, the input first."""
        return self._layers

    @property
    def named_layers(self) -> Mapping[str, Layer]:
        """The layers after the input by name: dense_1, maxout_1, dense_2, ...

        The layers in a residual block follow it: residual_1, residual_1.dense_1, ...
        """
        return MappingProxyType(self._named)

    @property
    def outputs(self) -> int:
        """O, the width of the output."""
        return layers_.outputs_of(outermost(self._named), self._input.size)

    @property
    def head(self) -> Activation:
        """The activation of the last layer, which says what the outputs mean."""
        return self._last.activation

    @property
    def _last(self) -> Layer:
        return outermost(self._named)[-1]

    @property
    def dtype(self) -> _checks.DType:
        """Of inputs and outputs: float32 or float64, or, on a GPU, float16 or bfloat16."""
        return self._dtype

    @property
    def device(self) -> str:
        """Where the network is, "cpu" or "cuda"."""
        return self._device.name

    @property
    def precision(self) -> str:
        """What products are of: "float32", "float64", on a GPU also "tf32", "float16", "bfloat16".

        Of an InferenceNetwork "bfloat16" or "int8", which its weights are.
        """
        return self._network.precision

    @property
    def parameters(self) -> Parameters:
        """Name to read-only array, in layer order; assigning an array copies it in.

        On a GPU reading gives a copy in CuPy, and NumPy's and CuPy's arrays can be assigned.
        """
        return self._parameters

    def _on_cpu(self, name: str) -> _cpu.Network:
        """The compiled network of one on the CPU; TypeError for one on a GPU."""
        if isinstance(self._network, _cpu.Network):
            return self._network
        raise TypeError(message(name, "a network on the CPU", "one on a GPU; net.to('cpu') makes the former"))

    # Answers ---------------------------------------------------------------------------------------------------------
    # The call itself is Forward's, in C++: it takes arrays that are ready for the CPU, and sends all others here.
    def _call(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        y = None if self._device is CPU else self._network.forward(x, out)
        return self._prepare_and_forward(x, out, False) if y is None else y

    _call.__qualname__ = "Sequential.__call__"  # so that Python's TypeErrors name what was called

    @DynamicClassAttribute  # a property of networks only: the class has its own signature
    def __signature__(self) -> Signature:
        """What ``inspect.signature(net)`` answers, which cannot look into C++."""
        from inspect import signature

        return signature(self._call)

    def logits(self, x: ArrayLike) -> Array:
        """The last layer's outputs (B, O) before its activation."""
        z = self._network.forward(x, None, True)
        return self._prepare_and_forward(x, None, True) if z is None else z

    def _prepare_and_forward(self, x: ArrayLike, out: Array | None, logits: bool) -> Array:
        """Forward for arrays that the compiled network does not take as they are."""
        device = self._device
        device.require(x=x, out=out)
        x = device.array("x", x)
        rows = device.network_input(x, self._input.shape, self._dtype)
        result = device.output(out, (len(rows), self.outputs), self._dtype, x=x)
        if self._network.forward(rows, result, logits) is None:
            raise RuntimeError("the compiled network refused arrays prepared for it")
        return device.deliver(result, out)

    def predict(self, x: ArrayLike) -> Array:
        """The discriminant of each row.

        Returns
        -------
        ndarray
            Softmax head: the most probable class, int64 (B,). Sigmoid head: 1 where the probability is at least 0.5,
            else 0, int64 (B,) for one output, else (B, O). Gaussian head: the means (B, O). Any other: the output
            itself (B, O).
        """
        y = self(x)
        with self._device.current():
            if isinstance(self._last, layers_.Gaussian):
                return y[:, : self._last.units].copy()
            return discriminant(self.head, y)

    def distribution(self, x: ArrayLike, *, precision: ArrayLike | None = None) -> Distribution:
        """The distributions that the network predicts, one for each row; see ``fnnfast.distributions``.

        Parameters
        ----------
        x : array_like (B, *shape) or (B, I)
        precision : float or array_like (O,), optional
            For a Gaussian: beta, 1 / variance, of each output; 1 by default.

        Returns
        -------
        Distribution
            Softmax head: Categorical. Sigmoid head: Bernoulli. Gaussian head: Gaussian. Any other differentiable head:
            Gaussian with the output as its mean. The mean has the bits of the network's output. Of a network on a GPU
            too it is on the host, where the outputs are copied to; those of 16 bits become float32.

        Raises
        ------
        ValueError
            A step or sign head, which predicts no distribution; a precision that is not > 0, or for another head.
        """
        head = self.head
        if not head.differentiable:
            raise ValueError(f"a {head.name} head predicts no distribution")
        self._device.require(x=x)
        if self._device is CPU:
            x = _checks.real_array("x", x)  # no array of bfloat16, which would have the outputs rounded to it
        host = self._device.host
        if isinstance(self._last, layers_.Gaussian):
            if precision is not None:
                raise ValueError(message("precision", "None for a Gaussian head, which predicts it", repr(precision)))
            return Gaussian.of_log_precision(*np.split(host(self(x)), 2, axis=1))
        discrete = {"softmax": Categorical, "sigmoid": Bernoulli}.get(head.name)
        if discrete is None:
            return Gaussian(host(self(x)), 1.0 if precision is None else precision)
        if precision is not None:
            raise ValueError(
                message("precision", f"None for a {head.name} head, which is no Gaussian", repr(precision))
            )
        return discrete(host(self.logits(x)))

    def sample(self, x: ArrayLike, n: int = 1, rng: np.random.Generator | int | None = None) -> Array:
        """Draw from the distribution that the network predicts for each row.

        Parameters
        ----------
        x : array_like (B, *shape) or (B, I)
        n : int >= 1
            Draws for each row.
        rng : Generator, int or None
            Where randomness comes from; an int is a seed.

        Returns
        -------
        ndarray
            NumPy's, of a network on a GPU too. Softmax head: classes (n, B) of the Categorical. Sigmoid head: 0 or 1 of
            the Bernoulli, (n, B) for one output, else (n, B, O). Any other differentiable head: reals (n, B, O) of the
            Gaussian with the output as its mean and variance 1.

        Raises
        ------
        ValueError
            A step or sign head, which predicts no distribution; probabilities that are NaN.
        """
        return self.distribution(x).sample(n, rng)
