"""Evaluate a model on data: many attacks, one verdict per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks
from maxslope._pairs import pair_of
from maxslope.attacks import Effort, Recipe
from maxslope.attacks.attack import chosen_effort
from maxslope.attacks.question import wanted
from maxslope.energies.network import Context
from maxslope.evaluation._arrays import need_pyarrow
from maxslope.evaluation.about import About
from maxslope.evaluation.crew import Crew
from maxslope.evaluation.data import LARGEST, length
from maxslope.evaluation.draw import classes_of
from maxslope.evaluation.hardware import Hardware
from maxslope.evaluation.part import Threat
from maxslope.evaluation.plan import Plan
from maxslope.evaluation.reader import readable
from maxslope.evaluation.report import Report
from maxslope.evaluation.session import Session, reopened
from maxslope.goals import Goal, Misclassified
from maxslope.realize import Realization, as_realization
from maxslope.sets import Budget

Progress = Callable[[int, int], object]
_NAMED = 12  # classes that a message names


class Interrupted(KeyboardInterrupt):
    """A run was interrupted; ``done`` samples are done, and their ``report`` is at hand, if there are any.

    None where a folder keeps them; ``begun`` says whether it does, so that the run can be resumed.
    """

    def __init__(self, session: Session) -> None:
        KeyboardInterrupt.__init__(self, f"interrupted after {session.done} samples")
        self.done, self.begun = session.done, session.folder is not None and session.header is not None
        held = session.folder is None and session.effort is not None
        self.report: Any = session.result() if held else None


@torch.inference_mode(False)
def evaluate(
    model: Any,
    data: Any,
    budget: Budget,
    *,
    goal: Goal | Callable[[Tensor, Tensor], Tensor] | None = None,
    targets: Tensor | None = None,
    context: Context | Tensor = (),
    mask: Tensor | None = None,
    realize: Realization | Callable[[Tensor], Tensor] | None = None,
    effort: Effort | None = None,
    recipe: Recipe | None = None,
    restarts: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    probe: bool = True,
    keep_points: bool = True,
    progress: Progress | None = None,
    out: str | Path | None = None,
    part: int = LARGEST,
    crew: Crew | None = None,
    hardware: Hardware | None = None,
    about: About | None = None,
    configuration: Mapping[str, Mapping[str, Any]] | None = None,
) -> Report:
    """Evaluate how robust a model is: clean accuracy, robust accuracy, and a verdict with evidence per sample.

    Every sample is classified, then attacked by ``effort`` where it is classified correctly. A sample's row does not
    depend on the other samples, on their order or number.

    Args:
        model: from inputs ``[rows, *shape]`` to logits, in evaluation mode; preprocessing belongs inside. Samples on
            the CPU are moved to its device, part by part.
        data: ``(x, y)`` tensors or numpy arrays, a ``Dataset`` of pairs, a ``DataLoader``, or a word that names a file
            or folder, as ``--data`` takes it; its box is the budget's.
        budget: such as ``Linf(8 / 255)``; an eps per sample goes with ``(x, y)`` tensors.
        goal: what counts as an error, one of ``maxslope.goals`` or a function ``margin(outputs, y) -> [rows]``; by
            default another class than the label being the largest.
        targets: ``[n]``, classes to reach: short for ``goal=goals.Targeted(targets)``.
        context: a tensor or a tuple of tensors, one row a sample in the order of the data, that the model gets after
            the inputs.
        mask: boolean, of the shape of a sample or of all inputs; coordinates where it is False may not move.
        realize: what a point becomes before it counts, such as ``realize.Grid(256)``; see ``maxslope.realize``.
        effort: by default ``Effort.standard()``.
        recipe: one named attack instead of an effort.
        restarts: runs of ``recipe``.
        seed: of all random numbers, which are keyed by (seed, index of the sample, run).
        batch_size: rows per call of the model; by default chosen by the size of a sample.
        probe: whether the indicators are asked, on a few of the first 256 samples; if they say that gradients are not
            to be trusted, other stages follow on every sample that stands, as the effort says. Of the default effort,
            all samples follow a heavier rule if kinks mislead most of the first 256 that stand and came half of the
            way, see :class:`maxslope.attacks.stages.OutsideProbe`. The report's ``effort`` records both. The passes of
            probes are in ``report.probes``, not in the table.
        keep_points: whether the report holds the returned points; False for data larger than memory.
        progress: called with (samples done, samples robust so far) as the evaluation goes on.
        out: a folder to keep the run in as it goes on, so that it can be resumed; see ``evaluation.store``.
        part: samples of a part at most; parts are what is kept, and what is lost by an interruption. The first has 256
            at most, the others 1,024, fewer where samples are large (16 MB a part, but four calls of the model).
        crew: who does the work; by default this process, or Ray on all GPUs where there are several.
        hardware: what may be tried to be faster; by default nothing, so that results are the same everywhere.
        about: names of model, data and classes, for the report; what is left empty is filled in here.
        configuration: tables of TOML that are kept in the folder as ``run.toml``: how this was asked for, in words.

    Returns:
        A :class:`Report`. Ctrl-C raises :class:`Interrupted`, a ``KeyboardInterrupt`` with a report of what is done.

    Raises:
        TypeError: for data or inputs of the wrong kind.
        ValueError: for wrong shapes, labels or inputs out of range, a model in training mode, a folder that holds a
            run or that another process writes to.
        OSError: if the folder cannot be written; the run can be resumed.

    >>> import torch
    >>> from maxslope import Linf
    >>> x, y = torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0])
    >>> report = evaluate(lambda x: 10 * x, (x, y), Linf(0.2))
    >>> report.clean_accuracy, report.robust_accuracy, report.table["verdict"]
    (1.0, 0.5, ['robust', 'broken'])
    """
    _checks.budget(budget, Budget)
    chosen = chosen_effort(effort, recipe, restarts)
    data = opened(data, model, batch_size, part, out)
    samples = length(data)
    pair = pair_of(data)
    if pair is not None and pair[0].ndim > 1 and pair[0].shape[0]:
        budget.radius(pair[0])
    elif samples is not None:
        _checks.eps_rows(budget.eps, samples)
    threat = threatened(goal, targets, context, mask, realize, samples)
    plain = isinstance(threat.goal, Misclassified) and mask is None and realize is None and not threat.context
    told = replace(dated(about, model, threat), plain=plain)
    plan = Plan(
        model, data, budget, chosen, seed, batch_size, probe, keep_points, part, hardware or Hardware(), threat,
        words=configuration or {}, about=told,
    )  # fmt: skip
    report: Report = finish(Session(plan, out, crew), progress)
    return report


@torch.inference_mode(False)
def resume(
    path: str | Path,
    model: Any,
    data: Any,
    *,
    budget: Budget | None = None,
    effort: Effort | None = None,
    goal: Goal | Callable[[Tensor, Tensor], Tensor] | None = None,
    targets: Tensor | None = None,
    context: Context | Tensor = (),
    mask: Tensor | None = None,
    realize: Realization | Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
    crew: Crew | None = None,
) -> Report:
    """Go on with a run from its folder; what is finished is not computed again.

    Args:
        path: the folder given to ``evaluate`` as ``out``.
        model: the same model; its weights and answers are compared.
        data: the same data; samples are compared.
        budget: only where the run's own cannot be stored (a norm of another package).
        effort: likewise.
        goal: likewise (a function of one's own).
        targets: likewise.
        context: likewise.
        mask: likewise.
        realize: likewise (a function of one's own).
        progress: called with (samples done, samples robust so far).
        crew: who does the work.

    Returns:
        The :class:`Report` that the uninterrupted run would have given.

    Raises:
        ValueError: if there is no run, if model, data, budget or effort are others, or if another process goes on
            with it.

    >>> import tempfile, torch
    >>> from maxslope import Linf, evaluate
    >>> model, data = lambda x: 10 * x, (torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = evaluate(model, data, Linf(0.2), out=f"{folder}/run")
    ...     again = resume(f"{folder}/run", model, data)
    >>> first.table["verdict"] == again.table["verdict"]
    True
    """
    data = readable(data, model)
    threat = threatened_again(goal, targets, context, mask, realize, length(data))
    report: Report = finish(reopened(path, model, data, budget, effort, threat, crew), progress)
    return report


def opened(data: Any, model: Any, batch_size: int | None, part: int, out: str | Path | None) -> Any:
    """Return data that can be read, after the checks that every run in parts makes before it reads any."""
    _checks.batch_size(batch_size)
    if part < 1:
        raise ValueError(f"A part has at least one sample, got part={part}.")
    if out is not None:
        need_pyarrow()  # missed before anything is read
    return readable(data, model)


def threatened(
    goal: Any, targets: Tensor | None, context: Any, mask: Tensor | None, realize: Any, samples: int | None
) -> Threat:
    """Return what is asked about every sample, checked as far as it can be before the data are read."""
    _checks.mask(mask)
    return Threat(wanted(goal, targets), _checks.context(context, samples), mask, as_realization(realize))


def threatened_again(
    goal: Any, targets: Tensor | None, context: Any, mask: Tensor | None, realize: Any, samples: int | None
) -> Threat | None:
    """:func:`threatened`, where something is given; None for what the folder of a run holds."""
    given = any(one is not None for one in (goal, targets, mask, realize)) or len(context) > 0
    return threatened(goal, targets, context, mask, realize, samples) if given else None


def dated(about: About | None, model: Any, threat: Threat) -> About:
    """Return what is told of a run, with what is known without being told."""
    told = about or About()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return replace(told, model=told.model or type(model).__name__, goal=threat.goal.name, date=told.date or now)


def finish(session: Session, progress: Callable[[int, Any], object] | None) -> Any:
    """Do what is left of a session, and return its result; an interruption holds that of what is done."""
    try:
        for done, so_far in session.go():
            if progress is not None:
                progress(done, so_far)
    except KeyboardInterrupt:
        raise Interrupted(session) from None
    except _checks.LabelsError as error:
        names = session.plan.about.classes or classes_of(session.plan.data)
        if not names:
            raise
        said = ", ".join(f"{number} {name}" for number, name in enumerate(names[:_NAMED]))
        raise ValueError(f"{error} The classes of the data are {said}{', ...' * (len(names) > _NAMED)}.") from error
    return session.result()
