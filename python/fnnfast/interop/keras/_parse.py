"""The serialized configuration of a Keras model as layers and their calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ..._checks import listed, short
from .._errors import refusal
from ._config import FUNCTIONAL, SEQUENTIAL, Layer, Model, Ref, Store

MOST_NESTED = 32


def read(value: Any, store: Store, place: str = "", name: Any = None, depth: int = 0) -> Layer:
    """A serialized layer, or a model with its layers.

    Raises
    ------
    ConversionError
        A class that is not Keras's own, or a configuration that no Keras writes.
    """
    config = value.get("config") if isinstance(value, dict) else None
    kind = value.get("class_name") if isinstance(value, dict) else None
    if not isinstance(kind, str) or not isinstance(config, dict):
        raise refusal(
            place or "the model", "no description of a layer", "class_name and config, as Keras 3 writes them"
        )
    name = config.get("name") if name is None else name
    name = name if isinstance(name, str) else ""
    here = f"{place}{', ' if place else ''}{short(kind, 60)} {short(repr(name), 100)}"
    module = value.get("module")
    if not isinstance(module, str) or not (module == "keras" or module.startswith("keras.")):
        raise refusal(here, "a class that is not Keras's own", "layers of Keras", "replace it by layers of Keras")
    if value.get("registered_name") not in (None, kind):
        raise refusal(here, "a class that is registered by others", "layers of Keras", "replace it by layers of Keras")
    if kind not in (SEQUENTIAL, FUNCTIONAL):
        if ".ops." in f"{module}.":
            kind = f"ops.{kind}"
        return Layer(kind, name, here, config, store)
    if depth == MOST_NESTED:
        raise refusal(here, "a model nested too deep", f"{MOST_NESTED} models inside each other")
    found = config.get("layers")
    if not isinstance(found, list) or not found:
        raise refusal(here, "a model without layers", "Sequential and Functional models")
    layers = _layers(found, store, f"{here}, " if depth else "", depth, kind)
    if kind == SEQUENTIAL:
        return Model(kind, name, here, config, store, layers=layers)
    return _functional(here, name, config, store, layers)


def _layers(found: list[Any], store: Store, prefix: str, depth: int, kind: str) -> tuple[Layer, ...]:
    """The layers of a model, each with its store: files number the layers of a class."""
    used: dict[str, int] = {}
    layers = []
    for index, item in enumerate(found, 1):
        place = f"{prefix}layer {index} of {len(found)}"
        item = item if isinstance(item, dict) else {}
        config = item.get("config")
        name = item.get("name") if kind == FUNCTIONAL else config.get("name") if isinstance(config, dict) else None
        key = snake_case(str(item.get("class_name")))
        if "ops" not in str(item.get("module")).split("."):  # these are no layers
            count = used[key] = used.get(key, -1) + 1
            key = f"{key}_{count}" if count else key
        layer = read(item, store.inside(key, str(name)), place, name, depth + 1)
        if kind == FUNCTIONAL:
            layer.calls = tuple(_calls(layer, item.get("inbound_nodes")))
        layers.append(layer)
    return tuple(layers)


def snake_case(name: str) -> str:
    """The name of a class as files have it: LeakyReLU is leaky_re_lu."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _calls(layer: Layer, nodes: Any) -> Iterator[tuple[Any, ...]]:
    for node in nodes if isinstance(nodes, list) else ():
        arguments = node.get("args") if isinstance(node, dict) else None
        named = node.get("kwargs") if isinstance(node, dict) else None
        if not isinstance(arguments, list) or not isinstance(named, dict):
            raise layer.refused("calls in a form that is not known", "files of Keras 3")
        for key, value in named.items():
            if value is not None and value is not False:
                raise layer.refused(
                    f"a call with {short(key, 60)}={short(repr(value), 60)}", "calls of layers on values alone"
                )
        if len(arguments) == 1 and isinstance(arguments[0], list):  # of a layer that merges values
            arguments = arguments[0]
        yield tuple(_argument(layer, item) for item in arguments)


def _argument(layer: Layer, item: Any) -> Any:
    if not (isinstance(item, dict) and item.get("class_name") == "__keras_tensor__"):
        return item
    config = item.get("config")
    return _ref(layer, config.get("keras_history") if isinstance(config, dict) else None)


def _ref(layer: Layer, history: Any) -> Ref:
    if not isinstance(history, list) or list(map(type, history)) != [str, int, int]:
        raise layer.refused("a reference that names no output", "[layer, call, 0]")
    if history[2]:
        raise layer.refused(f"output {history[2]} of {short(repr(history[0]))}", "layers of one output")
    return Ref(history[0], history[1])


def _functional(place: str, name: str, config: dict[str, Any], store: Store, layers: tuple[Layer, ...]) -> Model:
    """A graph of calls. Its outputs count the calls of a Functional model from 1, since 0 is the model itself."""
    by_name = {layer.name: layer for layer in layers}
    model = Model(FUNCTIONAL, name, place, config, store, layers=layers, inputs=config.get("input_layers"))
    if len(by_name) != len(layers):
        raise model.refused("layers of the same name", "a name for each layer")

    def known(ref: Ref, first: int = 0) -> Ref:
        layer = by_name.get(ref.name)
        call = ref.call - (first if layer is not None and layer.kind == FUNCTIONAL else 0)
        if layer is None or not (0 <= call < max(len(layer.calls), layer.kind == "InputLayer")):
            raise model.refused(f"call {ref.call} of a layer {short(repr(ref.name))}", "calls of layers of the model")
        return Ref(ref.name, call)

    ends = {}
    for key, title in (("input_layers", "inputs"), ("output_layers", "outputs")):
        found = list(_refs(model, config.get(key)))
        if len(found) != 1:
            names = listed([repr(ref.name) for ref in found]) or "none"
            raise model.refused(
                f"{title} {names}", f"one {title[:-1]}", "make a keras.Model of one input and one output"
            )
        ends[key] = known(found[0], first=1)
    graph: dict[Ref, list[Ref]] = {}
    for layer in layers:
        if layer.kind == "InputLayer":
            graph[Ref(layer.name, 0)] = []
            if layer.name != ends["input_layers"].name:
                raise layer.refused("a second input", "models of one input")
        calls = [tuple(known(item) if isinstance(item, Ref) else item for item in call) for call in layer.calls]
        layer.calls = tuple(calls)
        for index, call in enumerate(calls):
            graph[Ref(layer.name, index)] = [item for item in call if isinstance(item, Ref)]
    try:
        order = tuple((by_name[ref.name], ref) for ref in TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise model.refused("calls in a circle", "calls of layers one after another") from error
    model.output, model.order = ends["output_layers"], order
    return model


def _refs(model: Model, value: Any) -> Iterable[Ref]:
    """References in a structure of lists and dicts that is at most two deep."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [_ref(model, value)]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [_ref(model, item) for item in items]
