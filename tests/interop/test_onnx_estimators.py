"""Estimators of fnnfast.sklearn as ONNX models, by to_onnx and by skl2onnx; and scikit-learn's own, read back."""

import subprocess
import sys

import numpy as np
import pytest

import fnnfast as fnn
import fnnfast.interop

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("sklearn")

from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from fnnfast.sklearn import FNNClassifier, FNNRegressor
from onnx_models import answers, outputs_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = 3 + 2 * RNG.standard_normal((120, 4))
SCORE = (X - 3) @ RNG.standard_normal((4, 3))
CODES = SCORE.argmax(axis=1)
TARGETS = {
    "three": CODES,
    "two": (CODES > 0).astype(int),
    "strings": np.array(["a", "b", "c"])[CODES],
    "two strings": np.array(["no", "yes"])[(CODES > 0).astype(int)],
    "booleans": CODES > 0,
    "floats": CODES.astype(float),
    "labels": (SCORE > 0).astype(int),
}


def fitted(cls, y, **settings):
    return cls(hidden_layer_sizes=(6,), max_iter=5, random_state=0, **settings).fit(X, y)


# to_onnx -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TARGETS)
def test_classifiers(name, dtype):
    estimator = fitted(FNNClassifier, TARGETS[name], dtype=dtype, activation="gelu")
    model = fnn.to_onnx(estimator)
    label, probabilities = answers(model, X.astype(dtype))
    expected = estimator.predict(X)
    np.testing.assert_array_equal(label, expected)
    assert label.shape == expected.shape
    np.testing.assert_allclose(probabilities, estimator.predict_proba(X), rtol=1e-5, atol=1e-6)
    columns = probabilities.shape[1]
    assert outputs_of(model) == {"label": ["B", 3] if name == "labels" else ["B"], "probabilities": ["B", columns]}
    assert [one.name for one in model.graph.input] == ["X"]
    label, logits = answers(fnn.to_onnx(estimator, probabilities=False), X.astype(dtype))
    np.testing.assert_array_equal(label, expected)
    np.testing.assert_allclose(logits, estimator.network_.logits(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["two", "three"])
def test_support_vector_machines(name):
    estimator = fitted(FNNClassifier, TARGETS[name], loss="hinge")
    label, scores = answers(fnn.to_onnx(estimator), X)
    np.testing.assert_array_equal(label, estimator.predict(X))
    np.testing.assert_allclose(np.squeeze(scores), estimator.decision_function(X), rtol=1e-6, atol=1e-9)


def test_a_single_class():
    estimator = fitted(FNNClassifier, np.full(len(X), "only"))
    label, _ = answers(fnn.to_onnx(estimator), X)
    np.testing.assert_array_equal(label, estimator.predict(X))


@pytest.mark.parametrize("loss", [None, "poisson", "gaussian_nll"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_regressors(loss, outputs):
    y = np.abs(SCORE[:, :outputs]) if outputs > 1 else np.abs(SCORE[:, 0])
    estimator = fitted(FNNRegressor, y, loss=loss)
    model = fnn.to_onnx(estimator)
    assert outputs_of(model) == {"variable": ["B", outputs]}
    expected = estimator.predict(X)
    np.testing.assert_allclose(answers(model, X)[0], expected.reshape(len(X), -1), rtol=1e-6, atol=1e-9)


def test_an_estimator_that_is_not_fitted():
    with pytest.raises(NotFittedError):
        fnn.to_onnx(FNNClassifier())


# skl2onnx ------------------------------------------------------------------------------------------------------------
def converted(estimator, dtype="float32", **options):
    skl2onnx = pytest.importorskip("skl2onnx")
    fnnfast.interop.register_skl2onnx()
    settings = {id(estimator): options} if options else None
    return skl2onnx.to_onnx(estimator, X[:1].astype(dtype), options=settings)


@pytest.mark.parametrize(("dtype", "zipmap"), [("float32", True), ("float32", False), ("float64", False)])
@pytest.mark.parametrize("name", ["three", "two", "strings", "two strings", "booleans"])
def test_pipelines_of_classifiers(name, zipmap, dtype):
    ours, theirs = (
        make_pipeline(StandardScaler(), cls((6,), max_iter=5, random_state=0)).fit(X, TARGETS[name])
        for cls in (FNNClassifier, MLPClassifier)
    )
    models = [converted(pipeline, dtype, zipmap=zipmap) for pipeline in (ours, theirs)]
    assert list(models[0].graph.output) == list(models[1].graph.output)
    label, probabilities = answers(models[0], X.astype(dtype))
    np.testing.assert_array_equal(label, ours.predict(X))
    if zipmap:
        probabilities = np.array([[row[value] for value in ours.classes_] for row in probabilities])
    np.testing.assert_allclose(probabilities, ours.predict_proba(X), rtol=1e-4, atol=1e-5)


def test_pipelines_of_labels():
    pipeline = make_pipeline(StandardScaler(), FNNClassifier((6,), max_iter=5, random_state=0))
    pipeline.fit(X, TARGETS["labels"])
    label, probabilities = answers(converted(pipeline, zipmap=False), X.astype("float32"))
    np.testing.assert_array_equal(label, pipeline.predict(X))
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pipelines_of_regressors(outputs, dtype):
    y = SCORE[:, :outputs] if outputs > 1 else SCORE[:, 0]
    regressor = FNNRegressor(hidden_layer_sizes=(6,), max_iter=5, random_state=0, activation="mish", maxout_pieces=2)
    pipeline = make_pipeline(StandardScaler(), regressor).fit(X, y)
    model = converted(pipeline, dtype)
    assert list(outputs_of(model)) == ["variable"]
    answer = answers(model, X.astype(dtype))[0]
    np.testing.assert_allclose(answer, pipeline.predict(X).reshape(len(X), -1), rtol=1e-4, atol=1e-5)


def test_integers_and_two_estimators_in_one_graph():
    from sklearn.ensemble import VotingClassifier

    pytest.importorskip("skl2onnx")
    members = [(str(n), FNNClassifier((n,), max_iter=3, random_state=0)) for n in (3, 4)]
    voting = VotingClassifier(members, voting="soft", flatten_transform=False).fit(np.rint(X), TARGETS["three"])
    answer = answers(converted(voting, "int64", zipmap=False), np.rint(X).astype(np.int64))
    np.testing.assert_array_equal(answer[0], voting.predict(np.rint(X)))
    np.testing.assert_allclose(answer[1], voting.predict_proba(np.rint(X)), rtol=1e-4, atol=1e-5)


def test_without_skl2onnx():
    code = """if True:
        import sys
        sys.modules["skl2onnx"] = None
        import fnnfast.interop
        try:
            fnnfast.interop.register_skl2onnx()
        except ModuleNotFoundError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "register_skl2onnx needs the package skl2onnx: pip install skl2onnx\n"


# scikit-learn's own models -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler])
@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("name", ["three", "two", "two strings"])
def test_classifiers_of_scikit_learn(name, zipmap, scaler):
    pipeline = make_pipeline(scaler(), MLPClassifier((6,), max_iter=5, random_state=0)).fit(X, TARGETS[name])
    net = fnn.from_onnx(converted(pipeline, zipmap=zipmap))
    assert net.layers == (fnn.Input(4), fnn.Dense(6, "relu"), fnn.Dense(3 if name == "three" else 2, "softmax"))
    np.testing.assert_allclose(net(X), pipeline.predict_proba(X), rtol=1e-4, atol=1e-5)


def test_regressors_of_scikit_learn():
    regressor = MLPRegressor(hidden_layer_sizes=(6,), max_iter=5, random_state=0, activation="tanh")
    pipeline = make_pipeline(StandardScaler(), regressor).fit(X, SCORE[:, 0])
    net = fnn.from_onnx(converted(pipeline))
    assert net.layers == (fnn.Input(4), fnn.Dense(6, "tanh"), fnn.Dense(1))
    np.testing.assert_allclose(net(X)[:, 0], pipeline.predict(X), rtol=1e-4, atol=1e-5)
    assert len(net.converted_from.folded) == 1


def test_an_estimator_of_ours_comes_back():
    estimator = fitted(FNNClassifier, TARGETS["two"])
    net = fnn.from_onnx(fnn.to_onnx(estimator))
    np.testing.assert_allclose(net(X), estimator.predict_proba(X), rtol=1e-6, atol=1e-9)
    assert net.dtype == np.float64
