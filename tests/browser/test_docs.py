"""The documentation in a real browser: no page is endless, nothing is cut or overflows, the search finds things."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from browser._browser import browser

pytestmark = pytest.mark.slow  # a build, and a browser
ROOT = Path(__file__).parents[2]
TALLEST = 15_000  # pixels, at 1440 across, of a page of the API; that of all examples holds whole scripts


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The built documentation, on a port of its own."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("no mkdocs: pip install 'maxslope[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, env=None)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", folder
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix().removesuffix("index.html") for path in folder.rglob("index.html"))


@pytest.mark.parametrize(("width", "colors"), [(1440, "light"), (360, "dark")])
def test_pages_fit_and_do_not_complain(site: tuple[str, Path], chromium: Any, width: int, colors: str) -> None:
    """Of every page: its height at 1440 pixels, code there, sideways scrolling, the console, and what it loads."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=colors)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: request.url.startswith((site[0], "data:", "blob:")) or said.append(request.url))
    faults = []
    for name in names(site[1]):
        page.goto(site[0] + name)
        height, across = page.evaluate("[document.documentElement.scrollHeight, document.documentElement.scrollWidth]")
        cut = page.evaluate(
            "[...document.querySelectorAll('pre > code')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
        )
        if (
            across > width
            or said
            or (width == 1440 and (height > (TALLEST if name.startswith("api/") else 16_000) or cut))
        ):
            faults.append((name, height, across, cut, *said))
        said.clear()
    context.close()
    assert faults == [], faults


def test_figures_of_the_home_are_legible_on_a_phone_and_follow_the_scheme(
    site: tuple[str, Path], chromium: Any
) -> None:
    ink = {}
    for colors in ("light", "dark"):
        context = chromium.new_context(viewport={"width": 360, "height": 800}, color_scheme=colors)
        page = context.new_page()
        page.goto(site[0])
        sizes = page.evaluate(
            "[...document.querySelectorAll('.drawings svg text')].map(t => parseFloat(getComputedStyle(t).fontSize) * "
            "t.getCTM().a).sort((a, b) => a - b)"
        )
        assert sizes[len(sizes) // 2] >= 7
        ink[colors] = page.evaluate("getComputedStyle(document.querySelector('.drawings svg text')).fill")
        context.close()
    assert ink["light"] != ink["dark"]


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("CI", "A check in CI"),
        ("ImageFolder", "Images in folders"),
        ("normalization", "Normalization outside the model"),
    ],
)
def test_the_search_finds_what_is_asked(site: tuple[str, Path], chromium: Any, word: str, title: str) -> None:
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.goto(site[0])
    page.fill("input[name=query]", word)
    page.press("input[name=query]", "End")  # the search reads its field at a key, and not when a value is set
    first = page.locator(".md-search-result__item > a h1, .md-search-result__item > a h2")
    first.first.wait_for(timeout=120_000)
    assert any(title in text for text in first.all_inner_texts()[:3])
    page.close()
