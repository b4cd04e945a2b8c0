"""to_torch."""

from __future__ import annotations

from typing import Any

from ..._checks import message
from ..._network.network import Network
from .._errors import refusal
from . import _package


def to_torch(net: Network) -> Any:
    """Return a PyTorch module with the layers and parameters of a network.

    Parameters
    ----------
    net : Sequential or InferenceNetwork
        The network. Weights in bfloat16 become float32 weights with the same values.

    Returns
    -------
    torch.nn.Sequential
        The module, on the CPU, in the dtype of the network and in eval mode. It takes rows (B, *shape) and returns
        outputs (B, O), as the network does. Call its ``train()`` before training, which turns dropout and noise on.

    Raises
    ------
    ConversionError
        If the network is int8. It is a ValueError.
    TypeError
        If ``net`` is no network.
    ModuleNotFoundError
        If PyTorch is not installed.

    See Also
    --------
    from_torch : The opposite direction.

    Notes
    -----
    The modules are those of ``torch.nn`` and, where it has none, of ``fnnfast.interop.torch.modules``. They are named
    as the layers of the network, so that the state dict has "dense_1.weight", which is (O, I) in PyTorch. The
    parameters of frozen layers have ``requires_grad=False``. A Gaussian head becomes a Linear with the outputs of the
    network, means and logarithms of precisions.

    ``from_torch(to_torch(net))`` has the same layers and the same parameters, bit for bit.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(3), fnn.Dense(4, "relu"), fnn.Dense(2)], seed=0)
    >>> fnn.to_torch(net)
    Sequential(
      (dense_1): Linear(in_features=3, out_features=4, bias=True)
      (dense_1_relu): ReLU()
      (dense_2): Linear(in_features=4, out_features=2, bias=True)
    )
    >>> fnn.from_torch(fnn.to_torch(net)).layers == net.layers
    True
    """
    _package.require()
    if not isinstance(net, Network):
        raise TypeError(message("net", "a Sequential or an InferenceNetwork", type(net).__name__))
    if net.compute_dtype == "int8":
        raise refusal(
            "net",
            "int8 weights and inputs, whose roundings PyTorch's float modules do not have",
            "float32, float64 and bfloat16",
            "convert the float32 network that it was made of",
        )
    from ._own import module_of

    return module_of(net)
