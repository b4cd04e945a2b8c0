"""What all pages have: the document, the bridge to the form in the browser, light and dark."""

from __future__ import annotations

import json
import time
from functools import cache
from importlib import resources
from typing import Any

from bokeh.core.properties import Bool, Int, String
from bokeh.model import DataModel
from jinja2 import Environment, PackageLoader

from . import figures

PATHS = {"classification": "/", "regression": "/regression", "activations": "/activations", "digits": "/digits"}
FRAME = 33  # milliseconds
_LOST = 5.0  # seconds after which a page that has not seen its frame is taken for lost; training waits for it


class Bridge(DataModel):  # type: ignore[misc]
    """What the form in the browser (web/page.js) and Python tell each other."""

    sent = String(help="from the form: what is set, as a query")
    command = String(help="from buttons: JSON with do, a number that is always new, and arguments")
    dark = Bool(default=False, help="whether colours are those for the dark")
    seen = Int(help="the newest frame that is painted")
    state = String(help="to the form: JSON with frame, texts by id of their element, running, and more")
    script = String(help="to the form: the script to show")


class Page:
    """One tab of a browser. A subclass draws."""

    part: str

    def __init__(self, document: Any) -> None:
        self.document = document
        self.bridge = Bridge(name="bridge")
        self.figures: dict[str, figures.Figure] = {}
        self.texts: dict[str, str] = {}
        self.extra: dict[str, Any] = {}  # of the next state
        self._frame, self._sent_at = 0, 0.0

    @property
    def query(self) -> str:
        """The query of the address."""
        context = self.document.session_context
        return str(context.request.uri.partition("?")[2]) if context and context.request else ""

    def show(self, **variables: Any) -> None:
        """Put figures and form on the page, and begin to listen."""
        self.document.title = f"{self.part.capitalize()}: fnnfast playground"
        self.document.add_root(self.bridge)
        for name, made in self.figures.items():
            made.name = name
            self.document.add_root(made)
        self.document.template = environment().get_template(f"{self.part}.html")
        self.document.template_variables.update(
            {"part": self.part, "parts": PATHS.items(), "css": web("page.css"), "js": web("page.js"), **variables}
        )
        self.restyle()
        self.bridge.on_change("command", lambda attr, old, new: self.on_command(json.loads(new)))
        self.bridge.on_change("sent", lambda attr, old, new: self.on_sent(new))
        self.bridge.on_change("dark", lambda attr, old, new: self.restyle())
        self.bridge.on_change("seen", lambda attr, old, new: self.on_seen())

    def restyle(self) -> None:
        """Give all figures the colours of the theme."""
        for made in self.figures.values():
            figures.restyle(made, self.colours)

    @property
    def colours(self) -> figures.Colours:
        """Those of the theme."""
        return figures.themed(self.bridge.dark)

    def may_draw(self) -> bool:
        """Whether the page has seen all that was sent: a slow one gets fewer frames."""
        return bool(self.bridge.seen >= self._frame)

    def due(self) -> bool:
        """Whether it is time for another frame."""
        return self.may_draw() and time.monotonic() - self._sent_at > 0.8 * FRAME / 1000

    def lost(self) -> bool:
        """Whether nothing is heard of the page any more."""
        return not self.may_draw() and time.monotonic() - self._sent_at > _LOST

    def send(self, *, running: bool = False) -> None:
        """Send the texts, and what else is new."""
        self._frame, self._sent_at = self._frame + 1, time.monotonic()
        self.bridge.state = json.dumps({"frame": self._frame, "texts": self.texts, "running": running, **self.extra})
        self.extra = {}

    def on_seen(self) -> None:
        """A frame is painted."""

    def on_command(self, command: dict[str, Any]) -> None:
        """Do what a button says."""
        raise NotImplementedError

    def on_sent(self, query: str) -> None:
        """Take what is set in the form."""
        raise NotImplementedError


@cache
def environment() -> Environment:
    """The templates."""
    loader = PackageLoader("fnnfast._playground", "web")
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


@cache
def web(name: str) -> str:
    """The text of a file of the page."""
    return resources.files("fnnfast._playground").joinpath("web", name).read_text(encoding="utf-8")
