"""Invalid values for every argument of every public function: an error names the argument, or the value is accepted.

No other kind of error is raised.
"""

import contextlib
import inspect
import io
import re
import warnings

import numpy as np
import pytest

import fnnfast as fnn

X = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)
W = np.ones((2, 3), np.float32)
Y = np.array([0, 1, 0, 1, 1, 0])
DY = np.ones((6, 3), np.float32)
IMAGES, FILTERS = np.ones((2, 3, 3, 4), np.float32), np.ones((2, 2, 4, 1), np.float32)


def network(**settings):
    return fnn.Sequential([fnn.Input(2), fnn.Dense(3, "tanh"), fnn.Dense(2, "softmax")], seed=0, **settings)


def trainer():
    return fnn.Trainer(network())


def categorical():
    return fnn.distributions.Categorical(np.zeros((6, 2)))


class Opaque:
    def __repr__(self):
        return "<opaque>"


BAD = {
    "None": None,
    "an empty list": [],
    "an empty tuple": (),
    "an empty text": "",
    "a text": "nonsense",
    "bytes": b"bytes",
    "a ragged list": [[1.0], [1.0, 2.0]],
    "texts": ["a", "b"],
    "a list of None": [None],
    "a mapping": {"a": 1},
    "a set": {1},
    "an object": Opaque(),
    "a class": Opaque,
    "a function": lambda *arguments: Opaque(),
    "a module": np,
    "a complex number": 1j,
    "a negative number": -1,
    "a fraction": 0.5,
    "NaN": np.nan,
    "infinity": np.inf,
    "a huge integer": 10**400,
    "True": True,
    "an array": np.zeros((2, 2), np.float32),
    "an array of objects": np.array([Opaque(), None], object),
    "an array of texts": np.array(["a", "b"]),
    "an array of dates": np.array(["2026-01-01"], "datetime64[D]"),
    "a scalar array": np.array(3.0),
    "a dtype": np.dtype("float32"),
    "a structured dtype": np.dtype([("a", "f4")]),
    "a generator": (value for value in ()),
    "a view of memory": memoryview(np.zeros((2, 2))),
    "a slice": slice(3),
}


class Of:
    """A method of an object that every call makes anew."""

    def __init__(self, make, name):
        self.make, self.name = make, name

    def function(self):
        return getattr(self.make(), self.name)


