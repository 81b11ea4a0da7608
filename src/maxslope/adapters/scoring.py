"""Robust accuracy as a scorer of scikit-learn: ``cross_val_score(estimator, X, y, scoring=robust_scorer(...))``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maxslope import _checks
from maxslope.attacks import Effort, recipes
from maxslope.evaluation import evaluate
from maxslope.sets import Budget

_QUERIES = 300


@dataclass(frozen=True, eq=False)
class RobustScorer:
    """A scorer for ``cross_val_score``, ``GridSearchCV`` and their like: the share of samples that stand every attack.

    A module, or an estimator that holds one as ``module_`` (skorch does), is attacked along its gradients; any other
    estimator by random search on its ``decision_function`` or ``predict_log_proba``, a looser upper bound.

    Args:
        budget: norm, eps and box; the box is that of the features: ``ms.L2(0.5, box=None)`` for none.
        effort: by default ``Effort.quick()``, or 300 queries without gradients.
        seed: of all random numbers.
        network: from the estimator to its model with gradients.
        strict: whether a score that is not to be trusted is an error (NaN in ``cross_val_score``), not a warning.

    Raises:
        TypeError: if the budget is none.

    >>> import maxslope as ms
    >>> score = robust_scorer(ms.Linf(0.2))
    >>> identity = nn.Linear(2, 2, bias=False)
    >>> _ = identity.weight.data.copy_(torch.eye(2))
    >>> score(identity.eval(), np.array([[0.9, 0.1], [0.6, 0.5]], dtype="float32"), np.array([0, 0]))
    0.5
    """

    budget: Budget
    effort: Effort | None = None
    seed: int = 0
    network: Callable[[Any], Any] | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        _checks.budget(self.budget, Budget)

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Return the robust accuracy on ``X``, ``[n, *shape]``, and ``y``, ``[n]``.

        Raises:
            TypeError: if the estimator has neither a network nor scores of its classes.
            ValueError: if there are no labels, or labels that the estimator has not seen; of a strict scorer, if the
                verdicts are not to be trusted.
        """
        if y is None:
            raise ValueError("A robust score compares with labels, got y=None.")
        model = self._network(estimator)
        classes = np.asarray(getattr(estimator, "classes_", None))
        labels = _numbers(np.asarray(y), classes if classes.ndim else None)
        if model is not None:
            weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
            x = torch.as_tensor(np.asarray(X)).to(torch.float32 if weight is None else weight.dtype)
            effort = self.effort or Effort.quick()
        else:
            model, x = partial(_scores, estimator), torch.as_tensor(np.asarray(X), dtype=torch.float64)
            effort = self.effort or Effort((recipes.square(_QUERIES),), f"random search, {_QUERIES} queries")
        report = evaluate(model, (x, labels), self.budget, effort=effort, seed=self.seed, keep_points=False)
        said = f"robust_scorer: {100 * report.robust_accuracy:.1f} %, but " + " ".join(map(str, report.warnings))
        if self.strict and not report.trusted:
            raise ValueError(said)
        if report.warnings:
            _checks.warn(said)
        return report.robust_accuracy

    def _network(self, estimator: Any) -> Any:
        """The model with gradients inside of an estimator, if there is one."""
        if self.network is not None:
            return self.network(estimator)
        if isinstance(estimator, nn.Module):
            return estimator
        inside = getattr(estimator, "module_", None)
        return inside.eval() if isinstance(inside, nn.Module) else None


def _scores(estimator: Any, x: Tensor) -> Tensor:
    """The scores of an estimator's classes, without gradients: ``[rows, classes]``, or ``[rows]`` of two classes."""
    for name in ("decision_function", "predict_log_proba"):
        scores = getattr(estimator, name, None)
        if scores is not None:
            found = torch.as_tensor(np.asarray(scores(x.detach().cpu().numpy())), dtype=torch.float64)
            return found.clamp_min(-1e30)  # a score of minus infinity is a class that is out of the question
    raise TypeError(
        f"{type(estimator).__name__} has no decision_function, predict_log_proba or module_; pass "
        "network=lambda estimator: a module."
    )


def _numbers(y: Any, classes: Any) -> Tensor:
    """Labels as positions in the estimator's classes."""
    if classes is None:
        return torch.as_tensor(y).long()
    found = np.searchsorted(classes, y).clip(0, len(classes) - 1)
    if not (classes[found] == y).all():
        raise ValueError(
            f"Labels must be among the estimator's classes, got {sorted(set(y[classes[found] != y]))[:5]}."
        )
    return torch.from_numpy(found)


robust_scorer = RobustScorer
"""The class, by the name that a function of scikit-learn would have."""
