"""What the estimators share: settings, ``fit`` by the flow of the risk, files."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from maxslope._optional import optional
from maxslope._status import Status
from maxslope.energies import Energy
from maxslope.odenet import store
from maxslope.odenet.control import Controlled
from maxslope.odenet.descent import DescentResult, Until, descend
from maxslope.odenet.design import Design, Lift
from maxslope.odenet.metric import layered
from maxslope.odenet.misfit import Misfit
from maxslope.odenet.movers import Stabilized
from maxslope.odenet.risk import Risk
from maxslope.odenet.robust import RobustRisk
from maxslope.odenet.settings import real, whole
from maxslope.odenet.starts import sobol
from maxslope.odenet.sweep import OdeNet
from maxslope.sets import Budget

with optional("The estimators need scikit-learn, from 1.6 on, and odenet.descend does without", "[flows]"):
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

Array = np.ndarray
_SIZE = 2.0
_TOLERANCE = 0.1  # on the dissipation defect, over the fall of the risk


class Encoded(NamedTuple):
    """Targets as the loss takes them, with weights that count classes in, and what they need of a network."""

    targets: Tensor
    weights: Tensor
    outputs: int
    misfit: Misfit


class _HeldOut:
    """Watches the loss on data held out; the best point is kept, and the flow ends when nothing better comes."""

    def __init__(self, energy: Energy, patience: int) -> None:
        self.energy, self.patience = energy, patience
        self.losses: list[float] = []
        self.best: Tensor | None = None

    def __call__(self, theta: Tensor) -> bool:
        loss = float(self.energy.look(theta[None]).value)
        if self.best is None or loss < min(self.losses):
            self.best = theta.clone()
        self.losses.append(loss)
        return len(self.losses) - 1 - self.step >= self.patience

    @property
    def step(self) -> int:
        """Of the best point."""
        return int(np.argmin(self.losses))


class Base(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share. Inputs are standardized by a lift that belongs to the network."""

    def __init__(
        self,
        layers: int = 3,
        particles: int = 32,
        penalty: float = 2e-2,
        slope: float = 5e-3,
        gradients: int = 250,
        seed: int = 0,
        budget: Budget | None = None,
        *,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
    ) -> None:
        self.layers, self.particles, self.penalty = layers, particles, penalty
        self.slope, self.gradients, self.seed, self.budget = slope, gradients, seed, budget
        self.warm_start, self.early_stopping = warm_start, early_stopping
        self.validation_fraction, self.patience = validation_fraction, patience

    @abstractmethod
    def _answers(self, y: Any) -> Array:
        """Return targets that were checked."""

    @abstractmethod
    def _encode(self, answers: Array, weights: Array, train: Array, goes_on: bool) -> Encoded:
        """Return targets for the loss; ``train`` are the rows to learn from, also how to scale."""

    @abstractmethod
    def _facts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what ``save`` keeps of the targets."""

    @abstractmethod
    def _recall(self, said: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Take up what ``_facts`` returned."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Follow the flow of the (robust) risk from a Sobol start until the slope or the gradients are reached.

        With ``warm_start`` a network that is there flows on, with the scales of inputs and targets it has. With
        ``early_stopping`` a share of the rows is held out, and the network of least loss on it is taken.

        Args:
            X: inputs, ``[n, features]``.
            y: targets, ``[n]``, or for regression ``[n, outputs]``.
            sample_weight: ``[n]``, not negative; a row of weight 2 counts as two, one of weight 0 is left out.

        Returns:
            The estimator, with ``network_`` (a module), ``run_`` (a :class:`DescentResult`), ``n_iter_`` (steps of the
            flow), ``n_features_in_`` and, of data with names, ``feature_names_in_``; with early stopping also
            ``held_out_losses_`` and ``best_step_``.

        Raises:
            ValueError: if data are not finite numbers of matching shapes, or a setting is out of range.

        Warns:
            ConvergenceWarning: where the flow ended before the slope asked for; it says what was reached.
        """
        self._check_settings()
        points, answers = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=self._numeric)
        answers = self._answers(answers)
        weights = _check_sample_weight(sample_weight, points, dtype=np.float64)
        if not (np.all(weights >= 0) and weights.sum() > 0):
            raise ValueError(
                f"Sample weights are not negative and not all zero, got {weights.min()} to {weights.max()}."
            )
        rows = np.flatnonzero(weights > 0)
        points, answers, weights = points[rows], answers[rows], weights[rows]
        old: OdeNet | None = vars(self).get("network_") if self.warm_start else None
        train, held = self._split(answers)
        encoded = self._encode(answers, weights, train, old is not None)
        lift = _standardize(points[train], encoded.weights[train].numpy()) if old is None else old.design.lift
        design = Design(points.shape[1] + encoded.outputs, points.shape[1], encoded.outputs, lift=lift)
        self._flow(design, self._start(design, old), torch.tensor(points), encoded, train, held)
        return self

    def _flow(
        self, design: Design, theta: Tensor, points: Tensor, encoded: Encoded, train: Array, held: Array | None
    ) -> None:
        watch = None if held is None else _HeldOut(self._energy(design, points, encoded, held, 0.0), self.patience)
        (self.run_,) = descend(
            self._energy(design, points, encoded, train, self.penalty),
            theta,
            until=Until(slope=self.slope, gradients=self.gradients),
            scheme=Controlled(Stabilized(), _TOLERANCE, layered(self.layers, self.particles)),
            rates=False,
            watch=watch,
        )
        end = self.run_.end
        if watch is not None and watch.best is not None:
            end = watch.best
            self.held_out_losses_, self.best_step_ = watch.losses, watch.step
        self.network_ = OdeNet(design, end).eval().requires_grad_(False)
        self.n_iter_ = len(self.run_.way)
        _warn(self.run_, self.slope, self.gradients)

    def _energy(self, design: Design, points: Tensor, encoded: Encoded, rows: Array, penalty: float) -> Energy:
        weights = encoded.weights[rows]
        even = bool((weights == weights[0]).all())
        risk = Risk(
            design, points[rows], encoded.targets[rows], encoded.misfit, penalty, weights=None if even else weights
        )
        return risk if self.budget is None else RobustRisk(risk, self.budget)

    def _split(self, answers: Array) -> tuple[Array, Array | None]:
        """The rows to learn from, and those held out."""
        rows = np.arange(len(answers))
        if not self.early_stopping:
            return rows, None
        train, held = train_test_split(
            rows,
            test_size=self.validation_fraction,
            random_state=self.seed,
            stratify=None if self._numeric else answers,
        )
        return train, held

    def _start(self, design: Design, old: OdeNet | None) -> Tensor:
        if old is None:
            return sobol(design, self.layers, self.particles, seed=self.seed)
        wanted = (self.layers, self.particles, design.size)
        if tuple(old.theta.shape) != wanted:
            raise ValueError(
                f"warm_start goes on with the network that is there, {tuple(old.theta.shape)}, but layers, particles "
                f"and the numbers of features and outputs ask for {wanted}; set warm_start=False to begin anew."
            )
        return old.theta.detach()[None]

    def _check_settings(self) -> None:
        for name, least in (("layers", 1), ("particles", 1), ("gradients", 1), ("patience", 1), ("seed", 0)):
            if not whole(getattr(self, name), least):
                raise ValueError(f"{name} is a whole number from {least} on, got {name}={getattr(self, name)!r}.")
        for name in ("penalty", "slope"):
            if not 0 <= real(getattr(self, name)) < math.inf:
                raise ValueError(f"{name} is a finite number, not negative, got {name}={getattr(self, name)!r}.")
        if not 0 < real(self.validation_fraction) < 1:
            raise ValueError(f"validation_fraction is in (0, 1), got {self.validation_fraction!r}.")
        if not (self.budget is None or isinstance(self.budget, Budget)):
            raise ValueError(f"budget is a Budget such as maxslope.L2(0.1, box=None), or None, got {self.budget!r}.")

    def _outputs(self, X: Any) -> Tensor:
        check_is_fitted(self, "network_")
        points = validate_data(self, X, dtype=np.float64, reset=False)
        found: Tensor = self.network_(torch.tensor(points))
        return found

    def save(self, path: Path | str) -> None:
        """Write all of a fitted estimator to a safetensors file, settings as JSON in its header; no pickle.

        Args:
            path: of the file; it is replaced.

        Raises:
            ValueError: if a class or a budget has no form in JSON.
            NotFittedError: if there is nothing to save yet.
        """
        check_is_fitted(self, "network_")
        store.save_estimator(self, path, *self._facts())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read an estimator that ``save`` wrote.

        Args:
            path: of the file.

        Raises:
            ValueError: if the file holds something else.
        """
        model = cls()
        model._recall(*store.load_estimator(model, path))
        return model

    def __sklearn_is_fitted__(self) -> bool:
        return "network_" in vars(self)


def moments(values: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted mean and deviation of each column; a deviation that is only rounding is 1."""
    mean = np.average(values, axis=0, weights=weights)
    scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    rounding = 10 * np.finfo(np.float64).eps * np.abs(values).max(0)
    return np.asarray(mean), np.where(scale > rounding, scale, 1.0)


