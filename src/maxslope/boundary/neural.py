"""The boundary flow for networks: signed distances to a network's boundary, and one step of the flow as a loss."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from maxslope import _checks
from maxslope._modes import inference
from maxslope.boundary._distance_network import Nearest, nearest
from maxslope.boundary.grid import Grid
from maxslope.energies import Function
from maxslope.loop import Record, Steps, flow
from maxslope.schemes import Explicit
from maxslope.spaces import Lp

Model = Callable[[Tensor], Tensor]

_SCOUTS = 2048  # points from which zeros are found first, to start the others from


def score(model: Model, x: Tensor) -> Tensor:
    """Return one number per row, positive where the model answers 1: its output, or its logit of 1 less that of 0.

    Args:
        model: maps ``[rows, d]`` to ``[rows]``, ``[rows, 1]`` or ``[rows, 2]``.
        x: ``[rows, d]``.

    Raises:
        TypeError: if the model does not return a tensor.
        ValueError: if it has another number of outputs.

    >>> score(lambda x: x, torch.tensor([[1.0, 3.0]]))
    tensor([2.])
    """
    out = model(x)
    _checks.logits(out, x.shape[0])
    if out.ndim == 1:
        return out
    if out.shape[1] == 1:
        return out[:, 0]
    if out.shape[1] == 2:
        return out[:, 1] - out[:, 0]
    raise ValueError(
        f"A boundary lies between two classes, but the model has {out.shape[1]} outputs; wrap it so that it returns "
        "the logits of two, or their difference."
    )


def distances(model: Model, x: Tensor, *, reach: float = 0.25, steps: int = 12) -> Nearest:
    r"""Return signed distances of points to the boundary of a network, \|sd\| <= reach, without any grid.

    :func:`nearest` zeros from every point; then again from the nearest zero that the first 2048 points found, so that
    saturated networks and second branches are no trap. In any dimension.

    Args:
        model: see :func:`score`; used in eval mode and left as it is.
        x: ``[rows, d]``.
        reach: where distances are cut off; farther points need no more than their sign.
        steps: of each search.

    Returns:
        :class:`Nearest`, with ``signed`` in [-reach, reach].

    Raises:
        ValueError: if ``x`` is not ``[rows, d]`` or reach is not positive and finite.

    >>> distances(lambda x: torch.tanh(9 - 9 * x.norm(dim=1)), torch.tensor([[0.9, 0.0], [0.0, 5.0]])).signed
    tensor([ 0.1000, -0.2500])
    """
    if not 0 < reach < math.inf:
        raise ValueError(f"Distances are cut off at a positive length, got reach={reach!r}.")
    f = partial(score, model)
    with inference(model):
        scouts = nearest(f, x[:_SCOUTS], reach=reach, steps=steps)
        found = nearest(f, x, reach=reach, steps=steps, near=scouts.point[scouts.found])
    return replace(found, signed=found.signed.clamp(-reach, reach))


def on_grid(model: Model, grid: Grid) -> Tensor:
    """Return the score of a model at the centers of a grid, ``[*shape]`` float64: a level-set function of its boundary.

    >>> on_grid(lambda x: x[:, 0], Grid((4, 4), 0.0, 1.0))[:, 0]
    tensor([0.1250, 0.3750, 0.6250, 0.8750], dtype=torch.float64)
    """
    return at_centers(model, grid, partial(score, model)).reshape(grid.shape)


def at_centers(model: Model, grid: Grid, f: Callable[[Tensor], Tensor]) -> Tensor:
    """Return values of a function that asks a model, at the centers of a grid, ``[cells, ...]`` float64.

    >>> at_centers(len, Grid((4, 4), 0.0, 1.0), lambda x: x[:, :1]).shape
    torch.Size([16, 1])
    """
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    points = grid.points().reshape(-1, grid.dim)
    points = points.float() if weight is None else points.to(weight.detach())
    with torch.no_grad(), inference(model):
        return torch.cat([f(part) for part in torch.split(points, 65536)]).double().cpu()


def margin(model: Model, x: Tensor, labels: Tensor) -> Tensor:
    """Return the score where the label is 1, minus the score where it is 0, ``[rows]``: positive where it is right.

    >>> margin(lambda x: x[:, 0], torch.tensor([[2.0], [3.0]]), torch.tensor([0, 1]))
    tensor([-2.,  3.])
    """
    return (2 * labels.to(x) - 1) * score(model, x)


def worst(model: Model, x: Tensor, labels: Tensor, eps: float, steps: int = 3) -> Tensor:
    """Return points of the balls B(x, eps) where the score is worst for the labels: the l_2 flow of time eps.

    A curve of unit speed does not leave the ball in that time, so nothing is projected; the model is in eval mode.

    Raises:
        ValueError: if there are no steps, or eps is negative.

    >>> worst(lambda x: x[:, 0], torch.zeros(2, 2), torch.tensor([0, 1]), 0.5)
    tensor([[ 0.5000,  0.0000],
            [-0.5000,  0.0000]])
    """
    if steps < 1:
        raise ValueError(f"The search for the worst point takes at least 1 step, got steps={steps!r}.")
    scheme = Explicit(eps / steps, Lp(2))
    with inference(model):
        energy = Function(partial(margin, model), (labels,))
        return flow(energy, x, scheme=scheme, until=Steps(steps), record=Record(0)).end


@dataclass(frozen=True)
class StepLoss(ABC):
    """One step of the boundary flow as a loss: minimize it at the frozen network's signed distances, then freeze anew.

    Args:
        tau: the step size in time, in length^2 units; the boundary moves by tau times its velocity.
        eps: the radius of the adversary.
        reach: where distances are cut off: some eps, and eps at least.
        steps: of the search for the worst point.
        variation: weight of the nonlocal perimeter: 1, or 0 for the control without it, which should stand still.

    Raises:
        ValueError: if a number is out of range.

    Source: arXiv:2404.14402 (the modified scheme); its neural form is this project's.
    """

    tau: float
    eps: float
    reach: float = 0.25
    steps: int = 3
    variation: float = 1.0

    def __post_init__(self) -> None:
        for name in ("tau", "eps", "reach"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"A step of the boundary flow needs a positive, finite {name}, got {name}={value!r}.")
        if self.reach < self.eps:
            raise ValueError(
                f"Distances are cut off no nearer than the adversary reaches, or scores are flat where it looks: got "
                f"reach={self.reach!r} below eps={self.eps!r}; take reach={2 * self.eps:.3g}."
            )
        if self.steps < 1 or not 0 <= self.variation < math.inf:
            raise ValueError(
                f"steps is at least 1 and variation at least 0, got steps={self.steps!r}, variation={self.variation!r}."
            )

    @property
    def passes(self) -> int:
        """Forward passes a sample of one call, backward passes likewise: the search's, and the loss itself."""
        return self.steps + 3 if self.variation else 1

    def __call__(self, model: Model, x: Tensor, labels: Tensor, signed: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar that reaches the weights.

        Args:
            model: see :func:`score`; the network in training.
            x: ``[n, d]``.
            labels: 0 or 1, ``[n]``.
            signed: of ``x``, to the boundary of the frozen network, ``[n]``; see :func:`distances`.
        """
        if not self.variation:
            return self.fit(score(model, x), signed)
        moved = worst(model, x, labels, self.eps, self.steps)
        here, there = torch.split(score(model, torch.cat([x, moved])), x.shape[0])
        rise = self.answer(there) - self.answer(here)
        return self.fit(here, signed) + self.variation * torch.where(labels == 0, rise, -rise).mean() / self.eps

    @abstractmethod
    def fit(self, scores: Tensor, signed: Tensor) -> Tensor:
        """Return how far the scores are from the frozen distances, a scalar."""

    @abstractmethod
    def answer(self, scores: Tensor) -> Tensor:
        """Return the function whose variation is taken, of the scores."""


class Regression(StepLoss):
    r"""The convex form: the boundary of the minimizer u is the next one.

        mean (u - B tanh(sd / B))^2 / (2 tau) + (1/eps) mean [ y = 0: u(x*) - u(x); y = 1: u(x) - u(x*) ]

    with x* the worst point of B(x, eps) for the score u and B the reach. The mean over samples is the integral against
    rho, so no sample may be weighted. Sets are compared through the superlevels of the Rudin-Osher-Fatemi problem.

    Args and errors are those of :class:`StepLoss`.

    Source: arXiv:2404.14402; the regression form is derived on the page on boundaries.

    >>> loss = Regression(tau=0.1, eps=0.5, reach=1.0)
    >>> x = torch.tensor([[0.0, 0.0], [0.2, 0.0]])
    >>> loss(lambda z: z[:, 0], x, torch.tensor([0, 1]), x[:, 0]) > 0.99  # the variation of a unit slope is 1
    tensor(True)
    """

    def fit(self, scores: Tensor, signed: Tensor) -> Tensor:
        return (scores - self.reach * torch.tanh(signed / self.reach)).square().mean() / (2 * self.tau)

    def answer(self, scores: Tensor) -> Tensor:
        """See :class:`StepLoss`; the score."""
        return scores


class Relaxation(StepLoss):
    r"""The set problem itself, relaxed to p = sigmoid(u), which loses nothing: its superlevels are minimizers.

        -mean clip(sd) p / tau + (1/eps) mean ( \|p(x*) - y\| - \|p(x) - y\| )

    Args and errors are those of :class:`StepLoss`.

    Source: arXiv:2404.14402; coarea formula for the nonlocal total variation.

    >>> loss = Relaxation(tau=0.1, eps=0.25, variation=0)
    >>> x = torch.tensor([[0.2, 0.0]])
    >>> loss(lambda z: 0 * z[:, 0], x, torch.tensor([0]), x[:, 0])  # -0.2 / 2 / 0.1
    tensor(-1.)
    """

    def fit(self, scores: Tensor, signed: Tensor) -> Tensor:
        return -(signed.clamp(-self.reach, self.reach) * self.answer(scores)).mean() / self.tau

    def answer(self, scores: Tensor) -> Tensor:
        """See :class:`StepLoss`; the probability of 1."""
        return scores.sigmoid()
