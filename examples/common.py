"""What the examples share: where their figures go and how they look."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

plt.rcParams.update(
    {
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "axes.titlesize": "medium",
        "legend.frameon": False,
    }
)


def save(figure: Figure, script: str) -> None:
    """Write the figure of an example as a small PNG of its name, into the folder FNNFAST_FIGURES or figures/ here."""
    folder = Path(os.environ.get("FNNFAST_FIGURES") or Path(__file__).parent / "figures")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{Path(script).stem}.png"
    whole = BytesIO()
    figure.savefig(whole, dpi=100)
    # 256 colours take a third of the bytes. They start spread over all there are, so that a thin line keeps its own
    # beside the white, and k-means then moves them to what large areas have.
    picture = Image.open(whole).convert("RGB")
    picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    print(f"figure: {path}")
