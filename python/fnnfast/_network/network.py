"""The base class of networks: layers and parameters, predictions and their evaluation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import DynamicClassAttribute, MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, overload

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
from ..layers._shape import compiled
from . import layerwise
from .data import Data, Interface, prepare
from .evaluate import measure
from .parameters import Buffers, Parameters, State
from .structure import Structure

if TYPE_CHECKING:
    from inspect import Signature
    from os import PathLike

    from .._device.cuda_network import CudaNetwork
    from ..distributions import Distribution
    from ..losses import Loss
    from ..typing import ComputeDType, DeviceName, LossName
    from .conversion import Conversion


# The attributes that ``_restored`` makes.
_MADE_ANEW = frozenset(("_structure", "_device", "_dtype", "_network", "_parameters", "_buffers", "_state"))


class Network(_cpu.Forward):
    """Base class of Sequential and InferenceNetwork.

    It contains what networks that can be trained and networks that cannot have in common. Calling a network, ``net(x,
    *, out=None)``, returns its outputs (B, O), see ``Sequential``. The call itself is in C++.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(3, "softmax")], seed=0)
    >>> isinstance(net, fnn.Network)
    True
    >>> isinstance(net.astype("bfloat16"), fnn.Network)
    True
    """

    # Whether it can be trained.
    trainable: ClassVar[bool]
    # How ``from_onnx`` and similar functions made it. None for all others, and for copies on another device or in
    # another number format.
    converted_from: Conversion | None = None

    _structure: Structure
    _device: Device
    _dtype: _checks.DType
    _network: _cpu.Network | CudaNetwork
    _parameters: Parameters
    _buffers: Buffers
    _state: State  # both
    _frozen: frozenset[str] = frozenset()

    def _build(self, layers: Sequence[Input | Layer], dtype: Any, device: DeviceName) -> None:
        """Create everything but the values of the parameters."""
        self._device = select.named(device)
        compute_dtype = self._device.compute_dtype(dtype)
        self._structure = structure = Structure(layers)
        self._dtype = self._device.dtype(compute_dtype)
        for name, layer in structure.named.items():
            units = structure.output_shapes[name][-1]
            layer.activation.parameter_array(units, self._dtype)  # checks that it is finite in this dtype
        shape = compiled(structure.sample_shape)
        if isinstance(self._device, Cuda):
            structure.require_gpu()
            from .._device.cuda_network import CudaNetwork

            self._network = CudaNetwork(self._device, compute_dtype, shape, structure.specs())
        else:
            self._network = _cpu.Network(compute_dtype, shape, structure.specs(), structure.input.channels_first)
            self._attach(self._network)
        dtype = _checks.sum_type(self._dtype)
        self._parameters = Parameters(self._network, self._device, dtype, structure.parameter_shapes)
        self._buffers = Buffers(self._network, self._device, dtype, structure.buffer_shapes)
        self._state = State(self._network, self._device, dtype, structure.state_shapes)

    @classmethod
    def _restored(
        cls,
        layers: Sequence[Input | Layer],
        dtype: Any,
        tensors: Mapping[str, Array],
        device: DeviceName = CPU.name,
    ) -> Self:
        """A network from its layers and the result of ``_tensors`` (to unpickle, copy and load)."""
        net = cls.__new__(cls)
        net._build(layers, dtype, device)
        for name, values in tensors.items():
            net._state[name] = values
        return net

    # Layers and parameters -------------------------------------------------------------------------------------------
    @property
    def input(self) -> Input:
        """The shape of one sample of the input."""
        return self._structure.input

    @property
    def layers(self) -> tuple[Input | Layer, ...]:
        """The layers, starting with the input."""
        return self._structure.layers

    @property
    def named_layers(self) -> Mapping[str, Layer]:
        """The layers after the input by name: dense_1, maxout_1, dense_2, ...

        The layers inside a residual block follow it: residual_1, residual_1.dense_1, ...
        """
        return MappingProxyType(self._structure.named)

    @property
    def outputs(self) -> int:
        """O, the width of the output."""
        return self._structure.outputs

    @property
    def head(self) -> Activation:
        """The activation of the last layer, which determines the meaning of the outputs."""
        return self._last.activation

    @property
    def _last(self) -> Layer:
        return self._structure.last

    @property
    def _interface(self) -> Interface:
        return Interface(self._device, self._dtype, self.input.shape, self.outputs)

    @property
    def dtype(self) -> _checks.DType:
        """The dtype of inputs and outputs.

        float32 or float64; on a GPU also float16 or bfloat16.
        """
        return self._dtype

    @property
    def device(self) -> DeviceName:
        """Where the network is: "cpu" or "cuda"."""
        return self._device.name

    @property
    def compute_dtype(self) -> ComputeDType:
        """The number format of the products.

        "float32", "float64" or "bfloat16"; on a GPU also "tf32" or "float16". For an InferenceNetwork, "bfloat16" or
        "int8", the format of its weights.
        """
        return self._network.compute_dtype

    @property
    def _format(self) -> str:
        """What a file calls the number format."""
        return self.compute_dtype

    @property
    def precision(self) -> ComputeDType:
        """The number format of the products.

        Deprecated: use ``compute_dtype`` instead.
        """
        warnings.warn("precision, the number format, is now compute_dtype", DeprecationWarning, stacklevel=2)
        return self.compute_dtype

    @property
    def parameters(self) -> Parameters:
        """The parameters by name, in the order of the layers: a mapping to read-only arrays.

        Assigning an array copies its values into the network. On a GPU, reading returns a CuPy copy, and arrays of
        NumPy and CuPy can be assigned.

        The weight of a layer has the shape (inputs, units), that of maxout (pieces, inputs, units). PyTorch's
        ``Linear.weight`` is (units, inputs): assign its transpose, ``linear.weight.detach().numpy().T``. If both are
        equal, nothing can tell that the transpose was forgotten.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(2), fnn.Dense(1)], seed=0)
        >>> list(net.parameters)
        ['dense_1.weight', 'dense_1.bias']
        >>> net.parameters["dense_1.weight"] = [[1.0], [2.0]]
        >>> net.parameters["dense_1.bias"] = [3.0]
        >>> net([[10.0, 1.0]])
        array([[15.]], dtype=float32)
        """
        return self._parameters

    @property
    def buffers(self) -> Buffers:
        """The buffers by name: what training moves without a gradient.

        They are the running statistics of ``BatchNorm``. They are saved and copied with the network. Reading returns a
        read-only array, and assigning copies the values into the network.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(2), fnn.Dense(3, bias=False), fnn.BatchNorm(), fnn.Dense(1)], seed=0)
        >>> net.buffers["batch_norm_1.variance"]
        array([1., 1., 1.], dtype=float32)
        """
        return self._buffers

    @property
    def frozen(self) -> tuple[str, ...]:
        """The names of the layers that training does not change."""
        return tuple(name for name in self.named_layers if name in self._frozen)

    def _on_cpu(self, name: str) -> _cpu.Network:
        """The compiled network of a network on the CPU; TypeError for one on a GPU."""
        if isinstance(self._network, _cpu.Network):
            return self._network
        raise TypeError(message(name, "a network on the CPU", "one on a GPU; net.to('cpu') makes the former"))

    def _attributes(self) -> Any:
        """The attributes that users and subclasses set, which copies and pickles keep.

        This is the result of ``__getstate__``, as for any object, without what ``_restored`` makes.
        """
        state: Any = self.__getstate__()
        slots: dict[str, Any] = {}
        if isinstance(state, tuple) and len(state) == 2:
            state, slots = state
        if isinstance(state, dict):
            state = {name: value for name, value in state.items() if name not in _MADE_ANEW}
        return (state, slots) if slots else state

    def _with_attributes_of(self, other: Network, *without: str) -> Self:
        """This network, a new one of the same class, with the attributes that a copy of the other would have.

        ``converted_from`` is not among them: another network was compared with the model.
        """
        state = other._attributes()
        if hasattr(self, "__setstate__"):
            self.__setstate__(state)
        else:
            for part in state if isinstance(state, tuple) else (state,):
                for name, value in (part or {}).items():
                    setattr(self, name, value)
        for name in ("converted_from", *without):
            vars(self).pop(name, None)
        return self

    def _tensors(self) -> dict[str, Array]:
        """What a file contains besides the layers: arrays on the host."""
        return {name: self._device.host(values) for name, values in self._state.items()}

    # Predictions -----------------------------------------------------------------------------------------------------
    # The call itself is in C++ (Forward): it handles arrays that the CPU can use as they are, and passes others here.
    def _call(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        y = None if self._device is CPU else self._network.try_forward(x, out)
        return self._prepare_and_forward(x, out, False) if y is None else y

    _call.__qualname__ = "Network.__call__"  # for the TypeErrors of Python

    @DynamicClassAttribute  # a property of networks only: the class has its own signature
    def __signature__(self) -> Signature:
        """The result of ``inspect.signature(net)``, which cannot be read from C++."""
        from inspect import signature

        return signature(self._call)

    def logits(self, x: ArrayLike) -> Array:
        """Return the outputs of the last layer before its activation.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.

        Returns
        -------
        ndarray of shape (B, O)
            The logits.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, "sigmoid", bias=False)])
        >>> net.parameters["dense_1.weight"] = [[2.0]]
        >>> net.logits([[-1.0], [3.0]])
        array([[-2.],
               [ 6.]], dtype=float32)
        """
        z = self._network.try_forward(x, None, True)
        return self._prepare_and_forward(x, None, True) if z is None else z

    def _prepare_and_forward(self, x: ArrayLike, out: Array | None, logits: bool) -> Array:
        """Forward pass for arrays that the compiled network does not accept as they are."""
        device = self._device
        device.require(x=x, out=out)
        x = device.array("x", x)
        rows = device.network_input(x, self.input.shape, self._dtype)
        result = device.output(out, (len(rows), self.outputs), self._dtype, x=x)
        if self._network.try_forward(rows, result, logits) is None:
            raise RuntimeError("the compiled network refused arrays prepared for it")
        return device.deliver(result, out)

    def predict(self, x: ArrayLike) -> Array:
        """Return the prediction for each row.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.

        Returns
        -------
        ndarray
            Softmax head: the most probable class, int64 (B,). Sigmoid head: 1 if the probability is at least 0.5, else
            0, int64 (B,) for one output, else (B, O). Gaussian head: the means (B, O). Any other head: the outputs (B,
            O).

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(2), fnn.Dense(2, "softmax", bias=False)])
        >>> net.parameters["dense_1.weight"] = [[1.0, 0.0], [0.0, 1.0]]
        >>> net.predict([[1.0, 3.0], [2.0, 1.0]])
        array([1, 0])
        """
        y = self(x)
        with self._device.current():
            return self._last.predict(y)

    def distribution(self, x: ArrayLike, *, precision: ArrayLike | None = None) -> Distribution:
        """Return the distributions that the network predicts, one per row, see ``fnnfast.distributions``.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.
        precision : float or array_like of shape (O,), optional
            For a Gaussian: beta = 1 / variance of each output. 1 by default.

        Returns
        -------
        Distribution
            Softmax head: Categorical. Sigmoid head: Bernoulli. Gaussian head: Gaussian. Any other differentiable head:
            Gaussian with the outputs as its mean. The mean has the bits of the output of the network. The arrays are on
            the host also for a network on a GPU; outputs of 16 bits are converted to float32.

        Raises
        ------
        ValueError
            For a step or sign head, which predicts no distribution. If a precision is not > 0, or if it is given for a
            head that is not Gaussian.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(2), fnn.Dense(3, "softmax")], seed=0)
        >>> net.distribution([[1.0, 2.0], [3.0, 4.0]])
        <Categorical: shape (2,), float32>
        """
        if not self.head.differentiable:
            raise ValueError(f"a {self.head.name} head predicts no distribution")
        self._device.require(x=x)
        rows = _checks.real_array("x", x) if self._device is CPU else x  # not bfloat16, which would round the outputs
        return self._last.distribution(lambda logits: self._on_host(rows, logits), precision)

    def _on_host(self, x: ArrayLike, logits: bool) -> Array:
        return self._device.host(self.logits(x) if logits else self(x))  # type: ignore[no-any-return]

    def sample(self, x: ArrayLike, n: int = 1, rng: np.random.Generator | int | None = None) -> Array:
        """Draw samples from the distribution that the network predicts for each row.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.
        n : int >= 1
            Samples per row.
        rng : Generator, int or None
            The source of random numbers; an int is a seed.

        Returns
        -------
        ndarray
            A NumPy array, also for a network on a GPU. Softmax head: classes (n, B). Sigmoid head: 0 or 1, (n, B) for
            one output, else (n, B, O). Any other differentiable head: reals (n, B, O) of the Gaussian with the outputs
            as its mean and variance 1.

        Raises
        ------
        ValueError
            For a step or sign head, which predicts no distribution, or if a probability is NaN.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(2), fnn.Dense(3, "softmax")], seed=0)
        >>> net.sample([[1.0, 2.0], [3.0, 4.0]], n=5, rng=0).shape
        (5, 2)
        """
        return self.distribution(x).sample(n, rng)

    # Evaluation ------------------------------------------------------------------------------------------------------
    @_checks.advised("evaluate")
    def evaluate(
        self, x: ArrayLike, y: ArrayLike, *, loss: LossName | Loss | None = None, sample_weight: ArrayLike | None = None
    ) -> dict[str, float]:
        """Compute the mean loss and the score on data.

        Parameters
        ----------
        x : array_like of shape (N, *shape) or (N, I)
            Inputs.
        y : array_like
            Targets, as the loss accepts them.
        loss : Loss, optional
            The loss. By default the one that belongs to the head, see ``Sequential.fit``.
        sample_weight : array_like of shape (N,), optional
            Weights of the rows, >= 0.

        Returns
        -------
        dict of str to float
            "loss", and "accuracy" for classes or "r2" for reals.

        Raises
        ------
        ValueError
            If the shapes do not match, a target or a weight is invalid, or the loss does not fit the head.
        TypeError
            If an array does not contain real numbers.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, bias=False)])
        >>> net.parameters["dense_1.weight"] = [[2.0]]
        >>> net.evaluate([[1.0], [2.0]], [2.0, 4.0])
        {'loss': 0.0, 'r2': 1.0}
        """
        loss = losses.get(loss, self._last)
        return self._measure(loss, prepare(self._interface, loss, x, y, sample_weight))

    def _measure(self, loss: Loss, data: Data) -> dict[str, float]:
        """``evaluate`` on prepared data."""
        return measure(loss, self.head, self._on_host(data.x, loss.from_logits), data)

    @overload
    def diagnose(self, x: ArrayLike, *, units: Literal[False] = ...) -> dict[str, dict[str, float]]: ...
    @overload
    def diagnose(self, x: ArrayLike, *, units: Literal[True]) -> dict[str, dict[str, Array]]: ...
    def diagnose(self, x: ArrayLike, *, units: bool = False) -> Any:
        """Compute the share of dead units and of saturated values in each hidden layer and the head.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.
        units : bool
            Whether to say it of each unit instead of each layer.

        Returns
        -------
        dict of str to dict of str to float
            "dead": by layer, the share of units whose derivative is below a thousandth in all rows, so that they do not
            learn, for the ReLU family (``activation.watch`` is "dead"); of maxout, the share of pieces that win in no
            row, which do not learn either. "linear": of maxout, the share of units of which one piece wins in all rows,
            so that they are linear. "saturated": by layer, the share of values whose derivative is below a tenth of its
            maximum, for sigmoid, tanh and similar ones (``activation.watch`` is "saturated").

            With units, arrays take the place of the shares: of bool and shape (units,) for "dead" and "linear", but
            (pieces, units) for "dead" of maxout; for "saturated" the share of each unit's values, (units,). Pixels of
            an image count as rows, filters as units. A network on a GPU and x are copied to the host for this.

        Raises
        ------
        ValueError
            If the shape of x does not match or x has no rows.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(2, "relu", bias=False), fnn.Dense(1)])
        >>> net.parameters["dense_1.weight"] = [[1.0, -1.0]]
        >>> net.diagnose([[1.0], [2.0]])
        {'dead': {'dense_1': 0.5}, 'saturated': {}, 'linear': {}}
        >>> net.diagnose([[1.0], [2.0]], units=True)["dead"]
        {'dense_1': array([False,  True])}
        """
        units = _checks.flag("units", units)
        self._device.require(x=x)
        if self._device is not CPU:
            host = Network._restored(self.layers, _checks.sum_type(self._dtype), self._tensors())
            x = self._device.host(self._device.array("x", x))
            return host.diagnose(x, units=True) if units else host.diagnose(x)
        rows = CPU.network_input(x, self.input.shape, self.dtype)
        if not len(rows):
            raise ValueError(message("x", "at least one row", "none"))
        network = self._on_cpu("diagnose")
        return layerwise.diagnose(network, self._structure, self.parameters, rows, units=units)

    def hidden(self, x: ArrayLike) -> dict[str, Array]:
        """Compute the outputs of every layer.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.

        Returns
        -------
        dict of str to ndarray
            By name of the layers that are not inside another one, (B, units), or (B, height, width, channels) for
            images, with the bits that the layer has in the network. Those of layers that act in training only are
            their inputs. A network on a GPU and x are copied to the host for this.

        Raises
        ------
        ValueError
            If the shape of x does not match.
        TypeError
            For a network in bfloat16 or int8, or if x does not contain real numbers.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(2), fnn.Dense(3, "tanh"), fnn.Dropout(0.5), fnn.Dense(1)], seed=0)
        >>> {name: values.shape for name, values in net.hidden([[1.0, 2.0]]).items()}
        {'dense_1': (1, 3), 'dropout_1': (1, 3), 'dense_2': (1, 1)}
        """
        from . import by_layer

        self._device.require(x=x)
        if self._device is not CPU:
            host = Network._restored(self.layers, _checks.sum_type(self._dtype), self._tensors())
            return host.hidden(self._device.host(self._device.array("x", x)))
        if self.compute_dtype != self.dtype.name:
            raise TypeError(message("hidden", "a network in float32 or float64", self.compute_dtype))
        rows = CPU.network_input(x, self.input.shape, self.dtype)
        dtype = self.dtype

        def restored(layers: Sequence[Input | Layer], state: Mapping[str, Array]) -> Network:
            return Network._restored(layers, dtype, state)

        return by_layer.outputs(self._structure, self._tensors(), restored, rows)

    # Text and files --------------------------------------------------------------------------------------------------
    def plot(self, x: ArrayLike | None = None, y: ArrayLike | None = None, axes: Any = None) -> Any:
        """Draw the network: its layers, neurons and connections; and, of one or two inputs, what it computes.

        Of one input, the outputs over it, with the last hidden layer's behind them. Of two, the class that is predicted
        at each point, or the first output, with the lines where the first layer's units change sign.

        Parameters
        ----------
        x : array_like of shape (N, I), optional
            Points to draw, which set the range; by default from -3 to 3.
        y : array_like of shape (N,) or (N, O), optional
            Their targets: classes, or reals.
        axes : sequence of matplotlib Axes, optional
            Where to draw: the network, and what it computes. By default new ones in a new figure.

        Returns
        -------
        ndarray of Axes
            Those that were drawn on.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        ValueError
            If the shape of x does not match.

        Examples
        --------
        >>> net = fnn.Sequential([fnn.Input(2), fnn.Dense(8, "tanh"), fnn.Dense(1, "sigmoid")])  # doctest: +SKIP
        >>> net.plot(x, y)                                                                       # doctest: +SKIP
        """
        from . import drawing

        return drawing.plot(self, x, y, axes)

    def summary(self, plan: bool | int = False) -> str:
        """Return a table of the layers, with their shapes, neurons, parameters and multiply-adds per sample.

        An "N-layer" network does not count its input. A multiply-add is that of a weight; a convolution has one per
        weight and pixel of its output.

        Parameters
        ----------
        plan : bool or int
            Whether to add how a batch is computed: one of this size, or, for True, batches of 1 and 256 rows.

        Returns
        -------
        str
            The table.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(8, "relu"), fnn.Dense(3, "softmax")])
        >>> print(net.summary())
        2-layer network, 4 inputs, 3 outputs, float32
        ------------------------------------------------------------------------------------------
        layer                                          outputs  neurons  parameters  multiply-adds
        ------------------------------------------------------------------------------------------
        input    Input(4)                              (B, 4)
        dense_1  Dense(units=8, activation=ReLU())     (B, 8)         8          40             32
        dense_2  Dense(units=3, activation=Softmax())  (B, 3)         3          27             24
        ------------------------------------------------------------------------------------------
        11 neurons, 67 parameters (268 bytes), 56 multiply-adds per sample
        """
        from . import summary

        silent = plan is None or (isinstance(plan, int) and not plan)
        batches = (1, 256) if plan is True else () if silent else (_checks.integer("plan", plan, 1),)
        dtype = _checks.sum_type(self._dtype).name
        kept = self._format if self.device == CPU.name else dtype
        table = summary.table(self._structure, dtype, kept, self.compute_dtype, self.device)
        return summary.Summary(table + summary.plans(self._network, batches))

    def _repr_html_(self) -> str:
        """The layers as a drawing and a table, for notebooks."""
        from . import summary

        return summary.html(self._structure, self.summary())

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network to a safetensors file, which ``fnnfast.load`` reads.

        An existing file is replaced at once or not at all. The device is not saved: ``load`` makes a network on the
        CPU, which ``to`` copies to a GPU. Nor are a subclass and its attributes, which copies and pickles keep.

        Parameters
        ----------
        path : path-like
            The file to write.

        Raises
        ------
        OSError
            If the folder does not exist, is full or cannot be written to.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(3, "softmax")], seed=0)
        >>> net.save("net.safetensors")
        >>> fnn.load("net.safetensors").layers == net.layers
        True
        """
        from . import file_format

        path = _checks.path("path", path)
        dtype = self._dtype if self.device == CPU.name else _checks.sum_type(self._dtype)
        compute_dtype = self._format if self.device == CPU.name else dtype.name
        named = self._structure.named.values()
        version = max(self.input.format_version, *(layer.format_version for layer in named))
        architecture = file_format.encode(self.layers, dtype.name, compute_dtype)
        file_format.write(path, architecture, version, self._tensors())
