"""What version 0.1.0 wrote is read by this one, and answers with the same bits (tests/kept/kept_files.py made it).

Warnings are errors here as everywhere, so that a name that moved does not pass with a deprecation. The one exception
is scikit-learn's, that an object of its own in a fitted estimator comes from another version of it.
"""

import pickle
import pickletools
import shutil
import warnings

import pytest

import fnnfast as fnn
import kept_files
from digest_cases import digest
from digest_networks import ACTIVATIONS
from fnnfast.activations import _names

FOLDERS = sorted(path for path in kept_files.FOLDER.iterdir() if (path / "digests.txt").is_file())
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("*.safetensors"))]
PICKLES = [(folder, name, n) for folder in FOLDERS for name, of in kept_files.read_pickles(folder).items() for n in of]


def loaded(content):
    """What is in a pickle; skips where this NumPy cannot read the arrays in it: before 2.0, protocol 5 of 2.0."""
    if b"numpy._core.numeric" in content:
        pytest.importorskip("numpy", "2.0")
    return pickle.loads(content)


def same(one, other):
    """Equal, or for an estimator, which has no equality, of equal parameters."""
    if hasattr(one, "get_params"):
        one, other = (type(one), one.get_params()), (type(other), other.get_params())
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_networks(path, tmp_path):
    expected = kept_files.read_digests(path.parent)["file", path.stem]
    net = fnn.load(path)
    assert digest(kept_files.observed(net)) == expected
    net.save(tmp_path / "again")
    assert digest(kept_files.observed(fnn.load(tmp_path / "again"))) == expected


@pytest.mark.parametrize("dtype", kept_files.DTYPES)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_checkpoint_goes_on(folder, dtype, tmp_path):
    """To the bits of a run that was not interrupted: those of the version that wrote it, and this one's."""
    path = shutil.copy(folder / f"checkpoint-{dtype}", tmp_path)
    expected = kept_files.read_digests(folder)["checkpoint", dtype]
    assert kept_files.resumed(path, dtype) == expected
    assert kept_files.resumed(tmp_path / "whole", dtype) == expected


@pytest.mark.parametrize(("folder", "name", "protocol"), PICKLES, ids=lambda value: getattr(value, "name", value))
def test_pickles(folder, name, protocol):
    if name.startswith("FNN"):
        pytest.importorskip("sklearn")
    content = kept_files.read_pickles(folder)[name][protocol]
    with warnings.catch_warnings():
        if name.startswith("FNN"):
            from sklearn.exceptions import InconsistentVersionWarning

            warnings.simplefilter("ignore", InconsistentVersionWarning)
        value = loaded(content)
    found = kept_files.observed(value)
    if found:
        assert digest(found) == kept_files.read_digests(folder)["pickle", name]
    else:
        made = kept_files.new_estimators() if name.startswith("FNN") else kept_files.values()
        assert same(value, made[name])


def test_every_object_is_kept():
    """Each public class that can be pickled has a pickle of the last version."""
    kept = kept_files.read_pickles(FOLDERS[-1])
    pickled = {type(loaded(of["4"])) for name, of in kept.items() if not name.startswith("FNN")}
    public = {value for value in vars(fnn).values() if isinstance(value, type)}
    public |= {getattr(fnn.distributions, name) for name in ("Bernoulli", "Categorical", "Gaussian")}
    public -= {fnn.Activation, fnn.Flatten, fnn.Conv2D, fnn.MaxoutConv2D, fnn.LocalResponseNorm}  # younger
    public -= {fnn.MaxPool2D, fnn.AveragePool2D, fnn.GlobalAveragePool2D, fnn.BatchNorm, fnn.Parallel}
    public -= {fnn.Network, fnn.Trainer, fnn.DeadUnitsWarning, fnn.DivergenceWarning}
    kept_activations = {fnn.Softmax, *map(type, ACTIVATIONS.values())}
    public -= {*_names.CLASSES} - kept_activations  # those that are younger than that version
    assert public <= pickled, public - pickled


def test_new_pickles_name_public_modules_alone():
    """So that code may move between files."""
    for name, value in kept_files.values().items():
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            strings = [
                text for _, text, _ in pickletools.genops(pickle.dumps(value, protocol)) if isinstance(text, str)
            ]
            assert not [text for text in strings if text.startswith("fnnfast._")], name


def test_precision_is_now_compute_dtype():
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(1)])
    for network, name in ((net, "float32"), (net.astype("bfloat16", weights_only=True), "bfloat16")):
        assert network.compute_dtype == name
        with pytest.warns(DeprecationWarning, match="is now compute_dtype"):
            assert network.precision == name
