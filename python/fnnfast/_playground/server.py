"""The Bokeh server of the page: one application a part, one session a tab."""

from __future__ import annotations

import errno
import logging
import sys
import webbrowser
from collections.abc import Callable
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.server.server import Server
from bokeh.settings import settings

from .activations_page import ActivationsPage
from .classification_page import ClassificationPage
from .digits_page import DigitsPage
from .page import PATHS
from .regression_page import RegressionPage

HOST = "127.0.0.1"
PAGES: dict[str, Callable[[Any], Any]] = {
    page.part: page for page in (ClassificationPage, RegressionPage, ActivationsPage, DigitsPage)
}
_SWITCH = 0.001  # seconds: the page's thread and those that train take turns with the interpreter this often


def make(port: int) -> Server:
    """A server that listens on this machine alone, at a free port for 0. OSError if the port is taken."""
    settings.resources = "server"  # scripts of Bokeh's wheel, nothing from a network
    applications = {path: Application(FunctionHandler(PAGES[part])) for part, path in PATHS.items()}
    return Server(applications, address=HOST, port=port, ico_path="none")


def serve(port: int, *, browser: bool) -> int:
    """Serve the page until Ctrl-C; the exit status."""
    sys.setswitchinterval(_SWITCH)
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)  # silent about frames for a tab that was closed
    try:
        server = make(port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        print(f"playground: port {port} is taken; choose another one, or none for a free one", file=sys.stderr)
        return 1
    address = f"http://{HOST}:{server.port}/"
    print(f"fnnfast playground: {address} (Ctrl-C ends it)", flush=True)
    server.start()
    if browser:
        server.io_loop.call_later(0, lambda: webbrowser.open(address))
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        print("\nended")
    finally:
        server.stop(wait=True)
    return 0
