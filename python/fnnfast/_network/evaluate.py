"""How good outputs are."""

from __future__ import annotations

from .. import _checks, _cpu
from .._checks import Array
from ..activations import Activation
from ..losses import Loss
from .data import Data


def measure(loss: Loss, head: Activation, outputs: Array, data: Data) -> dict[str, float]:
    """Mean loss ("loss") and score ("accuracy" or "r2") of outputs, or of logits where the loss takes those.

    Both are on the host, and data's x is not looked at.
    """
    data = data._replace(x=outputs).without_zeros()
    outputs = data.x
    precision = loss.precision_array(outputs.shape[1], outputs.dtype)
    weights = None if data.weights is None else _checks.fit(_checks.relative(data.weights)[0], outputs.dtype)
    value = _cpu.loss_value(loss.kernel, outputs, data.targets, precision, weights)
    if loss.from_logits:
        outputs = head(outputs)  # cheaper than a second pass, with the same bits
    return {"loss": value, loss.metric: loss.score(outputs, data.targets, head, weights)}
