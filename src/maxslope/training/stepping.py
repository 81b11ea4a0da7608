"""How weights are moved: an optimizer and a schedule of torch, made or given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from torch import nn
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LRScheduler,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
)

Schedule = Callable[..., LRScheduler] | LRScheduler | None


def one_cycle(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Return torch's one-cycle schedule over the whole training, up to the optimizer's own rate.

    Momentum is cycled too where the optimizer has one.
    """
    momentum = all("betas" in group or group.get("momentum") for group in optimizer.param_groups)
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    return OneCycleLR(optimizer, rates, total_steps=max(steps, 2), cycle_momentum=momentum)


def optimizer_of(given: Any, model: nn.Module) -> Optimizer:
    """Return the optimizer that is given, or is made by what is given, of the trainable parameters of a model."""
    own = {id(p) for p in model.parameters()}
    made = given
    if callable(given) and not isinstance(given, Optimizer):
        made = given([p for p in model.parameters() if p.requires_grad])
    if not isinstance(made, Optimizer):
        name = getattr(given, "__name__", type(given).__name__)
        got = f"{given!r}" if made is given else f"{type(made).__name__} from {name}"
        raise TypeError(
            f"The optimizer is one of torch.optim, such as SGD(model.parameters(), lr=0.1), or a function that makes "
            f"one of parameters, such as lambda parameters: SGD(parameters, lr=0.1), got {got}."
        )
    strange = sum(id(p) not in own for group in made.param_groups for p in group["params"])
    if strange:
        raise ValueError(
            f"The optimizer moves weights of the model that is trained, got {strange} parameters of something else; "
            "make it of model.parameters(), after the model is on its device, or give a function that makes it: "
            "lambda parameters: SGD(parameters, lr=0.1)."
        )
    if isinstance(made, LBFGS):
        raise ValueError("An optimizer makes a step from one gradient of one batch, got LBFGS, which asks for more.")
    return made


class Stepping:
    """The optimizer of a training and its schedule, as in ``Plan``; it begins anew where more epochs are asked for."""

    def __init__(self, model: nn.Module, optimizer: Any, schedule: Schedule, per_epoch: bool) -> None:
        self.optimizer = optimizer_of(optimizer, model)
        self.given, self.counts_epochs = schedule, per_epoch
        self.groups = self._settings()
        self.scheduler: LRScheduler = schedule if isinstance(schedule, LRScheduler) else self._constant()
        if self.scheduler.optimizer is not self.optimizer:
            raise ValueError(
                "A scheduler moves the rate of the training's optimizer, got one of another optimizer; give both: "
                "Plan(optimizer=optimizer, schedule=scheduler), or a function that makes the scheduler of an optimizer."
            )

    @property
    def made(self) -> bool:
        """Whether the schedule is made here, and can be made again; otherwise the caller's scheduler goes on."""
        return not isinstance(self.given, LRScheduler)

    @property
    def per_epoch(self) -> bool:
        """Whether the schedule is stepped after each epoch."""
        return self.counts_epochs or isinstance(self.scheduler, ReduceLROnPlateau)

    def begin(self, epochs: int, batches: int) -> LRScheduler:
        """Return the schedule over so many epochs, from the optimizer's own settings on."""
        if self.made:
            self._set(self.groups)
            self.scheduler = self._scheduler(epochs if self.counts_epochs else epochs * batches)
        return self.scheduler

    def after_step(self) -> None:
        """Step a schedule of steps."""
        if not self.per_epoch:
            self.scheduler.step()

    def after_epoch(self, loss: float, robust: float | None) -> None:
        """Step a schedule of epochs after one of this mean loss, and this robust accuracy if it was checked."""
        if not self.per_epoch:
            return
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        elif self.scheduler.mode == "min":
            self.scheduler.step(loss)
        elif robust is not None:
            self.scheduler.step(robust)
        else:
            raise ValueError(
                "ReduceLROnPlateau with mode='max' watches the robust accuracy, which needs check=Check(..., every=1); "
                "mode='min' watches the loss."
            )

    def runs_out(self, steps: int, epochs: int) -> str:
        """What happens where a schedule ends before so many steps or epochs do; an error if torch refuses them."""
        found = _end(self.scheduler)
        if found is None:
            return ""
        end, setting, then = found
        unit, asked = ("epochs", epochs) if self.per_epoch else ("steps", steps)
        last = self.scheduler.last_epoch + asked
        if last <= end:
            return ""
        said = (
            f"The schedule {type(self.scheduler).__name__} ends after {end} {unit} ({setting}), and this training goes "
            f"on to {last}: {then}. Give a function that makes it of the optimizer and the number of {unit}, "
            f"lambda optimizer, {unit}: ...: it spans them all, and begins anew where more epochs are asked for."
        )
        if isinstance(self.scheduler, OneCycleLR):
            raise ValueError(said)
        return said

    def resume(self, optimizer: dict[str, Any], scheduler: dict[str, Any] | None) -> None:
        """Take over the states of a checkpoint; of the optimizer alone, at the rate of a schedule that began anew."""
        fresh = self._settings()
        self.optimizer.load_state_dict(optimizer)
        if scheduler is None:
            self._set(fresh)
        else:
            self.scheduler.load_state_dict(scheduler)

    def _scheduler(self, length: int) -> LRScheduler:
        given = self.given
        if given is None:
            return self._constant()
        if not callable(given):
            raise TypeError(f"A schedule is a scheduler of torch, or a function that makes one, got {given!r}.")
        made = given(self.optimizer, length) if _takes_length(given, self.optimizer) else given(self.optimizer)
        if not isinstance(made, LRScheduler):
            raise TypeError(f"A schedule makes a scheduler of torch.optim.lr_scheduler, got {type(made).__name__}.")
        return made

    def _constant(self) -> LRScheduler:
        return ConstantLR(self.optimizer, 1.0, 0)

    def _settings(self) -> list[dict[str, Any]]:
        return [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]

    def _set(self, settings: list[dict[str, Any]]) -> None:
        for group, held in zip(self.optimizer.param_groups, settings, strict=True):
            for name in group.keys() - held.keys() - {"params"}:  # what a scheduler had put there
                del group[name]
            group.update(held)


def _end(scheduler: LRScheduler) -> tuple[int, str, str] | None:
    """How many steps a schedule has, by which setting, and what torch does after them; None where it has no end."""
    if isinstance(scheduler, CosineAnnealingLR):
        return scheduler.T_max, f"T_max={scheduler.T_max}", "the rate climbs again"
    if isinstance(scheduler, OneCycleLR):
        return scheduler.total_steps, f"total_steps={scheduler.total_steps}", "torch refuses to step it further"
    if isinstance(scheduler, PolynomialLR):
        return scheduler.total_iters, f"total_iters={scheduler.total_iters}", "the rate is 0 there"
    if isinstance(scheduler, SequentialLR):
        last = _end(scheduler._schedulers[-1])
        return None if last is None else (scheduler._milestones[-1] + last[0], *last[1:])
    return None


def _takes_length(schedule: Callable[..., Any], optimizer: Optimizer) -> bool:
    """Whether a schedule is made of an optimizer and a length, rather than of an optimizer alone."""
    inner: Any = schedule
    while isinstance(inner, partial):
        inner = inner.func
    if inner is ReduceLROnPlateau:
        return False
    try:
        with suppress(ValueError):  # built in, without a signature
            inspect.signature(schedule).bind(optimizer, 1)
    except TypeError:
        return False
    return True
