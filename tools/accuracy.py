"""Measure the float32 activations over all floats: the largest error in ulp, and where.

Usage: ``python tools/accuracy.py [NAME ...] [--every N] [--derivative]``, with fnnfast installed. Every N-th float is
tried (1: all 2^32, some ten minutes a function); the oracle is ``fnnfast.reference``, in float64. An ulp is the
distance of the floats about the exact value, at least the smallest subnormal. A derivative that crosses zero has large
relative errors there: its error is therefore also given as a share of eps.
"""

from __future__ import annotations

import argparse

import numpy as np

import fnnfast as fnn
from fnnfast import reference

BLOCK = 1 << 21
NAMES = [name for name, oracle in reference.ACTIVATIONS.items() if not oracle.rowwise and not oracle.learned]


def ulp(exact: np.ndarray) -> np.ndarray:
    """The distance between the floats about ``exact``, in float64."""
    _, exponent = np.frexp(exact)
    return np.ldexp(1.0, np.maximum(exponent - 24, -149))


def measure(name: str, every: int, derivative: bool) -> None:
    """Print one activation's largest errors."""
    activation = fnn.activations.get(name)
    oracle = reference.ACTIVATIONS[name]
    got_of = activation.derivative if derivative else activation
    exact_of = oracle.derivative if derivative else oracle.forward
    worst = (0.0, 0.0)
    absolute = (0.0, 0.0)
    for start in range(0, 1 << 32, BLOCK * every):
        bits = np.arange(start, min(start + BLOCK * every, 1 << 32), every, dtype=np.uint64).astype(np.uint32)
        z = bits.view(np.float32)
        z = z[np.isfinite(z)]
        if not z.size:
            continue
        exact = exact_of(z.astype(np.float64), oracle.default)
        with np.errstate(over="ignore"):
            finite = np.isfinite(exact.astype(np.float32))
        error = np.abs(got_of(z).astype(np.float64) - exact)
        relative = np.where(finite, error / ulp(exact), 0.0)
        at = int(relative.argmax())
        worst = max(worst, (float(relative[at]), float(z[at])))
        at = int(np.where(finite, error, 0.0).argmax())
        absolute = max(absolute, (float(error[at]), float(z[at])))
    line = f"{name:10} {worst[0]:8.3f} ulp at z = {worst[1]:.9g}"
    print(line + (f", {absolute[0] * 2**23:.3f} eps at z = {absolute[1]:.9g}" if derivative else ""), flush=True)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--derivative", action="store_true")
    options = parser.parse_args()
    for name in options.names:
        measure(name, options.every, options.derivative)


if __name__ == "__main__":
    main()
