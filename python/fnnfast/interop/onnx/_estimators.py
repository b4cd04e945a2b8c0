"""Estimators of fnnfast.sklearn with scikit-learn's outputs: labels and probabilities."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..._checks import Array
from ..._models.sequential import Sequential
from ._writer import Writer

INT64, STRING = 7, 8
_SKLEARN = "fnnfast.sklearn"


class Output(NamedTuple):
    """A value of the graph that becomes an output."""

    value: str
    name: str
    kind: int
    shape: list[Any]


@dataclass(frozen=True)
class Estimator(ABC):
    """What to write of an estimator after its network.

    Attributes
    ----------
    network : Sequential
    """

    network: Sequential

    @abstractmethod
    def outputs(self, writer: Writer, y: str, probabilities: bool) -> Sequence[Output]:
        """The outputs from those of the network; y are its logits where probabilities is False."""


@dataclass(frozen=True)
class Regressor(Estimator):
    """count: of targets; the network may give more numbers. exponential: of Poisson regression."""

    count: int
    exponential: bool

    def outputs(self, writer: Writer, y: str, probabilities: bool) -> Sequence[Output]:
        if self.network.outputs != self.count:  # the logarithms of precisions follow
            ends = [writer.tensor(name, np.array([n], np.int64)) for name, n in (("first", 0), ("last", self.count))]
            y = writer.node("Slice", y, *ends, writer.tensor("columns", np.array([1], np.int64)))
        if self.exponential:
            y = writer.node("Exp", y)
        return [Output(y, "variable", writer.float_type, ["B", self.count])]


@dataclass(frozen=True)
class Classifier(Estimator):
    """A classifier with an output for each class, or for each label, or a single one.

    logistic: whether the network ends in probabilities of single classes; hinge: in none.
    """

    classes: Array
    multilabel: bool
    logistic: bool
    hinge: bool

    def outputs(self, writer: Writer, y: str, probabilities: bool) -> Sequence[Output]:
        single = self.network.outputs == 1 and not self.multilabel
        if single or self.multilabel:
            border = 0.5 if self.logistic and probabilities else 0.0
            codes = writer.node("Cast", writer.node("Greater", y, writer.number(border)), to=INT64)
            if single:
                codes = writer.node("Reshape", codes, writer.tensor("rows", np.array([-1], np.int64)))
        else:
            codes = writer.node("ArgMax", y, axis=1, keepdims=0)
        label = Output(codes, "label", INT64, ["B", self.network.outputs])
        if not self.multilabel:
            classes, kind = self._classes(single)
            label = Output(writer.node("Gather", writer.tensor("classes", classes), codes), "label", kind, ["B"])
        if self.hinge:
            return [label, Output(y, "scores", writer.float_type, ["B", self.network.outputs])]
        if not probabilities:
            return [label, Output(y, "logits", writer.float_type, ["B", self.network.outputs])]
        if single:
            y = writer.node("Concat", writer.node("Sub", writer.number(1), y), y, axis=1)
        columns = 2 if single else self.network.outputs
        return [label, Output(y, "probabilities", writer.float_type, ["B", columns])]

    def _classes(self, single: bool) -> tuple[Array, int]:
        """The classes as a tensor holds them, and the number of its type."""
        classes = self.classes
        if single and len(classes) == 1:
            classes = np.repeat(classes, 2)  # of a single class there is no second
        if classes.dtype.kind in "biu":
            return classes.astype(np.int64), INT64
        if classes.dtype.kind == "f" and (classes == np.rint(classes)).all():
            return classes.astype(np.int64), INT64
        return np.array([str(one) for one in classes.tolist()], object), STRING


def describe(estimator: Any) -> Estimator | None:
    """What to write of an object, None if it is no estimator of fnnfast.sklearn; NotFittedError without a network.

    That module is not imported here: without it there is no such estimator.
    """
    module = sys.modules.get(_SKLEARN)
    if module is None or not isinstance(estimator, (module.FNNClassifier, module.FNNRegressor)):
        return None
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator)
    if isinstance(estimator, module.FNNRegressor):
        return Regressor(estimator.network_, estimator.n_outputs_, estimator.out_activation_ == "exp")
    return Classifier(
        estimator.network_,
        np.asarray(estimator.classes_),
        estimator._multilabel,
        estimator.out_activation_ == "logistic",
        not hasattr(estimator, "predict_proba"),
    )
