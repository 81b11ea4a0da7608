"""Fit a model to an adversarial objective: the common loop, with weights as its one row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from maxslope._status import Status
from maxslope.energies import Energy, Evaluation
from maxslope.energies.base import plain
from maxslope.loop import Driver, Rows, Stop, march
from maxslope.sets import Everything, Set
from maxslope.training.checkpoint import Checkpoint
from maxslope.training.distributed import world
from maxslope.training.objective import Objective
from maxslope.training.plan import Callback, Check, Fitted, Moment, Plan, Trace
from maxslope.training.run import Beside, Run
from maxslope.training.source import Source, Transform
from maxslope.training.weights import Optimizer


class _Weights(Driver, Energy):
    """One row, the weights, whose energy is the objective on the next batch: each evaluation takes another."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.waiting = run.step < run.steps and not run.stopped
        self.status = int(Status.FINISHED)
        self.last = 0.0

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`. What is due at these weights is done first."""
        run = self.run
        run.settle()
        if run.stopped:
            return plain(x.new_zeros(1), torch.zeros_like(x))
        value = run.loss().reshape(1)
        gradient = run.layout.gradient(run.model)
        if run.scaler.is_enabled():  # an overflow in half precision is not the end: the scaler skips the step
            gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
        return plain(value, gradient)

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`; a batch cannot be looked at without being taken."""
        raise NotImplementedError(
            "A training takes a new batch at every evaluation, so its energy has no value to look at beforehand; for "
            "the objective on a frozen batch use maxslope.training.weights.WeightRisk(model, objective, x, y)."
        )

    def take(self, index: Tensor) -> Energy:
        """See :class:`Energy`; there is one row."""
        return self

    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        if not self.waiting:
            return None
        self.waiting = False
        return torch.zeros(1, dtype=torch.int64, device=self.run.device), self.run.layout.row(self.run.model)

    def problem(self, job: Tensor) -> tuple[Energy, Set]:
        return self, Everything()

    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Driver`; a resumed training has fewer steps left."""
        end = torch.full(job.shape, torch.inf, dtype=torch.float64, device=job.device)
        return torch.full_like(job, self.run.steps - self.run.step), end

    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> Tensor | None:
        self.last = float(evaluation.value)
        return torch.ones_like(rows.job, dtype=torch.bool) if self.run.stopped else None

    def report(self, ended: Rows, status: Tensor) -> None:
        self.status = int(status)

    def advance(self) -> Tensor:
        """Make a step of the optimizer, unless training has stopped or its loss is not finite."""
        if self.run.stopped or not math.isfinite(self.last):
            return self.run.layout.row(self.run.model)
        return self.run.advance(self.last)


def fit(
    model: nn.Module,
    data: Any,
    objective: Objective,
    plan: Plan | None = None,
    *,
    check: Check | None = None,
    checkpoint: Checkpoint | None = None,
    transform: Transform | None = None,
    trace: Trace | None = None,
    progress: Callable[[Moment], object] | None = None,
    callbacks: Sequence[Callback] = (),
    seed: int = 0,
) -> Fitted:
    """Train a model in place: a flow of weights, w' = -grad of the objective, with a flow of inputs inside.

    Follows the common loop with the weights as its one row, the objective on the next batch as energy and a
    ``torch.optim`` optimizer as scheme. Order of samples, random starts, dropout and ``transform`` are keyed by (seed,
    sample id, step): the same call gives the same weights on one device, whatever interrupted it; no global generator
    moves. Under torchrun (see :func:`maxslope.training.processes`) every process takes its share of each batch, and
    the result is that of one process up to rounding, if the model has no batch statistics.

    Args:
        model: a module, on its device; trained in place, and left in evaluation mode.
        data: ``(x, y)`` tensors or numpy arrays (of numbers with a point: in the model's precision), a map-style
            ``Dataset`` of pairs, or a ``DataLoader`` of one, whose batch size, ``collate_fn`` and number of workers are
            taken over; the order is keyed by the seed.
        objective: such as ``AdversarialRisk(Linf(0.3))``.
        plan: epochs, batches, optimizer, schedule, averaging, precision.
        check: verified robust accuracy on held-out samples, for the record and for early stopping.
        checkpoint: where to save, and to go on from. With more epochs in the plan than it was begun with, training goes
            on for those; a schedule that is made here begins anew over them, a scheduler that is given goes on.
        transform: augmentation, ``transform(x, key)`` with an int64 key for each row, keyed by (seed, id, epoch).
        trace: records the curve of weights on a frozen batch.
        progress: told after every step and after every epoch.
        callbacks: called after steps and epochs, where they may end the training, and at the end.
        seed: of everything random.

    Returns:
        A :class:`Fitted`. A loss that is not finite ends the training with the status NON_FINITE, at the last weights
        whose loss was finite.

    Raises:
        TypeError: for data or an objective of the wrong kind.
        ValueError: for a model without trainable weights, a batch size that does not fit, or a checkpoint of another
            training.

    Source: arXiv:1706.06083, equation (2.1); arXiv:2406.05376, section 2.

    >>> import maxslope as ms
    >>> x, y = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
    >>> x[:, 0] = (x[:, 0] + y) / 2
    >>> net = nn.Linear(2, 2)
    >>> fitted = fit(net, (x, y), ms.AdversarialRisk(ms.Linf(0.02)), Plan(epochs=3, batch_size=10))
    >>> fitted.step, len(fitted.history), fitted.history[-1]["backward"]
    (12, 3, 2.0)
    """
    if not isinstance(objective, Objective):
        raise TypeError(f"The objective is an Objective such as AdversarialRisk(Linf(0.3)), got {objective!r}.")
    if not isinstance(model, nn.Module):
        raise TypeError(f"fit trains a torch module, got {type(model).__name__}.")
    plan = plan or Plan()
    rank, size = world()
    kind = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    source = Source(data, plan.batch_size, seed, plan.workers, rank, size, kind=kind)
    beside = Beside(check, checkpoint, transform, trace, _callbacks(callbacks, progress))
    run = Run(model, objective, plan, source, seed, beside)
    run.resume()
    run.warn()
    if not model.training:  # inside a model in training mode, a submodule in evaluation mode is frozen, and stays so
        model.train()
    weights = _Weights(run)
    march(weights, Optimizer(run.optimizer, weights.advance), stop=Stop(), room=1)
    if weights.status == Status.FINISHED:
        run.settle()
    model.eval()
    network = run.network
    if run.best is not None:
        network.load_state_dict(run.best)
    status = int(Status.STOPPED) if run.stopped else weights.status
    fitted = Fitted(network.eval(), run.history, status, run.step, objective.spent, run.curve(status))
    for callback in beside.callbacks:
        if callback.end is not None:
            callback.end(fitted)
    return fitted


def _callbacks(given: Any, progress: Callable[[Moment], object] | None) -> tuple[Callback, ...]:
    """All that is called: what is given, and what is told everything and decides nothing."""
    found = tuple(given) if isinstance(given, list | tuple) else (given,)
    for one in found:
        if not isinstance(one, Callback):
            raise TypeError(
                f"Callbacks are a list of Callback(step=..., epoch=..., end=...), got {type(one).__name__} among them; "
                "a function that is told everything is progress=."
            )
    if progress is None:
        return found

    def tell(moment: Moment) -> None:
        progress(moment)

    return (*found, Callback(step=tell, epoch=tell))
