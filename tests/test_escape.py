"""Text from outside, where it is written: a terminal, HTML, Markdown, a table."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import maxslope as ms
from maxslope import _escape
from maxslope.attacks import Effort, recipes
from maxslope.attacks.findings import Finding, Kind
from maxslope.cli.evaluate import _say
from maxslope.cli.settings import How
from maxslope.facts.export import write_csv
from maxslope.report import compare, page

EVIL = [
    "<img src=x onerror=alert(1)>",
    "=cmd|' /C calc'!A0",
    "\x1b]0;title\x07\x1b[2J",
    "[red]a[/red]|b",
    "![x](//a)",
    "a\n\\input{/etc/passwd}",
]
DATA = torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0])


def named(evil: str) -> ms.evaluation.Report:
    report = ms.evaluate(lambda x: 10 * x, DATA, ms.Linf(0.2), effort=Effort((recipes.ifgsm(1),), evil))
    table = report.table | {"reason": [evil] * 2, "verdict": [evil, "robust"]}
    return replace(report, budget=evil, table=table, warnings=(Finding(Kind.OTHER, evil),))


@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_shows_what_was_found_and_does_not_obey_it(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    _say(named(EVIL[2]), None, ms.Linf(0.2), How(None, None, None, json=False, quiet=quiet))
    said = capsys.readouterr()
    assert r"\x1b[2J" in (said.err if quiet else said.out)
    assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize("evil", EVIL)
def test_names_from_outside_are_text(evil: str) -> None:
    """Budgets, efforts, verdicts, reasons and warnings come from a folder that somebody sent; classes from a list."""
    made = page(named(evil), title=evil, classes=[evil] * 2, command=f"run ```\n{evil}")
    whole = compare(named(evil), named(evil), names=(evil, f"{evil} again"), classes=[evil] * 2)
    for text in (made.markdown(), whole.markdown()):
        plain = text.replace(f"````bash\nrun ``` {evil}\n````", "")  # code is shown as it is
        assert "<img" not in plain
        assert "\x1b" not in plain
        assert "![" not in plain
        assert all(line.count(" | ") in (0, 2, 3, 6) for line in text.splitlines() if line.startswith("|"))
    for text in (made.latex(), whole.latex()):
        assert "\x1b" not in text
        assert all(line.startswith(("%", "\\")) or line.endswith("\\\\") for line in text.splitlines() if line)
    for text in (made.html(), whole.html()):
        assert "<img src=x" not in text
    rows = [*csv.reader(io.StringIO(made.csv())), *csv.reader(io.StringIO(whole.csv()))]
    assert not any(value.startswith(("=", "@", "\t", "+cmd")) or "\x1b" in value for row in rows for value in row)
    said = str(named(evil))
    assert "\x1b" not in said + named(evil)._repr_html_()
    if evil.startswith("[red]"):
        assert "[red]a[/red]" in said


@pytest.mark.parametrize("value", ["=1", "+cmd", "-cmd", "@a", " =1", "\t=1"])
def test_no_cell_is_a_formula(value: str, tmp_path: Path) -> None:
    assert _escape.cell(value).startswith("'")
    write_csv([{value: value}], tmp_path / "a.csv")
    rows = csv.reader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines())
    assert all(cell.startswith("'") for row in rows for cell in row)


@pytest.mark.parametrize("value", [-1, -0.5, "-0.5", "+1e-3", "a=1", "", None])
def test_numbers_stay_numbers(value: object) -> None:
    assert _escape.cell(value) == value


@pytest.mark.parametrize(
    "text", ["\x00", "\x07", "\x1b[0m", "\x9b1m", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800"]
)
def test_what_a_terminal_would_obey_is_shown(text: str) -> None:
    for write in (_escape.visible, _escape.markup, _escape.html, _escape.markdown, _escape.cell):
        assert text[0] not in write(f"a{text}b")
        assert "\\" in write(f"a{text}b")


def test_html_and_attributes() -> None:
    assert _escape.html("<a b='c' d=\"e\">&") == "&lt;a b=&#x27;c&#x27; d=&quot;e&quot;&gt;&amp;"
    assert _escape.markdown("a*b_c_ `d`\n# e") == "a\\*b_c\\_ \\`d\\` # e"
