"""What a model holds that a network cannot."""

from __future__ import annotations


class ConversionError(ValueError):
    """A model that cannot be converted; the message names the place, what is supported and what to do."""


def refusal(place: str, problem: str, supported: str, advice: str = "") -> ConversionError:
    """The one form of a refusal: where, what, what would do instead, and what to do about it."""
    return ConversionError(f"{place}: {problem}; supported: {supported}" + (f"; {advice}" if advice else ""))
