"""Pages of systems: figures of matplotlib in the page's colors, a panel each; question, answer, command."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner

from maxslope.cli.ending import typed
from maxslope.figures.canvas import COLORS, INK, blank, passing
from maxslope.report.drawn import panels
from maxslope.report.sheets import Part, Rows, Sheet, table


def two_panels() -> object:
    figure = blank(8, 3)
    left, right = figure.subplots(1, 2, sharey=True)
    left.plot([0, 1], [0, 1], "o-", color=COLORS[0])
    left.set_title("Left")
    left.twinx().plot([0, 1], [3, 2], color=COLORS[1])
    right.plot([0, 1], [1, 0], color=passing(0.4))
    right.set_title("Right")
    return figure


def test_each_panel_is_a_drawing_of_its_own_in_the_colors_of_the_page() -> None:
    left, right = panels(two_panels(), "two", ("first", "second"))
    assert [left.title, right.title, left.caption, right.caption] == ["Left", "Right", "first", "second"]
    assert "stroke: var(--c1)" in left.svg
    assert "stroke: var(--c2)" in left.svg  # the twin belongs to it
    assert "stroke: var(--c1)" not in right.svg
    assert "color-mix(in oklab, #f59e0b 40%, var(--ink))" in right.svg
    assert INK not in left.svg + right.svg
    for drawing in (left, right):
        ElementTree.fromstring(drawing.svg.replace("xlink:href", "href"))
        assert drawing.svg.startswith('<svg class="drawn" role="img" aria-label="')
        assert re.search(r">1\.0<", drawing.svg)  # an axis that was shared has its numbers


def test_ids_are_unique_on_a_page_and_lead_somewhere() -> None:
    drawings = [*panels(two_panels(), "a", ("",)), *panels(two_panels(), "b", ("",))]
    ids = [name for drawing in drawings for name in re.findall(r' id="([^"]+)"', drawing.svg)]
    assert len(ids) == len(set(ids)) > 0
    used = {name for drawing in drawings for name in re.findall(r"(?:url\(|href=\")#([^\")]+)", drawing.svg)}
    assert used == set(ids)


def test_a_panel_without_data_is_left_out_and_captions_stay_with_theirs() -> None:
    figure = blank(8, 3)
    for k, axis in enumerate(figure.subplots(1, 3)):
        axis.set_title(f"no. {k}")
        if k != 1:
            axis.plot([0, 1], [0, 1])
    assert [(p.title, p.caption) for p in panels(figure, "x", ("a", "b", "c"))] == [("no. 0", "a"), ("no. 2", "c")]


def test_frames_of_a_film() -> None:
    figure = blank(3, 3)
    axis = figure.subplots()
    for k in range(3):
        axis.plot([0, k], [0, 1], gid=f"frame-{k}")
    (film,) = panels(figure, "film", ("",), frames=("t = 0", "t = 1", "t = 2"))
    assert re.findall(r'class="frame" data-frame="(\d)"', film.svg) == ["0", "1", "2"]
    page = Sheet("A film", (), "It moves.", parts=[Part("Film", figures=[film])]).html()
    assert 'type="range" min="0" max="2"' in page
    assert '["t = 0", "t = 1", "t = 2"]' in page


def test_a_sheet_says_what_was_asked_and_the_answer_and_what_remains_and_escapes_it() -> None:
    sheet = Sheet(
        "<b>Title</b>", [("Data", "a & b"), ("Empty", "")], "Yes.", [("Risk", "0.1", "of 1")], ["More <i>."],
        [Part("Numbers", tables=[Rows("All", ["x"], [["1"]])])], "maxslope x 'a b'", ["x.csv"],
    )  # fmt: skip
    page = sheet.html()
    order = [page.index(words) for words in ("a &amp; b", " UTC</dd>", "Yes.", "More &lt;i&gt;.", "x.csv")]
    assert order == sorted(order)
    assert "<b>Title" not in page
    assert "Empty" not in page
    assert "Wilson" not in page  # no interval of samples is claimed
    assert "http" not in page.replace("http-equiv", "")


def test_tables_are_thinned_and_say_so_and_have_no_minus_zero() -> None:
    long = table("All", [{"t": float(k), "gap_to_reference": -0.0} for k in range(150)])
    assert long.title == f"All ({len(long.cells)} of 150 lines)"
    assert len(long.cells) <= 61
    assert [long.cells[0][0], long.cells[-1]] == ["0", ["149", "0"]]
    assert long.header == ["t", "gap to reference"]
    assert table("Few", [{"t": float("nan")}]).cells == [[""]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["go", "a b"], "maxslope go 'a b'"),
        (["go", "x", "--no-fast", "--size", "3", "4"], "maxslope go x --no-fast --size 3 4"),
        (["go", "x", "-n", "5", "--fast"], "maxslope go x --fast --number 5"),
    ],
)
def test_the_command_as_it_was_typed(given: list[str], said: str) -> None:
    app = typer.Typer()

    @app.callback()
    def common() -> None:
        """Several commands."""

    @app.command()
    def go(
        context: typer.Context,
        source: str,
        fast: bool = typer.Option(True, "--fast/--no-fast"),
        number: int = typer.Option(1, "-n", "--number"),
        size: tuple[int, int] = typer.Option((1, 1)),
    ) -> None:
        typer.echo(typed(context))

    assert CliRunner().invoke(app, given).output.strip() == said
