"""The instructions that multiply bfloat16, on this CPU or in plain C++, and the oracle of each."""

from contextlib import contextmanager

from fnnfast import _cpu, reference

EXTENSIONS = {name: isa for name, isa, number_format, _ in _cpu.extensions() if number_format == "bfloat16"}


@contextmanager
def products_by(extension):
    before = _cpu.isa()
    _cpu.use_isa(EXTENSIONS[extension])
    _cpu.use_extension(extension)
    try:
        yield extension
    finally:
        _cpu.use_extension("")
        _cpu.use_isa(before)


def oracle_of(extension):
    blocks = extension in ("amxbf16", "plain_matrix_pairs")
    return reference.matrix_pre_activation if blocks else oracle_of_pairs(extension)


def oracle_of_pairs(extension):
    """That of the instructions which multiply pairs, also beside a matrix unit."""
    odd = extension in ("neonbf16", "plain_odd_pairs")
    return reference.odd_pairs_pre_activation if odd else reference.pairs_pre_activation
