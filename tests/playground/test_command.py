"""``python -m fnnfast playground``: the command, its errors, and pages without a browser."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fnnfast.__main__ import main
from fnnfast._cli import playground


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(playground.NEEDS, "a_module_that_is_not_there", "a-package")
    assert main(["playground", "--no-browser"]) == 2
    err = capsys.readouterr().err
    assert "a-package" in err
    assert "pip install 'fnnfast[playground]'" in err


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_what_is_no_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["playground", "--port", port])
    assert caught.value.code == 2
    assert "--port" in capsys.readouterr().err


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    pytest.importorskip("sklearn")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "fnnfast", "playground", "--no-browser", "--port", str(port)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == f"playground: port {port} is taken; choose another one, or none for a free one\n"


@pytest.mark.slow
def test_it_serves_all_parts_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    pytest.importorskip("sklearn")
    process = subprocess.Popen(
        [sys.executable, "-m", "fnnfast", "playground", "--no-browser"],
        cwd=tmp_path,
        env=os.environ | {"BOKEH_RESOURCES": "cdn"},  # which must not matter
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        for part in ("", "regression", "activations", "digits"):
            with urllib.request.urlopen(found[0] + part, timeout=60) as answer:
                text = answer.read().decode()
            assert "fnnfast playground" in text
            scripts = re.findall(r"<(?:script|link)[^>]+(?:src|href)=\"([^\"]+)\"", text)
            assert scripts
            assert all(script.startswith(("static/", "/static/", "data:")) for script in scripts), scripts
        with urllib.request.urlopen(found[0] + "?data=%3Cscript%3Ealert(1)%3C/script%3E", timeout=60) as answer:
            text = answer.read().decode()
        assert "<script>alert" not in text
        assert "The settings of this address are not valid" in text
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.strip() == "ended"
    assert err == ""


# Pages ---------------------------------------------------------------------------------------------------------------
@pytest.fixture
def document() -> Any:
    pytest.importorskip("bokeh")
    from bokeh.document import Document

    return Document()


def wait_for_frame(page: Any, condition: Any) -> None:
    """Let a page draw, as if the browser painted every frame at once."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        page.bridge.seen = page._frame
        time.sleep(0.02)
        page.frame()


def test_a_page_trains_and_restarts(document: Any) -> None:
    from fnnfast._playground.classification_page import ClassificationPage

    page = ClassificationPage(document)
    try:
        page.on_command({"do": "toggle"})
        wait_for_frame(page, lambda: int(page.texts.get("steps", "0").replace(",", "")) > 300)
        assert json.loads(page.bridge.state)["running"] is True
        page.bridge.sent = page.settings.query().replace("units=8", "units=5", 1)
        assert [layer.units for layer in page.settings.layers] == [5, 8]
        assert page.worker.running
        page.bridge.sent = page.settings.query().replace("learning_rate=0.01", "learning_rate=0.1")
        assert page.settings.learning_rate == 0.1
        page.bridge.sent = page.settings.query().replace("rows=400", "rows=x")
        assert "rows: expected a whole number" in page.texts["message"]
        page.on_command({"do": "toggle"})
        assert not page.worker.running
        page.on_command({"do": "script"})
        assert "fnn.Dense(5," in page.bridge.script
    finally:
        page.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "fnnfast-playground"]


def test_points_from_the_tool(document: Any) -> None:
    from fnnfast._playground.classification_page import ClassificationPage

    page = ClassificationPage(document)
    try:
        page.own.data = {"x": [1.0, -9.0], "y": [0.503, 2.0], "label": ["1", "0"]}
        assert [(p.x, p.y, p.label) for p in page.settings.points] == [(100, 50, 1), (-300, 200, 0)]
        assert len(page.data.x) == 202
        page.bridge.sent = page.settings.query().replace("points=100.50.1_-300.200.0", "points=")
        assert page.settings.points == ()
        assert len(page.own.data["x"]) == 0
    finally:
        page.close()


def test_a_stroke_becomes_points(document: Any) -> None:
    from fnnfast._playground.regression_page import RegressionPage

    page = RegressionPage(document)
    try:
        page.stroke.data = {"xs": [[-1.0, 0.0, 1.0]], "ys": [[0.0, 1.0, 0.0]]}
        points = page.settings.points
        assert len(points) > 20
        assert (points[0].x, points[0].y) == (-100, 0)
        assert max(point.y for point in points) in (97, 98, 99, 100)
        assert page.stroke.data["xs"] == []
    finally:
        page.close()


def test_a_slow_page_gets_fewer_frames(document: Any) -> None:
    from fnnfast._playground.classification_page import ClassificationPage

    page = ClassificationPage(document)
    try:
        page.on_command({"do": "toggle"})
        page.frame()
        before = page._frame
        for _ in range(5):
            page.frame()
        assert page._frame == before
        page._sent_at -= 60
        page.frame()
        assert not page.worker.running, "a page that is lost should not train for ever"
    finally:
        page.close()


def test_layers_are_called_as_in_the_form() -> None:
    pytest.importorskip("bokeh")
    import numpy as np

    from fnnfast._playground.training_page import in_words

    assert in_words({"dense_1": np.array([1, 0]), "maxout_1": np.array([3, 3, 0])}) == (
        "layer 1: 1 of 2 dead; layer 2: 2 of 3 linear"
    )
    assert in_words({"conv2d_1": np.array([1]), "dense_1": np.array([2])}) == (
        "convolution: 1 of 1 dead; layer 1: 1 of 1 saturated"
    )


def test_activations(document: Any) -> None:
    from fnnfast._playground.activations_page import ActivationsPage, spans

    page = ActivationsPage(document)
    page.on_sent("name=elu&parameter=1&reach=4")
    assert page.texts["parameter-name"] == "alpha"
    page.on_sent("name=elu&parameter=2&reach=4")
    assert page.function.data["y"].min() == pytest.approx(-2, abs=0.05)
    page.on_sent("name=tanh&reach=4")
    assert page.boxes[0].visible
    assert page.boxes[1].visible
    assert not page.boxes[2].visible
    assert page.texts["ulps"].endswith(" ulp")
    page.on_sent("name=sign&reach=4")
    assert "no derivative" in page.texts["watch"]
    page.on_sent("name=nothing")
    assert "expected an activation" in page.texts["message"]
    assert spans([0, 1, 2, 3], [True, True, False, True]) == [(0.0, 1.0), (3.0, 3.0)]
