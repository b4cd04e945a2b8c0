"""Networks on disk, of both kinds."""

from __future__ import annotations

import os

from .._network import file_format
from .._network.network import Network
from .inference import InferenceNetwork
from .sequential import Sequential


def load(path: str | os.PathLike[str]) -> Network:
    """Read a network that ``Sequential.save`` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Sequential or InferenceNetwork
        Answers with the same bits as the network that was saved.

    Raises
    ------
    ValueError
        The file is truncated, changed, not ours, or of a later format; the message says which.
    OSError
        There is no such file, or it cannot be read.
    """
    with open(path, "rb"):  # so that what the system has against the path is said in its own words
        pass
    try:
        stored = file_format.read(os.fsdecode(path))
        if stored.compute_dtype == stored.dtype:
            return Sequential._restored(stored.layers, stored.dtype, stored.tensors)
        return InferenceNetwork._restored(stored.layers, stored.compute_dtype, stored.tensors)
    except ValueError as error:
        raise ValueError(f"{os.fsdecode(path)!r} holds no fnnfast network: {error}") from error.__cause__
