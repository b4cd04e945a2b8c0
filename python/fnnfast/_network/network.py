"""What a network is: layers and parameters, answers and what they are worth."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import DynamicClassAttribute, MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks, _cpu, losses
from .._checks import Array, message
from .._device import select
from .._device.base import Device
from .._device.cpu import CPU
from .._device.cuda import Cuda
from ..activations import Activation
from ..layers import Input, Layer
from . import layerwise
from .data import Data, Interface, prepare
from .evaluate import measure
from .parameters import Parameters
from .structure import Structure

if TYPE_CHECKING:
    from inspect import Signature
    from os import PathLike

    from .._device.cuda_network import CudaNetwork
    from ..distributions import Distribution
    from ..losses import Loss


class Network(_cpu.Forward):
    """Base of Sequential and InferenceNetwork: what is the same for networks that are trained and that are not.

    Calling a network, ``net(x, *, out=None)``, gives its outputs (B, O): see Sequential. The call itself is in C++.
    """

    # Whether it can be trained.
    trainable: ClassVar[bool]

    _structure: Structure
    _device: Device
    _dtype: _checks.DType
    _network: _cpu.Network | CudaNetwork
    _parameters: Parameters
    _frozen: frozenset[str] = frozenset()

    def _build(self, layers: Sequence[Input | Layer], dtype: Any, device: str) -> None:
        """All but the values of the parameters."""
        self._device = select.named(device)
        compute_dtype = self._device.compute_dtype(dtype)
        self._structure = structure = Structure(layers)
        self._dtype = self._device.dtype(compute_dtype)
        for name, layer in structure.named.items():
            units = layer.outputs(structure.inputs[name])
            layer.activation.parameter_array(units, self._dtype)  # refuses what is infinite in this dtype
        if isinstance(self._device, Cuda):
            from .._device.cuda_network import CudaNetwork

            self._network = CudaNetwork(self._device, compute_dtype, structure.input.size, structure.specs())
        else:
            self._network = _cpu.Network(compute_dtype, structure.input.size, structure.specs())
            self._attach(self._network)
        dtype = _checks.sum_type(self._dtype)
        self._parameters = Parameters(self._network, self._device, dtype, structure.shapes)

    @classmethod
    def _restored(
        cls,
        layers: Sequence[Input | Layer],
        dtype: Any,
        tensors: Mapping[str, Array],
        device: str = CPU.name,
    ) -> Self:
        """A network from its layers and what ``_tensors`` gives (unpickling, copying, loading)."""
        net = cls.__new__(cls)
        net._build(layers, dtype, device)
        for name, values in tensors.items():
            net.parameters[name] = values
        return net

    # What it is made of ----------------------------------------------------------------------------------------------
    @property
    def input(self) -> Input:
        """The shape of an input row."""
        return self._structure.input

    @property
    def layers(self) -> tuple[Input | Layer, ...]:
        """The layers, the input first."""
        return self._structure.layers

    @property
    def named_layers(self) -> Mapping[str, Layer]:
        """The layers after the input by name: dense_1, maxout_1, dense_2, ...

        The layers in a residual block follow it: residual_1, residual_1.dense_1, ...
        """
        return MappingProxyType(self._structure.named)

    @property
    def outputs(self) -> int:
        """O, the width of the output."""
        return self._structure.outputs

    @property
    def head(self) -> Activation:
        """The activation of the last layer, which says what the outputs mean."""
        return self._last.activation

    @property
    def _last(self) -> Layer:
        return self._structure.last

    @property
    def _interface(self) -> Interface:
        return Interface(self._device, self._dtype, self.input.shape, self.outputs)

    @property
    def dtype(self) -> _checks.DType:
        """Of inputs and outputs: float32 or float64, or, on a GPU, float16 or bfloat16."""
        return self._dtype

    @property
    def device(self) -> str:
        """Where the network is, "cpu" or "cuda"."""
        return self._device.name

    @property
    def compute_dtype(self) -> str:
        """The number format of the products: "float32", "float64", on a GPU also "tf32", "float16", "bfloat16".

        Of an InferenceNetwork "bfloat16" or "int8", that of its weights.
        """
        return self._network.compute_dtype

    @property
    def precision(self) -> str:
        """Deprecated: ``compute_dtype``."""
        warnings.warn("precision, the number format, is now compute_dtype", DeprecationWarning, stacklevel=2)
        return self.compute_dtype

    @property
    def parameters(self) -> Parameters:
        """Name to read-only array, in layer order; assigning an array copies it in.

        On a GPU reading gives a copy in CuPy, and NumPy's and CuPy's arrays can be assigned.
        """
        return self._parameters

    @property
    def frozen(self) -> tuple[str, ...]:
        """The names of the layers that training leaves as they are."""
        return tuple(name for name in self.named_layers if name in self._frozen)

    def _on_cpu(self, name: str) -> _cpu.Network:
        """The compiled network of one on the CPU; TypeError for one on a GPU."""
        if isinstance(self._network, _cpu.Network):
            return self._network
        raise TypeError(message(name, "a network on the CPU", "one on a GPU; net.to('cpu') makes the former"))

    def _tensors(self) -> dict[str, Array]:
        """What a file keeps of it, beside its layers: arrays on the host."""
        return {name: self._device.host(values) for name, values in self.parameters.items()}

    # Answers ---------------------------------------------------------------------------------------------------------
    # The call itself is Forward's, in C++: it takes arrays that are ready for the CPU, and sends all others here.
    def _call(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        y = None if self._device is CPU else self._network.forward(x, out)
        return self._prepare_and_forward(x, out, False) if y is None else y

    _call.__qualname__ = "Network.__call__"  # so that Python's TypeErrors name what was called

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
        rows = device.network_input(x, self.input.shape, self._dtype)
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
            return self._last.predict(y)

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
        if not self.head.differentiable:
            raise ValueError(f"a {self.head.name} head predicts no distribution")
        self._device.require(x=x)
        rows = _checks.real_array("x", x) if self._device is CPU else x  # bfloat16 would have the outputs rounded to it
        return self._last.distribution(lambda logits: self._on_host(rows, logits), precision)

    def _on_host(self, x: ArrayLike, logits: bool) -> Array:
        return self._device.host(self.logits(x) if logits else self(x))  # type: ignore[no-any-return]

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

    # What it is worth ------------------------------------------------------------------------------------------------
    def evaluate(
        self, x: ArrayLike, y: ArrayLike, *, loss: Loss | None = None, sample_weight: ArrayLike | None = None
    ) -> dict[str, float]:
        """Mean loss and score on data, weighted if there are weights.

        Returns
        -------
        dict
            "loss", and "accuracy" for classes or "r2" for reals.
        """
        loss = losses.get(loss, self._last)
        return self._measure(loss, prepare(self._interface, loss, x, y, sample_weight))

    def _measure(self, loss: Loss, data: Data) -> dict[str, float]:
        """``evaluate`` on data that is prepared."""
        return measure(loss, self.head, self._on_host(data.x, loss.from_logits), data)

    def diagnose(self, x: ArrayLike) -> dict[str, dict[str, float]]:
        """The share of dead units and of saturated values in each hidden layer and the head, on data.

        Parameters
        ----------
        x : array_like (B, *shape) or (B, I)

        Returns
        -------
        dict
            "dead": by layer, the share of units whose derivative is below a thousandth in all rows, so that they learn
            from none of them, for the ReLU family (``activation.watch`` is "dead"). "saturated": by layer, the share of
            values whose derivative is below a tenth of the steepest, for sigmoid, tanh and their like
            (``activation.watch`` is "saturated"). A network on a GPU is copied to the host for this, and x with it.
        """
        self._device.require(x=x)
        if self._device is not CPU:
            host = Network._restored(self.layers, _checks.sum_type(self._dtype), self._tensors())
            return host.diagnose(self._device.host(self._device.array("x", x)))
        rows = CPU.network_input(x, self.input.shape, self.dtype)
        if not len(rows):
            raise ValueError(message("x", "at least one row", "none"))
        return layerwise.diagnose(self._on_cpu("diagnose"), self._structure, rows)

    # On paper and on disk --------------------------------------------------------------------------------------------
    def summary(self, plan: bool | int = False) -> str:
        """Layers, shapes, neurons and parameters as a table; an "N-layer" network does not count its input.

        Parameters
        ----------
        plan : bool or int
            Also say how a batch is run: of that size, or, for True, of 1 and of 256.
        """
        from . import summary

        batches = (1, 256) if plan is True else (_checks.integer("plan", plan, 1),) if plan else ()
        dtype = _checks.sum_type(self._dtype).name
        table = summary.table(self._structure, dtype, self.compute_dtype, self.device)
        return table + summary.plans(self._network, batches)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network to a safetensors file, replacing it at once or not at all; ``fnnfast.load`` reads it.

        Where the network is, is not kept: ``load`` makes one on the CPU, and ``to`` takes it to a GPU.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        OSError
            The folder does not exist, is full or not writeable.
        """
        from . import file_format

        dtype = self._dtype if self.device == CPU.name else _checks.sum_type(self._dtype)
        compute_dtype = self.compute_dtype if self.device == CPU.name else dtype.name
        version = max(layer.format_version for layer in self._structure.named.values())
        architecture = file_format.encode(self.layers, dtype.name, compute_dtype)
        file_format.write(path, architecture, version, self._tensors())
