"""Samples a page shows one by one: which, and how they look."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maxslope._optional import optional
from maxslope.attacks import attack
from maxslope.attacks.findings import Kind
from maxslope.evaluation import Report
from maxslope.evaluation.report import BROKEN, ROBUST
from maxslope.facts.answers import answers_of
from maxslope.report.html_svg import series
from maxslope.sets import Budget

_EACH = 4  # samples of a group
_LEAST_SIDE = 4  # pixels, below which a sample is shown as numbers
_FEATURES = 12
_LONG = 200  # numbers that make a series


@dataclass(frozen=True)
class Answer:
    """What the model says: a class and its softmax probability, in [0, 1]; None where it was not asked."""

    name: str
    probability: float | None


@dataclass(frozen=True)
class Feature:
    """A coordinate of a sample that is no image."""

    name: str
    clean: float
    moved: float


@dataclass(frozen=True, eq=False)
class Example:
    """One sample.

    Attributes:
        margin: the logit margin at the returned point.
        passes: backward passes spent on it (forward passes where there were none).
        distance: of the returned point, in the norm of the budget.
        clean: what the model says to the clean sample.
        moved: what it says to the returned point.
        pictures: addresses of clean image, perturbation and returned image; empty where it is no image.
        reach: the largest change of a coordinate: full color in the picture of the perturbation.
        features: the coordinates that move most, of a sample that is no image.
        signal: drawings of the clean sample and of the change, of a long series of numbers.
        by: the run whose point it is, where there are several.
    """

    index: int
    label: str
    verdict: str
    margin: float
    passes: int
    distance: float
    clean: Answer
    moved: Answer
    pictures: tuple[str, ...]
    reach: float
    features: tuple[Feature, ...]
    signal: tuple[str, ...] = ()
    file: str = ""
    by: str = ""


@dataclass(frozen=True)
class Unseen:
    """A sample that belongs to a group, but whose point is not at hand."""

    index: int
    margin: float
    passes: int


@dataclass(frozen=True, eq=False)
class Group:
    """Samples with something in common; ``unseen`` belong to them as well, and have no pictures."""

    title: str
    sentence: str
    examples: tuple[Example, ...]
    unseen: tuple[Unseen, ...] = ()


class AtHand(NamedTuple):
    """What samples are shown with: their inputs, the model, the range of valid inputs, the names of their files."""

    x: Tensor
    model: Any
    box: tuple[Tensor, Tensor] | None
    files: Sequence[str]


def spent(report: Report, row: int) -> int:
    """The passes of a row: backward, or forward where the attack used none."""
    return int(report.table["backward"][row]) or int(report.table["forward"][row])


def chosen(report: Report) -> list[tuple[str, str, list[int]]]:
    """Return title, sentence and rows of each group, by the columns of the whole table."""
    table = report.table
    later = {i for found in report.warnings if found.kind is Kind.MISSED for i in found.samples}
    broken = [i for i, v in enumerate(table["verdict"]) if v == BROKEN]
    after = [i for i in broken if table["index"][i] in later]  # what was spent on them did not break them
    fell = [i for i in broken if table["index"][i] not in later]
    fell.sort(key=lambda i: (spent(report, i), float(table["margin"][i]), i))
    stood = [i for i, v in enumerate(table["verdict"]) if v == ROBUST and math.isfinite(float(table["margin"][i]))]
    stood.sort(key=lambda i: (float(table["margin"][i]), i))
    first, rest = fell[:_EACH], fell[_EACH:]
    groups = [
        ("Easiest: fell first", "Broken with the fewest passes.", first),
        ("Hard: fell last", "Broken, but only after the most passes.", rest[::-1][:_EACH]),
        ("Fell afterwards", "They stood in the evaluation, and another search broke them.", after[:_EACH]),
        ("Nearly fell", "They stand, with the least margin at the worst point found.", stood[:_EACH]),
        ("Hardest: stood best", "They stand with the largest margin at the worst point found.",
         stood[_EACH:][::-1][:_EACH]),
    ]  # fmt: skip
    return [group for group in groups if group[2]]


def again(report: Report) -> list[int]:
    """Return the rows of those shown that may be attacked again, for a third of the evaluation.

    The first of each group come first, then the second, and so on; of each round the cheapest. What was spent on a few
    samples in a call counts three times, since such calls are hardly filled.
    """
    passes = spent_on(report)
    left = (sum(passes) + sum(report.probes)) / 3
    place = {row: k for _, _, own in chosen(report) for k, row in enumerate(own)}
    chosen_rows = []
    for row in sorted(place, key=lambda i: (place[i], passes[i], i)):
        if 3 * passes[row] <= left:
            left -= 3 * passes[row]
            chosen_rows.append(row)
    return sorted(chosen_rows)


def spent_on(report: Report) -> list[float]:
    """Return forward and backward passes of each row, together."""
    forward, backward = (map(float, report.table[name]) for name in ("forward", "backward"))
    return [f + b for f, b in zip(forward, backward, strict=True)]


def with_points(
    report: Report,
    rows: Sequence[int],
    data: tuple[Tensor, Tensor],
    model: Any,
    budget: Budget,
    known: Mapping[int, Tensor] | None = None,
) -> Report:
    """Return a report with the points of some rows, attacked once more where they were neither kept nor are ``known``.

    A row depends on (seed, index) alone, so that the same points come back. Rows that come out otherwise (a run with
    mixed precision, say) are the clean samples.
    """
    if report.points is not None or not rows:
        return report
    x, y = (t.detach() for t in data)
    points, known = x.clone(), known or {}
    for row, point in known.items():
        points[row] = point.to(points)
    rows = [row for row in rows if row not in known]
    if rows:
        index = torch.tensor(rows, device=x.device)
        ids = torch.tensor([int(report.table["index"][row]) for row in rows])
        how: dict[str, Any] = {"effort": report.effort, "ids": ids, "seed": report.seed, "certify": False}
        found = attack(model, x[index], y[index], budget.take(index), **how)
        fell = torch.tensor([report.table["verdict"][row] == BROKEN for row in rows], device=x.device)
        kept = found.broken.to(x.device) == fell
        points[index[kept]] = found.points[kept]
    return replace(report, points=points)


def groups(report: Report, hand: AtHand, having: Collection[int] | None = None) -> tuple[Group, ...]:
    """Return the samples to show: pictures of those ``having`` points (all by default), the others by number.

    Without a model what it says to returned points is not known.
    """
    if report.points is None:
        return ()
    table, picked = report.table, chosen(report)
    seen = sorted({i for _, _, own in picked for i in own if having is None or i in having})
    shown = examples(report, seen, hand)
    found = []
    for title, sentence, own in picked if shown else ():
        unseen = tuple(
            Unseen(int(table["index"][i]), float(table["margin"][i]), spent(report, i)) for i in own if i not in shown
        )
        found.append(Group(title, sentence, tuple(shown[i] for i in own if i in shown), unseen))
    return tuple(found)


def examples(report: Report, rows: Sequence[int], hand: AtHand) -> dict[int, Example]:
    """Return what there is to show of each of the given rows; the report has kept its points."""
    assert report.points is not None
    index = list(rows)
    clean, points = hand.x[index].detach(), report.points[index].detach()
    before = [Answer(report.about.name(report.table["prediction"][row]), None) for row in rows]
    after = [Answer("not asked", None)] * len(rows)
    if rows and hand.model is not None:
        before, after = (_answers(report, answers_of(hand.model, p)) for p in (clean, points.to(hand.x)))
    pairs = zip(rows, clean.cpu(), points.cpu(), before, after, strict=True)
    return {row: _example(report, row, (a, b), said, hand) for row, a, b, *said in pairs}


def _answers(report: Report, logits: Tensor) -> list[Answer]:
    best, which = logits.double().softmax(1).max(1)
    return [Answer(report.about.name(k), p) for k, p in zip(which.tolist(), best.tolist(), strict=True)]


def _example(report: Report, row: int, points: tuple[Tensor, Tensor], said: Sequence[Answer], hand: AtHand) -> Example:
    table, (clean, moved), (before, after) = report.table, points, said
    delta = moved.double() - clean.double()
    reach, index = float(delta.abs().max()), int(table["index"][row])
    return Example(
        index=index,
        label=report.about.name(table["label"][row]),
        verdict=str(table["verdict"][row]),
        margin=float(table["margin"][row]),
        passes=spent(report, row),
        distance=float(table["distance"][row]),
        clean=before,
        moved=after,
        pictures=_pictures(clean, moved, delta, reach, hand.box) if is_image(clean) else (),
        reach=reach,
        features=() if is_image(clean) else _features(clean, moved, delta),
        signal=tuple(
            series(values.flatten().tolist(), f"Sample {index}, {name}", color)
            for color, (name, values) in enumerate((("clean", clean), ("change", delta)), 1)
            if _is_signal(clean)
        ),
        file=hand.files[row] if hand.files else "",
    )


def is_image(x: Tensor) -> bool:
    """Whether a sample looks like an image with 1 or 3 channels."""
    return x.ndim == 3 and x.shape[0] in (1, 3) and min(x.shape[1:]) >= _LEAST_SIDE


def _is_signal(x: Tensor) -> bool:
    """Whether a sample looks like one long series; so many columns has no table."""
    return 1 <= x.ndim <= 2 and x.numel() == x.shape[-1] >= _LONG


def _pictures(
    clean: Tensor, moved: Tensor, delta: Tensor, reach: float, box: tuple[Tensor, Tensor] | None
) -> tuple[str, ...]:
    least, most = (clean, clean) if box is None else box
    low, high = float(least.min()), float(most.max())
    return data_uri(picture(clean, low, high)), data_uri(change(delta, reach)), data_uri(picture(moved, low, high))


def _features(clean: Tensor, moved: Tensor, delta: Tensor) -> tuple[Feature, ...]:
    order = delta.flatten().abs().argsort(descending=True, stable=True)[:_FEATURES].sort().values.tolist()
    a, b = clean.flatten().tolist(), moved.flatten().tolist()
    return tuple(Feature(f"{k}", a[k], b[k]) for k in order)


_BLUE, _WHITE, _ORANGE = (0.03, 0.32, 0.61), (0.97, 0.97, 0.97), (0.80, 0.33, 0.0)


def data_uri(pixels: Tensor) -> str:
    """Return pixels, uint8 ``[height, width]`` gray or ``[height, width, 3]``, as an address that holds a PNG file.

    Raises:
        ImportError: if Pillow is not installed.

    >>> data_uri(torch.zeros(1, 1, dtype=torch.uint8))[:22]
    'data:image/png;base64,'
    """
    with optional("Pictures on a page need Pillow", "[report]"):
        from PIL import Image
    file = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def picture(image: Tensor, low: float, high: float) -> Tensor:
    """Return the pixels of an image ``[1 or 3, height, width]`` with values from ``low`` to ``high``."""
    bright = ((image.double() - low) / max(high - low, 1e-12)).clamp(0, 1).mul(255).round().to(torch.uint8)
    return bright[0] if image.shape[0] == 1 else bright.permute(1, 2, 0).contiguous()


def change(delta: Tensor, reach: float) -> Tensor:
    """Return the pixels of a perturbation ``[1 or 3, height, width]``, from ``-reach`` to ``reach``.

    One channel: blue where it darkens, orange where it brightens. Three: gray where nothing changes.
    """
    reach = max(reach, 1e-12)
    if delta.shape[0] == 3:
        return picture(delta, -reach, reach)
    share = (delta[0].double() / reach).clamp(-1, 1)[..., None]
    low, middle, high = (torch.tensor(color, dtype=torch.float64) for color in (_BLUE, _WHITE, _ORANGE))
    mixed = torch.where(share < 0, middle + share.abs() * (low - middle), middle + share * (high - middle))
    return mixed.mul(255).round().to(torch.uint8)