# A function, or an Of, and arguments that are good. A new entry point joins by a line.
FIT = {"x": X, "y": Y, "epochs": 1, "seed": 0}
CALLS = {
    "Sequential": (fnn.Sequential, {"layers": [fnn.Input(2), fnn.Dense(3)]}),
    "Sequential.__call__": (lambda x, *, out=None: network()(x, out=out), {"x": X}),
    "training.fit": (fnn.training.fit, {"network": network, **FIT}),
    "fit_many": (fnn.fit_many, {"networks": lambda: [network()], **FIT}),
    "evaluate": (fnn.training.evaluate, {"network": network, "x": X, "y": Y}),
    "Trainer": (fnn.Trainer, {"network": network}),
    "Trainer.step": (Of(trainer, "step"), {"x": X, "y": Y}),
    "Trainer.epoch": (Of(trainer, "epoch"), {"x": X, "y": Y}),
    "Trainer.gradients": (Of(trainer, "gradients"), {"x": X, "y": Y}),
    "Trainer.loss_and_gradients": (Of(trainer, "loss_and_gradients"), {"x": X, "y": Y}),
    "Trainer.apply": (Of(trainer, "apply"), {"grads": lambda: trainer().gradients(X, Y)}),
    "Trainer.set_state": (Of(trainer, "set_state"), {"state": lambda: trainer().state()}),
    **{
        f"Sequential.{name}": (Of(network, name), good)
        for name, good in {
            "fit": FIT,
            "evaluate": {"x": X, "y": Y},
            "logits": {"x": X},
            "predict": {"x": X},
            "distribution": {"x": X},
            "sample": {"x": X},
            "diagnose": {"x": X},
            "summary": {},
            "quantize": {"calibration_x": X},
            "astype": {"dtype": "float64"},
            "to": {"device": "cpu"},
            "replace_head": {"head": fnn.Dense(3)},
        }.items()
    },
    **{
        f"{kind}.{name}": (Of(make, name), {"x": X, **more})
        for kind, make in {
            "bfloat16": lambda: network().astype("bfloat16"),
            "int8": lambda: network().quantize(X),
            "Ensemble": lambda: fnn.Ensemble([network()]),
        }.items()
        for name, more in {"predict": {}, "sample": {}, "distribution": {}, "evaluate": {"y": Y}}.items()
    },
    "bfloat16.__call__": (lambda x, *, out=None: network().astype("bfloat16")(x, out=out), {"x": X}),
    "Ensemble.__call__": (lambda x, out=None: fnn.Ensemble([network()])(x, out=out), {"x": X}),
    "Ensemble": (fnn.Ensemble, {"networks": lambda: [network()]}),
    "compound_scale": (fnn.compound_scale, {"base": network, "phi": 1.0}),
    "dense": (fnn.dense, {"x": X, "weight": W}),
    "dense_forward": (fnn.dense_forward, {"x": X, "weight": W}),
    "dense_backward": (fnn.dense_backward, {"dy": DY, "x": X, "weight": W, "saved": DY}),
    "maxout": (fnn.maxout, {"x": X, "weight": W[None]}),
    "maxout_forward": (fnn.maxout_forward, {"x": X, "weight": W[None]}),
    "maxout_backward": (
        fnn.maxout_backward,
        {"dy": DY, "x": X, "weight": W[None], "saved": np.zeros((6, 3), np.uint8)},
    ),
    "conv2d": (fnn.conv2d, {"x": IMAGES, "weight": FILTERS}),
    "conv2d_forward": (fnn.conv2d_forward, {"x": IMAGES, "weight": FILTERS}),
    "conv2d_backward": (
        fnn.conv2d_backward,
        {"dy": IMAGES[:, 1:, 1:, :1], "x": IMAGES, "weight": FILTERS, "saved": IMAGES[:, 1:, 1:, :1]},
    ),
    "maxout_conv2d": (fnn.maxout_conv2d, {"x": IMAGES, "weight": FILTERS[None]}),
    "maxout_conv2d_forward": (fnn.maxout_conv2d_forward, {"x": IMAGES, "weight": FILTERS[None]}),
    "maxout_conv2d_backward": (
        fnn.maxout_conv2d_backward,
        {
            "dy": IMAGES[:, 1:, 1:, :1],
            "x": IMAGES,
            "weight": FILTERS[None],
            "saved": np.zeros((2, 2, 2, 1), np.uint8),
        },
    ),
    "activations.get": (lambda name: fnn.activations.get(name), {"name": "relu"}),
    "Tanh.__call__": (lambda z, out=None: fnn.Tanh()(z, out=out), {"z": X}),
    "Tanh.derivative": (lambda z: fnn.Tanh().derivative(z), {"z": X}),
    **{
        name: (getattr(fnn, name), good)
        for name, good in {
            "Dense": {"units": 3},
            "Maxout": {"units": 3},
            "Gaussian": {"units": 3},
            "Conv2D": {"filters": 4, "kernel_size": 3},
            "MaxoutConv2D": {"filters": 4, "kernel_size": 3},
            "MaxPool2D": {},
            "AveragePool2D": {},
            "LocalResponseNorm": {},
            "BatchNorm": {},
            "Parallel": {"branches": [[fnn.Dense(2)], [fnn.Dense(3)]]},
            "Activation": {"activation": "relu"},
            "Residual": {"layers": [fnn.Dense(2)]},
            "Dropout": {"rate": 0.5},
            "GaussianNoise": {"stddev": 0.5},
            "LeakyReLU": {},
            "PReLU": {},
            "ELU": {},
            "CELU": {},
            "GELU": {},
            "Swish": {},
            "SGD": {"lr": 0.1, "momentum": 0.5},
            "Adam": {},
            "AdamW": {},
            "StepDecay": {"every": 1},
            "ExponentialDecay": {"factor": 0.5},
            "CosineDecay": {"epochs": 3},
            "Warmup": {"epochs": 3},
            "EarlyStopping": {},
            "Checkpoint": {"path": "run"},
            "GaussianNLL": {},
            "logistic": {"z": X},
            "logit": {"p": np.full(3, 0.5)},
            "set_num_threads": {"n": 1},
        }.items()
    },
    "num_threads": (lambda n: contextlib.ExitStack().enter_context(fnn.num_threads(n)), {"n": 1}),
    "Bernoulli": (fnn.distributions.Bernoulli, {"logits": np.zeros(3)}),
    "Categorical": (fnn.distributions.Categorical, {"logits": np.zeros((3, 2))}),
    "distributions.Gaussian": (fnn.distributions.Gaussian, {"mean": np.zeros((3, 2))}),
    "of_log_precision": (
        fnn.distributions.Gaussian.of_log_precision,
        {"mean": np.zeros((3, 2)), "log_precision": 0.0},
    ),
    "log_prob": (Of(categorical, "log_prob"), {"y": Y}),
    "quantile": (Of(categorical, "quantile"), {"q": 0.5}),
    "interval": (Of(categorical, "interval"), {}),
    "Distribution.sample": (Of(categorical, "sample"), {}),
    "set_state": (
        Of(fnn.EarlyStopping, "set_state"),
        {"values": {"best_epoch": None, "best_loss": 1.0}, "arrays": {}},
    ),
}
# How messages call what is named otherwise, or what an argument consists of.
ALSO = {
    "name": ["activation"],
    "x": ["dy"],
    "weight": ["dy"],
    "layers": ["layers", "Residual", "dense_1"],
    "head": ["layers", "head"],
    "momentum": ["momentum", "nesterov"],
    "nesterov": ["momentum"],
    "base": ["layers", "base"],
    "device": ["device", "CUDA"],
    "grads": ["grads", "dense_"],
    "state": ["state", "steps", "first", "second", "dense_"],
    "activation": ["activation", "softmax", "parameter"],
    "values": ["best_epoch", "best_loss", "values"],
    "plan": ["plan"],
    "sample_weight": ["sample_weight", "weights"],
}


