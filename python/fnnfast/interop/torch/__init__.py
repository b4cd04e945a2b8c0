"""PyTorch modules in and out; the package torch is imported by the first call.

``fnnfast.interop.torch.modules`` has the modules of networks that PyTorch has no modules for.
"""

from ... import _public
from ._export import to_torch
from ._import import from_torch

__all__ = ["from_torch", "to_torch"]

_public.publish(__name__, globals(), __all__)
