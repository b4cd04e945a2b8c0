"""Estimators of scikit-learn in, with the scalers of their pipelines; scikit-learn is imported by the first call."""

from ... import _public
from ._import import from_sklearn

__all__ = ["from_sklearn"]

_public.publish(__name__, globals(), __all__)
