"""Reading networks of both kinds from files."""

from __future__ import annotations

import os

from .. import _checks
from .._network import file_format
from .._network.tensors import MIXED_BFLOAT16
from .inference import InferenceNetwork
from .sequential import Sequential


def load(path: str | os.PathLike[str]) -> Sequential | InferenceNetwork:
    """Read a network that ``Sequential.save`` wrote.

    Parameters
    ----------
    path : path-like
        The file to read.

    Returns
    -------
    Sequential or InferenceNetwork
        A network on the CPU. Its outputs have the same bits as those of the saved network.

    Raises
    ------
    ValueError
        If the file is truncated, changed, not a fnnfast network, or of a later format; the message says which.
    TypeError
        If path is not a path, such as the number of an open file.
    OSError
        If the file does not exist or cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(3, "softmax")], seed=0)
    >>> net.save("net.safetensors")
    >>> copy = fnn.load("net.safetensors")
    >>> np.array_equal(copy([[1, 2, 3, 4]]), net([[1, 2, 3, 4]]))
    True
    """
    path = _checks.path("path", path)
    try:
        stored = file_format.read(path)
        if stored.compute_dtype in (stored.dtype, MIXED_BFLOAT16):
            dtype = stored.dtype if stored.compute_dtype == stored.dtype else "bfloat16"
            return Sequential._restored(stored.layers, dtype, stored.tensors)
        return InferenceNetwork._restored(stored.layers, stored.compute_dtype, stored.tensors)
    except ValueError as error:
        raise ValueError(f"{path!r} holds no fnnfast network: {error}") from error.__cause__
