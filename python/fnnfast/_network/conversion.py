"""Where a network came from that another package made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._frozen import Frozen


class Conversion(Frozen):
    """Where a network came from, and how closely it answers like its source.

    Parameters
    ----------
    source : str
        The format, such as "ONNX".
    versions : mapping of str to str
        What wrote the model and what read it.
    check : str
        What the answers were compared with, and over how many rows.
    largest_difference : float
        The largest absolute difference between the outputs of the source and of the network.
    folded : tuple of str
        The parts of the source that became part of a layer beside them, or a layer that the source did not have.

    Notes
    -----
    ``net.converted_from`` is one for networks that a function such as ``fnnfast.from_onnx`` made. It is None for all
    others, and for copies and saved networks.
    """

    source: str
    versions: dict[str, str]
    check: str
    largest_difference: float
    folded: tuple[str, ...]

    def __init__(
        self,
        source: str,
        versions: Mapping[str, str],
        check: str,
        largest_difference: float,
        folded: Sequence[str] = (),
    ) -> None:
        self._store(
            source=source,
            versions=dict(versions),
            check=check,
            largest_difference=float(largest_difference),
            folded=tuple(folded),
        )

    def __hash__(self) -> int:
        return hash((self.source, self.check, self.largest_difference, self.folded))
