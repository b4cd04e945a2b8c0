"""What users of Keras, PyTorch and scikit-learn type first is taken where it means one thing, or answered with what to
write; no suggestion is wrong.
"""

import inspect

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import _vocabulary
from oracles import assert_same_bits

X = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
LABELS = np.arange(20) % 2


def network(head="softmax", units=2):
    return fnn.Sequential([fnn.Input(2), fnn.Dense(3, "tanh"), fnn.Dense(units, head)], seed=0)


# Activations ---------------------------------------------------------------------------------------------------------
SAME = {
    fnn.Identity(): ["linear", None, "Identity", "LINEAR"],
    fnn.ReLU(): ["ReLU", "RELU", "relu"],
    fnn.Swish(): ["SiLU", "silu", "SWISH"],
    fnn.Sigmoid(): ["Sigmoid", "logistic"],
    fnn.LeakyReLU(): ["LeakyReLU", "leaky_relu", "Leaky ReLU", "leaky-relu"],
    fnn.HardTanh(): ["Hardtanh", "hard_tanh", "HardTanh"],
    fnn.HardSigmoid(): ["Hardsigmoid", "hard_sigmoid"],
    fnn.HardSwish(): ["Hardswish", "hard_silu", "hard_swish"],
    fnn.LogSigmoid(): ["LogSigmoid", "logsigmoid", "log_sigmoid"],
    fnn.PReLU(): ["PReLU"],
    fnn.ReLU6(): ["ReLU6", "relu_6"],
    fnn.GELU(): ["GELU"],
    fnn.Softmax(): ["Softmax"],
}
# All that takes an activation.
ACTIVATION_TAKERS = {
    "get": fnn.activations.get,
    "Dense": lambda name: fnn.Dense(3, name).activation,
    "Activation": lambda name: fnn.Activation(name).activation,
    "Conv2D": lambda name: fnn.Conv2D(3, 3, name).activation,
    "dense": lambda name: fnn.activations.get(name) if _runs(fnn.dense, name) else None,
    "dense_forward": lambda name: fnn.activations.get(name) if _runs(fnn.dense_forward, name) else None,
}


def _runs(function, name):
    function(X, np.ones((2, 3), np.float32), activation=name)
    return True


@pytest.mark.parametrize(("activation", "name"), [(a, name) for a, names in SAME.items() for name in names])
@pytest.mark.parametrize("taker", ACTIVATION_TAKERS)
def test_names_of_activations(taker, activation, name):
    assert ACTIVATION_TAKERS[taker](name) == activation


class ReLU:
    """As another library has it."""


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (fnn.ReLU, "write ReLU()"),
        (ReLU(), "write 'relu'"),
        (ReLU, "write 'relu'"),
        (np.tanh, "write 'tanh'"),
        (np.exp, ""),
        (3, ""),
        (["relu"], ""),
    ],
)
@pytest.mark.parametrize("taker", ACTIVATION_TAKERS)
def test_what_is_no_activation(taker, given, hint):
    with pytest.raises(TypeError, match="activation: expected a name or an activation object, got ") as caught:
        ACTIVATION_TAKERS[taker](given)
    assert str(caught.value).endswith(hint)
    assert ("write" in str(caught.value)) == bool(hint)


@pytest.mark.parametrize("name", sorted(_vocabulary.OTHERS | _vocabulary.ADVICE.keys()))
def test_no_suggestion_is_wrong(name):
    """For what exists elsewhere, however near its name comes to one of ours."""
    for kind, call in (
        ("activation", lambda: fnn.Dense(1, name)),
        ("optimizer", lambda: fnn.Trainer(network(), optimizer=name)),
        ("loss", lambda: fnn.Trainer(network(), name)),
    ):
        with pytest.raises(ValueError, match=f"^{kind}: expected one of ") as caught:
            call()
        assert "did you mean" not in str(caught.value)
        assert (_vocabulary.ADVICE.get(name, "got") in str(caught.value)) is True


@pytest.mark.parametrize(
    ("name", "meant"),
    [("rleu", "relu"), ("sigmod", "sigmoid"), ("softmx", "softmax"), ("thanh", "tanh"), ("misch", "mish")],
)
def test_misspellings(name, meant):
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        fnn.Dense(1, name)


