"""Operations in a row as few layers as they can be: scales and activations join the layers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ._operations import Border, Placed, Scale


def fold(chain: Sequence[Placed]) -> tuple[list[Placed], list[str]]:
    """A chain that computes the same without scales, and what became of each."""
    folded: list[str] = []
    settled = []
    for operation, place, inputs in _joined(chain, folded):
        settled.append(Placed(operation.settled(inputs, place), place, inputs))
        if isinstance(operation, Scale):
            folded.append(f"{place}: a BatchNorm, since no layer beside it can take it")
    return _joined(settled, []), folded


def _joined(chain: Sequence[Placed], folded: list[str]) -> list[Placed]:
    done: list[Placed] = []
    for item in chain:
        operation = item.operation
        if isinstance(operation, Border) and done and done[-1].operation.not_negative:
            item = item._replace(operation=replace(operation, after_not_negative=True))
        done.append(item)
        while _join_last(done, folded):
            pass
    return done


def _join_last(done: list[Placed], folded: list[str]) -> bool:
    """Make one of the last operation and the one before it, if there is such a one."""
    item = done[-1]
    index = next((i for i in reversed(range(len(done) - 1)) if not done[i].operation.passive), None)
    if index is None or item.operation.passive:
        return False
    before = done[index]
    scales = [(placed, placed.operation) for placed in (before, item) if isinstance(placed.operation, Scale)]
    if not scales and index < len(done) - 2:
        return False  # only a scale may pass by what is passive: training would see the difference for others
    one = item.operation.joined(before.operation)
    if one is None:
        return False
    layer = item if isinstance(before.operation, Scale | Border) else before
    if len(scales) == 1:
        scale, operation = scales[0]
        if layer is item or operation.scale is not None:  # else it is the layer's bias
            folded.append(f"{scale.place}: folded into {layer.place}")
    joined = Placed(one, layer.place, before.inputs)
    if layer is item:
        del done[index]
        done[-1] = joined
    else:
        del done[-1]
        done[index] = joined
    return True
