"""Estimators with ``fit``, ``predict`` and ``score``, in the manners of scikit-learn but without it."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from maxslope.odenet.control import Controlled
from maxslope.odenet.descent import Until, descend
from maxslope.odenet.design import Design, Lift
from maxslope.odenet.metric import layered
from maxslope.odenet.misfit import Logistic, Misfit, Softmax, Squared
from maxslope.odenet.movers import Stabilized
from maxslope.odenet.network import OdeNet
from maxslope.odenet.risk import Risk
from maxslope.odenet.robust import RobustRisk
from maxslope.odenet.starts import sobol
from maxslope.sets import Budget


class _Estimator(ABC):
    """What classifier and regressor share. Inputs are standardized by a lift that belongs to the network."""

    def __init__(
        self,
        layers: int = 5,
        particles: int = 32,
        penalty: float = 1e-3,
        slope: float = 1e-4,
        gradients: int = 500,
        seed: int = 0,
        budget: Budget | None = None,
    ) -> None:
        self.layers, self.particles, self.penalty = layers, particles, penalty
        self.slope, self.gradients, self.seed, self.budget = slope, gradients, seed, budget

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor.

        Raises:
            ValueError: if there is no such argument.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"

    @abstractmethod
    def _targets(self, y: np.ndarray) -> tuple[Tensor, int, Misfit]:
        """Return targets, the number of outputs and the loss."""

    @abstractmethod
    def predict(self, X: Any) -> np.ndarray:
        """Return predictions, ``[n]``."""

    def fit(self, X: Any, y: Any) -> Self:
        """Follow the flow of the (robust) risk from a Sobol start until the slope or the gradients are reached.

        Args:
            X: inputs, ``[n, features]``.
            y: targets, ``[n]``.

        Returns:
            The estimator, with ``network_`` (a module), ``run_`` (a :class:`Descent`) and ``n_features_in_``.

        Raises:
            ValueError: if shapes do not match or inputs are not finite.
        """
        points = _points(X)
        answers = np.asarray(y)
        if answers.shape[:1] != points.shape[:1]:
            raise ValueError(f"fit needs one target per row, got {tuple(points.shape)} and {answers.shape}.")
        targets, outputs, misfit = self._targets(answers)
        scale = points.std(0, correction=0)
        lift = Lift(points.mean(0), torch.diag(1 / torch.where(scale > 0, scale, 1.0)))
        features = points.shape[1]
        design = Design(features + outputs, features, outputs, lift=lift)
        risk = Risk(design, points, targets, misfit, self.penalty)
        energy = risk if self.budget is None else RobustRisk(risk, self.budget)
        theta = sobol(design, self.layers, self.particles, seed=self.seed)
        scheme = Controlled(Stabilized(), 1e-2, layered(self.layers, self.particles))
        until = Until(slope=self.slope, gradients=self.gradients)
        (self.run_,) = descend(energy, theta, until=until, scheme=scheme, rates=False)
        self.network_ = OdeNet(design, self.run_.end).eval().requires_grad_(False)
        self.n_features_in_ = features
        return self

    def _outputs(self, X: Any) -> Tensor:
        if "network_" not in vars(self):
            raise ValueError(f"This {type(self).__name__} is not fitted; call fit(X, y) first.")
        points = _points(X)
        if points.shape[1] != self.n_features_in_:
            raise ValueError(f"It was fitted to {self.n_features_in_} features, got {points.shape[1]}.")
        found: Tensor = self.network_(points)
        return found

    def __sklearn_is_fitted__(self) -> bool:
        return "network_" in vars(self)


class OdeNetClassifier(_Estimator):
    """A mean-field residual network trained by the flow of its risk; the logistic loss for two classes, else softmax.

    Args:
        layers: L.
        particles: m per layer.
        penalty: lambda.
        slope: stop where |dJ| is this small.
        gradients: stop after this many.
        seed: of the start.
        budget: train the robust risk for it, in the units of the inputs, such as ``L2(0.1, box=None)``.

    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> OdeNetClassifier(layers=2, particles=4, gradients=100).fit(x, ["a", "a", "b", "b"]).predict(x).tolist()
    ['a', 'a', 'b', 'b']
    """

    _estimator_type = "classifier"

    def _targets(self, y: np.ndarray) -> tuple[Tensor, int, Misfit]:
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if y.ndim != 1 or len(self.classes_) < 2:
            raise ValueError(f"Classes are [n] with at least two kinds, got {y.shape} with {len(self.classes_)}.")
        labels = torch.as_tensor(numbers)
        return (labels, 1, Logistic()) if len(self.classes_) == 2 else (labels, len(self.classes_), Softmax())

    def decision_function(self, X: Any) -> np.ndarray:
        """Return logits, ``[n]`` for two classes and ``[n, classes]`` for more."""
        z = self._outputs(X).numpy()
        return z[:, 0] if z.shape[1] == 1 else z

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities, ``[n, classes]``."""
        z = self._outputs(X)
        return (torch.cat([-z, z], 1).sigmoid() if z.shape[1] == 1 else z.softmax(1)).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return classes, ``[n]``."""
        chosen = self.predict_proba(X).argmax(1)
        found: np.ndarray = self.classes_[chosen]
        return found

    def score(self, X: Any, y: Any) -> float:
        """Return the share of correct predictions."""
        return float((self.predict(X) == np.asarray(y)).mean())

    def __sklearn_tags__(self) -> Any:
        return _tags("classifier")


class OdeNetRegressor(_Estimator):
    """A mean-field residual network trained by the flow of its squared loss.

    Args:
        layers: L.
        particles: m per layer.
        penalty: lambda.
        slope: stop where |dJ| is this small.
        gradients: stop after this many.
        seed: of the start.
        budget: train the robust risk for it, in the units of the inputs.

    >>> x = np.linspace(-1, 1, 20)[:, None]
    >>> OdeNetRegressor(layers=2, particles=8).fit(x, x[:, 0]).score(x, x[:, 0]) > 0.98
    True
    """

    _estimator_type = "regressor"

    def _targets(self, y: np.ndarray) -> tuple[Tensor, int, Misfit]:
        values = torch.as_tensor(np.asarray(y, dtype=np.float64))
        if values.ndim != 1:
            raise ValueError(f"Targets are numbers [n], got shape {y.shape}.")
        self._mean, spread = float(values.mean()), float(values.std(correction=0))
        self._scale = spread if spread > 0 else 1.0
        return (values - self._mean) / self._scale, 1, Squared()

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions, ``[n]``."""
        return self._outputs(X)[:, 0].numpy() * self._scale + self._mean

    def score(self, X: Any, y: Any) -> float:
        """Return R^2 = 1 - sum (y - prediction)^2 / sum (y - mean)^2."""
        truth = np.asarray(y, dtype=np.float64)
        total = float(((truth - truth.mean()) ** 2).sum())
        return 1 - float(((truth - self.predict(X)) ** 2).sum()) / total if total > 0 else 0.0

    def __sklearn_tags__(self) -> Any:
        return _tags("regressor")


def _points(X: Any) -> Tensor:
    points = torch.as_tensor(np.asarray(X, dtype=np.float64))
    if points.ndim != 2 or points.numel() == 0 or not bool(points.isfinite().all()):
        raise ValueError(f"Inputs are finite numbers [n, features], got shape {tuple(points.shape)}.")
    return points


def _tags(kind: str) -> Any:
    """What scikit-learn asks of an estimator; called by it alone."""
    from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

    return Tags(
        estimator_type=kind,
        target_tags=TargetTags(required=True),
        transformer_tags=None,
        classifier_tags=ClassifierTags() if kind == "classifier" else None,
        regressor_tags=RegressorTags() if kind == "regressor" else None,
        input_tags=InputTags(),
    )
