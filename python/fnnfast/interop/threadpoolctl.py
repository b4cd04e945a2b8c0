"""Let threadpoolctl, and packages that use it (joblib, scikit-learn), limit the threads of fnnfast."""

from .. import _public
from .._threadpoolctl import register

__all__ = ["register"]

_public.publish(__name__, globals(), __all__)
