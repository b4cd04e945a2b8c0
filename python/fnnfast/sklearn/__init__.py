"""Networks as scikit-learn estimators (extra "sklearn"): change the import, keep the code."""

from .._extras import needs

_TEXT = "the estimators need scikit-learn 1.6 or newer, and SciPy: pip install 'fnnfast[sklearn]'"
with needs("sklearn", _TEXT), needs("scipy", _TEXT):
    from ._classifier import FNNClassifier
    from ._regressor import FNNRegressor

__all__ = ["FNNClassifier", "FNNRegressor"]
