"""Attacks of other packages as a second opinion on an evaluation, and as starts of runs of our own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from maxslope import _checks
from maxslope._rows import choose, flat
from maxslope.adapters.conversions import need
from maxslope.attacks import Recipe
from maxslope.attacks.findings import Finding, Kind
from maxslope.attacks.question import Question, ask
from maxslope.attacks.starts import Origin, Start
from maxslope.attacks.verify import Verdicts, verify
from maxslope.energies import Margin, Network
from maxslope.evaluation import Report
from maxslope.evaluation.models import Function
from maxslope.evaluation.report import BROKEN, ROBUST, Column
from maxslope.goals.classes import as_logits
from maxslope.schemes import SemiImplicit
from maxslope.sets import Budget

_SLACK = 1e-3  # of eps: a point this little outside is rounding, farther out it is counted as outside


class Peer(ABC):
    """An attack that somebody else wrote.

    Attributes:
        name: what reports call it.
    """

    name: str

    @abstractmethod
    def points(self, model: Any, x: Tensor, y: Tensor, budget: Budget) -> Tensor:
        """Return what the attack hands back, ``[rows, *shape]``; it need not be allowed, nor break anything."""


@dataclass(frozen=True, eq=False)
class FunctionPeer(Peer):
    """Any function.

    Args:
        name: what reports call it.
        attack: from (model, x, y, budget) to points.
    """

    name: str
    attack: Callable[[Any, Tensor, Tensor, Budget], Tensor]

    def points(self, model: Any, x: Tensor, y: Tensor, budget: Budget) -> Tensor:
        return self.attack(model, x, y, budget)


class _Named(Peer):
    """An attack of a package, by default named after its class."""

    package: str

    def __init__(self, attack: Any, name: str = "") -> None:
        self.attack, self.name = attack, name or f"{self.package} {type(attack).__name__}"


class Foolbox(_Named):
    """An attack of foolbox: ``Foolbox(foolbox.attacks.LinfPGD())``.

    Args:
        attack: of foolbox; its norm should be that of the budget.
        name: by default the class of the attack.
    """

    package = "foolbox"

    def points(self, model: Any, x: Tensor, y: Tensor, budget: Budget) -> Tensor:
        foolbox = need("foolbox", "foolbox")
        if budget.box is None or any(isinstance(b, Tensor) and b.numel() > 1 for b in budget.box):
            raise ValueError(f"Foolbox wants bounds that are two numbers, got box={budget.box!r}.")
        eps = torch.as_tensor(budget.eps).flatten()
        if bool((eps != eps[0]).any()):
            raise ValueError("foolbox knows one eps for all samples, got one per sample; call it for each eps.")
        module = model if isinstance(model, nn.Module) else Function(model).eval()
        outside = foolbox.PyTorchModel(module, bounds=tuple(map(float, budget.box)), device=x.device)
        points: Tensor = self.attack(outside, x, y, epsilons=float(eps[0]))[1]
        return points


class Art(_Named):
    """An attack of the Adversarial Robustness Toolbox, which holds its own classifier: ``Art(art_attack)``.

    Args:
        attack: with a method ``generate(x, y)``; its eps should be that of the budget.
        name: by default the class of the attack.
    """

    package = "ART"

    def points(self, model: Any, x: Tensor, y: Tensor, budget: Budget) -> Tensor:
        found = self.attack.generate(x.detach().cpu().numpy(), y.cpu().numpy())
        return torch.from_numpy(np.asarray(found)).to(x)


class Torchattack(_Named):
    """An attack of torchattacks, which holds its own model: ``Torchattack(torchattacks.PGD(model))``.

    Args:
        attack: called with (images, labels); its eps should be that of the budget.
        name: by default the class of the attack.
    """

    package = "torchattacks"

    def points(self, model: Any, x: Tensor, y: Tensor, budget: Budget) -> Tensor:
        found: Tensor = self.attack(x, y)
        return found


@contextmanager
def own_chance(seed: int) -> Iterator[None]:
    """Seed the global generators that other packages draw from, and leave them as they were."""
    held = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(held)


def second_opinion(
    report: Report, model: Any, data: tuple[Tensor, Tensor], budget: Budget, *peers: Peer, batch_size: int | None = None
) -> Report:
    """Let attacks of other packages try the samples that stand, and merge what they find into the report.

    Their points are not believed: each is projected onto ball and box, where it left them, and classified by a forward
    pass of its own. Per sample the worst verdict counts, so that the robust accuracy never rises.

    Args:
        report: of ``evaluate`` on the same model, data and budget, with its points.
        model: that was evaluated.
        data: inputs ``[n, *shape]`` and labels ``[n]``, in the order of the report.
        budget: norm, eps and box.
        peers: :class:`Foolbox`, :class:`Art`, :class:`Torchattack` or :class:`FunctionPeer`.
        batch_size: rows per call of the model in the verification.

    Returns:
        A :class:`Report` with one sentence per peer in ``warnings``: how many samples it broke, and how many of its
        points had left the budget. Passes that peers make are not counted, those of the verification are. Peers draw
        from seeded global generators in batches: their part of a row may depend on its company.

    Raises:
        TypeError: if a peer is none.
        ValueError: if the data are not those of the report, it kept no points, or a peer returns another shape.

    >>> import maxslope as ms
    >>> x, y = torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0])
    >>> weak = ms.evaluate(lambda x: 10 * x, (x, y), ms.Linf(0.2), effort=ms.Effort((ms.recipes.pgd(0),)))
    >>> worst = FunctionPeer("by hand", lambda model, x, y, budget: x + torch.tensor([-0.2, 0.2]))
    >>> weak.robust_accuracy, second_opinion(weak, lambda x: 10 * x, (x, y), ms.Linf(0.2), worst).robust_accuracy
    (1.0, 0.5)
    """
    x, y = data
    if x.shape[0] != report.samples or y.tolist() != report.table["label"] or report.points is None:
        raise ValueError(
            f"A second opinion needs the samples of the report and its points, got {x.shape[0]} samples for "
            f"{report.samples} rows; pass the same (x, y) in the same order, and keep_points=True."
        )
    _checks.budget(budget, Budget)
    table: dict[str, list[Any]] = {name: list(column) for name, column in report.table.items()}
    points, said = report.points.clone(), list[Finding]()
    forward, backward = report.executed
    for peer in peers:
        if not isinstance(peer, Peer):
            raise TypeError(f"A second opinion is a Peer such as Foolbox(attack), got {type(peer).__name__}.")
        rows = [i for i, v in enumerate(table["verdict"]) if v == ROBUST]
        if not rows:
            break
        index = torch.tensor(rows)
        question = ask(
            model, x[index], y[index], budget.take(index), ids=index, seed=report.seed, batch_size=batch_size
        )
        with own_chance(report.seed):
            found = peer.points(model, question.x, question.y, question.budget)
        seen, left = verified(question, found, peer.name)
        _merge(table, points, rows, seen, peer.name)
        more = question.network.executed
        forward, backward = forward + more.forward, backward + more.backward
        outside = f", {left} of its points had left the budget" if left else ""
        broke = f"{peer.name} broke {int(seen.broken.sum())} of {len(rows)} samples that stood{outside}."
        said.append(Finding(Kind.PEER, broke))
    columns, warnings = cast(dict[str, Column], table), (*report.warnings, *said)
    return replace(report, table=columns, points=points, executed=(forward, backward), warnings=warnings)


def verified(question: Question, found: Any, name: str) -> tuple[Verdicts, int]:
    """Project points onto the allowed sets, and ask the model there; how many had left them comes second."""
    if not isinstance(found, Tensor) or found.shape != question.x.shape:
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"{name} must return points {tuple(question.x.shape)}, got {got}.")
    found = found.detach().to(question.x)
    finite = flat(found).isfinite().all(1)
    found = choose(finite, found, question.x)
    outside = question.domain.violation(found) > _SLACK * question.eps
    everyone = torch.arange(question.rows, device=question.x.device)
    points = choose(question.domain.contains(found), found, question.domain.project(found))
    return verify(question, everyone, points), int(outside.sum() + (~finite).sum())


def _merge(table: dict[str, list[Any]], points: Tensor, rows: Sequence[int], seen: Verdicts, name: str) -> None:
    for k, row in enumerate(rows):
        table["forward"][row] += 1
        if not bool(seen.broken[k]):
            continue
        table["verdict"][row] = BROKEN
        table["margin"][row], table["distance"][row] = float(seen.margin[k]), float(seen.distance[k])
        for column in {"gap", "slope", "local_gap"} & table.keys():
            table[column][row] = float("nan")
        table["runs"][row] += 1
        table["reason"][row] = f"A point of {name} breaks it; verified here."
        points[row] = seen.points[k].to(points)


@dataclass(frozen=True, eq=False)
class PeerStart(Start):
    """Where an attack of another package ends: the start of a run of ours.

    The label of a row is what the model says at the clean point, which is right for every sample that is attacked.

    Args:
        peer: whose points they are.
        model: that is attacked.
        seed: of the global generators while the peer runs.
    """

    peer: Peer
    model: Any
    seed: int = 0

    def points(self, origin: Origin) -> Tensor:
        labels = as_logits(Network(self.model).all_outputs(origin.x)).argmax(1)
        with own_chance(self.seed):
            return self.peer.points(self.model, origin.x, labels, replace(origin.budget, eps=origin.eps)).detach()


def continued(peer: Peer, model: Any, steps: int = 20) -> Recipe:
    """Return a run of ours that goes on from where a peer ended; it mixes with those of ``Effort.standard().runs``.

    Args:
        peer: whose points are the starts.
        model: that is attacked.
        steps: of our run; their length falls from eps / 2 to 0.

    Returns:
        A :class:`Recipe` named after the peer.

    >>> continued(FunctionPeer("clean", lambda model, x, y, budget: x), lambda x: x).name
    'from clean'
    """
    return Recipe(
        f"from {peer.name}", steps, 0.5, last=0.0, start=PeerStart(peer, model), criterion=Margin(), scheme=SemiImplicit
    )
