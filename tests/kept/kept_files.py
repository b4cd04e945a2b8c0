"""Files and pickles of a version, for later ones to read: tests/kept/0.1.0/ and tests/kept/test_kept_files.py.

    python tests/kept/kept_files.py 0.1.0

writes the folder, with the version that is installed; it must be new, since what a version wrote is not made again.

NAME.safetensors     ``Sequential.save`` of each of ``networks()``
checkpoint-DTYPE     the run of ``digest_cases.resumed``, interrupted after two of its five epochs
pickles.json         each of ``objects()`` in protocols 4 and 5, compressed and in base64
digests.txt          what each of them answers: kind, name, digest
"""

import base64
import json
import pickle
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import digest_cases
import fnnfast as fnn
from digest_cases import digest
from digest_networks import ACTIVATIONS, Array, classes, reals, set_parameters

FOLDER = Path(__file__).parent
PROTOCOLS = (4, 5)
INTERRUPTED, EPOCHS = 2, 5
DTYPES = ("float32", "float64")


def _made(name: str, *layers: Any, dtype: str = "float32") -> fnn.Sequential:
    net = fnn.Sequential(layers, dtype=dtype, seed=0)
    set_parameters(net, f"kept {name}")
    return net


def networks() -> dict[str, fnn.Sequential]:
    """Of every kind of layer and every activation."""
    everything = (
        fnn.Input(3, 2),
        fnn.GaussianNoise(0.25),
        fnn.Dense(6, "prelu"),
        fnn.Maxout(4, pieces=3),
        fnn.Dropout(0.25),
        fnn.Residual([fnn.Dense(5, fnn.ELU(0.7, learn=True)), fnn.Dropout(0.5), fnn.Dense(6, "gelu", init="lecun")]),
        fnn.Residual([fnn.Maxout(6)]),
        fnn.Dense(4, fnn.Swish(1.5), init=0.125),
    )
    softmax = fnn.Dense(3, "softmax")
    named = [name for name in ACTIVATIONS if not name.endswith("_each")]
    chain = [fnn.Dense(4, ACTIVATIONS[name]) for name in named]
    each = [fnn.Dense(3, fnn.PReLU((0.25, -0.5, 1.0))), fnn.Dense(2, fnn.ELU((0.5, 2.0), learn=True))]
    single = _made("everything", *everything, softmax)
    return {
        "everything-float32": single,
        "everything-float64": _made("everything", *everything, softmax, dtype="float64"),
        "everything-bfloat16": single.astype("bfloat16", weights_only=True),
        "everything-int8": single.quantize(reals("calibration", 40, 6)),
        "gaussian": _made("gaussian", *everything[:3], fnn.Gaussian(2)),
        "sigmoid": _made("sigmoid", fnn.Input(3), *each, fnn.Dense(1, "sigmoid")),
        "activations": _made("activations", fnn.Input(3), *chain, fnn.Dense(2)),
    }


def _trained() -> dict[str, Any]:
    """What a fit leaves behind."""
    net = _made("trained", fnn.Input(3), fnn.Dense(5, "relu"), fnn.Dense(4, "tanh"), fnn.Dense(2, "softmax"))
    x, y = reals("x kept", 40, 3), classes("y kept", 40, 2)
    stopping = fnn.EarlyStopping(5, min_delta=0.125)
    net.freeze("dense_2")
    history = net.fit(x, y, epochs=3, validation=0.25, seed=1, callbacks=[stopping], progress=False)
    return {"Sequential-trained": net, "History": history, "EarlyStopping": stopping}


