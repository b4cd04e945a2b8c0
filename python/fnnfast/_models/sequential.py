"""The network that can be trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks
from .._checks import FLOAT32
from .._device import select
from .._device.cpu import CPU
from .._network.network import Network
from .._network.tensors import MIXED_BFLOAT16
from ..layers import Input, Layer
from ..training._loop import run
from ..training._settings import FitSettings
from .inference import InferenceNetwork, bfloat16, frozen, int8

if TYPE_CHECKING:
    from os import PathLike

    from .._network.data import Validation
    from ..losses import Loss
    from ..optimizers import Optimizer, Schedule
    from ..training import Callback, Checkpoint, History
    from ..typing import ClassWeight, DeviceName, DTypeLike, DTypeName, LossName, OptimizerName


class Sequential(Network):
    """A feedforward network, built and initialized when it is created.

    Calling a network, ``net(x, *, out=None)``, returns its outputs (B, O): probabilities, or the mean for an identity
    head. x is array_like of shape (B, *shape) or (B, I): for ``Input(28, 28)``, (B, 28, 28) or (B, 784). ``out``, an
    ndarray (B, O) of the dtype of the network that shares no memory with x, receives the outputs. On a GPU all arrays
    are those of CuPy or of other libraries on that GPU. A call is a single call into compiled code.

    Parameters
    ----------
    layers : sequence
        An Input, followed by layers of ``fnnfast.layers``: Dense, Maxout, Activation, Residual, Dropout, GaussianNoise,
        Flatten, and for images Conv2D, MaxoutConv2D, pools and LocalResponseNorm. The last layer is any but Dropout and
        GaussianNoise, and its outputs are a vector. Softmax is for the last layer only.
    dtype : {"float32", "float64", "bfloat16"}, or on a GPU also {"tf32", "float16"}
        What the network computes in; inputs are converted to it. tf32 stands for float32 arrays, whose products round
        their factors to TF32. float16 and bfloat16 stand for parameters and sums in float32, and products of their
        rounded copies; on the CPU, inputs and outputs are float32 then, and see the notes.
    seed : int >= 0, optional
        Seed of the initial parameters. They are drawn in float64, so all dtypes start from the same numbers.
    device : {"cpu", "cuda"}
        Where the network is. "cuda" is the current GPU of CuPy; the network then takes and returns CuPy arrays, on the
        current stream of CuPy.

    Raises
    ------
    ValueError
        If the layers do not make a network, or a setting is invalid.
    TypeError
        If a layer is not a layer.
    RuntimeError
        If CUDA is off; the message says why, as ``python -m fnnfast info`` does.

    Notes
    -----
    Several threads may call one network at the same time, but not while it is trained or its parameters are assigned.

    bfloat16 on the CPU: the outputs have the bits of ``astype("bfloat16")``. Where the CPU multiplies bfloat16 faster
    than float32 (AMX, AVX-512 BF16 of AMD, BF16 of Arm), both factors of the products of dense layers are rounded to
    it, forward and backward: inputs and weights, gradients and weights, inputs and gradients. Elsewhere, and in the
    backward pass of maxout and convolutions, weights are rounded and nothing else, and the bits are the same on every
    CPU. Gradients of biases, activations, losses and the optimizer are in float32.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> net = fnn.Sequential([fnn.Input(2), fnn.Dense(16, "tanh"), fnn.Dense(1, "sigmoid")], seed=0)
    >>> history = net.fit(x, [0, 1, 1, 0], optimizer=fnn.Adam(0.05), epochs=200, seed=0)
    >>> net.predict(x)
    array([0, 1, 1, 0])
    """

    trainable = True

    def __init__(
        self,
        layers: Sequence[Input | Layer],
        *,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        device: DeviceName = "cpu",
    ) -> None:
        seed = _checks.seed(seed)
        self._build(layers, dtype, device)
        rng = np.random.default_rng(seed)
        for name, layer in self._structure.named.items():
            for key, values in layer.initial(self._structure.input_shapes[name], rng).items():
                self.parameters[f"{name}.{key}"] = values

    if TYPE_CHECKING:

        @property
        def compute_dtype(self) -> DTypeName: ...

    @property
    def _format(self) -> str:
        return MIXED_BFLOAT16 if self.compute_dtype == "bfloat16" else self.compute_dtype

    # Training --------------------------------------------------------------------------------------------------------
    @_checks.advised("fit")
    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: LossName | Loss | None = None,
        optimizer: OptimizerName | Optimizer = "adam",
        epochs: int = 10,
        batch_size: int = 32,
        validation: Validation = None,
        schedule: Schedule | None = None,
        l2: float = 0.0,
        callbacks: Sequence[Callback] = (),
        seed: int | None = None,
        progress: bool | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        class_weight: ClassWeight | None = None,
        clip_norm: float | None = None,
        checkpoint: str | PathLike[str] | Checkpoint | None = None,
    ) -> History:
        """Train the network by minibatch gradient descent.

        The rows are shuffled in each epoch. The last batch of an epoch may be smaller; the mean loss counts it by its
        rows. Rows of weight 0 are removed first: batches, validation and diagnostics are those of the other rows.
        Ctrl-C ends the training within a fraction of a second, between two steps, and the history so far is returned.

        Parameters
        ----------
        x : array_like of shape (N, *shape) or (N, I)
            Inputs.
        y : array_like
            Targets: class indices (N,) or one-hot rows (N, K) for cross-entropy, 0 or 1 for binary cross-entropy, else
            reals (N, O).
        loss : Loss or str, optional
            The loss: an object, or "mse", "cross_entropy" and other names of Keras, PyTorch and scikit-learn that mean
            one thing. By default the one that belongs to the head: cross-entropy for softmax, binary cross-entropy for
            sigmoid, the likelihood for a Gaussian head, else squared error.
        optimizer : Optimizer or {"adam", "adamw", "sgd"}
            The optimizer.
        epochs : int >= 0
            Number of passes over the data.
        batch_size : int >= 1
            Number of rows per step.
        validation : (x, y), (x, y, sample_weight) or float in (0, 1), optional
            Data to evaluate after each epoch, or the share of the rows to hold out for this, drawn at random.
        schedule : callable, optional
            A function of the epoch, from 0, that returns what the learning rate is multiplied by: StepDecay,
            ExponentialDecay, CosineDecay, Warmup or any other callable.
        l2 : float >= 0
            Adds l2/2 times the sum of squared weights (not biases) to the loss that is minimized.
        callbacks : sequence of callables
            Called as ``callback(epoch, history)`` after each epoch; if one returns True, training stops. See
            EarlyStopping.
        seed : int >= 0, optional
            Seed of the order of the rows, the rows held out, and dropout.
        progress : bool, optional
            Whether to show progress on stderr: a bar with tqdm, else one line per epoch, with the losses, the norms of
            gradient and update over all layers, and the largest shares of dead units and saturated values. By default,
            it is shown if stderr is a terminal.
        sample_weight : array_like of shape (N,), optional
            Weights of the rows, >= 0. The loss of a batch is the weighted mean. Rows of weight 0 are removed.
        class_weight : mapping of int to float >= 0, or "balanced", optional
            Weights of the classes, 1 for classes that are not in the mapping; they multiply ``sample_weight``.
            "balanced" is N / (K times the number of rows of the class), for the K classes in y. Rows that are held out
            of x keep their weights; separate validation data has only its own.
        clip_norm : float > 0, optional
            Maximum Euclidean norm of the gradient of all parameters together. A longer gradient is scaled down to it.
        checkpoint : path-like or Checkpoint, optional
            Where to save the run after each epoch. If there is a checkpoint of the same run, training resumes from it
            and ends with the same bits as without an interruption.

        Returns
        -------
        History
            What was recorded in each epoch.

        Raises
        ------
        ValueError
            If the shapes do not match or a target or a setting is invalid: the network is unchanged. If x contains NaN
            or infinity and the loss is therefore NaN: the network is as the steps before left it.
        TypeError
            If an argument has a wrong type. The network is unchanged.

        Warns
        -----
        DeadUnitsWarning
            If more than a tenth of the units of a layer are dead in an epoch of 100 rows or more; once per layer.
        DivergenceWarning
            If the loss of an epoch is not finite, and if its validation loss is not; once each. A step whose loss is
            NaN does not change the network, and ends its epoch.

        Notes
        -----
        A callback may also have the methods ``start(network)`` and ``finish(network)``, which are called before the
        first and after the last epoch, even if training is interrupted; ``finish`` is called only if ``start`` was, and
        in the reverse order. A callback with the methods ``state()`` and ``set_state(values, arrays)``, as
        EarlyStopping has, is part of a checkpoint.

        Examples
        --------
        >>> import numpy as np
        >>> import fnnfast as fnn
        >>> x = np.linspace(-1, 1, 100)[:, np.newaxis]
        >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(32, "relu"), fnn.Dense(1)], seed=0)
        >>> history = net.fit(x, x**2, epochs=100, validation=0.2, seed=0)
        >>> len(history.loss), history.loss[-1] < history.loss[0]
        (100, True)
        """
        settings = FitSettings(
            loss,
            optimizer,
            epochs,
            batch_size,
            validation,
            schedule,
            l2,
            callbacks,
            seed,
            progress,
            class_weight=class_weight,
            clip_norm=clip_norm,
            checkpoint=checkpoint,
        )
        return run(self, x, y, settings, sample_weight)

    # Transfer learning -----------------------------------------------------------------------------------------------
    @overload
    def freeze(self) -> InferenceNetwork: ...
    @overload
    def freeze(self, *names: str) -> None: ...
    def freeze(self, *names: str) -> InferenceNetwork | None:
        """Exclude layers from training, from the next ``fit`` or ``Trainer`` on; or copy all for inference only.

        Parameters
        ----------
        *names : str
            Names of ``named_layers``. A residual block stands for all layers in it.

        Returns
        -------
        InferenceNetwork or None
            Without names, a copy for inference only, whose outputs have the same bits, but for those of a
            ``BatchNorm`` that is folded into weights. The network itself does not change. With names, None.

        Raises
        ------
        ValueError
            If there is no layer of a name.
        TypeError
            Without names, if the network is on a GPU.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(8, "relu"), fnn.Dense(3, "softmax")], seed=0)
        >>> net.freeze("dense_1")
        >>> net.frozen
        ('dense_1',)
        >>> net.freeze().trainable
        False
        """
        if not names:
            self._on_cpu("freeze")
            return bfloat16(self, False) if self.compute_dtype == "bfloat16" else frozen(self)
        self._frozen |= self._expand(names)
        return None

    def unfreeze(self, *names: str) -> None:
        """Include layers in training again.

        Parameters
        ----------
        *names : str
            Names of ``named_layers``. Without names, all layers.

        Raises
        ------
        ValueError
            If there is no layer of a name.
        """
        self._frozen -= self._expand(names or tuple(self.named_layers))

    def _expand(self, names: tuple[str, ...]) -> frozenset[str]:
        for name in names:
            if name not in self.named_layers:
                raise _checks.unknown("layer", name, self.named_layers)
        return frozenset(inner for name in names for inner in self._structure.within(name))

    def replace_head(self, head: Layer, *, seed: int | None = None) -> Sequential:
        """Return a network with a new last layer and the same other layers and parameters.

        Parameters
        ----------
        head : Layer
            The new layer: Dense, Maxout, Gaussian or any other that may be the last one.
        seed : int >= 0, optional
            Seed of its initial parameters.

        Returns
        -------
        Sequential
            A copy. No layer of it is frozen.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(8, "relu"), fnn.Dense(3, "softmax")], seed=0)
        >>> net.replace_head(fnn.Dense(5, "softmax"), seed=1).outputs
        5
        """
        net = Sequential([*self.layers[:-1], head], dtype=self.compute_dtype, seed=seed, device=self.device)
        kept = [name for name in self._state if not name.startswith(f"{self._structure.last_name}.")]
        for name in kept:
            net._state[name] = self._state[name]
        return net

    # Devices and number formats ---------------------------------------------------------------------------------------
    def to(self, device: DeviceName, dtype: DTypeLike | None = None) -> Sequential:
        """Return a copy of the network on another device, with the same parameters and the same frozen layers.

        Parameters
        ----------
        device : {"cpu", "cuda"}
            "cuda" is the current GPU of CuPy.
        dtype : optional
            What the copy computes in, see ``Sequential``. By default the same, or float32 if the device does not
            support it.

        Returns
        -------
        Sequential
            The copy.

        Raises
        ------
        ValueError
            If the device or the dtype is unknown.
        RuntimeError
            If CUDA is off; the message says why.
        """
        if dtype is None:
            known = self.compute_dtype in select.named(device).compute_dtypes
            dtype = self.compute_dtype if known else _checks.sum_type(self._dtype)
        return self._restored(self.layers, dtype, self._tensors(), device)._with_attributes_of(self)

    def astype(self, dtype: DTypeLike, *, weights_only: bool = False) -> Sequential | InferenceNetwork:
        """Return a copy of the network in another number format.

        Parameters
        ----------
        dtype : {"float32", "float64", "bfloat16"}, or on a GPU any that ``Sequential`` supports there
            On the CPU, bfloat16 halves the size of the weights and is for inference only; to train in bfloat16, make a
            ``Sequential`` of it. The bfloat16 of ml_dtypes is accepted as well.
        weights_only : bool
            For bfloat16 on the CPU: round nothing but the weights, and compute in float32, so that the outputs have the
            same bits on every CPU. Else, where the CPU multiplies bfloat16 faster, the inputs of products are rounded
            as well; see ``InferenceNetwork``.

        Returns
        -------
        Sequential or InferenceNetwork
            On the CPU an InferenceNetwork for bfloat16: weights rounded to bfloat16 (from float64 through float32),
            biases, slopes and activations in float32.

        Raises
        ------
        ValueError
            If the dtype is not supported, if the parameter of an activation is infinite in float32, or if
            ``weights_only`` is given for another dtype or on a GPU.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(3, "softmax")], seed=0)
        >>> net.astype("bfloat16").compute_dtype
        'bfloat16'
        """
        narrow = self.device == CPU.name and _checks.is_bfloat16(dtype)
        if _checks.flag("weights_only", weights_only) and not narrow:
            raise ValueError(
                _checks.message("weights_only", "dtype 'bfloat16' on the CPU", f"{dtype!r} on {self.device}")
            )
        if self.device != CPU.name:
            return self._converted(dtype)
        if narrow:
            return bfloat16(self._in_float32(), weights_only)
        name = _checks.dtype(dtype, "'float32', 'float64' or 'bfloat16' (quantize() makes int8)").name
        return self._converted(name)

    def quantize(self, calibration_x: ArrayLike) -> InferenceNetwork:
        """Return a copy of the network with int8 weights and 8-bit inputs of each layer, for inference.

        Parameters
        ----------
        calibration_x : array_like of shape (B, *shape) or (B, I)
            Typical inputs, some hundred rows, for example random rows of the training set. They determine the range to
            which the inputs of each layer are rounded and clipped.

        Returns
        -------
        InferenceNetwork
            It has one scale for the inputs of each layer and one for the weights of each output, chosen so that no
            value of the calibration is clipped. Biases, slopes and activations are float32.

        Raises
        ------
        ValueError
            If there are no rows, an input of a layer or a weight is not finite, or a layer has more than 65536 inputs,
            whose sums may not fit 32 bits.
        TypeError
            If the network is on a GPU.

        Examples
        --------
        >>> import numpy as np
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(3, "softmax")], seed=0)
        >>> low = net.quantize(np.random.default_rng(0).random((100, 4)))
        >>> low.compute_dtype
        'int8'
        """
        self._on_cpu("quantize")
        CPU.require(calibration_x=calibration_x)
        x = CPU.network_input(calibration_x, self.input.shape, FLOAT32, "calibration_x")
        return int8(self._in_float32(), x)

    def _in_float32(self) -> Sequential:
        return self if self.compute_dtype == FLOAT32.name else self._converted(FLOAT32)

    def _converted(self, dtype: Any) -> Sequential:
        """The same network on the same device in another number format that it can be trained in there."""
        net = self._restored(self.layers, dtype, self._state, self.device)
        return net._with_attributes_of(self, "_frozen")

    # Text and pickles ------------------------------------------------------------------------------------------------
    def __repr__(self) -> str:
        lines = (f"    {layer!r}," for layer in self.layers)
        where = "" if self.device == CPU.name else f", device={self.device!r}"
        return "\n".join(("Sequential([", *lines, f"], dtype={self.compute_dtype!r}{where})"))

    def __reduce__(self) -> tuple[Any, ...]:
        made_of = (self.layers, self.compute_dtype, self._tensors(), self.device)
        return self._restored, made_of, self._attributes()
