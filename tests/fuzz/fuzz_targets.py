"""All that is fuzzed, by name: a function of the bytes, and inputs to begin with."""

import random
from collections.abc import Callable

import fuzz_arguments
import fuzz_converters
import fuzz_files
import fuzz_networks
import fuzz_operations
from fuzz_source import Source

TARGETS: dict[str, Callable[[Source], None]] = {
    **fuzz_operations.TARGETS,
    **fuzz_networks.TARGETS,
    **fuzz_arguments.TARGETS,
    **fuzz_files.TARGETS,
    **fuzz_converters.TARGETS,
}
LONGEST = dict.fromkeys(fuzz_files.TARGETS, 6000)
"""Bytes of an input, where that is not 400."""


def prepare(target: str) -> None:
    """What has to be done once."""
    if target in fuzz_files.TARGETS:
        fuzz_files.prepare()
    if target in fuzz_converters.TARGETS:
        fuzz_converters.prepare()


def seeds(target: str) -> list[bytes]:
    """Inputs of a few lengths."""
    files = fuzz_files.seeds(target) if target in fuzz_files.TARGETS else []
    return [b"", *files, *(random.Random(number).randbytes(40 + 20 * number) for number in range(8))]


def run(target: str, data: bytes) -> None:
    TARGETS[target](Source(data))
