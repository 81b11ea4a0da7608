"""Pages on every kind of data and outcome: right and readable, at a desk and on a phone, in light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import maxslope as ms
from browser._browser import browser
from browser.test_pages import Seen
from maxslope.figures.canvas import COLORS, blank
from maxslope.report import page
from maxslope.report.drawn import panels
from maxslope.report.sheets import Part, Sheet, table
from report._runs import FAST

pytestmark = pytest.mark.slow  # a browser for each
Saved = Callable[[Path], Path]


def _run(shape: tuple[int, ...], classes: int, samples: int, eps: float, labels: Tensor | None = None) -> Saved:
    """A page on a linear classifier of random data, with curves and smallest perturbations."""
    torch.manual_seed(0)
    size = int(torch.tensor(shape).prod())
    model = nn.Sequential(nn.Flatten(), nn.Linear(size, classes)).eval()
    x = torch.rand(samples, *shape)
    y = model(x).argmax(1) if labels is None else labels
    budget = ms.Linf(eps)
    report = ms.evaluate(model, (x, y), budget, effort=FAST)
    return page(report, model=model, data=(x, y), budget=budget, command="maxslope evaluate --eps 8/255").save


def _film(path: Path) -> Path:
    """A sheet with a film."""
    figure = blank(4, 3)
    axis = figure.subplots()
    axis.set_title("A line that turns")
    for k in range(4):
        axis.plot([0, 1], [0, k], color=COLORS[k], gid=f"frame-{k}")
    film = panels(figure, "film", ("It turns.",), frames=[f"t = {k}" for k in range(4)])
    rows = [{"time": float(k), "a long name of a number": k / 3} for k in range(80)]
    part = Part("Line", "Words.", film, [table("All", rows, open_=True)])
    return Sheet("A line over time", [("Question", "where it goes")], "It turns.", [("Turn", "3", "at the end")],
                 ["Nothing else."], [part], "maxslope boundary", ["numbers.csv"]).save(path)  # fmt: skip


KINDS: dict[str, Callable[[], Saved]] = {
    "no fall": lambda: _run((1, 6, 6), 3, 12, 1e-6),
    "all fell": lambda: _run((1, 6, 6), 3, 12, 0.9),
    "one sample": lambda: _run((1, 6, 6), 3, 1, 0.05),
    "one class": lambda: _run((1, 6, 6), 3, 12, 0.05, torch.ones(12, dtype=torch.long)),
    "1,000 classes": lambda: _run((3, 4, 4), 1000, 400, 0.01),
    "224 pixels": lambda: _run((3, 224, 224), 10, 6, 0.0005),
    "a table": lambda: _run((7,), 3, 20, 0.05),
    "a waveform": lambda: _run((1, 800), 4, 10, 0.002),
    "a film": lambda: _film,
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.mark.parametrize("kind", KINDS)
def test_pages_are_right_and_readable(chromium: Any, kind: str, tmp_path: Path) -> None:
    file = KINDS[kind]()(tmp_path / "page.html")
    assert file.stat().st_size < 12_000_000
    axe = pytest.importorskip("axe_playwright_python.base", reason="no axe: pip install 'maxslope[browser]'")
    for width, colors in ((1280, "light"), (360, "dark")):
        with Seen(chromium, file, width, colors) as seen:
            assert seen.page.evaluate("document.documentElement.scrollHeight") < 15_000
            seen.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
            assert "nan" not in seen.page.inner_text("main").lower().split()
            assert "-0.00" not in seen.page.inner_text("main").split()
            assert seen.page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
            seen.page.evaluate(Path(axe.AXE_FILE_PATH).read_text(encoding="utf-8"))
            found = seen.page.evaluate("axe.run()")
            assert [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found["violations"]] == []
            assert seen.errors == []


def test_a_film_shows_one_instant_and_plays(chromium: Any, tmp_path: Path) -> None:
    with Seen(chromium, _film(tmp_path / "film.html")) as seen:
        on = "[...document.querySelectorAll('.frame')].filter(f => getComputedStyle(f).visibility === 'visible').length"
        slider = seen.page.locator("input[type=range]")
        assert seen.page.evaluate(on) == 1
        slider.focus()
        seen.page.keyboard.press("Home")
        assert seen.page.locator(".film output").inner_text() == "t = 0"
        seen.page.locator(".play").click()
        seen.page.locator(".film output", has_text="t = 3").wait_for()
        assert seen.page.evaluate(on) == 1
        assert seen.errors == []


def test_a_film_has_no_clock_where_motion_is_to_be_reduced(chromium: Any, tmp_path: Path) -> None:
    with Seen(chromium, _film(tmp_path / "film.html")) as seen:
        button, output = seen.page.locator(".play"), seen.page.locator(".film output")
        assert button.inner_text().startswith("Play")
        seen.page.emulate_media(reduced_motion="reduce")
        seen.page.wait_for_function("document.querySelector('.play').firstChild.textContent === 'Next'")
        for t in (0, 1, 2):  # from the last, where it begins
            button.click()
            assert output.inner_text() == f"t = {t}"
            seen.page.wait_for_timeout(200)
            assert output.inner_text() == f"t = {t}"
        assert seen.errors == []
