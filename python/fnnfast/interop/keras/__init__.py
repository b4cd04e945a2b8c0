"""Keras 3 models in; .keras files are read without Keras (extra "keras")."""

from ... import _public
from ._import import from_keras

__all__ = ["from_keras"]

_public.publish(__name__, globals(), __all__)
