"""The page in a real browser: Chromium, driven by Selenium."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from fnnfast._playground.settings import from_query

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PARTS = ("", "regression", "activations", "digits")
PATIENCE = 90.0  # seconds: a machine may be busy


def found(*names: str) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The page's, of a server of its own."""
    for module in ("bokeh", "selenium", "sklearn"):
        pytest.importorskip(module)
    if not (found("chromium", "chromium-browser", "google-chrome") and found("chromedriver")):
        pytest.skip("needs chromium and chromedriver (Debian: chromium chromium-driver)")
    process = subprocess.Popen(
        [sys.executable, "-m", "fnnfast", "playground", "--no-browser"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    given = re.search(r"http://\S+", line)
    assert given, line
    yield given[0]
    assert process.poll() is None, "the server has ended"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    process.stdout.close()


class Tab:
    """A browser with what the tests do in it."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.address = driver, address

    def open(self, path: str = "", width: int = 1280, dark: bool = False) -> None:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.driver.get(self.address + path)
        self.wait(lambda: self.js("return document.body.dataset.ready === 'true' && bridge.seen > 0"))

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"nothing happened; {self.state()}"
            time.sleep(0.1)

    def state(self) -> dict[str, str]:
        names = ("steps", "rate", "train_score", "test_score", "marks", "message")
        return {name: self.text(name) for name in names}

    def text(self, name: str) -> str:
        return str(self.js("return document.getElementById(arguments[0])?.textContent ?? ''", name))

    def steps(self) -> int:
        return int(self.text("steps").replace(",", ""))

    def click(self, selector: str) -> None:
        self.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self.driver.find_element("css selector", selector).click()

    def choose(self, selector: str, value: str) -> None:
        from selenium.webdriver.support.ui import Select

        Select(self.driver.find_element("css selector", selector)).select_by_value(value)

    def query(self) -> str:
        return urlsplit(self.driver.current_url).query

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture
def tab(address: str) -> Iterator[Tab]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = found("chromium", "chromium-browser", "google-chrome") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found("chromedriver")))
    try:
        opened = Tab(driver, address)
        yield opened
        assert opened.errors() == []
    finally:
        driver.quit()


def drag(tab: Tab, selector: str, *places: tuple[float, float]) -> None:
    """Press the mouse at the first place, in shares of an element's box, and move it over the others."""
    from selenium.webdriver.common.action_chains import ActionChains

    tab.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
    element = tab.driver.find_element("css selector", selector)
    wide, high = element.size["width"], element.size["height"]
    actions = ActionChains(tab.driver, duration=50)
    for number, (x, y) in enumerate(places):
        actions.move_to_element_with_offset(element, round((x - 0.5) * wide), round((y - 0.5) * high))
        if number == 0:
            actions.click_and_hold()
    actions.release().perform()


# Every part ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_part_fits_and_asks_no_network(tab: Tab, width: int, dark: bool) -> None:
    for part in PARTS:
        tab.open(part, width, dark)
        assert tab.js("return document.documentElement.scrollWidth") <= width
        assert tab.js("return document.documentElement.dataset.theme") == ("dark" if dark else "light")
        loaded = tab.js("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert loaded
        assert all(name.startswith((tab.address, "data:", "blob:")) for name in loaded), loaded
        for plot in tab.driver.find_elements("css selector", ".plot"):
            box = plot.rect
            assert box["height"] > 60, plot.get_attribute("aria-label")
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width


def test_every_control_has_a_name_and_is_reached_by_keyboard(tab: Tab) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    for part in PARTS:
        tab.open(part)
        nodes = tab.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        roles = {"button", "combobox", "spinbutton", "slider", "link", "radio", "image", "textbox"}
        named = [node for node in nodes if node.get("role", {}).get("value") in roles and not node.get("ignored")]
        assert len(named) > 8
        assert [node["role"] for node in named if not node.get("name", {}).get("value")] == []

        visible = "el => el.getClientRects().length && !el.disabled"
        kinds = "a, button, select, input:not([type=hidden]), summary"
        controls = f"[...document.querySelectorAll('{kinds}')].filter({visible})"
        groups = f"new Set({controls}.map(el => el.type === 'radio' ? el.name : el)).size"
        expected = tab.js(f"return {groups}")
        tab.js("window.reached = new Set(); document.activeElement?.blur()")
        for _ in range(expected + 2):
            ActionChains(tab.driver).send_keys(Keys.TAB).perform()
            tab.js("const a = document.activeElement; reached.add(a.type === 'radio' ? a.name : a)")
        assert tab.js("reached.delete(document.body); return reached.size") >= expected


# Classification ------------------------------------------------------------------------------------------------------
def test_the_spiral_is_learned_and_its_script_has_the_same_bits(tab: Tab) -> None:
    tab.open()
    tab.choose("#speed", "max")
    tab.click("[data-do=toggle]")
    tab.wait(lambda: float(tab.text("test_score").rstrip("%")) >= 95 and tab.text("rate") != "-")
    assert int(tab.text("rate").replace(",", "")) > 1000
    tab.click("[data-do=script]")
    tab.wait(lambda: "SHA-256" in tab.text("script-text"))
    script = tab.text("script-text")
    expected = re.search(r"# on the page: ([0-9a-f]{64})", script)
    assert expected
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split()[-1] == expected[1], done.stderr
    accuracy = re.search(r"test accuracy ([\d.]+)", done.stdout)
    assert accuracy
    assert f"{float(accuracy[1]):.1%}" == tab.text("test_score")


def test_a_point_is_drawn_moved_and_deleted(tab: Tab) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def points() -> list[tuple[int, int, int]]:
        return [(p.x, p.y, p.label) for p in from_query("classification", tab.query()).points]

    tab.open()
    canvas = ".view .plot"
    tab.click("input[name=new-label][value='1']")
    drag(tab, canvas, (0.75, 0.25))
    tab.wait(points)
    ((x, y, label),) = points()
    assert (x, y) == (pytest.approx(150, abs=12), pytest.approx(150, abs=12))
    assert label == 1
    drag(tab, canvas, (0.75, 0.25), (0.6, 0.3), (0.5, 0.5))
    tab.wait(lambda: points() != [(x, y, label)])
    tab.wait(lambda: abs(points()[0][0]) < 20)
    drag(tab, canvas, (0.5, 0.5))
    ActionChains(tab.driver).send_keys(Keys.BACKSPACE).perform()
    tab.wait(lambda: not points())

    tab.click("summary")
    tab.click("#add-point")
    tab.wait(lambda: points() == [(0, 0, 0)])
    tab.click("#clear-points")
    tab.wait(lambda: not points())


def test_activation_layers_and_permalink(tab: Tab) -> None:
    tab.open()
    tab.choose("[name=kind]", "maxout")
    tab.wait(lambda: "kind=maxout" in tab.query())
    tab.click(".pieces .more")
    tab.wait(lambda: "pieces=3" in tab.query())
    tab.click("#add-layer")
    tab.wait(lambda: tab.query().count("kind=") == 3)
    tab.click("[data-do=step]")
    tab.wait(lambda: tab.steps() == 1)
    tab.click(".layer:nth-child(2) .remove")
    tab.wait(lambda: tab.query().count("kind=") == 2 and tab.steps() == 0)
    link = tab.driver.current_url
    tab.driver.switch_to.new_window("tab")
    tab.open(f"?{urlsplit(link).query}")
    assert tab.driver.current_url == link
    assert tab.js("return [...document.querySelectorAll('[name=kind]')].map(el => el.value)") == ["maxout", "swish"]
    assert tab.js("return document.querySelector('[name=pieces]').value") == "3"


def test_large_steps_kill_relus_which_is_marked(tab: Tab) -> None:
    tab.open("?data=xor&kind=relu&units=8&pieces=2&optimizer=sgd&learning_rate=0.01&seed=1")
    assert tab.text("marks") == ""
    tab.choose("#learning_rate", "10")
    tab.wait(lambda: "learning_rate=10" in tab.query())
    tab.click("[data-do=toggle]")
    tab.wait(lambda: re.search(r"layer 1: [1-8] of 8 dead", tab.text("marks")))
    marks = "return Bokeh.documents[0].get_model_by_name('network').renderers.at(-1).data_source.data.mark"
    tab.wait(lambda: "1" in list(tab.js(f"{marks}")))


def test_two_tabs_are_two_sessions(tab: Tab) -> None:
    tab.open()
    tab.click("[data-do=step]")
    tab.wait(lambda: tab.steps() == 1)
    first = tab.driver.current_window_handle
    tab.driver.switch_to.new_window("tab")
    tab.open("?seed=5")
    assert tab.steps() == 0
    tab.driver.switch_to.window(first)
    assert tab.steps() == 1


def test_keys_start_and_step(tab: Tab) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    tab.open()
    ActionChains(tab.driver).send_keys("s").perform()
    tab.wait(lambda: tab.steps() == 1)
    ActionChains(tab.driver).send_keys(" ").perform()
    tab.wait(lambda: tab.steps() > 100)
    ActionChains(tab.driver).send_keys(" ").perform()
    tab.wait(lambda: tab.js("return document.querySelector('[data-do=toggle]').dataset.running") == "false")
    ActionChains(tab.driver).send_keys("r").perform()
    tab.wait(lambda: tab.steps() == 0)


def test_the_page_answers_while_it_trains(tab: Tab) -> None:
    """As fast as it goes; half of the browser's frames come in time even on a busy machine."""
    tab.open()
    tab.choose("#speed", "max")
    tab.click("[data-do=toggle]")
    tab.wait(lambda: tab.steps() > 1000)
    tab.js(
        "window.gaps = []; let last = performance.now();"
        "(function next() { const now = performance.now(); gaps.push(now - last); last = now;"
        " requestAnimationFrame(next); })()"
    )
    time.sleep(5)
    gaps = sorted(tab.js("return gaps"))
    assert gaps[len(gaps) // 2] < 50


def test_light_becomes_dark(tab: Tab) -> None:
    tab.open()
    colour = "return Bokeh.documents[0].get_model_by_name('losses').below[0].major_label_text_color"
    light = tab.js(colour)
    tab.click("#theme")
    assert tab.js("return document.documentElement.dataset.theme") == "dark"
    tab.wait(lambda: tab.js(colour) != light)


# The other parts -----------------------------------------------------------------------------------------------------
def test_a_curve_is_drawn_and_fitted_and_widths_are_compared(tab: Tab) -> None:
    tab.open("regression?data=drawn")
    tab.click("[data-do=toggle]")
    tab.wait(lambda: "no point to train on" in tab.text("message"))
    drag(tab, ".view .plot", (0.25, 0.7), (0.4, 0.4), (0.6, 0.6), (0.8, 0.3))
    tab.wait(lambda: "points=" in tab.query())
    assert len(from_query("regression", tab.query()).points) > 10
    tab.choose("#speed", "1000")
    tab.click("[data-do=toggle]")
    tab.wait(lambda: tab.text("train_score") not in ("", "-") and float(tab.text("train_score")) > 0.9)
    tab.click("[data-do=widths]")
    tab.wait(lambda: tab.text("widths").startswith("smallest error"))


def test_activations_have_sliders(tab: Tab) -> None:
    from selenium.webdriver.common.keys import Keys

    tab.open("activations")
    tab.choose("#name", "leaky_relu")
    tab.wait(lambda: tab.text("parameter-name") == "alpha")
    slider = tab.driver.find_element("id", "parameter")
    slider.send_keys(Keys.END)
    tab.wait(lambda: "parameter=3" in tab.query())
    tab.choose("#name", "tanh")
    tab.wait(lambda: not slider.is_displayed())
    tab.wait(lambda: "saturated" in tab.text("shading"))
    assert tab.text("ulps").endswith("ulp")


def test_a_drawn_digit_is_recognised(tab: Tab) -> None:
    tab.open("digits")
    tab.choose("#speed", "max")
    tab.click("[data-do=toggle]")
    tab.wait(lambda: float(tab.text("test_score").rstrip("%")) > 95)
    tab.click("#clear-pad")
    tab.wait(lambda: tab.text("answer") == "nothing yet")
    drag(tab, "#pad", (0.5, 0.1), (0.5, 0.5), (0.5, 0.9))
    tab.wait(lambda: tab.text("answer").startswith("a 1"))
    tab.click("[data-do=sample]")
    tab.choose("#filters", "8")
    tab.wait(lambda: "filters=8" in tab.query())
    tab.wait(lambda: tab.steps() > 20)