# Layers --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("given", [fnn.ReLU(), "relu", "ReLU"])
@pytest.mark.parametrize(
    "build",
    [
        lambda given: fnn.Sequential([fnn.Input(2), fnn.Dense(3), given, fnn.Dense(1)]),
        lambda given: fnn.Residual([given]),
        lambda given: fnn.Residual([fnn.Dense(2)], shortcut=[given]),
    ],
)
def test_activations_as_layers(build, given):
    with pytest.raises(TypeError, match=r"; write fnnfast.Activation\('relu'\), or 'relu' as the activation of"):
        build(given)
    build(fnn.Activation("relu"))


def test_classes_as_layers():
    with pytest.raises(TypeError, match=r"got <class .*Dense'>; write Dense\(\.\.\.\)"):
        fnn.Sequential([fnn.Input(2), fnn.Dense])
    with pytest.raises(TypeError, match=r"Input: expected an integer >= 1, got \(2, 3\); write Input\(\*shape\)"):
        fnn.Input((2, 3))
    assert fnn.Dense(3, bias=False).parameter_shapes((2,)) == {"weight": (2, 3)}


# Losses --------------------------------------------------------------------------------------------------------------
LOSSES = {
    "mse": (fnn.MeanSquaredError(), "identity"),
    "MSELoss": (fnn.MeanSquaredError(), "identity"),
    "mean_squared_error": (fnn.MeanSquaredError(), "softmax"),
    "squared_error": (fnn.MeanSquaredError(), "identity"),
    "MeanSquaredError": (fnn.MeanSquaredError(), "identity"),
    "cross_entropy": (fnn.CrossEntropy(), "softmax"),
    "CrossEntropyLoss": (fnn.CrossEntropy(), "identity"),
    "categorical_crossentropy": (fnn.CrossEntropy(), "softmax"),
    "sparse_categorical_crossentropy": (fnn.CrossEntropy(), "softmax"),
    "binary_crossentropy": (fnn.BinaryCrossEntropy(), "sigmoid"),
    "binary_cross_entropy": (fnn.BinaryCrossEntropy(), "sigmoid"),
    "BCEWithLogitsLoss": (fnn.BinaryCrossEntropy(), "identity"),
    "hinge": (fnn.Hinge(), "identity"),
    "multiclass_hinge": (fnn.MulticlassHinge(), "identity"),
    "poisson": (fnn.Poisson(), "identity"),
    "nll": (fnn.CrossEntropy(), "softmax"),
    "NLLLoss": (fnn.BinaryCrossEntropy(), "sigmoid"),
}


def targets(loss):
    return LABELS if isinstance(loss, (fnn.CrossEntropy, fnn.MulticlassHinge)) else np.eye(2)[LABELS]