def fresh(value):
    return value() if callable(value) and getattr(value, "__module__", "") == __name__ else value


def function_of(name):
    function, _ = CALLS[name]
    return function.function() if isinstance(function, Of) else function


def arguments_of(name):
    """The names of all that it takes."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function_of(name)).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def call(name, **replaced):
    good = {key: fresh(value) for key, value in CALLS[name][1].items()}
    return function_of(name)(**{**good, **replaced})


CASES = [(name, argument) for name in CALLS for argument in arguments_of(name)]


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_bad_arguments(tmp_path, monkeypatch, name, argument):
    monkeypatch.chdir(tmp_path)  # where a text may be taken for the path of a checkpoint
    monkeypatch.setattr("sys.stderr", io.StringIO())
    threads, wrong = fnn.get_num_threads(), []
    for what, bad in BAD.items():
        if argument in ("schedule", "callbacks") and what == "a class":
            continue  # it is called, and says itself what it does not take
        with warnings.catch_warnings(action="ignore"):
            try:
                call(name, **{argument: bad})
            except (TypeError, ValueError, RuntimeError, OSError) as error:
                if (
                    isinstance(error, RuntimeError | OSError)
                    and not (
                        (argument == "device" and isinstance(error, RuntimeError)) or argument in ("checkpoint", "path")
                    )
                ) or not any(re.search(rf"\b{word}", str(error)) for word in [argument, *ALSO.get(argument, [])]):
                    wrong.append(f"{what}: {type(error).__name__}: {error}")
            except Exception as error:
                wrong.append(f"{what}: {type(error).__name__}: {error}")
            finally:
                fnn.set_num_threads(threads)
    assert not wrong, "\n".join(wrong)


def test_good_arguments(tmp_path, monkeypatch):
    """Or the test above would prove nothing."""
    monkeypatch.chdir(tmp_path)
    threads = fnn.get_num_threads()
    for name in CALLS:
        call(name)
    fnn.set_num_threads(threads)


def test_every_public_function_is_here():
    """What is new in the package, too."""
    callables = {name for name in fnn.__all__ if callable(getattr(fnn, name))}
    without_arguments = {
        name
        for name in callables
        if isinstance(getattr(fnn, name), type)
        and (issubclass(getattr(fnn, name), (fnn.activations.Activation, fnn.losses.Loss, Warning)))
    }
    apart = {
        "History",
        "Flatten",
        "GlobalAveragePool2D",
        "InferenceNetwork",
        "Network",
        "Grads",
        "Input",
        "get_num_threads",
        "load",
        "tf32",
    }
    apart |= {name for name in callables if name.startswith(("from_", "to_"))}  # tests/interop
    assert callables - without_arguments - apart <= CALLS.keys()
    with pytest.raises(TypeError, match="Input: expected an integer"):
        fnn.Input("a")