def _standardize(points: Array, weights: Array) -> Lift:
    """To mean 0 and deviation 1; many features to mean |x|^2 = _SIZE, as tanh saturates at the start otherwise."""
    mean, scale = moments(points, weights)
    factor = min(1.0, math.sqrt(_SIZE / len(scale)))
    return Lift(torch.from_numpy(mean), torch.diag(torch.from_numpy(factor / scale)))


def _warn(run: DescentResult, slope: float, gradients: int) -> None:
    """Say what a flow reached that did not come to its slope."""
    if run.status in (Status.REACHED, Status.STATIONARY, Status.STOPPED):
        return
    ended = {
        Status.FINISHED: f"ended after {run.gradients} gradients (bound {gradients})",
        Status.UNSOLVED: "came to a point from which no step dissipates as it should, such as a kink of a robust risk,",
        Status.NON_FINITE: "came to a risk that is not finite, on inputs or targets too large for float64,",
    }.get(run.status, run.status.sentence)
    warnings.warn(
        f"The flow {ended} with slope |dJ| = {float(run.slope[-1]):.2g}, above the {slope:g} asked for; the risk fell "
        f"from {float(run.energy[0]):.4g} to {float(run.energy[-1]):.4g}. More gradients, a larger penalty or a larger "
        "slope let it converge; early_stopping=True ends it by held-out data.",
        ConvergenceWarning,
        stacklevel=4,
    )
