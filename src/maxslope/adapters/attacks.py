"""This library in the manners of others: a foolbox attack, an evasion attack of ART, an attack of torchattacks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks
from maxslope.adapters.conversions import from_art, from_foolbox, need
from maxslope.attacks import Effort, attack, minimal
from maxslope.sets import Budget
from maxslope.spaces import Lp


def as_foolbox(norm: Lp, *, effort: Effort | None = None, seed: int = 0) -> Any:
    """Return an attack to be called as those of foolbox: ``attack(fmodel, images, labels, epsilons=0.03)``.

    Several epsilons give one attack each; ``epsilons=None`` looks for the smallest perturbations. Criteria are labels,
    ``Misclassification`` or ``TargetedMisclassification``. What comes back is (raw, clipped, success), where raw and
    clipped are equal: points never leave ball and box.

    Args:
        norm: such as ``Lp(inf)``.
        effort: by default ``Effort.standard()``.
        seed: of all random numbers.

    Returns:
        An instance of ``foolbox.attacks.base.AttackWithDistance``.

    Raises:
        ImportError: if foolbox is not installed.
        TypeError: for a norm that is no ``Lp``.
    """
    if not isinstance(norm, Lp):
        raise TypeError(f"A foolbox attack has an l_p norm such as Lp(2), got {norm!r}.")
    return _foolbox_class()(norm, effort or Effort.standard(), seed)


@cache
def _foolbox_class() -> Any:
    base = need("foolbox.attacks.base", "foolbox")
    criteria, distances = need("foolbox.criteria", "foolbox"), need("foolbox.distances", "foolbox")
    ep = need("eagerpy", "foolbox")

    class MaxslopeAttack(base.AttackWithDistance):  # type: ignore[misc, name-defined]
        """Curves of maximal slope, in the manner of foolbox."""

        def __init__(self, norm: Lp, effort: Effort, seed: int) -> None:
            self.norm, self.effort, self.seed = norm, effort, seed

        @property
        def distance(self) -> Any:
            """The norm as foolbox knows it."""
            return distances.LpDistance(self.norm.p)

        def __call__(self, model: Any, inputs: Any, criterion: Any, *, epsilons: Any, **kwargs: Any) -> Any:
            """See :func:`as_foolbox`."""
            base.raise_if_kwargs(kwargs)
            x, restore = ep.astensor_(inputs)
            base.verify_input_bounds(x, model)
            criterion = base.get_criterion(criterion)
            several = isinstance(epsilons, Iterable) and getattr(epsilons, "ndim", 1) > 0  # arrays and tensors too
            radii = list(epsilons) if several else [epsilons]
            found = [self._run(model, x.raw, criterion, None if e is None else float(e)) for e in radii]
            points = [restore(ep.astensor(p)) for p, _ in found]
            success = restore(ep.astensor(torch.stack([hit for _, hit in found])))
            return (points, list(points), success) if several else (points[0], points[0], success[0])

        def _run(self, model: Any, x: Tensor, criterion: Any, eps: float | None) -> tuple[Tensor, Tensor]:
            """Points and success within one radius."""
            taken = from_foolbox(model)
            if isinstance(criterion, criteria.TargetedMisclassification):
                y = targets = criterion.target_classes.raw
            elif isinstance(criterion, criteria.Misclassification):
                y, targets = criterion.labels.raw, None
            else:
                raise TypeError(
                    "The criterion is labels, Misclassification or TargetedMisclassification, got "
                    f"{type(criterion).__name__}."
                )
            if eps is None:
                best = minimal(
                    taken.model, x, y, self.norm, box=taken.box, effort=self.effort, targets=targets, seed=self.seed
                )
                return best.points, best.found
            budget = Budget(self.norm, eps, taken.box)
            result = attack(
                taken.model, x, y, budget, effort=self.effort, targets=targets, seed=self.seed, certify=False
            )
            return result.points, result.broken

    return MaxslopeAttack


def as_art(
    classifier: Any, norm: Lp, eps: float, *, effort: Effort | None = None, targeted: bool = False, seed: int = 0
) -> Any:
    """Return an evasion attack of the Adversarial Robustness Toolbox: ``attack.generate(x, y)``.

    Arrays come in and go out, labels may be one-hot, and without labels the classifier's own answers are left. The
    points of samples that stand are those of least margin.

    Args:
        classifier: ``art.estimators.classification.PyTorchClassifier``.
        norm: such as ``Lp(2)``.
        eps: the radius.
        effort: by default ``Effort.standard()``.
        targeted: whether labels are to be reached.
        seed: of all random numbers.

    Returns:
        An instance of ``art.attacks.EvasionAttack``; ``set_params(eps=...)`` works.

    Raises:
        ImportError: if ART is not installed.
        ValueError: if targets are wanted and ``generate`` gets none.
    """
    effort = effort or Effort.standard()
    return _art_class()(classifier, norm=norm, eps=eps, effort=effort, targeted=targeted, seed=seed)


@cache
def _art_class() -> Any:
    base = need("art.attacks.attack", "art")
    estimators = need("art.estimators.classification", "art")

    class MaxslopeEvasion(base.EvasionAttack):  # type: ignore[misc, name-defined]
        """Curves of maximal slope, in the manner of ART."""

        attack_params = (*base.EvasionAttack.attack_params, "norm", "eps", "effort", "targeted", "seed")
        _estimator_requirements = (estimators.PyTorchClassifier,)

        def __init__(self, classifier: Any, **params: Any) -> None:
            base.EvasionAttack.__init__(self, estimator=classifier)
            self.set_params(**params)

        def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
            """See :func:`as_art`."""
            if kwargs:
                raise TypeError(f"generate takes x and y alone, got {', '.join(kwargs)}.")
            if y is None and self.targeted:
                raise ValueError("A targeted attack needs the labels to reach, got y=None.")
            self.estimator.model.eval()  # as ART's own prediction does
            taken = from_art(self.estimator)
            points = torch.as_tensor(x, device=self.estimator.device)
            labels = self._labels(x, y).to(points.device)
            budget, targets = Budget(self.norm, float(self.eps), taken.box), labels if self.targeted else None
            result = attack(
                taken.model, points, labels, budget, effort=self.effort, targets=targets, seed=self.seed, certify=False
            )
            return result.points.cpu().numpy()

        def _labels(self, x: Any, y: Any) -> Tensor:
            """Class numbers, from class numbers, one-hot rows or the classifier's own answers."""
            given = torch.as_tensor(self.estimator.predict(x) if y is None else y)
            return given.argmax(1) if given.ndim == 2 and given.shape[1] > 1 else given.flatten().long()

        def _check_params(self) -> None:
            if self.eps < 0:
                raise ValueError(f"eps must not be negative, got {self.eps!r}.")

    return MaxslopeEvasion


