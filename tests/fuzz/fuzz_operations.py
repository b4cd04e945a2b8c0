"""The kernels as functions, and activations as objects, on arrays of every dtype, shape and form."""

from typing import Any

import numpy as np

import fnnfast as fnn
import oracles
from factories import DIFFERENTIABLE, JUMPS
from fnnfast import reference
from fuzz_source import (
    Array,
    Drawn,
    FaultError,
    Source,
    activation,
    agree,
    computed_in,
    numbers,
    outcome,
    plain,
    same,
    size,
    unreal,
    within,
)


def spoilt(source: Source, drawn: dict[str, Drawn]) -> dict[str, Drawn]:
    """Now and then an array of another shape, or of no real numbers."""
    if source.one_in(8):
        name = source.choice(list(drawn))
        shape = tuple(source.integer(0, 3) for _ in range(source.integer(0, 4)))
        drawn = {**drawn, name: numbers(source, shape)}
    elif source.one_in(16):
        name = source.choice(list(drawn))
        drawn = {**drawn, name: Drawn(unreal(source, drawn[name].array.shape), False)}
    return drawn


def run(source: Source, what: str, call: Any, drawn: dict[str, Drawn], fixed: tuple[str, ...] = ()) -> Any:
    """The result for those arrays, which is that for plain copies; None where an array is of no use.

    fixed are the arrays whose dtype is not converted.
    """
    good = drawn
    drawn = spoilt(source, drawn)
    arrays = {name: value.array for name, value in drawn.items()}
    given = {name: value.value for name, value in drawn.items()}
    real = all(a.dtype.kind in "biuf" or a.dtype.name == "bfloat16" for a in arrays.values())
    if not real:
        error = outcome(lambda: call(**given))
        if not isinstance(error, (TypeError, ValueError)):
            raise FaultError(f"{what}: took an array of no real numbers")
        return None
    dtype = computed_in(*(array for name, array in arrays.items() if name not in fixed))
    copies = {name: array.copy() if name in fixed else plain(array, dtype) for name, array in arrays.items()}
    result = agree(what, call, given, copies)
    if isinstance(result, Exception):
        if drawn is good:
            raise FaultError(f"{what}: refused good arrays: {result}") from result
        return None
    return result, copies, all(value.moderate for value in drawn.values()), dtype


def into(source: Source, what: str, call: Any, result: Array, copies: dict[str, Any], dtype: Any) -> None:
    """The same with an ``out`` of some form: refused, and nothing changed, or filled with the same bits."""
    kind = source.integer(0, 9)
    shape = result.shape
    memory = np.full(result.size + 8, 7, dtype)
    good = memory[: result.size].reshape(shape)
    if not shape and kind in (3, 4):
        kind = 1  # an element would be a number
    match kind:
        case 0:
            return
        case 1:
            out: Any = good
        case 2:
            out = np.full(shape[::-1], 7, dtype).T
        case 3:
            out = np.full(tuple(2 * n + 1 for n in shape), 7, dtype)[tuple(slice(1, None, 2) for _ in shape)]
        case 4:
            out = np.full(shape, 7, dtype)[tuple(slice(None, None, -1) for _ in shape)]
        case 5:
            out = np.full(result.nbytes + 1, 0, np.uint8)[1:].view(dtype).reshape(shape)
        case 6:
            out = good.astype(source.choice(["float16", "int32", "float64" if dtype == np.float32 else "float32"]))
        case 7:
            out = good.copy()
            out.flags.writeable = False
        case 8:
            out = np.full((*shape, 1), 7, dtype) if source.one_in(2) else np.full((3, *shape), 7, dtype)
        case _:
            out = _overlapping(source, copies, result, dtype)
    overlaps = any(np.shares_memory(out, value) for value in copies.values())
    in_place = "z" in copies and out.ctypes.data == copies["z"].ctypes.data
    before = {name: value.copy() for name, value in copies.items() if value is not None}
    kept = out.copy()
    got = outcome(lambda: call(**copies, out=out))
    if isinstance(got, Exception):
        if kind < 6 or (kind == 9 and (in_place or not overlaps)):
            raise FaultError(f"{what}: refused a good out: {got}") from got
        same(out, kept, f"{what}: a refused out")
    else:
        if (kind in (6, 7, 8) and result.size) or (overlaps and not in_place):
            raise FaultError(f"{what}: took an out of kind {kind}")
        if got is not out:
            raise FaultError(f"{what}: returned another array than out")
        same(np.array(out, order="C"), result, f"{what} with out")
        if (memory[result.size :] != 7).any():
            raise FaultError(f"{what}: wrote past out")
    if not in_place:
        for name, value in before.items():
            same(copies[name], value, f"{what} with out: {name}")


