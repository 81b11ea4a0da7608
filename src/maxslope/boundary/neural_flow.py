"""The driver of the neural boundary flow: a curve of weights, one retrained network a step."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from maxslope import _checks, _random
from maxslope._modes import inference
from maxslope.attacks.attack import attack
from maxslope.attacks.effort import Effort
from maxslope.boundary.densities import Densities
from maxslope.boundary.grid import Grid
from maxslope.boundary.limit import Measured
from maxslope.boundary.neural import Regression, StepLoss, distances, margin, score
from maxslope.curve import Curve
from maxslope.energies import Evaluation
from maxslope.energies.base import plain
from maxslope.loop import Steps, flow
from maxslope.schemes import Constant, Here, Memory, Scheme
from maxslope.sets import Budget
from maxslope.spaces import Lp


@dataclass(frozen=True)
class Training:
    """How a step's loss is minimized: Adam on batches of samples, its rate falling to zero by a cosine.

    Args:
        iterations: a step; too few move the boundary by their own bias.
        first: to fit the given network to its own distances before the first step.
        batch: samples a batch, drawn with replacement.
        rate: of Adam.
        seed: of the batches.

    Raises:
        ValueError: if a number is out of range.
    """

    iterations: int = 800
    first: int = 1600
    batch: int = 512
    rate: float = 1e-2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.first < 0 or self.batch < 1 or not 0 < self.rate < math.inf:
            raise ValueError(f"Training needs iterations, batch >= 1, first >= 0 and a positive rate, got {self!r}.")


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of the two classes, the measure of the flow.

    Args:
        x: ``[n, d]``.
        labels: 0 or 1, ``[n]``.

    Raises:
        TypeError: if they are not tensors of floating-point points and integer labels.
        ValueError: if shapes do not match or labels are not 0 and 1.
    """

    x: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        x = _checks.points(self.x)
        labels = _checks.labels(self.labels, x)
        if x.ndim != 2 or int(labels.max()) > 1:
            raise ValueError(
                f"Samples are points [n, d] with labels 0 and 1, got points {tuple(x.shape)} and labels up to "
                f"{int(labels.max())}; choose two classes."
            )


def draw(densities: Densities, grid: Grid, count: int, seed: int = 0) -> Samples:
    """Return independent samples of densities on a grid: a cell by its mass, a point uniform in it, a label by eta.

    >>> grid = Grid((8, 8), 0.0, 1.0)
    >>> draw(Densities(torch.zeros(8, 8), torch.ones(8, 8)), grid, 3).labels
    tensor([1, 1, 1])
    """
    uniform = _random.uniform(_random.keys(seed, torch.arange(count)), (2 + grid.dim,))
    mass = densities.rho.flatten().cumsum(0)
    cell = torch.searchsorted(mass, uniform[:, 0] * mass[-1]).clamp_max(mass.numel() - 1)
    corner = grid.points().reshape(-1, grid.dim)[cell]
    x = corner + (uniform[:, 2:] - 0.5) * grid.h
    return Samples(x.float(), (uniform[:, 1] < densities.eta.flatten()[cell]).long())


class Judgment(NamedTuple):
    """What an attack says of a network: shares misclassified, as they are and within eps, and passes a sample."""

    risk: float
    robust_risk: float
    forward: float
    backward: float


