"""Training: single steps, the loop over epochs, callbacks, checkpoints and histories."""

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
