"""Attacks of foolbox, ART and adv-lib on the questions of ``goals.py``, as far as they have one for them.

What a library offers is called as it is: its step rule, projection and random starts. Where its own loss is not about
the question, foolbox's projected gradient descent is given one of the losses by hand, by the method it leaves to its
users for that. Attacks of one row follow one another on the samples that still stand; points of attacks that look for
a smallest perturbation are projected onto the ball; where points must lie on a grid, they are rounded by the code of
the attack by hand. A package that is missing is named, and its rows are left out.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import maxslope as ms

STEPS, SEED = 100, 0
Points = Callable[[Any, Tensor, Tensor], Tensor]  # model, samples, labels -> points
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # adv-lib compiles a loop of 30 steps, for minutes


def peers(name: str, case: Any, standing: Tensor, wrong: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Any]:
    """Return what the libraries have for a case: from the model to points of all samples.

    Args:
        name: of the case.
        case: the case.
        standing: which samples are attacked.
        wrong: from points and labels to whether they are errors; its passes are not counted.
    """
    rows: dict[str, Sequence[Points]] = {}
    for package, offers in (("foolbox", _foolbox), ("adv_lib.attacks", _adv_lib), ("art.attacks", _art)):
        try:
            importlib.import_module(package)
        except ImportError as error:
            print(f"No rows of {package.split('.')[0]} here: {error}.")
            continue
        rows |= dict(offers(name, case))
    return {label: partial(_in_turn, case, standing, wrong, attacks) for label, attacks in rows.items()}


def _in_turn(case: Any, standing: Tensor, wrong: Any, attacks: Sequence[Points], model: Any) -> Tensor:
    """One attack after the other, each on the samples that the ones before left standing."""
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    points, left = case.x.clone(), standing.clone()
    for attack in attacks:
        for part in left.nonzero().squeeze(1).split(64):
            x, y = case.x[part], case.y[part]
            found = case.budget.take(part).around(x).project(attack(model, x, y).detach())
            found = found if case.snap is None else case.snap(found, x)
            broken = wrong(found, y)
            points[part[broken]] = found[broken]
            left[part[broken]] = False
    return points


def _order(case: Any) -> float | None:
    """2 or inf, the norms that the libraries' descents know; None for others."""
    norm = case.budget.norm
    return norm.p if isinstance(norm, ms.Lp) and norm.p in (2, math.inf) else None


def _of_classes(case: Any) -> bool:
    """Whether labels are class numbers, one a sample."""
    return case.y.ndim == 1 and not case.y.is_floating_point()


# --- foolbox ----------------------------------------------------------------------------------------------------------


def _foolbox(name: str, case: Any) -> Iterator[tuple[str, Sequence[Points]]]:
    both = (False, True)
    if name == "mixed":
        yield (
            "foolbox PGD in a ball of our own, losses by hand",
            [partial(_descent, case, loss, random) for loss in case.losses.values() for random in both],
        )
    if _order(case) is None:
        return
    if _of_classes(case):
        yield "foolbox PGD, its cross-entropy, twice", [partial(_descent, case, None, random) for random in both]
    if name == "detector":
        yield "foolbox PGD, targeted at each digit", [partial(_descent, case, k, True) for k in range(9)]
    if not (_of_classes(case) and list(case.losses) == ["CE", "CW", "DLR"]) or case.draws > 1:
        yield (
            "foolbox PGD, each loss by hand, twice",
            [partial(_descent, case, loss, random) for loss in case.losses.values() for random in both],
        )


def _descent(case: Any, aim: Any, random: bool, model: Any, x: Tensor, y: Tensor) -> Tensor:
    """foolbox's descent: on its own loss (None), towards the k-th likely digit, or on a loss."""
    import eagerpy
    import foolbox

    kinds = {2: foolbox.attacks.L2PGD, math.inf: foolbox.attacks.LinfPGD, None: foolbox.attacks.LinfPGD}
    kind = kinds[_order(case)]

    class Own(kind):  # type: ignore[misc, valid-type]
        def get_loss_fn(self, model: Any, labels: Any) -> Any:
            return lambda z: eagerpy.astensor(aim(model(z.raw), labels.raw).sum())

    class InBall(Own):
        def get_random_start(self, x0: Any, epsilon: float) -> Any:
            return self.project(x0 + eagerpy.uniform(x0, x0.shape, -epsilon, epsilon), x0, epsilon)

        def normalize(self, gradients: Any, *, x: Any, bounds: Any) -> Any:
            return eagerpy.astensor(-case.budget.norm.steepest(gradients.raw))

        def project(self, x: Any, x0: Any, epsilon: float) -> Any:
            return eagerpy.astensor(case.budget.around(x0.raw).project(x.raw))

    made = InBall if _order(case) is None else Own if callable(aim) else kind
    attack = made(steps=STEPS, rel_stepsize=2.5 / STEPS, random_start=random)
    seen = foolbox.PyTorchModel(model, bounds=(0, 1))
    if case.draws > 1:
        seen = foolbox.models.ExpectationOverTransformationWrapper(seen, n_steps=case.draws)
    criterion = foolbox.criteria.Misclassification(y)
    if isinstance(aim, int):
        criterion = foolbox.criteria.TargetedMisclassification(_target(model, x, y, aim))
    found: Tensor = attack.run(seen, x, criterion, epsilon=float(case.budget.eps))
    return found


