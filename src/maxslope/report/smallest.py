"""The page of a search for smallest perturbations: quantiles, robust accuracy against the radius, samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from maxslope._escape import markdown
from maxslope.evaluation import Smallest
from maxslope.evaluation.smallest import quantile
from maxslope.facts import export
from maxslope.facts.numbers import Share, number, percent
from maxslope.figures.canvas import COLORS, INK, blank, dress
from maxslope.figures.evaluation import band, strips
from maxslope.goals import Misclassified
from maxslope.report.drawn import panels, whole
from maxslope.report.html import Written
from maxslope.report.html_samples import is_image
from maxslope.report.sheets import Part, Rows, Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RADII = 64
_SHOWN = 8  # samples with pictures
_LISTED = 20
_CURVE = (
    "The share of samples without an error found within the radius, and its 95 % interval over the choice of samples: "
    "at every radius an upper bound of the true robust accuracy."
)


@dataclass(frozen=True, eq=False, repr=False)
class SmallestPage(Written):
    """What is known of the smallest perturbations of a data set, ready to be written in several forms.

    Attributes:
        found: the norms.
        norm: its name.
        title: of the page.
        command: how to do it again.
        x: clean samples ``[n, *shape]`` in the order of the table, to show beside the points, if both are at hand.
    """

    found: Smallest
    norm: str
    title: str = ""
    command: str = ""
    x: Tensor | None = None

    @property
    def _norms(self) -> list[float]:
        return [float(norm) for norm in self.found.table["norm"]]

    @property
    def heading(self) -> str:
        """The title."""
        return self.title or f"Smallest perturbations in {self.norm}"

    @property
    def answer(self) -> str:
        """The answer in a sentence or two."""
        norms = self._norms
        middle, none = quantile(norms), sum(norm == math.inf for norm in norms)
        if not math.isfinite(middle):
            return f"Of {len(norms)} samples an error is known for {sum(map(math.isfinite, norms))} alone."
        without = f" For {none} of them no error is known." if none else ""
        return f"For half of {len(norms)} samples an error was found at distance {number(middle)} or nearer.{without}"

    def plot(self) -> Figure:
        """Return robust accuracy against the radius as a figure of matplotlib.

        Raises:
            ImportError: if matplotlib is not installed.
        """
        figure = blank(4.4, 3.6)
        axis = figure.subplots()
        radii, shares = self._curve()
        band(axis, radii, shares, COLORS[0])
        axis.set(xlim=(0, None), ylim=(0, 101))
        dress(axis, "Robust accuracy against the radius", f"radius in {self.norm}", "robust accuracy in %")
        return figure

    def html(self) -> str:
        return self._sheet().html()

    def json(self) -> str:
        """Return all numbers as JSON; NaN and infinity are null."""
        facts = {"norm": self.norm, **self.found.facts(), "warnings": list(self.found.warnings)}
        return export.to_json({"about": self.found.about, "facts": facts, "table": self.found.table})

    def csv(self) -> str:
        """Return the table of all samples as comma-separated values."""
        return export.table_csv(self.found)

    def markdown(self) -> str:
        """Return a summary for a pull request or a model card."""
        parts = [f"## {markdown(self.heading)}\n\n{markdown(self.answer)}\n\n"]
        parts += export.markdown_doubts(self.found.warnings)
        tables = [rows for rows in (self._quantiles(), self._classes()) if rows is not None]
        parts += [f"{export.markdown_table(rows.header, rows.cells)}\n" for rows in tables]
        return "".join(parts) + (export.markdown_command(self.command) if self.command else "")

    def latex(self) -> str:
        """Return the quantiles as a table for a paper (booktabs)."""
        rows = self._quantiles()
        return export.latex_comments(map(str, self.found.warnings)) + export.latex_table(rows.header, rows.cells)

    def _curve(self) -> tuple[list[float], list[Share]]:
        """Radii from 0 to beyond the largest norm that is known, and what stands there."""
        largest = max(filter(math.isfinite, self._norms), default=0.0) or 1.0
        radii = [1.02 * largest * k / _RADII for k in range(_RADII + 1)]
        n = len(self._norms)
        return radii, [Share.near(float(share), n) for share in self.found.security_curve(radii)]

    def _sheet(self) -> Sheet:
        found, facts = self.found, self.found.facts()
        about, n = found.about, facts["samples"]
        clean, quantiles = Share.near(facts["clean_accuracy"], n), facts["quantiles"]
        asked = [
            ("Question", f"how near is the nearest error of each sample, in {self.norm}"), ("Model", about.model),
            ("Data", about.data), ("Samples", about.samples or f"{n}"),
            ("Goal", "" if about.goal in ("", Misclassified().name) else about.goal), ("Effort", found.effort.name),
            ("Seed", f"{found.seed}"),
        ]  # fmt: skip
        numbers = [
            ("Median norm", number(quantiles["0.5"]), f"a quarter within {number(quantiles['0.25'])}, three quarters "
             f"within {number(quantiles['0.75'])}"),
            ("Clean accuracy", percent(clean.value), f"95 % interval {clean.interval}"),
        ]  # fmt: skip
        remains = ["Each norm is that of an error that was verified: an upper bound of the smallest there is."]
        radii, shares = self._curve()
        curve = Rows("Robust accuracy by radius", ("radius", "stand (95 % interval)"),
                     [(number(r), s.words) for r, s in zip(radii[::4], shares[::4], strict=True)])  # fmt: skip
        tables = [rows for rows in (self._quantiles(), self._classes(), curve) if rows is not None]
        parts = [
            Part("How robust at which radius", "", panels(self.plot(), "radius", (_CURVE,)), tables),
            self._samples(),
        ]
        said, date = [str(one) for one in found.warnings], about.date.replace("T", " ").replace("+00:00", " UTC")
        return Sheet(self.heading, asked, self.answer, numbers, remains, parts, self.command, doubts=said, date=date)

    def _quantiles(self) -> Rows:
        cells = [(percent(float(q)), number(value)) for q, value in self.found.facts()["quantiles"].items()]
        return Rows("Quantiles of the norm", ("samples", f"have an error within ({self.norm})"), cells, open=True)

    def _classes(self) -> Rows | None:
        """Clean accuracy and median norm of each class, where labels are classes and more than one."""
        norms: dict[Any, list[float]] = {}
        for label, norm in zip(self.found.table["label"], self._norms, strict=True):
            norms.setdefault(label, []).append(norm)
        if len(norms) < 2 or not all(isinstance(label, int) for label in norms):
            return None
        cells = [
            (self.found.about.name(label), f"{len(own)}", Share.of(sum(v > 0 for v in own), len(own)).words,
             number(quantile(own))) for label, own in sorted(norms.items())
        ]  # fmt: skip
        return Rows("Classes", ("class", "samples", "clean accuracy (95 % interval)", "median norm"), cells)

    def _samples(self) -> Part:
        """The samples that are nearest to an error without being one, and the farthest: pictures, and numbers."""
        table = self.found.table
        order = sorted((k for k, norm in enumerate(self._norms) if 0 < norm < math.inf), key=self._norms.__getitem__)
        names = ["index", *(["file"] if "file" in table else []), "label", "norm", "margin"]

        def rows(title: str, chosen: list[int]) -> Rows:
            return Rows(title, names, [[self._cell(name, table[name][k]) for name in names] for k in chosen])

        tables = [rows("Nearest to an error", order[:_LISTED]), rows("Farthest from one", order[::-1][:_LISTED])]
        points = self.found.points
        if points is None or self.x is None or not is_image(self.x[0]) or not order:
            way = " Points kept (--points) and a model that can be loaded again show them." if points is None else ""
            return Part(
                "Samples", f"{len(order)} samples are right and have an error at a known distance.{way}", (), tables
            )
        shown = [*order[: _SHOWN // 2], *order[_SHOWN // 2 :][-_SHOWN // 2 :]]
        figure = blank(1.35 * len(shown) + 1.2, 4.8)
        heads = [f"sample {table['index'][k]}\nlabel {self.found.about.name(table['label'][k])}" for k in shown]
        feet = [(f"norm {number(self._norms[k])}", INK) for k in shown]
        strips(figure, self.x[shown].cpu(), points[shown].cpu(), heads, feet)
        said = (
            "Clean samples, changes and the errors that were found: the nearest at the left, the farthest at the right."
        )
        return Part("Samples", "", (whole(figure, "samples", said),), tables)

    def _cell(self, name: str, value: Any) -> str:
        if name == "label":
            return self.found.about.name(value)
        return number(value) if isinstance(value, float) else str(value)