def _estimators() -> dict[str, Any]:
    from sklearn.exceptions import ConvergenceWarning

    from fnnfast.sklearn import FNNClassifier, FNNRegressor

    x, labels = reals("x kept", 40, 3), classes("y kept", 40, 3)
    settings = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 1}
    begun = FNNClassifier(**settings).partial_fit(x, labels, classes=[0, 1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {
            "FNNClassifier": FNNClassifier(activation="swish", dropout=0.25, **settings).fit(x, labels),
            "FNNClassifier-names": FNNClassifier(**settings).fit(x, np.array(["a", "b", "c"])[labels]),
            "FNNClassifier-begun": begun,
            "FNNRegressor": FNNRegressor(early_stopping=True, **settings).fit(x, reals("t kept", 40, 2)),
        }


def new_estimators() -> dict[str, Any]:
    """Those that are not fitted are like ``values()``."""
    from fnnfast.sklearn import FNNClassifier, FNNRegressor

    return {
        "FNNClassifier-new": FNNClassifier(activation=fnn.LeakyReLU(0.25), solver="sgd"),
        "FNNRegressor-new": FNNRegressor((5, 4), maxout_pieces=2, dropout=[0.5, 0.0]),
    }


def values() -> dict[str, Any]:
    """Public objects that are equal to new ones made in the same way."""
    return {
        **{f"activation-{name}": f for name, f in ACTIVATIONS.items()},
        "activation-softmax": fnn.Softmax(),
        "CrossEntropy": fnn.CrossEntropy(),
        "BinaryCrossEntropy": fnn.BinaryCrossEntropy(),
        "Hinge": fnn.Hinge(),
        "MulticlassHinge": fnn.MulticlassHinge(),
        "MeanSquaredError": fnn.MeanSquaredError(),
        "GaussianNLL": fnn.GaussianNLL(),
        "GaussianNLL-each": fnn.GaussianNLL((0.5, 2.0)),
        "GaussianNLL-learned": fnn.GaussianNLL("learned"),
        "Poisson": fnn.Poisson(),
        "SGD": fnn.SGD(),
        "SGD-nesterov": fnn.SGD(0.05, 0.9, nesterov=True),
        "Adam": fnn.Adam(),
        "Adam-eps_hat": fnn.Adam(0.01, (0.5, 0.75), 1e-3, eps_hat=True),
        "AdamW": fnn.AdamW(weight_decay=0.5),
        "StepDecay": fnn.StepDecay(3, 0.5),
        "ExponentialDecay": fnn.ExponentialDecay(0.5),
        "CosineDecay": fnn.CosineDecay(20, 0.1),
        "Warmup": fnn.Warmup(2, fnn.StepDecay(3, 0.5)),
        "Input": fnn.Input(4, 5, 3),
        "Dense": fnn.Dense(4),
        "Dense-prelu": fnn.Dense(3, fnn.PReLU((0.25, -0.5, 1.0)), init="he_uniform"),
        "Dense-init": fnn.Dense(3, "relu", init=0.125),
        "Maxout": fnn.Maxout(5, pieces=3),
        "Dropout": fnn.Dropout(0.25),
        "GaussianNoise": fnn.GaussianNoise(0.5),
        "Gaussian": fnn.Gaussian(2),
        "Residual": fnn.Residual([fnn.Maxout(4), fnn.Dropout(0.5), fnn.Dense(3, fnn.ELU(0.5, learn=True))]),
        "Checkpoint": fnn.Checkpoint("run.checkpoint", every=3),
        "Grads": fnn.Grads(1.0, 2.0, 3.0),
        "Bernoulli": fnn.distributions.Bernoulli(reals("logits", 6)),
        "Categorical": fnn.distributions.Categorical(reals("logits", 6, 3).astype(np.float32)),
        "Distribution-Gaussian": fnn.distributions.Gaussian(reals("logits", 6, 2), (1.0, 4.0)),
    }


def objects() -> dict[str, Any]:
    """All that is pickled."""
    nets = networks()
    kinds = {f"{type(net).__name__}-{name}": net for name, net in nets.items() if name != "activations"}
    members = [nets["everything-float32"], nets["everything-bfloat16"], nets["everything-int8"]]
    kinds["Ensemble"] = fnn.Ensemble(members)
    return values() | kinds | _trained() | _estimators() | new_estimators()


def _rows(inputs: int) -> Array:
    return reals("x kept files", 7, inputs)


def observed(value: Any) -> dict[str, Any]:
    """What an object does, as something that has a digest: nothing for those that are equal to new ones."""
    match value:
        case fnn.Network():
            x = _rows(value.input.size)
            return {"call": value(x), "logits": value.logits(x), "frozen": [len(name) for name in value.frozen]}
        case fnn.Ensemble():
            return {"call": value(_rows(value.input.size))}
        case fnn.History():
            younger = ("accuracy",)  # what 0.1.0 did not record
            recorded = {name: of for name, of in sorted(vars(value).items()) if isinstance(of, (list, dict))}
            return {name: of for name, of in recorded.items() if of or name not in younger}
        case fnn.EarlyStopping():
            state, arrays = value.state()
            return {"state": [state["best_epoch"], state["best_loss"]], "arrays": arrays, "patience": value.patience}
    if hasattr(value, "network_"):
        return _observed_estimator(value)
    return {}


def _observed_estimator(value: Any) -> dict[str, Any]:
    answers = value.predict(_rows(3))
    if answers.dtype.kind == "U":
        answers = np.char.encode(answers)
    found = {"predict": answers, "network": observed(value.network_)}
    if not value.early_stopping:  # a partial_fit goes on where the training was
        value.partial_fit(reals("x kept", 40, 3), value.classes_[classes("y kept", 40, 3)])
        found |= {"later": observed(value.network_)}
    return found


def resumed(path: Path | str, dtype: str, epochs: int = EPOCHS) -> str:
    """The digest of the parameters after going on from a checkpoint, or after beginning it."""
    return digest_cases.resumed(path, dtype, epochs)["parameters"]


def read_digests(folder: Path) -> dict[tuple[str, str], str]:
    lines = (line.split() for line in (folder / "digests.txt").read_text().splitlines() if not line.startswith("#"))
    return {(kind, name): value for kind, name, value in lines}


def _decoded(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def read_pickles(folder: Path) -> dict[str, dict[str, bytes]]:
    """By name and protocol."""
    encoded = json.loads((folder / "pickles.json").read_text())
    return {
        name: {n: zlib.decompress(base64.b64decode(text)) for n, text in of.items()} for name, of in encoded.items()
    }


def write(folder: Path) -> None:
    folder.mkdir(parents=True)
    digests: dict[tuple[str, str], str] = {}
    for name, net in networks().items():
        net.save(folder / f"{name}.safetensors")
        digests["file", name] = digest(observed(net))
    for dtype in DTYPES:
        path = folder / f"checkpoint-{dtype}"
        resumed(path, dtype, INTERRUPTED)
        content = path.read_bytes()
        digests["checkpoint", dtype] = resumed(path, dtype)
        path.write_bytes(content)
    pickles: dict[str, dict[str, str]] = {}
    for name, value in objects().items():
        dumped = {str(n): pickle.dumps(value, n) for n in PROTOCOLS}  # before it is observed, which may train it
        pickles[name] = {n: base64.b64encode(zlib.compress(content, 9)).decode() for n, content in dumped.items()}
        if found := observed(value):
            digests["pickle", name] = digest(found)
    _write(folder / "pickles.json", lambda: json.dumps(pickles, indent=0, sort_keys=True))
    lines = [" ".join((*key, value)) for key, value in sorted(digests.items())]
    header = f"# Made by fnnfast {folder.name} with tests/kept/kept_files.py: kind, name, digest.\n"
    _write(folder / "digests.txt", lambda: header + "\n".join(lines))


def _write(path: Path, text: Callable[[], str]) -> None:
    path.write_text(text() + "\n")


if __name__ == "__main__":
    (version,) = sys.argv[1:]
    if (FOLDER / version).exists():
        sys.exit(f"{FOLDER / version}: exists already, and what a version wrote is not made again")
    write(FOLDER / version)
