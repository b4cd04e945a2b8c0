"""The script of a training run, which ends with the same bits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from .._checks import Array
from . import build, data
from .settings import Point, Settings

_POINTS_A_LINE = 8


def digest(parameters: Mapping[str, Array]) -> str:
    """The SHA-256 digest of parameters, as scripts print it."""
    return hashlib.sha256(b"".join(values.tobytes() for values in parameters.values())).hexdigest()


def script(settings: Settings, steps: int, changes: Sequence[tuple[int, float, float]], found: str) -> str:
    """A script that makes data and network, and trains it for so many steps.

    changes are those of learning rate and l2, with the step before which they were made, the first one at 0. found is
    the digest of the parameters that it should end with.
    """
    layers = "".join(f"    {text},\n" for text in build.layer_texts(settings))
    trained = _constant_training(settings) if len(changes) == 1 else _changed_training(changes)
    scored = "accuracy" if settings.part != "regression" else "r2"
    score = f'net.evaluate({{}}, {{}}, loss=trainer.loss)["{scored}"]'
    if settings.part == "classification" and settings.head == "squared_error":
        score = "np.mean(net.predict({}) == {})"  # evaluate would have R2 of it
    tested = "" if settings.data == "drawn" else f'print("test {scored}", {score.format("x_test", "y_test")})\n'
    return f'''"""A network of fnnfast's playground: data, layers and training are the same, and so are its weights."""

import hashlib

import numpy as np

import fnnfast as fnn

STEPS = {steps}
SEED = {settings.seed}


{_data(settings)}
layers = [
{layers}]
net = fnn.Sequential(layers, seed=SEED)
trainer = fnn.Trainer(net, {build.loss_text(settings)}, {build.optimizer_text(settings)}, l2={settings.l2!r}, seed=SEED)

# Every epoch has an order of its own, and only whole batches.
batch = min({settings.batch}, len(x))
rng = np.random.default_rng(SEED)
per_epoch = len(x) // batch
{trained}
print("training {scored}", {score.format("x", "y")})
{tested}\
weights = b"".join(values.tobytes() for values in net.parameters.values())
print("SHA-256 of the weights:", hashlib.sha256(weights).hexdigest())
# on the page: {found}
'''


def _data(settings: Settings) -> str:
    if settings.part == "digits":
        name = data.DIGITS[settings.data].__name__
        return f"""{data.source(settings.data)}

x, y = {name}()
order = np.random.default_rng(SEED).permutation(len(x))
x, y = x[order].astype(np.float32), y[order]
held_out = len(x) // 5
x_test, y_test, x, y = x[:held_out], y[:held_out], x[held_out:], y[held_out:]
"""
    if settings.data == "drawn":
        return _drawn(settings, "x, y")
    made = f"""{data.source(settings.data)}

x, y = {settings.data}({settings.rows}, {settings.noise!r}, np.random.default_rng(SEED))
x = np.clip(x, -3, 3).astype(np.float32)
half = len(x) // 2
x_test, y_test, x, y = x[half:], y[half:], x[:half], y[:half]
"""
    if settings.points:
        made += _drawn(settings, "x_drawn, y_drawn")
        made += "x, y = np.concatenate([x, x_drawn]), np.concatenate([y, y_drawn])\n"
    return made


def _drawn(settings: Settings, names: str) -> str:
    """Points drawn by hand as an array of three columns."""
    plane = settings.part == "classification"
    lines = [
        settings.points[first : first + _POINTS_A_LINE] for first in range(0, len(settings.points), _POINTS_A_LINE)
    ]
    rows = "".join(f"        {', '.join(_row(point, plane) for point in line)},\n" for line in lines)
    inputs, targets = ("points[:, :2]", "points[:, 2].astype(int)") if plane else ("points[:, :1]", "points[:, 1]")
    scaled = f"({inputs} / 100).astype(np.float32), {targets}{'' if plane else ' / 100'}"
    what = "x, y and class" if plane else "x and y"
    points = f"points = np.array(\n    [\n{rows}    ]\n)"
    return f"# Points drawn by hand: {what}, in hundredths.\n{points}\n{names} = {scaled}\n"


def _row(point: Point, plane: bool) -> str:
    return f"[{point.x}, {point.y}, {point.label}]" if plane else f"[{point.x}, {point.y}]"


def _constant_training(settings: Settings) -> str:
    return """for first in range(0, STEPS, per_epoch):
    order = rng.permutation(len(x))[: min(per_epoch, STEPS - first) * batch]
    trainer.epoch(x, y, order, batch)
"""


def _changed_training(changes: Sequence[tuple[int, float, float]]) -> str:
    """The loop where learning rate or l2 changed: a step at a time."""
    listed = "".join(f"    {step}: ({rate!r}, {l2!r}),\n" for step, rate, l2 in changes)
    return f"""changes = {{  # the step before which learning rate and l2 became these
{listed}}}
for step in range(STEPS):
    place = step % per_epoch
    if place == 0:
        order = rng.permutation(len(x))
    if step in changes:
        trainer.learning_rate, trainer.l2 = changes[step]
    rows = order[place * batch : (place + 1) * batch]
    trainer.step(x[rows], y[rows])
"""
