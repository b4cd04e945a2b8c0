"""The contenders of the benchmark, by name."""

from .base import Peer, Variant
from .jax import Jax
from .onnx import OnnxRuntime
from .openvino import OpenVino
from .own import Fnnfast, FnnfastFloat32, FnnfastFrozen, Numpy
from .sklearn import ScikitLearn
from .torch import Torch, TorchCompiled

__all__ = ["Fnnfast", "Numpy", "Peer", "Variant", "all_peers", "get"]


def all_peers() -> tuple[Peer, ...]:
    """Every contender, fnnfast first."""
    others = Numpy(), Torch(), TorchCompiled(), OnnxRuntime(), OpenVino(), Jax(), ScikitLearn()
    return Fnnfast(), *others, FnnfastFrozen(), FnnfastFloat32()


def get(name: str) -> Peer:
    """The contender of that name."""
    for peer in all_peers():
        if peer.name == name:
            return peer
    raise ValueError(f"expected a contender out of {', '.join(p.name for p in all_peers())}, got {name!r}")
