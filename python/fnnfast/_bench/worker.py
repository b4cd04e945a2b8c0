"""The process of one contender on one problem: it answers the harness, one line of JSON for one line of JSON.

prepare    builds the problem and writes every variant's answers as .npy files
calibrate  picks the fastest variant
turn       times it once
mean       times it for as long as is asked, whatever comes between
limits     measures what the machine could do (fnnfast's process only)

It is started through ``timing.BOOT``, so that neither fnnfast nor another peer is loaded beside the one that is timed.
"""

from __future__ import annotations

import json
import math
import os
import sys
import timeit
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from . import peers, problems
from .peers import Variant


class Timed:
    """A variant under the clock."""

    def __init__(self, variant: Variant) -> None:
        self.name = variant.name
        self.best = math.inf
        self._calls = variant.calls
        self._timer = timeit.Timer(variant.statement, globals=variant.namespace)

    def number(self, seconds: float) -> int:
        """How often the statement fills that time, after the best that was seen."""
        return max(1, round(seconds / (self.best * self._calls)))

    def turn(self, seconds: float) -> float:
        """Seconds a call over about ``seconds``; a tenth as many calls go before, for threads and clocks to wake up."""
        number = self.number(seconds)
        self._timer.timeit(max(1, number // 10))
        spent = self._timer.timeit(number) / (number * self._calls)
        self.best = min(self.best, spent)
        return spent

    def mean(self, seconds: float) -> float:
        """Seconds a call over at least ``seconds``, in small lots: other work may make each call take far longer."""
        number = self.number(seconds / 1000)
        lots, spent = 0, 0.0
        while spent < seconds:
            spent += self._timer.timeit(number)
            lots += 1
        return spent / (lots * number * self._calls)

    def calibrate(self, seconds: float) -> None:
        """Find how long a call takes, over about ``seconds`` in growing steps."""
        self._timer.timeit(1)
        number, spent = 1, 0.0
        while spent < seconds / 2:
            spent = self._timer.timeit(number)
            self.best = min(self.best, spent / (number * self._calls))
            number *= 2


class Session:
    """What a process remembers between two requests."""

    def __init__(self) -> None:
        self._variants: list[Timed] = []
        self._product: Timed | None = None

    def prepare(self, peer: str, problem: str | dict[str, Any], threads: int, folder: str) -> dict[str, Any]:
        """Every variant's answers: name -> files."""
        contender, work = peers.get(peer), problems.get(problem)
        answers = {}
        for variant in contender.variants(work, threads):
            files = []
            for index, array in enumerate(variant.answers()):
                file = Path(folder) / f"{peer}-{len(self._variants)}-{index}.npy"
                np.save(file, array)
                files.append(str(file))
            answers[variant.name] = files
            self._variants.append(Timed(variant))
        return {"answers": answers}

    def calibrate(self, seconds: float) -> dict[str, Any]:
        """Keep the fastest variant; its name."""
        for variant in self._variants:
            variant.calibrate(seconds)
        self._variants = [min(self._variants, key=lambda variant: variant.best)]
        return {"variant": self._variants[0].name}

    def turn(self, seconds: float) -> dict[str, Any]:
        """Seconds a call."""
        return {"seconds": self._variants[0].turn(seconds)}

    def mean(self, seconds: float) -> dict[str, Any]:
        """Seconds a call, on average."""
        return {"seconds": self._variants[0].mean(seconds)}

    def limits(self, problem: str | dict[str, Any], threads: int, nbytes: int, seconds: float) -> dict[str, Any]:
        """FLOP/s of all threads, bytes/s of all threads, and seconds of the bare product where it is the limit."""
        work = problems.get(problem)
        cpu: Any = import_module("fnnfast._cpu")
        found = {
            "fma": cpu.measure_fma_peak(seconds),
            "bandwidth": threads * cpu.measure_read_bandwidth(nbytes, seconds),
        }
        if work.limit == "product":
            if self._product is None:
                self._product = Timed(peers.Fnnfast.bare_product(work, threads))
                self._product.calibrate(seconds)
            found["product"] = self._product.turn(seconds)
        return found


def main() -> None:
    """Serve until standard input ends."""
    # What a library prints goes to stderr; the answers go where stdout was.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    session = Session()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(session, request.pop("do"))(**request)
        except Exception as error:  # whatever a peer throws is the harness's to report
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
