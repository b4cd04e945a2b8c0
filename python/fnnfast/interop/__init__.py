"""Models from and for other packages; each is imported only when it is used."""

from __future__ import annotations

from .. import _public
from .._network.conversion import Conversion
from ._errors import ConversionError

__all__ = ["Conversion", "ConversionError", "register_skl2onnx"]


def register_skl2onnx() -> None:
    """Let skl2onnx convert FNNClassifier and FNNRegressor, also inside pipelines; once is enough, more does no harm.

    The outputs are those of MLPClassifier and MLPRegressor.

    Raises
    ------
    ModuleNotFoundError
        skl2onnx is not installed, or scikit-learn.

    Examples
    --------
    >>> import fnnfast.interop
    >>> fnnfast.interop.register_skl2onnx()                     # doctest: +SKIP
    >>> skl2onnx.to_onnx(pipeline, X[:1].astype("float32"))     # doctest: +SKIP
    """
    from .onnx._skl2onnx import register

    register()


_public.publish(__name__, globals(), __all__)
