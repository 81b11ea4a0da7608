"""Write the figures of the documentation: `python scripts/docs_figures.py`, or with the names of some.

Each is a fragment of HTML in docs/figures, a drawing for each panel, in the colors of the page that shows it, light or
dark, side by side where there is room. The README has the first one as two SVG files. Ten minutes of a core.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import matplotlib
from typer.testing import CliRunner

import maxslope as ms
from maxslope.cli.main import app
from maxslope.data import default_data, default_network
from maxslope.figures.evaluation import picture_of
from maxslope.report.drawn import whole

OUT = Path(__file__).parents[1] / "docs" / "figures"
DARK = {  # the README's second file
    "#1b1f24": "#e9ebee", "#000000": "#e9ebee", "#ffffff": "#0d1117", "#0f4c81": "#74b8f5", "#c2410c": "#ff9e5e",
    "#0f766e": "#4fd0b5", "#64748b": "#98a3af",
}  # fmt: skip
COMMANDS = {  # what each fragment takes from the page of which command: the figures whose titles begin so
    "boundary": {
        "boundary-moons": ("minimizing movements", "level sets"),
        "boundary-numbers": ("perimeter", "robust risk", "risk"),
    },
    "odenet": {"odenet-moons": 0, "odenet-digits": 1},
    "flow moons": {
        "trajectories": ("ReLU", "GELU"),
        "differences": ("max over time, sup norm", "largest row sum"),
        "convergence": ("max over time of", "dissipation defect", "inclusion residual"),
        "mnist": ("images",),
    },
}
Drawing = tuple[str, str, str]


def evaluate() -> None:
    """The picture of the home page and of the README: the shipped network within l_inf 0.3."""
    model, (x, y) = default_network(), default_data()
    report = ms.evaluate(model, (x, y), ms.Linf(0.3), effort=ms.Effort.quick(), keep_points=True)
    figure = picture_of(report, model, x)
    with matplotlib.rc_context({"svg.hashsalt": "maxslope", "svg.fonttype": "path"}):
        figure.savefig(OUT / "evaluate.svg", metadata={"Date": None})
    light = (OUT / "evaluate.svg").read_text(encoding="utf-8")
    dark = re.sub("#[0-9a-f]{6}", lambda color: DARK.get(color[0], color[0]), light)
    (OUT / "evaluate-dark.svg").write_text(dark, encoding="utf-8")
    few = picture_of(report, model, x, 3, 1.3)
    few.suptitle("")
    words = "Three images, what was changed, and what the network then says; below, how far all 1,000 are from one."
    drawn = whole(few, "evaluate", words)
    write("evaluate", [("", drawn.svg, words)])


def write(name: str, drawings: list[Drawing]) -> None:
    """Write a fragment; each of its drawings has a caption."""
    wide = " wide" if name == "mnist" else ""  # rows of images, which scroll on a phone
    parts = [f'<div class="drawings{wide}" data-search-exclude>']
    for title, svg, caption in drawings:
        lead = f"<b>{title[:1].upper()}{title[1:]}.</b> " if title else ""
        parts.append(f"<figure>{svg}<figcaption>{lead}{caption}</figcaption></figure>")
    (OUT / f"{name}.html").write_text("\n".join([*parts, "</div>"]) + "\n", encoding="utf-8")


def drawings(page: Path) -> list[list[Drawing]]:
    """Title, drawing and caption of the figures of each section of a page."""
    one = re.compile(r'<h3>([^<]*) <button.*?(<svg class="drawn".*?</svg>).*?<figcaption>(.*?)</figcaption>', re.DOTALL)
    sections = re.findall(r'<section id="part-.*?</section>', page.read_text(encoding="utf-8"), re.DOTALL)
    return [one.findall(section) for section in sections]


def main(names: list[str]) -> None:
    """Make all figures, or those of the commands that are named; ``command=folder`` takes a page that is there."""
    given = dict(name.split("=", 1) for name in names if "=" in name)
    wanted = {name.partition("=")[0] for name in names} or {"evaluate", *COMMANDS}
    if "evaluate" in wanted:
        evaluate()
    for command in wanted - {"evaluate"}:
        with tempfile.TemporaryDirectory() as folder:
            if command not in given:
                CliRunner().invoke(app, [*command.split(), "--out", folder], catch_exceptions=False)
            sections = drawings(Path(given.get(command, folder)) / "report.html")
        for name, titles in COMMANDS[command].items():
            if isinstance(titles, int):
                write(name, sections[titles])
            else:
                write(name, [d for section in sections for d in section if d[0].startswith(titles)])
        print(command)


if __name__ == "__main__":
    main(sys.argv[1:])