def as_torchattacks(model: Any, budget: Budget, *, effort: Effort | None = None, seed: int = 0) -> Any:
    """Return an attack to be called as those of torchattacks: ``adversarial = attack(images, labels)``.

    ``set_mode_targeted_by_label`` and its siblings, ``set_normalization_used``, ``save`` and ``MultiAttack`` work as
    they do there; so does the switching of the model to evaluation mode and back.

    Args:
        model: the module.
        budget: such as ``Linf(8 / 255)``.
        effort: by default ``Effort.standard()``.
        seed: of all random numbers.

    Returns:
        An instance of ``torchattacks.attack.Attack``.

    Raises:
        ImportError: if torchattacks is not installed.
        TypeError: if the budget is none.
    """
    _checks.budget(budget, Budget)
    return _torchattacks_class()(model, budget, effort or Effort.standard(), seed)


@cache
def _torchattacks_class() -> Any:
    base = need("torchattacks.attack", "")

    class MaxslopeTorchattack(base.Attack):  # type: ignore[misc, name-defined]
        """Curves of maximal slope, in the manner of torchattacks."""

        def __init__(self, model: Any, budget: Budget, effort: Effort, seed: int) -> None:
            base.Attack.__init__(self, "maxslope", model)
            self.budget, self.effort, self.seed = budget, effort, seed
            self.supported_mode = ["default", "targeted"]

        def forward(self, images: Tensor, labels: Tensor) -> Tensor:
            """Return points that break the images, or those of least margin."""
            images, labels = images.detach().to(self.device), labels.detach().to(self.device)
            targets = self.get_target_label(images, labels) if self.targeted else None
            result = attack(
                self.get_logits, images, labels, self.budget, effort=self.effort, targets=targets, seed=self.seed,
                certify=False,
            )  # fmt: skip
            return result.points

    return MaxslopeTorchattack
