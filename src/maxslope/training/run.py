"""A training under way: everything one step, one epoch or one checkpoint needs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from maxslope import _checks, _random
from maxslope._escape import first_line
from maxslope._modes import inference
from maxslope.attacks import attack
from maxslope.curve import Curve
from maxslope.spaces import Lp
from maxslope.spaces.parameters import Layout
from maxslope.training.checkpoint import Checkpoint
from maxslope.training.distributed import summed, world
from maxslope.training.identity import data_words, described, optimizer_words, schedule_words
from maxslope.training.objective import Objective
from maxslope.training.plan import Callback, Check, Moment, Plan, Trace
from maxslope.training.source import Batch, Source, Transform
from maxslope.training.stepping import Stepping
from maxslope.training.weights import WeightRisk

_LOG = logging.getLogger("maxslope.training")
_KEPT = ("step", "total", "clock", "history", "best", "best_robust", "waited", "stopped", "instants")  # in a checkpoint


@dataclass(frozen=True)
class Beside:
    """What is done beside the steps of a training, as :func:`fit` is asked for it."""

    check: Check | None = None
    checkpoint: Checkpoint | None = None
    transform: Transform | None = None
    trace: Trace | None = None
    callbacks: tuple[Callback, ...] = ()


class Instant(NamedTuple):
    """A point of the curve of weights: its time, where, energy and slope on the frozen batch."""

    time: float
    weights: Tensor
    energy: float
    slope: float


class Run:
    """The state of a training between two steps; ``loss`` and ``advance`` make one, ``settle`` does what is due."""

    def __init__(
        self, model: nn.Module, objective: Objective, plan: Plan, source: Source, seed: int, beside: Beside
    ) -> None:
        self.model, self.objective, self.plan, self.source, self.seed = model, objective, plan, source, seed
        self.beside = beside
        self.layout = Layout.of(model)
        self.steps = plan.epochs * source.batches
        self.device = next(p.device for p in model.parameters())
        self.stepping = Stepping(model, plan.optimizer, plan.schedule, plan.per_epoch)
        self.optimizer, self.since = self.stepping.optimizer, 0
        self.stepping.begin(plan.epochs, source.batches)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=plan.precision == torch.float16)
        self.mean: AveragedModel | None = None
        if plan.average is not None:
            decay = get_ema_multi_avg_fn(plan.average)  # type: ignore[no-untyped-call]
            self.mean = AveragedModel(model, multi_avg_fn=decay, use_buffers=True)
        self.step, self.total, self.clock = 0, 0.0, 0.0
        self.spent_before: dict[str, int] = dict(objective.spent)
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] | None = None
        self.best_robust, self.waited, self.stopped = -1.0, 0, False
        self.instants: list[Instant] = []
        self.batches: Iterator[Batch] | None = None
        self.began = time.perf_counter()
        self.wrapped: nn.Module = model
        if world().size > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            self.wrapped = DistributedDataParallel(model, device_ids=ids)

    @property
    def network(self) -> nn.Module:
        """What is checked and handed back."""
        return self.model if self.mean is None else self.mean.module

    def loss(self) -> Tensor:
        """Take the next batch; leave its gradient on the parameters and return its loss."""
        if self.batches is None:
            self.batches = self.source.steps(self.step, self.steps)
        ids, x, y = next(self.batches)
        x, y, ids = x.to(self.device), y.to(self.device), ids.to(self.device)
        if self.beside.transform is not None:
            epoch = self.step // self.source.batches
            x = self.beside.transform(x, _random.keys(self.seed, _random.TRANSFORM, ids, epoch))
        self.optimizer.zero_grad(set_to_none=True)
        precision = self.plan.precision
        half = torch.autocast(self.device.type, precision) if precision is not None else nullcontext()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), half:
            _reseed(int(_random.keys(self.seed, _random.MODEL, self.step, world().rank)), self.device)
            loss = self.objective(self.wrapped, x, y, ids)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        return loss.detach()

    def advance(self, loss: float) -> Tensor:
        """Make the optimizer's step and return the weights."""
        self.clock += float(self.optimizer.param_groups[0]["lr"])
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.stepping.after_step()
        if self.mean is not None:
            self.mean.update_parameters(self.model)
        self.step += 1
        self.total += loss
        self._tell(loss, [callback.step for callback in self.beside.callbacks])
        return self.layout.row(self.model)

    def settle(self) -> None:
        """Do what is due at these weights: the record of an epoch, a check, an instant of the trace, a checkpoint."""
        ended = self.step > 0 and self.step % self.source.batches == 0
        trace, checkpoint = self.beside.trace, self.beside.checkpoint
        if trace is not None and self.step % trace.every == 0:
            self._instant(trace)
        if ended and (not self.history or self.history[-1]["step"] < self.step):
            self._epoch()
        if checkpoint is None or self.step == 0:
            return
        every = checkpoint.every or self.source.batches
        if self.step % every == 0 or self.step == self.steps or self.stopped:
            self._save(checkpoint)

    def _epoch(self) -> None:
        epoch, spent = self.step // self.source.batches, self.objective.spent
        new = {k: v - self.spent_before.get(k, 0) for k, v in spent.items()}
        self.spent_before = spent
        counts = [self.total, 1.0, new["backward"], new["samples"]]
        loss, size, backward, samples = summed(torch.tensor(counts, dtype=torch.float64, device=self.device)).tolist()
        record = {
            "epoch": epoch,
            "step": self.step,
            "loss": loss / size / self.source.batches,
            "rate": float(self.optimizer.param_groups[0]["lr"]),
            "backward": backward / samples,
            **self.objective.condition,
            "seconds": time.perf_counter() - self.began,
        }
        self.total = 0.0
        check = self.beside.check
        if check is not None and (epoch % check.every == 0 or self.step == self.steps):
            record |= self._checked(check)
        self.history.append(record)
        self.stepping.after_epoch(record["loss"], record.get("robust"))
        self._tell(record["loss"], [callback.epoch for callback in self.beside.callbacks])
        _LOG.info(
            "epoch %d: %s", epoch, ", ".join(f"{k} {v:.4g}" for k, v in record.items() if k not in ("epoch", "step"))
        )

    def _tell(self, loss: float, calls: list[Callable[[Moment], bool | None] | None]) -> None:
        """Call back; who answers True ends the training here."""
        last = self.history[-1] if self.history else {}
        moment = Moment(self.step, self.steps, len(self.history), loss, last, self.network)
        for call in calls:
            if call is not None and call(moment) is True:
                self.stopped = True

    def _checked(self, check: Check) -> dict[str, float]:
        """Clean and verified robust accuracy; the best weights are kept, and patience is lost."""
        rank, size = world()
        ids = torch.arange(check.x.shape[0])[rank::size]
        x, y = (t[ids.to(t.device)].to(self.device) for t in (check.x, check.y))
        with inference(self.network):
            result = attack(
                self.network, x, y, check.budget.take(ids), effort=check.effort, ids=ids, seed=self.seed, certify=False
            )
            clean = (self.network(x).argmax(1) == y).sum()
        stands = (~result.broken & ~result.non_finite).sum()
        counts = summed(torch.stack([clean, stands, torch.tensor(ids.numel(), device=self.device)]).double())
        clean_accuracy, robust = (counts[:2] / counts[2]).tolist()
        before = [(record["robust"], record["clean"]) for record in self.history if "robust" in record]
        if not before or (robust, clean_accuracy) > max(before):  # of equally robust weights the more accurate
            self.best = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        if robust > self.best_robust:
            self.best_robust, self.waited = robust, 0
        else:
            self.waited += 1
            self.stopped = check.patience is not None and self.waited >= check.patience
        return {"clean": clean_accuracy, "robust": robust}

    def _instant(self, trace: Trace) -> None:
        if self.instants and self.instants[-1].time >= self.clock > 0:
            return
        row = self.layout.row(self.model)
        seen = WeightRisk(self.model, trace.objective, trace.x.to(self.device), trace.y.to(self.device)).evaluate(row)
        self.instants.append(Instant(self.clock, row[0], float(seen.value), float(Lp(2).dual_norm(seen.gradient))))

    def curve(self, status: int) -> Curve | None:
        """Return the recorded curve of weights, one row."""
        if not self.instants:
            return None
        times, points, energy, slope = zip(*self.instants, strict=True)
        column = [torch.tensor(v, dtype=torch.float64, device=self.device)[:, None] for v in (times, energy, slope)]
        count = torch.tensor([self.step], device=self.device)
        ended = torch.full_like(count, status)
        return Curve(
            column[0], torch.stack(points)[:, None], column[1], column[2], column[1], ended, count, count, Lp(2), 2.0
        )

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued, as it was before the first step."""
        return {
            "seed": self.seed,
            "epochs": self.plan.epochs,
            "batch size": self.source.batch_size,
            "samples": self.source.samples,
            "weights": {n: list(s) for n, s in zip(self.layout.names, self.layout.shapes, strict=True)},
            "objective": described(self.objective),
            **self._movement(self.plan.epochs),
            "data": data_words(self.source.data),
            "average": self.plan.average,
            "precision": str(self.plan.precision),
            "transform": described(self.beside.transform),
            "check": described(self.beside.check),
        }

    def _movement(self, epochs: int) -> dict[str, str]:
        """Schedule and optimizer at the beginning of so many epochs, of which the first rate may depend."""
        schedule = schedule_words(self.stepping.begin(epochs, self.source.batches))
        return {"optimizer": optimizer_words(self.optimizer), "schedule": schedule}

    def _save(self, checkpoint: Checkpoint) -> None:
        if world().rank:
            return
        state = {name: getattr(self, name) for name in _KEPT}
        state["instants"] = [tuple(instant) for instant in self.instants]  # plain data, which alone are read again
        state |= {name: part.state_dict() for name, part in self._parts().items()}
        state |= {"objective": self.objective.state(), "spent before": self.spent_before, "since": self.since}
        state["seconds"] = time.perf_counter() - self.began
        checkpoint.save(state | {"fingerprint": self.fingerprint})

    def resume(self) -> None:
        """Go on where the checkpoint was written, if there is one; schedule and patience begin anew for more epochs."""
        checkpoint = self.beside.checkpoint
        if checkpoint is None:
            return
        wanted, state = self.fingerprint, checkpoint.read()
        if state is None:
            return
        told = state["fingerprint"].get("epochs")
        other = type(told) is int and 0 < told != self.plan.epochs
        longer = other and told < self.plan.epochs
        if other:
            wanted = wanted | {"epochs": told, **self._movement(told)}
        checkpoint.compare(state, wanted)
        if other and not longer:
            done, step = "its state is not known", state.get("step")
            if type(step) is int:
                done = f"{step // self.source.batches} are done"
            raise ValueError(
                f"The training in {checkpoint.path} is one of {told} epochs, of which {done}; asked for are "
                f"{self.plan.epochs}. Ask for {told}, or for more to go on, or begin another elsewhere."
            )
        try:
            kept = {name: state[name] for name in _KEPT}
            if not (type(kept["step"]) is int and 0 <= kept["step"] <= self.steps and type(kept["history"]) is list):
                raise ValueError(f"step {kept['step']!r} of {self.steps}")
            kept["instants"] = [Instant(*instant) for instant in kept["instants"]]
            self.began -= float(state.get("seconds", 0.0))
            self.since = kept["step"] if longer else int(state.get("since", 0))
            self._restore(state, anew=longer and self.stepping.made)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
            raise ValueError(
                f"The checkpoint {checkpoint.path} is damaged, or of another version ({type(error).__name__}: "
                f"{first_line(error)}); remove it, and training starts again with fresh weights."
            ) from error
        for name, value in kept.items():
            setattr(self, name, value)
        if longer:
            self.stopped, self.waited = False, 0

    def warn(self) -> None:
        """Say where the schedule ends before the training does."""
        epochs = self.plan.epochs - self.step // self.source.batches
        if epochs and (said := self.stepping.runs_out(self.steps - self.step, epochs)):
            _checks.warn(said)

    def _restore(self, state: dict[str, Any], *, anew: bool) -> None:
        """Take over the states of a checkpoint; of the schedule only if it does not begin anew."""
        left = self.plan.epochs - self.since // self.source.batches
        self.stepping.begin(left, self.source.batches)
        self.stepping.resume(state["optimizer"], None if anew else state["scheduler"])
        for name, part in self._parts().items():
            if name not in ("optimizer", "scheduler"):
                part.load_state_dict(state[name])
        self.objective.restore(state["objective"], self.device)
        self.spent_before = dict(state["spent before"])

    def _parts(self) -> dict[str, Any]:
        """Everything of torch that has a state."""
        parts = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.stepping.scheduler}
        return parts | {"scaler": self.scaler} | ({} if self.mean is None else {"mean": self.mean})


def _reseed(seed: int, device: torch.device) -> None:
    """Seed what a model draws from on ``device``; ``torch.manual_seed`` asks every kind of device: a millisecond."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