def _target(model: Any, x: Tensor, y: Tensor, rank: int) -> Tensor:
    """The digit of a rank at the clean point, of those that are not the label; the class of rejects is none."""
    with torch.no_grad():
        z = model(x)[:, :10]
    return z.scatter(1, y[:, None], -torch.inf).argsort(1, descending=True)[:, rank]


# --- adv-lib ----------------------------------------------------------------------------------------------------------


def _adv_lib(name: str, case: Any) -> Iterator[tuple[str, Sequence[Points]]]:
    from adv_lib.attacks import segmentation

    if name.startswith("share"):
        share = {"adv_threshold": case.goal.at_least}
        for label, attack in (
            ("ALMA prox", partial(segmentation.alma_prox, **share)),
            ("ALMA prox, first step 0.01", partial(segmentation.alma_prox, lr_init=0.01, **share)),
            ("DAG", partial(segmentation.dag, **share)),
            ("PDPGD", partial(segmentation.pdpgd, norm=math.inf, **share)),
            ("ASMA", partial(segmentation.asma, **share)),
        ):
            yield f"adv-lib {label}", [attack]
    if _order(case) is None or not _of_classes(case):
        return
    if name == "detector":
        yield "adv-lib APGD, DLR, targeted at each digit", [partial(_apgd_at, case, k) for k in range(9)]
    else:
        label = f", {case.draws} draws a step" if case.draws > 1 else ""
        runs = [partial(_apgd, case, loss) for loss in ("ce", "dlr")]
        yield f"adv-lib APGD, CE and DLR{label}", runs


def _apgd(case: Any, loss: str, model: Any, x: Tensor, y: Tensor) -> Tensor:
    """adv-lib's Auto-PGD; about several classes it goes on after a first error."""
    from adv_lib.attacks import apgd

    found: Tensor = apgd(
        model, x, y, float(case.budget.eps), _order(case), n_iter=STEPS, loss_function=loss, eot_iter=case.draws,
        best_loss=case.goal is not None,
    )  # fmt: skip
    return found


def _apgd_at(case: Any, rank: int, model: Any, x: Tensor, y: Tensor) -> Tensor:
    from adv_lib.attacks import apgd

    found: Tensor = apgd(
        model, x, _target(model, x, y, rank), float(case.budget.eps), _order(case), targeted=True, n_iter=STEPS
    )
    return found


# --- ART --------------------------------------------------------------------------------------------------------------


def _art(name: str, case: Any) -> Iterator[tuple[str, Sequence[Points]]]:
    if name == "tags":
        yield "ART PGD, BCE, twice", [partial(_art_descent, case, random) for random in (0, 1)]
    if name.startswith("grid"):
        runs = [partial(_art_auto, case, loss) for loss in ("cross_entropy", "difference_logits_ratio")]
        yield "ART AutoPGD, CE and DLR", runs


def _art_descent(case: Any, random: int, model: Any, x: Tensor, y: Tensor) -> Tensor:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch

    eps = float(case.budget.eps)
    attack = ProjectedGradientDescentPyTorch(
        _classifier(case, model, functional.binary_cross_entropy_with_logits), norm=_order(case), eps=eps,
        eps_step=2.5 * eps / STEPS, max_iter=STEPS, num_random_init=random, batch_size=64, verbose=False,
    )  # fmt: skip
    return torch.from_numpy(attack.generate(x.numpy(), y.float().numpy())).to(x)


def _art_auto(case: Any, loss: str, model: Any, x: Tensor, y: Tensor) -> Tensor:
    from art.attacks.evasion import AutoProjectedGradientDescent

    eps = float(case.budget.eps)
    attack = AutoProjectedGradientDescent(
        _classifier(case, model, torch.nn.CrossEntropyLoss()), norm=_order(case), eps=eps, eps_step=2 * eps,
        max_iter=STEPS, nb_random_init=1, loss_type=loss, batch_size=64, verbose=False,
    )  # fmt: skip
    return torch.from_numpy(attack.generate(x.numpy(), y.numpy())).to(x)


def _classifier(case: Any, model: Any, loss: Any) -> Any:
    from art.estimators.classification import PyTorchClassifier

    with torch.no_grad():
        classes = case.model(case.x[:1]).shape[1]
    return PyTorchClassifier(
        model, loss, input_shape=tuple(case.x.shape[1:]), nb_classes=classes, clip_values=(0.0, 1.0), device_type="cpu"
    )
