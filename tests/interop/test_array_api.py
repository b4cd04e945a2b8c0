"""Tensors of PyTorch as data of the estimators, with scikit-learn's dispatch of the array API and without."""

import os
import subprocess
import sys

import pytest

CODE = """
import warnings
import numpy as np
import sklearn
import torch
from fnnfast.sklearn import FNNClassifier, FNNRegressor

warnings.simplefilter("ignore")
x = torch.from_numpy(np.random.default_rng(0).standard_normal((80, 4)))
for cls, y in ((FNNClassifier, (x[:, 0] > 0).to(torch.int64)), (FNNRegressor, x[:, 0] - x[:, 1])):
    def make():
        return cls(hidden_layer_sizes=(6,), max_iter=4, random_state=0)
    expected = make().fit(x.numpy(), y.numpy(), sample_weight=np.arange(80.0))
    for dispatch in (False, True):
        with sklearn.config_context(array_api_dispatch=dispatch):
            model = make().fit(x, y, sample_weight=torch.arange(80.0))
            got = model.predict(x)
            assert type(got) is np.ndarray
            np.testing.assert_array_equal(got, expected.predict(x.numpy()))
            assert model.score(x, y) == expected.score(x.numpy(), y.numpy())
            model.partial_fit(x, y)
            if cls is FNNClassifier:
                assert type(model.predict_proba(x)) is np.ndarray
"""


def test_tensors():
    pytest.importorskip("torch")
    # scikit-learn wants the variable before SciPy is imported.
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