class Variation(Measured):
    """Per_eps of the boundary of a network as a function of its weights: (robust risk - risk) / eps on the samples.

    The adversary is :func:`maxslope.attack`, so this is a lower bound. Weights that were judged before are not again.
    """

    def __init__(self, model: nn.Module, samples: Samples, eps: float, effort: Effort) -> None:
        self.model, self.samples, self.eps, self.effort = model, samples, eps, effort
        self._known: dict[bytes, Judgment] = {}

    def look(self, x: Tensor) -> Evaluation:
        said = [self.of(row) for row in x]
        return plain(torch.tensor([(j.robust_risk - j.risk) / self.eps for j in said], dtype=torch.float64))

    def of(self, weights: Tensor) -> Judgment:
        """Return the judgment of one network by its weights."""
        key = weights.detach().cpu().numpy().tobytes()
        if key not in self._known:
            self._known[key] = self._judge(with_weights(self.model, weights))
        return self._known[key]

    def _judge(self, model: nn.Module) -> Judgment:
        x, labels = self.samples.x, self.samples.labels

        def logits(z: Tensor) -> Tensor:  # of both classes: one output in [0, 1] could be meant as a probability
            u = score(model, z)
            return torch.stack([-u / 2, u / 2], 1)

        with inference(model):
            with torch.no_grad():
                wrong = margin(model, x, labels) <= 0
            budget = Budget(Lp(2), self.eps, box=None)
            found = attack(logits, x, labels, budget, effort=self.effort, certify=False)
        shares = wrong, wrong | found.broken, found.forward, found.backward
        return Judgment(*(float(share.double().mean()) for share in shares))

    @property
    def passes(self) -> int:
        """See :class:`Energy`; the mean over what was judged so far, rounded up: an attack ends where it succeeds."""
        known = self._known.values()
        return math.ceil(sum(j.forward for j in known) / max(len(known), 1))


