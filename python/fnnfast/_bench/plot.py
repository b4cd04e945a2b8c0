"""The record of a run as a figure: every contender's time over fnnfast's, problem by problem."""

from __future__ import annotations

from os import PathLike
from typing import Any

from .report import duration

NAMES = {"numpy": "NumPy", "torch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "jax": "JAX"}


def save(record: dict[str, Any], path: str | PathLike[str]) -> None:
    """Draw a record (``report.record``) into an image file, whose ending says the format.

    Raises
    ------
    ModuleNotFoundError
        Without matplotlib, which the extra ``bench`` brings.
    """
    from matplotlib.figure import Figure  # no pyplot: nothing global, no display

    rows = []
    for result in record["results"]:
        times = {c["name"]: c["best"] for c in result["contenders"] if c["best"] is not None}
        if len(times) > 1 and "fnnfast" in times:
            rows.append((result, times))
    others = list(dict.fromkeys(name for _, times in rows for name in times if name != "fnnfast"))
    figure = Figure(figsize=(9, 1.2 + 0.42 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for index, name in enumerate(others):
        points = [(times[name] / times["fnnfast"], row) for row, (_, times) in enumerate(rows) if name in times]
        axes.plot(*zip(*points, strict=True), "osD^v<>"[index % 7], label=NAMES.get(name, name), markersize=7)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    ticks = [1, 1.5, 2, 3, 5, 10, 20]
    axes.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(
        range(len(rows)), [f"{r['id']}  {r['work']}, {duration(times['fnnfast'])}" for r, times in rows], fontsize=9
    )
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("time over fnnfast's own, which stands at the left")
    machine = record["machine"]
    precisions = ", ".join(dict.fromkeys(result["precision"] for result, _ in rows))
    title = f"{machine['cpu']}, {machine['isa']}, {machine['threads']} threads, {precisions}"
    figure.suptitle(title, fontsize=10)  # over all of the figure: the axes are too narrow for it
    axes.legend(fontsize=9)
    figure.savefig(path, dpi=110)
