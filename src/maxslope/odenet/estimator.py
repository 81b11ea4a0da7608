"""Estimators for scikit-learn: ``fit``, ``predict`` and ``score`` by the flow of the risk; a search for the penalty."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maxslope._optional import optional
from maxslope.odenet import store
from maxslope.odenet.fitting import Array, Base, Encoded, moments
from maxslope.odenet.misfit import Logistic, Softmax, Squared
from maxslope.odenet.settings import real
from maxslope.sets import Budget

with optional("The estimators need scikit-learn, from 1.6 on", "[flows]"):
    from sklearn.base import ClassifierMixin, RegressorMixin
    from sklearn.exceptions import DataConversionWarning
    from sklearn.model_selection import ParameterGrid
    from sklearn.model_selection._search import BaseSearchCV
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import column_or_1d


class OdeNetClassifier(ClassifierMixin, Base):  # type: ignore[misc]
    """A mean-field residual network trained by the flow of its risk; the logistic loss for two classes, else softmax.

    Args:
        layers: L.
        particles: m per layer.
        penalty: lambda; :class:`OdeNetCV` chooses it.
        slope: stop where |dJ| is this small.
        gradients: stop after this many.
        seed: of the start, and of the rows held out.
        budget: train the robust risk for it, in the units of the inputs, such as ``L2(0.1, box=None)``.
        class_weight: a weight for each class, ``"balanced"`` for classes that count alike, or None.
        warm_start: go on from the network of the last ``fit``.
        early_stopping: hold out data, and stop when the loss on them falls no more.
        validation_fraction: the share held out.
        patience: steps of the flow without a better loss.

    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> OdeNetClassifier(layers=2, particles=4).fit(x, ["a", "a", "b", "b"]).predict(x).tolist()
    ['a', 'a', 'b', 'b']
    """

    _numeric = False
    classes_: Array

    def __init__(
        self,
        layers: int = 3,
        particles: int = 32,
        penalty: float = 1e-2,
        slope: float = 5e-3,
        gradients: int = 250,
        seed: int = 0,
        budget: Budget | None = None,
        *,
        class_weight: dict[Any, float] | str | None = None,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
    ) -> None:
        Base.__init__(
            self, layers, particles, penalty, slope, gradients, seed, budget, warm_start=warm_start,
            early_stopping=early_stopping, validation_fraction=validation_fraction, patience=patience,
        )  # fmt: skip
        self.class_weight = class_weight

    def _answers(self, y: Any) -> Array:
        check_classification_targets(y)
        return np.asarray(column_or_1d(y, warn=True))

    def _encode(self, answers: Array, weights: Array, train: Array, goes_on: bool) -> Encoded:
        classes, numbers = np.unique(answers, return_inverse=True)
        if goes_on and not np.array_equal(classes, self.classes_):
            raise ValueError(f"warm_start goes on with classes {self.classes_!r}, got {classes!r}.")
        if len(classes) < 2:
            raise ValueError(f"A classifier learns from at least two classes with a weight, got 1 class, {classes!r}.")
        self.classes_ = classes
        weights = weights * _class_weights(self.class_weight, classes, numbers, weights)[numbers]
        outputs, misfit = (1, Logistic()) if len(classes) == 2 else (len(classes), Softmax())
        return Encoded(torch.from_numpy(numbers), torch.from_numpy(weights), outputs, misfit)

    def _facts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"classes": store.labels(self.classes_)}, {}

    def _recall(self, said: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.classes_ = np.array(said["classes"]["values"], dtype=said["classes"]["dtype"])

    def decision_function(self, X: Any) -> Array:
        """Return logits, ``[n]`` for two classes and ``[n, classes]`` for more."""
        z = self._outputs(X).numpy()
        return z[:, 0] if z.shape[1] == 1 else z

    def predict_proba(self, X: Any) -> Array:
        """Return probabilities, ``[n, classes]``."""
        z = self._outputs(X)
        return (torch.cat([-z, z], 1).sigmoid() if z.shape[1] == 1 else z.softmax(1)).numpy()

    def predict(self, X: Any) -> Array:
        """Return classes, ``[n]``."""
        chosen = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[chosen])


class OdeNetRegressor(RegressorMixin, Base):  # type: ignore[misc]
    """A mean-field residual network trained by the flow of its squared loss, of standardized targets.

    The settings are those of :class:`OdeNetClassifier` without ``class_weight``.

    >>> x = np.linspace(-1, 1, 20)[:, None]
    >>> OdeNetRegressor(layers=2, particles=8).fit(x, x[:, 0]).score(x, x[:, 0]) > 0.98
    True
    """

    _numeric = True
    _mean: Array
    _scale: Array

    def _answers(self, y: Any) -> Array:
        if y.ndim == 2 and y.shape[1] == 1:
            warnings.warn(
                "A column of targets [n, 1] is taken as [n]; pass y.ravel().", DataConversionWarning, stacklevel=3
            )
        return np.asarray(y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y, dtype=np.float64)

    def _encode(self, answers: Array, weights: Array, train: Array, goes_on: bool) -> Encoded:
        if goes_on and answers.shape[1:] != self._mean.shape:
            raise ValueError(f"warm_start goes on with targets [n, {self._mean.shape}], got {answers.shape}.")
        if not goes_on:
            mean, scale = moments(answers[train], weights[train])
            self._mean, self._scale = mean, scale
        targets = torch.from_numpy((answers - self._mean) / self._scale)
        return Encoded(targets, torch.from_numpy(weights), int(np.prod(answers.shape[1:])), Squared())

    def _facts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {}, {"target.mean": torch.as_tensor(self._mean), "target.scale": torch.as_tensor(self._scale)}

    def _recall(self, said: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self._mean, self._scale = tensors["target.mean"].numpy(), tensors["target.scale"].numpy()

    def predict(self, X: Any) -> Array:
        """Return predictions, ``[n]`` or ``[n, outputs]`` as the targets were."""
        z = self._outputs(X).numpy()
        return np.asarray((z if self._mean.ndim else z[:, 0]) * self._scale + self._mean)

    def __sklearn_tags__(self) -> Any:
        tags = RegressorMixin.__sklearn_tags__(self)
        tags.target_tags.multi_output = True
        return tags


class OdeNetCV(BaseSearchCV):  # type: ignore[misc]
    """An estimator with the penalty lambda that predicts held-out folds best, fitted again to all data with it.

    Everything else is that of scikit-learn's searches: ``cv_results_``, ``best_score_``, ``best_estimator_``,
    ``predict`` and ``score``, several processes by ``n_jobs``.

    Args:
        estimator: an :class:`OdeNetClassifier` or :class:`OdeNetRegressor`.
        penalties: to try.
        cv: a number of folds, or a splitter; stratified by class for a classifier.
        scoring: see scikit-learn; by default the estimator's ``score``.
        n_jobs: processes.

    Raises:
        ValueError: by ``fit``, if there are no penalties.

    >>> import numpy as np
    >>> from maxslope.odenet import OdeNetRegressor
    >>> x = np.linspace(-1, 1, 30)[:, None]
    >>> y = np.random.default_rng(0).permutation(x[:, 0])  # noise: the more penalty the better
    >>> OdeNetCV(OdeNetRegressor(2, 4), penalties=(1e-2, 1.0), cv=3).fit(x, y).penalty_
    1.0
    """

    def __init__(
        self,
        estimator: Any,
        penalties: Sequence[float] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
        *,
        cv: Any = 5,
        scoring: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        BaseSearchCV.__init__(self, estimator, cv=cv, scoring=scoring, n_jobs=n_jobs)
        self.penalties = penalties

    def _run_search(self, evaluate_candidates: Callable[[Any], Any]) -> None:
        if not len(self.penalties):
            raise ValueError(f"A search needs penalties to try, got penalties={self.penalties!r}.")
        evaluate_candidates(ParameterGrid({"penalty": list(self.penalties)}))

    @property
    def penalty_(self) -> float:
        """The penalty chosen."""
        return float(self.best_params_["penalty"])


def _class_weights(asked: Any, classes: Array, numbers: Array, weights: Array) -> Array:
    """A weight for each class; "balanced" gives every class the same total."""
    if asked is None:
        return np.ones(len(classes))
    if isinstance(asked, str) and asked == "balanced":
        totals: Array = np.bincount(numbers, weights, len(classes))
        return np.asarray(totals.sum() / (len(classes) * totals))
    if not isinstance(asked, dict) or not all(0 < real(w) < math.inf for w in asked.values()):
        raise ValueError(f"class_weight holds a positive number for classes, or is 'balanced' or None, got {asked!r}.")
    unknown = [label for label in asked if label not in classes.tolist()]
    if unknown:
        raise ValueError(f"class_weight names classes of y, {classes.tolist()!r}, got {unknown[0]!r}.")
    return np.array([asked.get(label, 1.0) for label in classes.tolist()], dtype=np.float64)
