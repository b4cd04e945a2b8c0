"""Docstrings of the public interface: complete by numpydoc's rules, with examples that run."""

import doctest
import importlib
import inspect

import pytest

import fnnfast as fnn

MODULES = (
    "fnnfast",
    "fnnfast.activations",
    "fnnfast.distributed",
    "fnnfast.distributions",
    "fnnfast.interop",
    "fnnfast.interop.keras",
    "fnnfast.interop.onnx",
    "fnnfast.interop.sklearn",
    "fnnfast.interop.threadpoolctl",
    "fnnfast.interop.torch",
    "fnnfast.interop.torch.modules",
    "fnnfast.layers",
    "fnnfast.losses",
    "fnnfast.models",
    "fnnfast.ops",
    "fnnfast.optimizers",
    "fnnfast.reference",
    "fnnfast.sklearn",
    "fnnfast.threads",
    "fnnfast.training",
    "fnnfast.typing",
)
# A docstring; all parameters, in their order, with types and descriptions; what is returned, with a description.
CODES = {"GL08", "PR01", "PR02", "PR03", "PR04", "PR07", "RT01", "RT03"}
# Not constructed by users: the constructor takes anything and only raises.
NO_CONSTRUCTOR = {"fnnfast.InferenceNetwork", "fnnfast.distributed.Communicator"}
# Examples that need a package which need not be installed.
NEEDS = {
    "fnnfast.distributed.predict": "joblib",
    "fnnfast.interop.sklearn.from_sklearn": "sklearn",
    **{
        f"fnnfast.interop.{package}.{direction}_{package}": package
        for package in ("onnx", "torch")
        for direction in ("from", "to")
    },
}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def load(name):
    """A public module, or None where a package that it needs is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("fnnfast"):
            raise
        return None


def is_ours(value):
    return str(getattr(value, "__module__", "")).split(".")[0] == "fnnfast"


def names_of(module):
    if hasattr(module, "__all__"):
        return module.__all__
    return [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]


def members_of(cls):
    """The public methods and properties of a class, each by the name of the class that has its docstring.

    An override may inherit the docstring. Members of other packages' classes, and those in C++, do not count.
    """
    bases = [base for base in cls.__mro__ if is_ours(base) and base.__module__ != "fnnfast._cpu"]
    for name in dir(cls):
        defined_in = [base for base in bases if name in vars(base)]
        if (name.startswith("_") and name != "__call__") or not defined_in:
            continue
        member = getattr(cls, name)
        if isinstance(member, property) or (inspect.isroutine(member) and is_ours(member)):
            described = next((base for base in defined_in if getattr(base, name).__doc__), defined_in[-1])
            yield f"{described.__module__}.{described.__qualname__}.{name}", getattr(described, name)


def public_objects():
    """Public modules, their classes and functions, and the members of the classes, by name."""
    found = {}
    for module_name in MODULES:
        module = load(module_name)
        if module is None:
            continue
        found[module_name] = module
        for name in names_of(module):
            value = getattr(module, name)
            if name.startswith("_") or not (is_ours(value) and (inspect.isclass(value) or inspect.isroutine(value))):
                continue
            found[f"{value.__module__}.{name}"] = value
            if inspect.isclass(value):
                found.update(members_of(value))
    return found


OBJECTS = public_objects()
WITH_EXAMPLES = [name for name, value in OBJECTS.items() if ">>>" in (value.__doc__ or "")]
TOP_LEVEL = [name for name in fnn.__all__ if not inspect.ismodule(getattr(fnn, name))]


def test_the_public_interface_is_found():
    """Among others a class, its base, a method, properties, a call and functions."""
    for name in ("Sequential", "Network", "Sequential.fit", "Network.outputs", "ops.dense", "losses.get"):
        assert f"fnnfast.{name}" in OBJECTS
    assert "fnnfast.activations.Activation.__call__" in OBJECTS
    assert {value for value in vars(fnn).values() if inspect.isclass(value)} <= set(OBJECTS.values())


@pytest.mark.parametrize("name", OBJECTS)
def test_numpydoc(name):
    pytest.importorskip("numpydoc", reason="numpydoc is not installed (extra dev)")
    if inspect.ismodule(OBJECTS[name]):  # numpydoc looks for a definition in its first lines
        assert OBJECTS[name].__doc__
        return
    docscrape = importlib.import_module("numpydoc.docscrape")
    validation = importlib.import_module("numpydoc.validate")
    errors = validation.validate(docscrape.get_doc_object(OBJECTS[name]))["errors"]
    codes = CODES - {"PR01"} if name in NO_CONSTRUCTOR else CODES
    assert [f"{code}: {text}" for code, text in errors if code in codes] == []


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_the_top_level_has_examples(name):
    lines = inspect.getdoc(getattr(fnn, name)).splitlines()
    assert "Examples" in lines
    assert any(line.startswith(">>> import fnnfast as fnn") for line in lines)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_run(name, tmp_path, monkeypatch):
    """Each in a namespace and a folder of its own, so that it can be copied into an interpreter as it is."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(OBJECTS[name]), {}, name, None, 0)
    report = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append)
    assert result.failed == 0, "".join(report)
