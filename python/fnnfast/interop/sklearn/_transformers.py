"""Transformers before an estimator that are a scale or another affine map, one function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..._checks import FLOAT64, Array
from .._errors import refusal
from .._operations import Operation, Scale
from .._products import Affine


def _standard_scaler(place: str, scaler: Any) -> Scale:
    return _centered(scaler.mean_ if scaler.with_mean else None, scaler.scale_)


def _robust_scaler(place: str, scaler: Any) -> Scale:
    return _centered(scaler.center_, scaler.scale_)


def _centered(mean: Array | None, scale: Array | None) -> Scale:
    """(x - mean) / scale."""
    factor = None if scale is None else 1 / scale.astype(FLOAT64)
    if mean is None:
        return Scale(factor)
    shift = -mean.astype(FLOAT64)
    return Scale(factor, shift if factor is None else shift * factor)


def _min_max_scaler(place: str, scaler: Any) -> Scale:
    _refuse_clip(place, scaler)
    return Scale(scaler.scale_.astype(FLOAT64), scaler.min_.astype(FLOAT64))


def _max_abs_scaler(place: str, scaler: Any) -> Scale:
    _refuse_clip(place, scaler)
    return Scale(1 / scaler.scale_.astype(FLOAT64))


def _refuse_clip(place: str, scaler: Any) -> None:
    if getattr(scaler, "clip", False):
        raise refusal(place, "clip=True, which no layer does", "clip=False", "fit the pipeline again with it")


def _pca(place: str, pca: Any) -> Affine:
    weight = pca.components_.T.astype(FLOAT64)
    if pca.whiten:
        deviation = np.sqrt(pca.explained_variance_)
        weight = weight / np.maximum(deviation, np.finfo(deviation.dtype).eps)
    return Affine(weight, -pca.mean_.astype(FLOAT64) @ weight)


def _truncated_svd(place: str, svd: Any) -> Affine:
    return Affine(svd.components_.T.astype(FLOAT64))


TRANSFORMERS: dict[str, Callable[[str, Any], Operation]] = {
    "MaxAbsScaler": _max_abs_scaler,
    "MinMaxScaler": _min_max_scaler,
    "PCA": _pca,
    "RobustScaler": _robust_scaler,
    "StandardScaler": _standard_scaler,
    "TruncatedSVD": _truncated_svd,
}
"""By the name of the class; the function takes the place, for errors, and the fitted transformer."""


def undone(scale: Scale) -> Scale:
    """The inverse of a scale: (y - shift) / scale."""
    factor = np.ones(1) if scale.scale is None else 1 / scale.scale
    return Scale(factor, None if scale.shift is None else -scale.shift * factor)
