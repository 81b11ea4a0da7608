"""The smallest perturbation of every sample of a data set: part by part, kept in a folder, gone on with."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maxslope.attacks import Effort
from maxslope.attacks.findings import Finding, Kind
from maxslope.attacks.minimal import approach, security_curve
from maxslope.attacks.verify import clean
from maxslope.energies.network import Context
from maxslope.evaluation.about import About
from maxslope.evaluation.crew import Crew
from maxslope.evaluation.data import LARGEST, length
from maxslope.evaluation.guessing import doubts
from maxslope.evaluation.hardware import Hardware
from maxslope.evaluation.part import HEAD, Job, Orders, Part, Work, asked_of, head_of, said_of
from maxslope.evaluation.plan import Plan, Purpose
from maxslope.evaluation.reader import readable
from maxslope.evaluation.report import Column, Report, framed
from maxslope.evaluation.run import dated, finish, opened, threatened, threatened_again
from maxslope.evaluation.session import Session, reopened
from maxslope.evaluation.store import APPROACH, contents
from maxslope.goals import Goal
from maxslope.realize import Realization
from maxslope.sets import Budget
from maxslope.sets.budget import Bounds
from maxslope.spaces import Space

Progress = Callable[[int, float], object]
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True, eq=False, repr=False)
class Smallest:
    """The smallest perturbations that were found, one entry per sample.

    Attributes:
        effort: what was spent.
        seed: of all random numbers.
        table: columns index, label, norm (0 where the clean sample is an error, inf where no error is known, NaN where
            the model's answers are not finite), found, margin, forward, backward; file, where samples are images in
            folders.
        points: ``[n, *shape]``, the nearest errors found, or the clean samples; None where they were not kept.
        executed: forward and backward passes of whole calls of the model, in rows.
        warnings: what may be wrong with these numbers; ``str()`` of each is a sentence.
        about: where they come from.
    """

    effort: Effort
    seed: int
    table: dict[str, Column]
    points: Tensor | None
    executed: tuple[int, int]
    warnings: tuple[Finding, ...] = ()
    about: About = field(default_factory=About)

    @property
    def norms(self) -> Tensor:
        """The norms, ``[n]`` float64."""
        return torch.tensor(self.table["norm"], dtype=torch.float64)

    def robust_accuracy_at(self, eps: float) -> float:
        """Return the share of samples without an error found within ``eps``, an upper bound of the robust accuracy.

        Raises:
            ValueError: if eps is negative or NaN.
        """
        return float(self.security_curve([eps])[0])

    def security_curve(self, eps: Sequence[float] | Tensor) -> Tensor:
        """Return robust accuracy against eps, ``[k]``; see :func:`maxslope.attacks.minimal.security_curve`."""
        return security_curve(self.norms, eps)

    def facts(self, radii: Sequence[float] = ()) -> dict[str, Any]:
        """Return samples, seed, accuracies (clean, and at radii), quantiles of the norm, and what was spent."""
        norms = self.table["norm"]
        means = {name: sum(map(float, self.table[name])) / len(norms) for name in ("found", "forward", "backward")}
        return {
            "samples": len(norms),
            "seed": self.seed,
            "clean_accuracy": self.robust_accuracy_at(0),
            "found": means["found"],
            "quantiles": {f"{share:g}": quantile(norms, share) for share in _QUANTILES},
            "robust_accuracy": {f"{radius:.6g}": self.robust_accuracy_at(radius) for radius in radii},
            "forward_per_sample": means["forward"],
            "backward_per_sample": means["backward"],
        }

    def to_pandas(self) -> Any:
        """Return the table as a ``pandas.DataFrame``, as a report's :meth:`Report.to_pandas` does."""
        return framed(self.table, self.about, self.warnings)

    def __repr__(self) -> str:
        return f"<Smallest: {len(self.table['index'])} samples, median norm {quantile(self.table['norm']):.4g}>"


def approach_part(work: Work, search: Any, orders: Orders, job: Job) -> Part:
    """Look for the nearest error of each sample of a job."""
    began, question = time.perf_counter(), asked_of(work, job)
    first = torch.arange(min(HEAD, question.rows), device=question.x.device)
    head = head_of(clean(question.take(first))) if job.number == 0 else ()
    found = approach(question, work.threat.take(job.rows, question.x).mask, orders.effort)
    table: dict[str, Column] = {
        "index": question.ids.tolist(),
        "label": question.goal.shown(question.goal.given(job.y, question.x)),
        "norm": found.norms.double().tolist(),
        "found": found.found.tolist(),
        "margin": found.margin.double().tolist(),
        "forward": found.forward.tolist(),
        "backward": found.backward.tolist(),
    }
    points = found.points.cpu() if work.keep_points else None
    said, seconds = said_of(question.network), time.perf_counter() - began
    return Part(job.number, job.start, table, points, found.executed, orders.effort, said, head=head, seconds=seconds)


def quantile(norms: Sequence[Any], share: float = 0.5) -> float:
    """Return the norm that a share of the norms that are numbers do not exceed, never a mean; NaN where none is.

    >>> quantile([0.3, 0.1, float("inf"), float("nan")])
    0.3
    """
    known = sorted(float(norm) for norm in norms if not math.isnan(norm))
    return known[int(share * (len(known) - 1))] if known else math.nan


def _of(c: Report) -> Smallest:
    """The result that the contents of a run are, with what is to be said of its samples."""
    said = [*c.warnings, *doubts(c.table, c.about)]
    if c.about.first:
        said.append(Finding(Kind.FIRST, f"{len(c.table['index'])} samples: the first of a stream, in its own order."))
    index, norms = map(int, c.table["index"]), map(float, c.table["norm"])
    if lost := tuple(i for i, norm in zip(index, norms, strict=True) if math.isnan(norm)):
        seen = f"{len(lost)} samples met NaN or infinity: they have no norm, and are in no quantile."
        said.append(Finding(Kind.NON_FINITE, seen, lost))
    return Smallest(c.effort, c.seed, c.table, c.points, c.executed, tuple(said), c.about)


APPROACHING = Purpose(approach_part, APPROACH, "norm", quantile, _of)


@torch.inference_mode(False)
def smallest(
    model: Any,
    data: Any,
    norm: Space,
    *,
    box: Bounds | None = (0.0, 1.0),
    effort: Effort | None = None,
    goal: Goal | Callable[[Tensor, Tensor], Tensor] | None = None,
    targets: Tensor | None = None,
    context: Context | Tensor = (),
    mask: Tensor | None = None,
    realize: Realization | Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    keep_points: bool = True,
    progress: Progress | None = None,
    out: str | Path | None = None,
    part: int = LARGEST,
    crew: Crew | None = None,
    about: About | None = None,
    configuration: Mapping[str, Mapping[str, Any]] | None = None,
) -> Smallest:
    """Look for the smallest perturbation of every sample of a data set: ``minimal`` for data that are kept in parts.

        min { |z - x| : lo <= z <= hi, argmax model(z) != y }

    The norm is a space such as ``Lp(2)``, the box the range of valid inputs (None for no box). On each sample the
    ``passes`` of the effort are spent, by default 100. ``progress`` is called with (samples done, the median of their
    norms). Everything else is as :func:`evaluate` takes it; with ``out`` :func:`resume_smallest` goes on.

    Returns:
        A :class:`Smallest`. Ctrl-C raises ``Interrupted``, a ``KeyboardInterrupt`` with what is done.

    Raises:
        TypeError: for a norm that is no space, an effort that is none, data of the wrong kind.
        ValueError: for wrong shapes, labels or inputs out of range, a model in training mode, a folder that holds a
            run or that another process writes to.
        OSError: if the folder cannot be written; the run can be resumed.

    >>> import maxslope as ms
    >>> x, y = torch.tensor([[0.9, 0.1], [0.6, 0.5], [0.2, 0.3]]), torch.tensor([0, 0, 0])
    >>> found = smallest(lambda x: 10 * x, (x, y), ms.Lp(float("inf")), effort=ms.Effort(passes=20))
    >>> [round(norm, 2) for norm in found.table["norm"]], round(found.robust_accuracy_at(0.1), 2)
    ([0.4, 0.05, 0.0], 0.33)
    """
    if not isinstance(norm, Space):
        raise TypeError(f"The norm is a space such as Lp(2), got {norm!r}; eps itself is what is found: no budget.")
    chosen = effort or Effort.standard()
    if not isinstance(chosen, Effort):
        raise TypeError(f"The effort is an Effort such as Effort(passes=100), got {effort!r}.")
    data = opened(data, model, batch_size, part, out)
    threat = threatened(goal, targets, context, mask, realize, length(data))
    plan = Plan(
        model, data, Budget(norm, 0.0, box), chosen, seed, batch_size, False, keep_points, part, Hardware(), threat,
        words=configuration or {}, about=dated(about, model, threat), purpose=APPROACHING,
    )  # fmt: skip
    found: Smallest = finish(Session(plan, out, crew), progress)
    return found


@torch.inference_mode(False)
def resume_smallest(
    path: str | Path,
    model: Any,
    data: Any,
    *,
    goal: Goal | Callable[[Tensor, Tensor], Tensor] | None = None,
    targets: Tensor | None = None,
    context: Context | Tensor = (),
    mask: Tensor | None = None,
    realize: Realization | Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
    crew: Crew | None = None,
) -> Smallest:
    """Go on with a run of :func:`smallest` from its folder; what is finished is not computed again.

    The arguments are those of :func:`resume`; it returns the :class:`Smallest` that the uninterrupted run would have
    given. ValueError if there is no such run, model, data or what is asked are others, or another process goes on.

    >>> import tempfile, maxslope as ms
    >>> model, data = lambda x: 10 * x, (torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = smallest(model, data, ms.Lp(2), effort=ms.Effort(passes=20), out=f"{folder}/run")
    ...     again = resume_smallest(f"{folder}/run", model, data)
    >>> first.table == again.table
    True
    """
    data = readable(data, model)
    threat = threatened_again(goal, targets, context, mask, realize, length(data))
    found: Smallest = finish(reopened(path, model, data, None, None, threat, crew, APPROACHING), progress)
    return found


def load_smallest(path: str | Path, *, points: bool = True) -> Smallest:
    """Read the result of a run of :func:`smallest` from its folder, finished or not, as :func:`load` does of others."""
    return _of(contents(path, APPROACH, points=points))
