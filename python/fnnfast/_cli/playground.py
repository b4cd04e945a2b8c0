"""``python -m fnnfast playground``: a local page on which networks learn."""

from __future__ import annotations

import argparse
import sys
from importlib import util

NEEDS = {"bokeh": "bokeh", "sklearn": "scikit-learn"}


def run(options: argparse.Namespace) -> int:
    missing = [name for module, name in NEEDS.items() if util.find_spec(module) is None]
    if missing:
        text = f"the playground needs its extra (missing: {', '.join(missing)}): pip install 'fnnfast[playground]'"
        print(text, file=sys.stderr)
        return 2
    from .._playground.server import serve

    return serve(options.port, browser=options.browser)
