"""The network that is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks
from .._checks import FLOAT32, message
from .._device import select
from .._device.cpu import CPU
from .._network.network import Network
from ..layers import Input, Layer
from ..training._loop import run
from ..training._settings import FitSettings
from .inference import InferenceNetwork, bfloat16, int8

if TYPE_CHECKING:
    from os import PathLike

    from .._network.data import Validation
    from ..losses import Loss
    from ..optimizers import Optimizer, Schedule
    from ..training import Callback, Checkpoint, History


class Sequential(Network):
    """A feedforward network, built and initialised at once; a forward pass is one call into compiled code.

    Calling a network, ``net(x, *, out=None)``, gives its outputs (B, O): probabilities, or the mean for an identity
    head. x is array_like (B, *shape) or (B, I): for ``Input(28, 28)``, (B, 28, 28) or (B, 784). out, an ndarray (B, O)
    of the network's dtype that shares no memory with x, receives them. On a GPU all are CuPy's, or other libraries'
    arrays there.

    Parameters
    ----------
    layers : sequence
        An Input, then layers of ``fnnfast.layers``: Dense, Maxout, Activation, Residual, Dropout, GaussianNoise,
        Flatten. The last is a Dense, Maxout, Gaussian or Activation; softmax is for the last only.
    dtype : {"float32", "float64"}, or on a GPU also {"tf32", "float16", "bfloat16"}
        What the network computes in; inputs are converted to it. tf32 stands for float32 arrays whose products round
        their factors to it; float16 and bfloat16 for parameters and sums in float32, and products of their rounded
        copies.
    seed : int >= 0, optional
        Fixes the initial parameters. They are drawn in float64, so that all dtypes start from the same numbers.
    device : {"cpu", "cuda"}
        Where the network is: "cuda" takes and gives CuPy arrays, on CuPy's current stream, and lives on the GPU that is
        CuPy's current one when it is made.

    Raises
    ------
    ValueError, TypeError
        Layers that make no network.
    RuntimeError
        CUDA is off; the message says why, as ``python -m fnnfast info`` does.

    Notes
    -----
    Several threads may call one network at once; training it and assigning its parameters must not run beside that.
    """

    trainable = True

    def __init__(
        self, layers: Sequence[Input | Layer], *, dtype: Any = "float32", seed: int | None = None, device: str = "cpu"
    ) -> None:
        seed = _checks.seed(seed)
        self._build(layers, dtype, device)
        rng = np.random.default_rng(seed)
        for name, layer in self._structure.named.items():
            for key, values in layer.initial(self._structure.inputs[name], rng).items():
                self.parameters[f"{name}.{key}"] = values

    # Training --------------------------------------------------------------------------------------------------------
    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: Loss | None = None,
        optimizer: str | Optimizer = "adam",
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
        class_weight: Mapping[int, float] | str | None = None,
        clip_norm: float | None = None,
        checkpoint: str | PathLike[str] | Checkpoint | None = None,
    ) -> History:
        """Train by minibatch gradient descent.

        The rows are shuffled for every epoch; the last batch of an epoch may be smaller and counts by its rows. Rows of
        weight 0 are left out from the start: batches, validation and diagnosis are those of the other rows alone.
        Ctrl-C ends training within a fraction of a second, between two steps, with the history so far.

        Parameters
        ----------
        x : array_like (N, *shape) or (N, I)
        y : array_like
            Class indices (N,) or one-hot (N, K) for cross-entropy; 0 or 1 for binary cross-entropy; else reals (N, O).
        loss : Loss, optional
            By default the one that belongs to the head: cross-entropy for softmax, binary cross-entropy for sigmoid,
            the likelihood for a Gaussian head, else squared error.
        optimizer : Optimizer or {"adam", "adamw", "sgd"}
        epochs, batch_size : int
        validation : (x, y), (x, y, sample_weight) or float in (0, 1), optional
            Data to measure on after each epoch, or the share of rows to hold out for that, drawn at random.
        schedule : callable, optional
            Epoch, from 0, to what the learning rate is multiplied by: StepDecay, ExponentialDecay, CosineDecay or any.
        l2 : float >= 0
            Adds l2/2 times the sum of squared weights (not biases) to what is minimised.
        callbacks : sequence of callables
            Called as ``callback(epoch, history)`` after each epoch; True stops. See EarlyStopping.
        seed : int >= 0, optional
            Fixes the order of the rows, what is held out, and dropout.
        progress : bool, optional
            A progress bar on stderr (with tqdm; else a line an epoch), with the losses, the norms of gradient and
            update over all layers, and the largest shares of dead units and saturated values. By default if stderr is
            a terminal.
        sample_weight : array_like (N,) of floats >= 0, optional
            How much each row counts: a batch's loss is the weighted mean. Rows of weight 0 are left out.
        class_weight : mapping of class to float >= 0, or "balanced", optional
            How much the rows of each class count, 1 where it is not said; multiplies sample_weight. "balanced":
            N / (K times the rows of the class), for the K classes that there are. Rows that are held out of x keep
            their weights; validation data of its own has those that come with it.
        clip_norm : float > 0, optional
            Scale the gradient of all parameters together down to this Euclidean norm where it is longer.
        checkpoint : path-like or Checkpoint, optional
            Where to save the run after each epoch. If there is a checkpoint of the same run, training goes on from it
            and ends with the same bits as if it had not been interrupted.

        Returns
        -------
        History

        Raises
        ------
        ValueError, TypeError
            Data, targets or settings that are not valid; the network is unchanged then.

        Warns
        -----
        DeadUnitsWarning
            When more than a tenth of a layer's units are dead in an epoch of a hundred rows or more; once per layer.
        DivergenceWarning
            When the loss of an epoch is not finite; once.

        Notes
        -----
        A callback may also have methods ``start(network)`` and ``finish(network)``, called before the first and after
        the last epoch, even one that was interrupted; ``finish`` only if ``start`` was called, and in the reverse
        order. With methods ``state()`` and ``set_state(values, arrays)`` as EarlyStopping has them it is part of a
        checkpoint.
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

    # Transfer --------------------------------------------------------------------------------------------------------
    def freeze(self, *names: str) -> None:
        """Let training leave these layers as they are, from the next ``fit`` or ``Trainer`` on.

        Parameters
        ----------
        *names : str
            Of ``named_layers``; that of a residual block stands for all in it.
        """
        if not names:
            raise ValueError(message("layer", "names of layers", "none"))
        self._frozen |= self._expand(names)

    def unfreeze(self, *names: str) -> None:
        """Let training change these layers again; without names, all."""
        self._frozen -= self._expand(names or tuple(self.named_layers))

    def _expand(self, names: tuple[str, ...]) -> frozenset[str]:
        for name in names:
            if name not in self.named_layers:
                raise _checks.unknown("layer", name, self.named_layers)
        return frozenset(inner for name in names for inner in self._structure.within(name))

    def replace_head(self, head: Layer, *, seed: int | None = None) -> Sequential:
        """A network with the same layers and parameters but for the last layer, which is a new one.

        Parameters
        ----------
        head : Layer
            Dense, Maxout, Gaussian or any other that a network may end with.
        seed : int >= 0, optional
            Fixes its initial parameters.

        Returns
        -------
        Sequential
            A copy; nothing in it is frozen.
        """
        net = Sequential([*self.layers[:-1], head], dtype=self.compute_dtype, seed=seed, device=self.device)
        kept = [name for name in self.parameters if not name.startswith(f"{self._structure.last_name}.")]
        for name in kept:
            net.parameters[name] = self.parameters[name]
        return net

    # In another place or number format --------------------------------------------------------------------------------
    def to(self, device: str, dtype: Any = None) -> Sequential:
        """The same network on another device, as a copy with the same parameters, and the same layers frozen.

        Parameters
        ----------
        device : {"cpu", "cuda"}
            "cuda" is CuPy's current GPU.
        dtype : optional
            What it computes in there, one that ``Sequential`` takes; by default the same, or float32 where the device
            has it not.

        Returns
        -------
        Sequential

        Raises
        ------
        ValueError
            Another device or dtype.
        RuntimeError
            CUDA is off; the message says why.
        """
        if dtype is None:
            known = self.compute_dtype in select.named(device).compute_dtypes
            dtype = self.compute_dtype if known else _checks.sum_type(self._dtype)
        net = self._restored(self.layers, dtype, self._tensors(), device)
        net._frozen = self._frozen
        return net

    def astype(self, dtype: Any) -> Sequential | InferenceNetwork:
        """The same network in another number format, as a copy.

        Parameters
        ----------
        dtype : {"float32", "float64", "bfloat16"}, or on a GPU any that ``Sequential`` takes there
            bfloat16 halves the weights' bytes and is for inference only on the CPU; ml_dtypes' type is taken for it as
            well.

        Returns
        -------
        Sequential or InferenceNetwork
            On the CPU for bfloat16 the latter: weights rounded to it (from float64 by way of float32), biases,
            slopes and activations in float32.

        Raises
        ------
        ValueError
            Another dtype; an activation's parameter that is infinite in float32.
        """
        if self.device != CPU.name:
            return self._converted(dtype)
        if _checks.is_bfloat16(dtype):
            return bfloat16(self._in_float32())
        name = _checks.dtype(dtype, "'float32', 'float64' or 'bfloat16' (quantize() makes int8)").name
        return self._converted(name)

    def quantize(self, calibration_x: ArrayLike) -> InferenceNetwork:
        """The same network with int8 weights and 8-bit inputs of every layer, for inference.

        Parameters
        ----------
        calibration_x : array_like (B, *shape) or (B, I)
            Typical inputs, some hundred rows: they set the range that the inputs of every layer are rounded in, and cut
            to. A training set's first rows do, in random order.

        Returns
        -------
        InferenceNetwork
            With a scale for each layer's inputs and for each output's weights, chosen so that nothing calibrated on is
            cut; biases, slopes and activations in float32.

        Raises
        ------
        ValueError
            No rows, or values that are not finite, here or where they enter a layer; weights that are not finite; a
            layer of more than 65536 inputs, whose sums 32 bits may not hold.
        TypeError
            The network is on a GPU.
        """
        self._on_cpu("quantize")
        CPU.require(calibration_x=calibration_x)
        x = CPU.network_input(calibration_x, self.input.shape, FLOAT32, "calibration_x")
        return int8(self._in_float32(), x)

    def _in_float32(self) -> Sequential:
        return self if self.dtype == FLOAT32 else self._converted(FLOAT32)

    def _converted(self, dtype: Any) -> Sequential:
        """The same network where it is, in another of the number formats that it is trained in there."""
        return self._restored(self.layers, dtype, self.parameters, self.device)

    # On paper --------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        lines = (f"    {layer!r}," for layer in self.layers)
        where = "" if self.device == CPU.name else f", device={self.device!r}"
        return "\n".join(("Sequential([", *lines, f"], dtype={self.compute_dtype!r}{where})"))

    def __reduce__(self) -> tuple[Any, ...]:
        made_of = (self.layers, self.compute_dtype, self._tensors(), self.device)
        return self._restored, made_of, {"_frozen": self._frozen}
