"""What a page says, as plain numbers and words: nothing here knows how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from torch import Tensor

from maxslope.attacks.findings import Finding, Severity
from maxslope.attacks.stages import Bundle
from maxslope.evaluation import Report
from maxslope.evaluation.about import About
from maxslope.evaluation.remains import Remains
from maxslope.evaluation.report import BROKEN, MISCLASSIFIED, NON_FINITE, ROBUST
from maxslope.report.html_radius import Radius, security
from maxslope.report.numbers import Share

MEANINGS = {
    ROBUST: "classified correctly, and no allowed change was found that fools the model",
    BROKEN: "classified correctly, but an allowed change was found and verified that fools the model",
    MISCLASSIFIED: "wrong without any change",
    NON_FINITE: "the model answered NaN or infinity: counted as neither robust nor broken",
}


@dataclass(frozen=True)
class Standing:
    """How many samples still stood after so many passes each."""

    passes: int
    share: Share


@dataclass(frozen=True)
class PerClass:
    """One class: all samples with this label."""

    name: str
    clean: Share
    robust: Share


@dataclass(frozen=True)
class Facts:
    """All numbers of a page.

    Attributes:
        norm: the name of the norm, if the budget is known.
        eps: the radius, if it is one number and known.
        verdicts: (verdict, meaning, share) of those that occur.
        doubts: what may be wrong with the numbers, warnings first.
        remains: how far the robust accuracy would still fall with more effort; None where nothing tells.
        closed: (standing samples whose linear gap is below their margin, standing samples with a known gap).
        local: (standing samples that are local minima to first order, kinks included, those with gradients gathered
            nearby, within which share of the budget).
        passes: mean backward and forward passes of a sample.
        security: robust accuracy against the radius; empty where no distance is known.
        security_samples: whether that curve is a bound or an estimate, and from how many samples.
        security_source: where it comes from, in sentences.
        cost: samples standing against passes.
        cost_unit: backward or forward.
        survivor_cost: median passes of a sample that stands, in the same unit; None where none stands.
        effort: (run, steps, longest step in units of eps) of each run of the portfolio.
    """

    title: str
    budget: str
    norm: str | None
    eps: float | None
    samples: int
    clean: Share
    robust: Share
    verdicts: tuple[tuple[str, str, Share], ...]
    doubts: tuple[Finding, ...]
    remains: Remains | None
    closed: tuple[int, int]
    local: tuple[int, int, float]
    passes: tuple[float, float]
    security: tuple[Radius, ...]
    security_samples: str
    security_source: str
    cost: tuple[Standing, ...]
    cost_unit: str
    survivor_cost: float | None
    classes: tuple[PerClass, ...]
    effort: tuple[tuple[str, int, float], ...]
    effort_name: str
    seed: int
    about: About

    @property
    def asked(self) -> list[tuple[str, str]]:
        """What was asked, of what, and when, as far as somebody said: (name, words)."""
        said = self.about
        rows = [
            ("Model", said.model),
            ("Data", said.data),
            ("Samples", said.samples or f"{self.samples}"),
            ("Budget", f"{self.budget}: any change of a sample up to this size"),
            ("Error", "" if said.plain else f"{said.goal}; not every point or every answer counts as usual"),
            ("Effort", self.effort_name),
            ("Date", said.date.replace("T", " ").replace("+00:00", " UTC")),
        ]
        return [(name, words) for name, words in rows if words]

    @property
    def local_words(self) -> str:
        """How many of the samples that nearly fell are known to be local minima, and what follows of the others."""
        minima, asked, share = self.local
        within = (
            f"within {100 * share:.3g} % of the budget, by all gradients seen there, no step lowers the margin by more "
            "than 1 % of itself"
        )
        others = "steps nearby may still lower the margin: more effort may find an error there"
        if not minima:
            return (
                f"None of the {asked} samples that nearly fell is known to stand at a local minimum of the margin "
                f"(where {within}). Around all of them {others}."
            )
        which = f"All {asked}" if minima == asked else f"{minima} of {asked}"
        rest = "" if minima == asked else f" Around the other {asked - minima} {others}."
        stand = "stands" if minima == 1 and asked > 1 else "stand"
        if asked == 1:
            which, stand = "The one", "stands"
        of = "sample" if asked == 1 else "samples"
        return (
            f"{which} {of} that nearly fell {stand} at a local minimum of the margin, to first order and kinks "
            f"included: {within}. There the search did not stop too early; a lower minimum may lie elsewhere.{rest}"
        )

    def weakest(self, count: int) -> list[PerClass]:
        """Return the classes whose robust accuracy is shown to be least: by the upper ends of their intervals."""
        return sorted(self.classes, key=lambda c: c.robust.high)[:count]

    @property
    def has_curve(self) -> bool:
        """Whether the curve against the radius says more than the accuracies at 0 and at the budget."""
        known = {r.share.value for r in self.security[:-1]}
        return len(known) > 1 or (bool(known) and self.security[-1].eps > (self.eps or 0))

    @property
    def trusted(self) -> bool:
        """Whether no warning says that the numbers are not to be trusted."""
        return all(found.severity < Severity.WARNING for found in self.doubts)


def facts(
    report: Report,
    *,
    title: str | None = None,
    norm: str | None = None,
    eps: float | None = None,
    smallest: Tensor | None = None,
    rows: Sequence[int] | None = None,
    reach: float | None = None,
) -> Facts:
    """Return what a report says, in numbers and words.

    The norms of the smallest perturbations known, ``smallest`` ``[k]``, are those of ``rows``, by default the first.
    The security curve ends at ``reach``, by default where there is nothing more to see.
    """
    verdicts = [str(v) for v in report.table["verdict"]]
    n = report.samples
    counts = {v: verdicts.count(v) for v in MEANINGS}
    cost, unit, survivors = _cost(report, verdicts)
    norms = [] if smallest is None else smallest.tolist()
    near = dict(zip(range(len(norms)) if rows is None else rows, norms, strict=True))
    radii, samples, source = security(report, near, eps, reach)
    return Facts(
        title=title or f"Robustness within {report.asked}",
        budget=report.asked,
        norm=norm,
        eps=eps,
        samples=n,
        clean=Share.near(report.clean_accuracy, n),
        robust=Share.of(counts[ROBUST], n),
        verdicts=tuple((v, MEANINGS[v], Share.of(c, n)) for v, c in counts.items() if c),
        doubts=tuple(sorted(report.warnings, key=lambda found: -found.severity)),
        remains=report.remains,
        closed=_closed(report, verdicts),
        local=(*report.local_minima, next((s.share for s in report.effort.stages if isinstance(s, Bundle)), 0.0)),
        passes=(report.backward_per_sample, report.forward_per_sample),
        security=radii,
        security_samples=samples,
        security_source=source,
        cost=cost,
        cost_unit=unit,
        survivor_cost=survivors,
        classes=tuple(
            PerClass(own["class"], Share.near(own["clean_accuracy"], k), Share.near(own["robust_accuracy"], k))
            for own in report.by_class()
            for k in [own["samples"]]
        ),
        effort=tuple((r.name, r.steps, r.first) for r in report.effort.runs),
        effort_name=report.effort.name,
        seed=report.seed,
        about=report.about,
    )


def _closed(report: Report, verdicts: Sequence[str]) -> tuple[int, int]:
    gaps, margins = (map(float, report.table[name]) for name in ("gap", "margin"))
    rows = zip(gaps, margins, verdicts, strict=True)
    known = [(g, m) for g, m, v in rows if v == ROBUST and math.isfinite(g)]
    return sum(g < m for g, m in known), len(known)


def _cost(report: Report, verdicts: Sequence[str]) -> tuple[tuple[Standing, ...], str, float | None]:
    """Samples that stand after so many passes each."""
    unit = "backward" if any(report.table["backward"]) else "forward"
    spent = [int(p) for p in report.table[unit]]
    fell = sorted(p for p, v in zip(spent, verdicts, strict=True) if v == BROKEN)
    stood = [p for p, v in zip(spent, verdicts, strict=True) if v == ROBUST]
    n, start = len(verdicts), len(fell) + len(stood)
    most = max([*fell, *stood], default=0)
    steps = [Standing(0, Share.of(start, n))]
    steps += [Standing(p, Share.of(start - sum(f <= p for f in fell), n)) for p in _thin(sorted(set(fell)), 48)]
    if most > steps[-1].passes:
        steps.append(Standing(most, Share.of(len(stood), n)))
    return tuple(steps), unit, float(median(stood)) if stood else None


def _thin(values: Sequence[int], most: int) -> list[int]:
    """At most so many of the values, evenly, the last among them."""
    stride = -(-len(values) // most) if values else 1
    return sorted({*values[::stride], *values[-1:]})