class Retrain(Scheme):
    """A step of the flow: :func:`fit` a copy of the network of the weights; the tau of the movement is the step."""

    space = Lp(2)
    rate = math.inf  # of sets: the speed of the weights is whatever it is

    def __init__(self, model: nn.Module, samples: Samples, movement: StepLoss, training: Training) -> None:
        self.model, self.samples, self.movement, self.training = model, samples, movement, training
        self.tau = Constant(movement.tau)

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; the number of steps made, which keys the batches."""
        return (torch.zeros(x.shape[0], dtype=torch.int64),)

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        made = memory[0] + 1
        rows = []
        for weights, number in zip(here.x, made.tolist(), strict=True):
            model = with_weights(self.model, weights)
            rows.append(weights_of(fit(model, self.samples, self.movement, self.training, number)))
        return torch.stack(rows), (made,)


def fit(model: nn.Module, samples: Samples, movement: StepLoss, training: Training, number: int) -> nn.Module:
    """Return a network trained from ``model`` on its own frozen distances: a step of the flow, from number 1 on."""
    found = distances(model, samples.x, reach=movement.reach)

    def loss(net: nn.Module, k: int) -> Tensor:
        index = _batch(samples, training, number, k)
        return movement(net, samples.x[index], samples.labels[index], found.signed[index])

    return minimize(model, loss, training.iterations, training.rate)


def settle(model: nn.Module, samples: Samples, movement: StepLoss, training: Training) -> nn.Module:
    """Return a network fitted to the distances of ``model`` where it stands: step 0, which does not move.

    To the samples come points between each and its nearest zero p, where the distance is known too,
    sd(x + s (p - x)) = (1 - s) sd(x): samples alone bind a network at the samples alone, and where none is near its
    boundary the boundary would go where it likes.
    """
    found = distances(model, samples.x, reach=movement.reach)
    way = torch.where(found.found[:, None], found.point - samples.x, 0.0)
    far = torch.linalg.vector_norm(way, dim=1).where(found.found, found.signed.abs()) * found.signed.sign()

    def loss(net: nn.Module, k: int) -> Tensor:
        index = _batch(samples, training, 0, k)
        x = samples.x[index]
        share = _random.uniform(_random.keys(training.seed, 0, k, 1), (training.batch,))[0].to(x)
        between = ((1 - share) * far[index]).clamp(-movement.reach, movement.reach)
        scores = score(net, torch.cat([x, x + share[:, None] * way[index]]))
        return movement.fit(scores, torch.cat([found.signed[index], between]))

    return minimize(model, loss, training.first, training.rate)


def _batch(samples: Samples, training: Training, number: int, k: int) -> Tensor:
    """The samples of an iteration of a step."""
    return _random.bits(_random.keys(training.seed, number, k), (training.batch,))[0] % len(samples.x)


def minimize(model: nn.Module, loss: Callable[[nn.Module, int], Tensor], iterations: int, rate: float) -> nn.Module:
    """Return a copy of a network, frozen, after so many iterations of Adam, whose rate falls to zero by a cosine.

    The loss is of the network and the number of the iteration.
    """
    net = copy.deepcopy(model).requires_grad_(True)
    adam = torch.optim.Adam(net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(iterations, 1))
    with inference(net), torch.enable_grad():
        for k in range(iterations):
            adam.zero_grad()
            loss(net, k).backward()  # type: ignore[no-untyped-call]
            adam.step()
            schedule.step()
    return net.requires_grad_(False)


@dataclass(frozen=True, eq=False)
class NeuralFlow:
    """A boundary flow of networks.

    Attributes:
        curve: of weights, one row; its energy is the nonlocal perimeter on the samples.
        architecture: the module the weights belong to.
        risk: of the network at every instant, ``[K+1]``.
        robust_risk: likewise, under :func:`maxslope.attack` with radius eps, no box: a lower bound, at points verified.
        passes: what it took to know that, forward and backward passes a judged sample at every instant, ``[K+1, 2]``.
        trained: forward passes of all training, its adversary's among them, in samples; backward passes are as many.
    """

    curve: Curve
    architecture: nn.Module
    risk: Tensor
    robust_risk: Tensor
    passes: Tensor
    trained: int

    def model(self, instant: int) -> nn.Module:
        """Return the network at an instant, 0 being the start; frozen, in eval mode."""
        return with_weights(self.architecture, self.curve.points[instant, 0]).eval()


def neural_flow(
    model: nn.Module,
    samples: Samples,
    movement: StepLoss,
    *,
    steps: int = 3,
    training: Training | None = None,
    judged: Samples | None = None,
    effort: Effort | None = None,
) -> NeuralFlow:
    """Follow the boundary flow from a trained network, in any dimension.

    A regression first fits the network to its own signed distances. Every step freezes the network, measures distances
    of the samples to its boundary and minimizes the loss of ``movement``; the boundary moves by
    V = -kappa - d_nu log rho up to O(eps). What moves under the control, ``variation=0``, is bias.

    Args:
        model: two classes, see :func:`maxslope.boundary.neural.score`; left as it is.
        samples: the measure of the flow.
        movement: such as ``Regression(tau, eps)``.
        steps: outer steps of time tau.
        training: how each is minimized.
        judged: samples on which risks and the energy are measured; by default those of the flow.
        effort: of the attack that measures them; by default ``Effort.quick()``.

    Raises:
        ValueError: if there are no steps, or the network says the same of every sample.

    Source: arXiv:2404.14402 (the modified scheme), in the neural form of the page on boundaries.
    """
    if steps < 1:
        raise ValueError(f"A neural flow takes at least 1 step, got steps={steps!r}.")
    training = training or Training()
    energy = Variation(model, judged or samples, movement.eps, effort or Effort.quick())
    with torch.no_grad():
        answers = score(model, samples.x) > 0
    if bool(answers.all()) or not bool(answers.any()):
        raise ValueError(
            "The network gives every sample the same label, so it has no boundary there to follow; train "
            "it first, or check that the samples are its own."
        )
    fitted = isinstance(movement, Regression)
    start = settle(model, samples, movement, training) if fitted else model
    scheme = Retrain(model, samples, movement, training)
    curve = flow(energy, weights_of(start)[None], scheme=scheme, until=Steps(steps))
    said = [energy.of(weights) for weights in curve.points[:, 0]]
    risk, robust_risk, forward, backward = torch.tensor(said, dtype=torch.float64).unbind(1)
    batches = steps * training.iterations * movement.passes + 2 * training.first * fitted
    passes = torch.stack([forward, backward], 1)
    return NeuralFlow(curve, copy.deepcopy(model), risk, robust_risk, passes, batches * training.batch)


def weights_of(model: nn.Module) -> Tensor:
    """Return the parameters of a module as one vector, detached."""
    return parameters_to_vector([p.detach() for p in model.parameters()])


def with_weights(model: nn.Module, weights: Tensor) -> nn.Module:
    """Return a copy of a module with other, frozen parameters."""
    net = copy.deepcopy(model).requires_grad_(False)
    vector_to_parameters(weights.clone(), net.parameters())
    return net