# All that takes a loss and gives numbers that depend on it.
LOSS_TAKERS = {
    "fit": lambda net, y, loss: net.fit(X, y, loss, epochs=1, seed=0).loss,
    "training.fit": lambda net, y, loss: fnn.training.fit(net, X, y, loss, epochs=1, seed=0).loss,
    "fit_many": lambda net, y, loss: fnn.fit_many([net], X, y, loss=loss, epochs=1, seed=0)[0].loss,
    "Trainer": lambda net, y, loss: fnn.Trainer(net, loss).step(X, y),
    "evaluate": lambda net, y, loss: net.evaluate(X, y, loss=loss),
    "training.evaluate": lambda net, y, loss: fnn.training.evaluate(net, X, y, loss),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("taker", LOSS_TAKERS)
def test_names_of_losses(taker, name):
    loss, head = LOSSES[name]
    take, y = LOSS_TAKERS[taker], targets(loss)
    assert take(network(head), y, name) == take(network(head), y, loss)


@pytest.mark.parametrize("name", ["nll", "gaussian_nll", "GaussianNLLLoss"])
def test_the_likelihood_of_a_gaussian_head(name):
    net = fnn.Sequential([fnn.Input(2), fnn.Gaussian(1)], seed=0)
    assert fnn.Trainer(net, name).loss == fnn.GaussianNLL("learned")
    with pytest.raises(ValueError, match=rf"loss: expected .*likelihood|loss: expected fnnfast\.GaussianNLL.*'{name}'"):
        fnn.Trainer(network("identity"), name)


@pytest.mark.parametrize("taker", LOSS_TAKERS)
def test_losses_that_are_none(taker):
    for loss, error, text in (
        (fnn.CrossEntropy, TypeError, r"loss: .*; write fnnfast\.CrossEntropy\(\)"),
        (3, TypeError, "loss: expected None or a loss"),
        ("mea", ValueError, "loss: expected one of mean_squared_error, mse, .*did you mean 'mse'|got 'mea'"),
        ("mae", ValueError, "loss: expected one of .*got 'mae'$"),
        ("log_loss", ValueError, "got 'log_loss'; write 'cross_entropy' for a softmax head, 'binary_cro"),
        ("hinge", ValueError, "Hinge: expected a identity head"),
    ):
        with pytest.raises(error, match=text):
            LOSS_TAKERS[taker](network(), LABELS, loss)


def test_losses_of_estimators():
    sklearn = pytest.importorskip("fnnfast.sklearn")
    fitted = []
    for loss in ("squared_error", "mse", "mean_squared_error"):
        estimator = sklearn.FNNRegressor(loss=loss, hidden_layer_sizes=(3,), max_iter=2, random_state=0)
        with pytest.warns(Warning, match="iterations"):
            fitted.append(estimator.fit(X, LABELS * 1.0).coefs_[0])
        assert estimator.get_params()["loss"] == loss
    for coefs in fitted:
        assert_same_bits(coefs, fitted[0])


# Optimizers ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("Adam", fnn.Adam()), ("ADAM", fnn.Adam()), ("AdamW", fnn.AdamW()), ("SGD", fnn.SGD()), ("sgd", fnn.SGD())],
)
def test_names_of_optimizers(name, optimizer):
    assert fnn.Trainer(network(), optimizer=name).optimizer == optimizer
    assert (
        network().fit(X, LABELS, optimizer=name, seed=0).loss == network().fit(X, LABELS, None, optimizer, seed=0).loss
    )
    assert fnn.fit_many([network()], X, LABELS, optimizer=name, epochs=1)


def test_optimizers_that_are_none():
    with pytest.raises(TypeError, match=r"optimizer: expected .*; write fnnfast\.Adam\(\)"):
        network().fit(X, LABELS, optimizer=fnn.Adam)
    with pytest.raises(TypeError, match=r"optimizer: expected a name or an optimizer object, got 0.1$"):
        network().fit(X, LABELS, optimizer=0.1)


# Keywords ------------------------------------------------------------------------------------------------------------
def estimator(name):
    return getattr(pytest.importorskip("fnnfast.sklearn"), name)


# All that takes keywords, and the table that it answers with; a new one joins by a line.
CALLS = {
    "Sequential.fit": ("fit", lambda **named: network().fit(X, LABELS, **named)),
    "fit": ("fit", lambda **named: fnn.training.fit(network(), X, LABELS, **named)),
    "fit_many": ("fit", lambda **named: fnn.fit_many([network()], X, LABELS, **named)),
    "Trainer": ("Trainer", lambda **named: fnn.Trainer(network(), **named)),
    "Network.evaluate": ("evaluate", lambda **named: network().evaluate(X, LABELS, **named)),
    "SGD": ("optimizer", fnn.SGD),
    "Adam": ("optimizer", fnn.Adam),
    "AdamW": ("optimizer", fnn.AdamW),
    "Dense": ("Dense", lambda **named: fnn.Dense(3, **named)),
    "Maxout": ("Dense", lambda **named: fnn.Maxout(3, **named)),
    "Conv2D": ("Conv2D", lambda **named: fnn.Conv2D(3, 3, **named)),
    "MaxoutConv2D": ("Conv2D", lambda **named: fnn.MaxoutConv2D(3, 3, **named)),
    "MaxPool2D": ("Pool", fnn.MaxPool2D),
    "AveragePool2D": ("AveragePool2D", fnn.AveragePool2D),
    "LocalResponseNorm": ("LocalResponseNorm", fnn.LocalResponseNorm),
    "Dropout": ("Dropout", lambda **named: fnn.Dropout(0.5, **named)),
    "Input": ("Input", lambda **named: fnn.Input(3, **named)),
    "LeakyReLU": ("alpha", fnn.LeakyReLU),
    "ELU": ("alpha", fnn.ELU),
    "EarlyStopping": ("EarlyStopping", fnn.EarlyStopping),
    "FNNClassifier": ("estimator", lambda **named: estimator("FNNClassifier")(**named)),
    "FNNRegressor": ("estimator", lambda **named: estimator("FNNRegressor")(**named)),
    "Perceptron.fit": ("estimator.fit", lambda **named: estimator("FNNRegressor")().fit(X, LABELS, **named)),
}