def _overlapping(source: Source, copies: dict[str, Any], result: Array, dtype: Any) -> Array:
    """An out that begins in an operand's memory; the operand is moved there."""
    name = source.choice([key for key, value in copies.items() if value is not None])
    operand = copies[name]
    memory = np.full(operand.size + result.size + 8, 7, dtype)
    copies[name] = memory[: operand.size].reshape(operand.shape)
    copies[name][...] = operand
    start = source.integer(0, operand.size)
    return memory[start : start + result.size].reshape(result.shape)


def flat(array: Array) -> Array:
    """As rows, also if there is nothing in them."""
    return array.reshape(int(np.prod(array.shape[:-1])), array.shape[-1])


# Dense and maxout ----------------------------------------------------------------------------------------------------
def dense(source: Source) -> None:
    leading = tuple(size(source) if i == 0 else source.integer(0, 3) for i in range(source.integer(0, 3)))
    inputs, units = size(source), size(source)
    names = ("x", "weight", "bias") if source.one_in(2) else ("x", "weight")
    shapes = {"x": (*leading, inputs), "weight": (inputs, units), "bias": (units,)}
    drawn = {name: numbers(source, shapes[name]) for name in names}
    name, f, parameter = activation(source, units, computed_in(*(value.array for value in drawn.values())))
    found = run(source, f"dense {name}", lambda **a: fnn.dense(**a, activation=f), drawn)
    if found is None:
        return
    y, copies, moderate, dtype = found
    if y.dtype != dtype:
        raise FaultError(f"dense: computed in {y.dtype}, expected {dtype}")
    x, weight, bias = copies["x"], copies["weight"], copies.get("bias")
    if moderate and y.size and name not in JUMPS and weight.shape[1] == units and name != "exponential":
        rows = flat(x)
        expected = reference.dense(rows, weight, bias, name, parameter)
        tolerance = oracles.dense_tolerance(rows, weight, bias, name, parameter)
        within(f"dense {name}", flat(y), expected, tolerance)
    into(source, f"dense {name}", lambda **a: fnn.dense(**a, activation=f), y, copies, dtype)
    if name not in DIFFERENTIABLE:
        return
    forward, saved = fnn.dense_forward(**copies, activation=f)
    same(forward, y, f"dense_forward {name}")
    dy = numbers(source, y.shape)
    drawn = {"dy": dy, "x": Drawn(x, moderate), "weight": Drawn(weight, moderate), "saved": Drawn(saved, moderate)}
    run(source, f"dense_backward {name}", lambda **a: fnn.dense_backward(**a, activation=f), drawn)


def maxout(source: Source) -> None:
    leading = tuple(size(source) if i == 0 else source.integer(0, 3) for i in range(source.integer(0, 3)))
    pieces, inputs, units = source.choice([1, 2, 3, 4, 5, 9, 256, 257]), source.integer(0, 9), size(source)
    if pieces > 9:
        units = min(units, 9)
    names = ("x", "weight", "bias") if source.one_in(2) else ("x", "weight")
    shapes = {"x": (*leading, inputs), "weight": (pieces, inputs, units), "bias": (pieces, units)}
    found = run(source, "maxout", fnn.maxout, {name: numbers(source, shapes[name]) for name in names})
    if found is None:
        return
    y, copies, moderate, dtype = found
    x, weight, bias = copies["x"], copies["weight"], copies.get("bias")
    if moderate and y.size:
        rows = flat(x)
        expected = reference.maxout(rows, weight, bias)
        within("maxout", y.reshape(expected.shape), expected, oracles.maxout_tolerance(rows, weight, bias))
    into(source, "maxout", fnn.maxout, y, copies, dtype)
    if len(weight) > 256:
        if not isinstance(outcome(lambda: fnn.maxout_forward(**copies)), ValueError):
            raise FaultError("maxout_forward took 257 pieces")
        return
    forward, saved = fnn.maxout_forward(**copies)
    same(forward, y, "maxout_forward")
    if source.one_in(4) and saved.size:
        saved = saved.copy()
        saved.reshape(-1)[source.integer(0, saved.size - 1)] = source.integer(0, 255)
        if saved.max() >= len(weight):
            if not isinstance(outcome(lambda: fnn.maxout_backward(y, x, weight, saved)), ValueError):
                raise FaultError("maxout_backward took an index of no piece")
            return
    drawn = {
        "dy": numbers(source, y.shape),
        "x": Drawn(x, moderate),
        "weight": Drawn(weight, moderate),
        "saved": Drawn(saved, moderate),
    }
    run(source, "maxout_backward", fnn.maxout_backward, drawn, fixed=("saved",))


# Convolutions --------------------------------------------------------------------------------------------------------
def pair(source: Source, low: int, high: int) -> Any:
    one = source.integer(low, high)
    return (one, source.integer(low, high)) if source.one_in(2) else one


def padding(source: Source) -> Any:
    match source.integer(0, 4):
        case 0:
            return "valid"
        case 1:
            return "same"
        case 2:
            return source.integer(0, 3)
        case 3:
            return (source.integer(0, 3), source.integer(0, 3))
        case _:
            return ((source.integer(0, 3), source.integer(0, 3)), (source.integer(0, 3), source.integer(0, 3)))


