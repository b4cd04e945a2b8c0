"""Models from and for other packages; each is imported only when it is used."""

from __future__ import annotations

from .. import _public
from .._network.conversion import Conversion
from ._errors import ConversionError

__all__ = ["Conversion", "ConversionError"]

_public.publish(__name__, globals(), __all__)
