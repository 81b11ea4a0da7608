"""The pages in a real browser: no errors, figures seen, keys work, readable on a phone, accessible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import maxslope as ms
from browser._browser import browser
from maxslope.attacks.findings import Finding, Kind
from maxslope.report import compare, page
from report._runs import BUDGET, FAST, picture_run, tabular_run

pytestmark = pytest.mark.slow  # a browser for each

SCREENS = [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]
PAGES = ["page", "table", "compare"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> dict[str, Path]:
    """The three kinds of page; a warning among what they show."""
    from dataclasses import replace

    folder = tmp_path_factory.mktemp("pages")
    model, x, y, report = picture_run()
    near = ms.evaluate(model, (x, y), ms.Linf(0.03), effort=FAST)
    doubtful = replace(report, warnings=(Finding(Kind.OPEN_GAP, "Seen on 3 of 8 samples."),))
    smallest = ms.minimal(model, x, y, BUDGET.norm, effort=ms.Effort(passes=8))
    tabular, points, labels, numbers = tabular_run()
    pages = {
        "page": page(doubtful, model=model, data=(x, y), budget=BUDGET, smallest=smallest, command="maxslope evaluate"),
        "table": page(numbers, model=tabular, data=(points, labels), budget=ms.L2(0.2)),
        "compare": compare(
            report, near, names=("a long name of a run", "near"), data=(x, y), models=(model, model), budget=BUDGET,
            smallest=(smallest, smallest),
        ),
    }  # fmt: skip
    return {name: one.save(folder / f"{name}.html") for name, one in pages.items()}


class Seen:
    """A page that is open, and what it complained about."""

    def __init__(self, chromium: Any, file: Path, width: int = 1280, colors: str = "light") -> None:
        self.context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=colors)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "colors"), SCREENS)
def test_no_errors_no_network_no_sideways_scrolling_and_axe_finds_nothing(
    chromium: Any, files: dict[str, Path], name: str, width: int, colors: str
) -> None:
    """With everything opened; the rules of axe-core, contrast among them, where it is installed."""
    with Seen(chromium, files[name], width, colors) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        assert seen.errors == []
        assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []
        if name == "table" and colors == "light":
            return  # the same styles as the other two
        axe = pytest.importorskip("axe_playwright_python.base", reason="no axe: pip install 'maxslope[browser]'")
        seen.page.evaluate(Path(axe.AXE_FILE_PATH).read_text(encoding="utf-8"))
        found = seen.page.evaluate("axe.run()")
        assert len(found["passes"]) > 20
        assert [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found["violations"]] == []


@pytest.mark.parametrize("name", PAGES)
def test_figures_are_seen(chromium: Any, files: dict[str, Path], name: str) -> None:
    """Every chart has size and ink: its screenshot has the colors of lines and paper."""
    from io import BytesIO

    from matplotlib.image import imread

    with Seen(chromium, files[name]) as seen:
        charts = seen.page.locator(".plot svg")
        assert charts.count() >= 2
        for k in range(charts.count()):
            box = charts.nth(k).bounding_box()
            assert box["width"] > 300
            assert box["height"] > 200
            pixels = imread(BytesIO(charts.nth(k).screenshot()))[..., :3].reshape(-1, 3)
            assert len({tuple(p) for p in (pixels * 15).round().tolist()}) > 5
            colored = (pixels.max(1) - pixels.min(1)) > 0.3
            assert colored.sum() > 200
        loaded = seen.page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert loaded


def test_the_keyboard_goes_everywhere(chromium: Any, files: dict[str, Path]) -> None:
    """Skip link first; then a chart: arrows read its points aloud, Home and End jump, Escape leaves."""
    with Seen(chromium, files["page"]) as seen:
        page_ = seen.page
        page_.keyboard.press("Tab")
        assert page_.evaluate("document.activeElement.className") == "skip"
        assert page_.locator(".skip").bounding_box()["x"] >= 0
        page_.keyboard.press("Enter")
        assert page_.evaluate("location.hash") == "#main"
        reached = set()
        for _ in range(150):
            page_.keyboard.press("Tab")
            reached.add(page_.evaluate("document.activeElement.tagName + '.' + document.activeElement.className"))
        assert {"DIV.plot", "SUMMARY.", "PRE."} <= reached
        plot = page_.locator(".plot").first
        plot.focus()
        outline = plot.evaluate("e => getComputedStyle(e).outlineStyle")
        assert outline == "solid"
        page_.keyboard.press("ArrowRight")
        first = plot.locator("[role=status]").inner_text()
        assert first.startswith("eps 0:")
        assert plot.locator(".tip").inner_text() == first
        page_.keyboard.press("ArrowRight")
        assert plot.locator("[role=status]").inner_text() != first
        page_.keyboard.press("End")
        last = plot.locator("[role=status]").inner_text()
        page_.keyboard.press("ArrowRight")
        assert plot.locator("[role=status]").inner_text() == last
        page_.keyboard.press("Home")
        assert plot.locator("[role=status]").inner_text() == first
        page_.keyboard.press("Escape")
        assert plot.locator(".tip").is_hidden()


def test_the_pointer_reads_points(chromium: Any, files: dict[str, Path]) -> None:
    with Seen(chromium, files["compare"]) as seen:
        plot = seen.page.locator(".plot").first
        plot.scroll_into_view_if_needed()
        box = plot.locator(".dot").nth(3).bounding_box()
        seen.page.mouse.move(box["x"] + 2, box["y"] + 2)
        assert "eps" in plot.locator(".tip").inner_text()
        inside = plot.evaluate("p => p.querySelector('.tip').getBoundingClientRect().right <= innerWidth")
        assert inside
        seen.page.mouse.move(5, 5)
        assert plot.locator(".tip").is_hidden()


def test_without_scripts_everything_is_still_there(chromium: Any, files: dict[str, Path]) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page_ = context.new_page()
    page_.goto(files["page"].as_uri())
    assert page_.locator(".plot svg").first.is_visible()
    assert page_.locator(".dot title").count() > 10  # the browser's own tooltips
    page_.locator("summary").first.click()
    assert page_.locator("details table").first.is_visible()
    context.close()


def test_dark_is_dark_and_light_is_light(chromium: Any, files: dict[str, Path]) -> None:
    shades = {}
    for colors in ("light", "dark"):
        with Seen(chromium, files["page"], 360, colors) as seen:
            ink = seen.page.evaluate("getComputedStyle(document.body).color")
            paper = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
            shades[colors] = [sum(map(int, c[4:-1].split(","))) for c in (ink, paper)]
    assert shades["light"][0] < shades["light"][1]
    assert shades["dark"][0] > shades["dark"][1]


def test_pictures_and_charts_grow(chromium: Any, files: dict[str, Path]) -> None:
    """By a click and by a key; Escape closes, and the focus is where it was."""
    with Seen(chromium, files["page"]) as seen:
        page_ = seen.page
        image = page_.locator("img.zoom").first
        small = image.bounding_box()["width"]
        assert small > 100  # large enough to see even so
        image.click()
        grown = page_.locator("dialog.large img")
        assert grown.bounding_box()["width"] > 2 * small
        page_.keyboard.press("Escape")
        assert page_.locator("dialog.large").is_hidden()
        image.focus()
        page_.keyboard.press("Enter")
        assert grown.is_visible()
        page_.keyboard.press("Escape")
        assert page_.evaluate("document.activeElement.className") == "zoom"
        page_.locator("button.grow").first.click()
        assert page_.locator("dialog.large svg").bounding_box()["width"] > 800
        page_.keyboard.press("Escape")
        assert seen.errors == []