@pytest.mark.parametrize("call", CALLS)
def test_keywords_of_other_libraries(call):
    context, function = CALLS[call]
    for name, advice in _vocabulary.KEYWORDS[context].items():
        if call == "AdamW" and name == "weight_decay":
            continue
        with pytest.raises(TypeError) as caught:
            function(**{name: 1})
        assert str(caught.value) == f"{call}() got an unexpected keyword argument {name!r}: {advice}"
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'nonsense'$"):
        function(nonsense=1)


def test_every_table_belongs_to_a_call():
    assert {context for context, _ in CALLS.values()} == _vocabulary.KEYWORDS.keys()


def test_advice_names_what_there_is():
    """A keyword that is advised is one of the function's."""
    known = {
        "fit": fnn.Sequential.fit,
        "Trainer": fnn.Trainer,
        "evaluate": fnn.Sequential.evaluate,
        "Dense": fnn.Dense,
        "Conv2D": fnn.Conv2D,
        "Pool": fnn.MaxPool2D,
        "AveragePool2D": fnn.AveragePool2D,
        "LocalResponseNorm": fnn.LocalResponseNorm,
        "Dropout": fnn.Dropout,
        "alpha": fnn.ELU,
        "EarlyStopping": fnn.EarlyStopping,
        "estimator": estimator("FNNClassifier"),
        "estimator.fit": estimator("FNNClassifier").fit,
    }
    for context, function in known.items():
        names = inspect.signature(function).parameters.keys()
        for name, advice in _vocabulary.KEYWORDS[context].items():
            assert name not in names
            words = [
                word.partition("=")[0] for word in advice.split() if "=" in word and "(" not in word.partition("=")[0]
            ]
            if advice.startswith("write ") and "fit(" not in advice:
                assert set(words) <= {*names, "eps"}, (context, name)


def test_signatures_are_as_they_were():
    names = list(inspect.signature(fnn.Sequential.fit).parameters)
    assert names[:5] == ["self", "x", "y", "loss", "optimizer"]
    assert (
        str(inspect.signature(fnn.SGD))
        == "(lr: 'float' = 0.01, momentum: 'float' = 0.0, nesterov: 'bool' = False) -> 'None'"
    )
    assert str(inspect.signature(fnn.Input)) == "(*shape: 'int', channels: 'ChannelOrder' = 'last') -> 'None'"


def test_warnings_point_to_the_caller():
    for call in (
        lambda: network().fit(X, LABELS, epochs=9, batch_size=2, optimizer=fnn.SGD(1e38)),
        lambda: fnn.training.fit(network(), X, LABELS, epochs=9, batch_size=2, optimizer=fnn.SGD(1e38)),
        lambda: estimator("FNNRegressor")(max_iter=1).fit(X, LABELS * 1.0),
        lambda: estimator("FNNRegressor")(max_iter=1, solver="lbfgs", tol=0).fit(X, LABELS * 1.0),
    ):
        with pytest.warns(Warning, match=r"loss|iterations") as caught:
            call()
        assert {warning.filename for warning in caught} == {__file__}


# Weights of other libraries ------------------------------------------------------------------------------------------
def test_a_weight_is_inputs_by_units():
    """The documentation says so where parameters are read, and shows the transpose of PyTorch's."""
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((3, 2)), rng.standard_normal(3)  # as torch.nn.Linear(2, 3) has them
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(3)], dtype="float64")
    with pytest.raises(ValueError, match=r"dense_1\.weight: expected \(2, 3\), got \(3, 2\)|shape"):
        net.parameters["dense_1.weight"] = weight
    net.parameters["dense_1.weight"], net.parameters["dense_1.bias"] = weight.T, bias
    np.testing.assert_allclose(net(X), X @ weight.T + bias, rtol=1e-12)
    for text in (fnn.Sequential.parameters.__doc__, type(net.parameters).__doc__):
        assert "(inputs, units)" in text
        assert ".T" in text
