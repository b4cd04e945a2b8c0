"""The documentation site: ``nox -s docs``, or ``sphinx-build -W docs docs/_build/html``.

Pages are Markdown (MyST). The reference is made from the docstrings (numpydoc), the gallery from examples/ and the
figures that are kept there: nothing is trained to build the site.
"""

from __future__ import annotations

import os
import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from sphinx_gallery.utils import scale_image

EXAMPLES = Path(__file__).parent.parent / "examples"
CHILDREN = {"interop/index": ["torch", "keras", "sklearn", "onnx", "deployment"]}

project = "fnnfast"
author = "The fnnfast developers"
copyright = "The fnnfast developers"
version = release = version_of("fnnfast")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "sg_execution_times.rst"]
templates_path = ["_templates"]
nitpicky = False

# Markdown ------------------------------------------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Reference -----------------------------------------------------------------------------------------------------------
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings have the types
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Other projects' pages: links into them, where their inventories can be fetched. Offline the build goes on without.
intersphinx_mapping = (
    {}
    if os.environ.get("FNNFAST_DOCS_OFFLINE")
    else {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }
)
suppress_warnings = ["intersphinx.external", "config.cache"]

# Gallery -------------------------------------------------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": str(EXAMPLES),
    "gallery_dirs": "auto_examples",
    "plot_gallery": False,
    "ignore_pattern": r"(^|[/\\])(common|digits)\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e9,
    "default_thumb_file": str(EXAMPLES / "figures" / "07_xor.png"),
}

# HTML ----------------------------------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "fnnfast"
html_static_path = ["_static"]
html_css_files = ["fnnfast.css"]
html_show_sourcelink = False
html_sidebars = {"quickstart": []}  # it has no pages below it
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
    "logo": {"text": "fnnfast"},
}


def show_figures(app: Any) -> None:
    """Show the kept figure of each example on its page and in the gallery, which is built without running them."""
    folder = Path(app.srcdir, "auto_examples")
    for page in sorted(folder.glob("[0-9]*.rst")):
        figure = EXAMPLES / "figures" / f"{page.stem}.png"
        scale_image(str(figure), str(folder / "images" / "thumb" / f"sphx_glr_{page.stem}_thumb.png"), 400, 280)
        text = page.read_text()
        image = f".. image:: /../examples/figures/{figure.name}\n   :alt: The figure of this example\n\n"
        if image not in text:
            code = text.rindex(".. GENERATED FROM", 0, text.index(".. code-block:: Python"))
            page.write_text(text[:code] + image + text[code:])


def show_sections(app: Any) -> None:
    """Divide the gallery's overview into the sections of gallery.md, with their headings and first lines."""
    sections = re.split(r"^## ", Path(app.srcdir, "gallery.md").read_text(), flags=re.MULTILINE)[1:]
    page = Path(app.srcdir, "auto_examples", "index.rst")
    text = page.read_text()
    tags = ('<div class="sphx-glr-thumbnails">', "</div>")
    open_list, close_list = (f".. raw:: html\n\n    {tag}\n\n" for tag in tags)
    for section in sections:
        title, _, first_line = section.split("\n", 3)[:3]
        first, *_ = re.findall(r"\]\(\.\./examples/(\w+)\.py\)", section)
        heading = f"{title}\n{'-' * len(title)}\n\n"
        if heading not in text:
            at = text.rindex(".. raw:: html", 0, text.index(f"sphx_glr_{first}_thumb.png"))
            text = text[:at] + close_list + heading + first_line + "\n\n" + open_list + text[at:]
    page.write_text(text)


def adapt(app: Any, name: str, source: list[str]) -> None:
    """What pages that are also read on code hosts lack here: a toctree, which would be shown as code there.

    Links to the benchmarks lead out of the site and stay words.
    """
    if name in CHILDREN:
        source[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(CHILDREN[name]) + "\n```\n"
    source[0] = re.sub(r"\[([^\]]+)\]\(\.\./bench/[^)]*\)", r"\1", source[0])


def escape_stars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Shapes such as (N, *shape) are types in the docstrings, and would begin an emphasis."""
    for i, line in enumerate(lines):
        words = line.split("``")  # every second is literal
        words[::2] = [re.sub(r"(?<=[(, ])\*(?=\w)", r"\\*", text) for text in words[::2]]
        lines[i] = "``".join(words)


def setup(app: Any) -> None:
    app.connect("builder-inited", show_figures, priority=900)  # after the gallery is written
    app.connect("builder-inited", show_sections, priority=901)
    app.connect("source-read", adapt)
    app.connect("autodoc-process-docstring", escape_stars, priority=900)  # after numpydoc
