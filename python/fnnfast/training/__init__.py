"""Training: the single step, the loop over epochs, what it records and what may stop it."""

from .. import _public
from ._callbacks import Callback, EarlyStopping
from ._checkpoint import Checkpoint
from ._history import History
from ._loop import DeadUnitsWarning, DivergenceWarning, evaluate, fit
from ._trainer import Trainer

__all__ = [
    "Callback",
    "Checkpoint",
    "DeadUnitsWarning",
    "DivergenceWarning",
    "EarlyStopping",
    "History",
    "Trainer",
    "evaluate",
    "fit",
]

_public.publish(__name__, globals(), __all__)
