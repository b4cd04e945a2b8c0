"""Networks as scikit-learn estimators (extra "sklearn"): change the import, keep the code."""

from ._classifier import FNNClassifier
from ._regressor import FNNRegressor

__all__ = ["FNNClassifier", "FNNRegressor"]
