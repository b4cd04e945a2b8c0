"""What imports what: one direction, between modules and between folders, imports inside functions counted."""

import ast
from pathlib import Path

import pytest

import fnnfast as fnn

PACKAGE = Path(fnn.__file__).parent
# From the bottom to the top: whatever is imported stands on an earlier line, or is a part of the same folder.
LAYERS = [
    {"_interpreter"},
    {"_cpu", "_cuda"},
    {"_vocabulary", "typing"},
    {"_checks", "_frozen", "_public", "_extras"},
    {"_windows"},
    {"_device"},
    {"activations", "threads", "_threadpoolctl"},
    {"ops", "distributions", "optimizers"},
    {"layers"},
    {"losses"},
    {"_network"},
    {"training"},
    {"_models"},
    {"models"},
    {"_pickles"},
    {"sklearn"},
    {"interop"},
    {"distributed"},
]
APART = {"reference"}  # imports nothing of the package, and is imported by `check`, and to compare a conversion
ABOVE = {"_cli", "_bench", "_certify", "_playground", "__main__", ""}  # commands, and the package itself


def modules():
    """By dotted name within the package: "" is the package, "training" a folder."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


def imported(name, path):
    """The modules of the package that a module imports anywhere but for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and "Not" not in ast.dump(node.test):
            skipped |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "fnnfast":
                    yield alias.name.removeprefix("fnnfast").removeprefix(".")
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".") if package else []
            if node.level:
                base = base[: len(base) - node.level + 1] + ([node.module] if node.module else [])
            elif node.module and node.module.split(".")[0] == "fnnfast":
                base = node.module.split(".")[1:]
            else:
                continue
            for alias in node.names:
                inner = ".".join([*base, alias.name])
                compiled = inner in ("_cpu", "_cuda")
                yield inner if inner in MODULES or compiled else ".".join(base)


IMPORTS = {name: set(imported(name, path)) - {name} for name, path in MODULES.items()}


def folder(name):
    return name.split(".")[0]


def circle(graph):
    """Some circle in a graph, or nothing."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        path.append(node)
        found = next((found for other in sorted(graph.get(node, ())) if (found := visit(other))), [])
        path.pop()
        done.add(node)
        return found

    return next((found for node in sorted(graph) if (found := visit(node))), [])


def test_there_is_no_circle_of_modules():
    assert circle(IMPORTS) == []


def test_there_is_no_circle_of_folders():
    graph = {}
    for name, others in IMPORTS.items():
        if folder(name) not in ABOVE:
            graph.setdefault(folder(name), set()).update({folder(other) for other in others} - {folder(name)})
    assert circle(graph) == []


def test_a_circle_is_found():
    """That this test can fail, and through an import in a function."""
    graph = {**IMPORTS, "_checks": IMPORTS["_checks"] | {"_models.files"}}
    assert circle(graph)[0] == circle(graph)[-1]
    assert "_network.summary" in IMPORTS["_network.network"]


@pytest.mark.parametrize("name", [name for name in MODULES if folder(name) not in ABOVE])
def test_imports_go_one_way(name):
    if folder(name) in APART:
        assert {folder(other) for other in IMPORTS[name]} <= APART
        return
    place = next((place for place, folders in enumerate(LAYERS) if folder(name) in folders), None)
    assert place is not None, "a module that LAYERS does not know"
    allowed = set().union(*LAYERS[:place]) | {folder(name)} | (APART if folder(name) == "interop" else set())
    assert {folder(other) for other in IMPORTS[name]} <= allowed


def test_what_is_not_exported_has_an_underscore():
    public = {name for name in dir(fnn) if not name.startswith("_")}
    assert public - set(fnn.__all__) <= {"ops", "threads", "interop", "reference", "sklearn", "distributed"}
