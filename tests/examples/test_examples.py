"""The examples: each runs to its end, where it asserts its number, and leaves a figure; the gallery shows them all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))

# What an example may import that fnnfast does not need. Any other module that is missing is a mistake.
EXTRAS = {
    "matplotlib",
    "ml_dtypes",
    "mlxtend",
    "mpi4py",
    "optuna",
    "scipy",
    "sklearn",
    "threadpoolctl",
    "torch",
    "tqdm",
}

MAX_BYTES = 100_000  # the figures are part of the repository


# Those that take more than ten seconds on two cores.
LONG = {
    "11_approximation_in_2d",
    "12_maxout_pieces",
    "13_maxout_units",
    "14_activations",
    "17_vanishing_gradients",
    "18_relu_speed",
    "19_dead_relus",
    "20_which_activation",
    "21_binary_head",
    "23_multiclass_head",
    "25_bounding_boxes",
    "26_hidden_sizes",
    "27_scatter_of_losses",
    "29_depth_and_generalisation",
    "30_search",
    "31_optuna",
    "32_compound_scaling",
    "33_initialisation",
    "34_residual",
    "35_same_as_convolution",
    "36_two_3x3",
    "37_residual_depth",
    "38_inception",
    "39_scaling_convolutions",
    "40_first_filters",
    "41_maxout_convolution",
    "42_optimizers_and_decay",
    "43_digits",
    "44_what_hidden_neurons_see",
    "45_input_noise_and_decay",
    "46_ensemble",
    "47_transfer_learning",
    "48_transfer_convolutions",
    "49_recipe",
    "50_deep_mnist",
    "51_low_precision",
    "52_many_networks",
    "53_any_number_of_ranks",
}
RUNS = [pytest.param(script, marks=[pytest.mark.long] * (script.stem in LONG), id=script.stem) for script in EXAMPLES]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", RUNS)
def test_example(script: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"FNNFAST_FIGURES": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    missing = re.search(r"^ModuleNotFoundError: No module named '(\w+)", done.stderr, re.MULTILINE)
    if missing and missing[1] in EXTRAS:
        pytest.skip(f"{missing[1]} is not installed")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d", done.stdout.replace(str(tmp_path), "")), "it prints no number"

    figure = tmp_path / f"{script.stem}.png"
    assert figure.stat().st_size <= MAX_BYTES
    pixels = image.imread(figure)
    drawn = (pixels != pixels[0, 0]).any(axis=-1)
    assert drawn.mean() > 0.01, "the figure is blank"


def test_the_long_examples_exist() -> None:
    assert {script.stem for script in EXAMPLES} >= LONG


def test_the_gallery_shows_every_example() -> None:
    gallery = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\(\.\./examples/figures/(\w+)\.png\)", gallery)
    linked = re.findall(r"\]\(\.\./examples/(\w+)\.py\)", gallery)
    assert EXAMPLES
    assert shown == linked == [script.stem for script in EXAMPLES]  # in their order


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_figure_is_there(script: Path) -> None:
    assert (script.parent / "figures" / f"{script.stem}.png").is_file()