def conv2d(source: Source) -> None:
    pieces = source.choice([None, None, None, 1, 2, 3])
    groups = 1 if pieces else source.choice([1, 1, 1, 2, 3])
    each, outputs = source.integer(1, 6), groups * source.integer(1, 9)
    kernel = source.integer(1, 3), source.integer(1, 3)
    shape = source.integer(0, 3), source.integer(0, 9), source.integer(0, 9), groups * each
    setting = {"strides": pair(source, 1, 3), "padding": padding(source), "dilation": pair(source, 1, 3)}
    shapes: dict[str, tuple[int, ...]] = {"x": shape, "weight": (*kernel, each, outputs), "bias": (outputs,)}
    if pieces:
        shapes |= {"weight": (pieces, *shapes["weight"]), "bias": (pieces, outputs)}
    names = ("x", "weight", "bias") if source.one_in(2) else ("x", "weight")
    drawn = {name: numbers(source, shapes[name]) for name in names}
    name, f, parameter = activation(source, outputs, computed_in(*(value.array for value in drawn.values())))
    if pieces:
        prefix, more = "maxout_conv2d", setting
    else:
        prefix, more = "conv2d", {**setting, "groups": groups, "activation": f}
    forward, both, backward = (getattr(fnn, prefix + suffix) for suffix in ("", "_forward", "_backward"))
    what = f"{prefix} {name} {setting} groups {groups}"
    arrays = {key: value.array for key, value in drawn.items()}
    copies = {key: plain(array, computed_in(*arrays.values())) for key, array in arrays.items()}
    if isinstance(outcome(lambda: forward(**copies, **more)), ValueError):
        if shape[1] >= 8 and shape[2] >= 8:
            raise FaultError(f"{what}: refused an image that holds a window")
        return  # no window fits
    found = run(source, what, lambda **a: forward(**a, **more), drawn)
    if found is None:
        return
    y, copies, moderate, dtype = found
    x, weight, bias = copies["x"], copies["weight"], copies.get("bias")
    if moderate and y.size and not pieces and name not in JUMPS and name != "exponential":
        expected = reference.conv2d(x, weight, bias, name, parameter, **setting, groups=groups)
        sizes = reference.conv2d(
            np.abs(x), np.abs(weight), None if bias is None else np.abs(bias), **setting, groups=groups
        )
        off = 4 * (weight[..., 0].size + 8) * oracles.eps(dtype) * (sizes + 1)
        slope = np.float64(1) if name == "softmax" else oracles.lipschitz(name, parameter)
        within(what, y, expected, off.max(axis=-1, keepdims=True) * slope)
    into(source, what, lambda **a: forward(**a, **more), y, copies, dtype)
    if not pieces and name not in DIFFERENTIABLE:
        return
    again, saved = both(**copies, **more)
    same(again, y, f"{what}, forward")
    drawn = {
        "dy": numbers(source, y.shape),
        "x": Drawn(x, moderate),
        "weight": Drawn(weight, moderate),
        "saved": Drawn(saved, moderate),
    }
    run(source, f"{what}, backward", lambda **a: backward(**a, **more), drawn, fixed=("saved",) if pieces else ())


# Activations ---------------------------------------------------------------------------------------------------------
def activations(source: Source) -> None:
    shape = tuple(size(source) if i == 0 else source.integer(0, 9) for i in range(source.integer(0, 3)))
    units = shape[-1] if shape else 1
    drawn = {"z": numbers(source, shape)}
    if source.one_in(4):  # any bits at all
        raw = np.frombuffer(source.take(4 * min(int(np.prod(shape)), 64)), np.float32)
        drawn = {"z": Drawn(np.resize(raw, shape), False)} if raw.size else drawn
    dtype = computed_in(drawn["z"].array)
    name, f, parameter = activation(source, units, dtype)
    if f.rowwise and not shape:
        return
    found = run(source, name, lambda z: f(z), drawn)
    if found is None:
        return
    y, copies, moderate, dtype = found
    if moderate and y.size and copies["z"].shape == shape and name != "exponential":
        z = copies["z"]
        expected = reference.ACTIVATIONS[name].forward(z.astype(np.float64), parameter).reshape(y.shape)
        within(name, y, expected, 64 * (8 + units) * oracles.eps(dtype) * (np.abs(z) + np.abs(expected) + 1))
    z = copies["z"].copy()
    same(f(z, out=z), y, f"{name} in place")
    into(source, name, lambda z, out: f(z, out=out), y, copies, dtype)
    if f.differentiable and not f.rowwise:
        run(source, f"{name}, derivative", f.derivative, drawn)


TARGETS = {"dense": dense, "maxout": maxout, "conv2d": conv2d, "activations": activations}
