"""Exact search of piecewise linear networks among the activation patterns that good points do not share."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from maxslope import _random
from maxslope.attacks.finish import gathered
from maxslope.attacks.question import Question
from maxslope.attacks.recipes import Recipe
from maxslope.attacks.rule import Rule
from maxslope.attacks.runs import anew
from maxslope.attacks.stages import Patterns
from maxslope.attacks.state import State
from maxslope.attacks.verify import verify
from maxslope.goals import Misclassified
from maxslope.sets import Box

_LARGEST = 4096  # inputs of a network that is written down as matrices
_AFFINE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.AvgPool1d, nn.AvgPool2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.Flatten,
           nn.Unflatten, nn.Identity, nn.Dropout, nn.AdaptiveAvgPool2d)  # fmt: skip
_DESCENT, _SHARE = 40, 0.1  # passes of the descent from where a new search ends, and within which part of eps
_AGREES = 1e-4  # how far the matrices may be from the network, of its largest output


@dataclass(frozen=True, eq=False)
class Layer:
    """An affine map z = weight x + bias; a ReLU follows all but the last."""

    weight: Any  # scipy.sparse.csr_matrix
    bias: Any


@dataclass(frozen=True, eq=False)
class Piecewise:
    """A network of affine maps and ReLUs, as matrices in double precision."""

    layers: tuple[Layer, ...]

    def at(self, point: Tensor) -> Values:
        """Return what enters each layer of ReLUs at a point, and the outputs."""
        entering, x = [], point.double().cpu().numpy().reshape(-1)
        for layer in self.layers:
            entering.append(layer.weight @ x + layer.bias)
            x = np.maximum(entering[-1], 0)
        *relus, outputs = entering
        return Values(relus, outputs)


class Values(NamedTuple):
    """What a network computes at a point: arrays."""

    relus: list[Any]  # what enters each layer of them
    outputs: Any


def piecewise(question: Question) -> Piecewise | None:
    """Return the network of a question as matrices, where it can be told to be affine maps and ReLUs in a row.

    None for other models, affine ones among them, goals other than a wrong class, budgets that are no boxes, realized
    points, more than 4,096 inputs, and where scipy is not installed.
    """
    model, x = question.network.model, question.x
    if not isinstance(model, nn.Sequential) or not isinstance(question.domain, Box) or question.context:
        return None
    if type(question.goal) is not Misclassified or question.realize or x[0].numel() > _LARGEST:
        return None
    try:
        import scipy.optimize
        import scipy.sparse  # noqa: F401
    except ImportError:
        return None
    parts = list(_flat(model))
    kinked = any(isinstance(part, nn.ReLU) for part in parts)
    if model.training or not kinked or not all(isinstance(part, (*_AFFINE, nn.ReLU)) for part in parts):
        return None
    net = Piecewise(tuple(_matrices(parts, x.shape[1:])))
    for point in x[:2]:
        with torch.no_grad():
            out = question.network.outputs(point[None])[0].double().cpu().numpy()
        off = np.abs(net.at(point).outputs - out.reshape(-1)).max()
        if len(out) < 2 or not off <= _AGREES * max(np.abs(out).max(), 1.0):
            return None
    return net


def _flat(model: nn.Sequential) -> Iterator[nn.Module]:
    for part in model:
        if isinstance(part, nn.Sequential):
            yield from _flat(part)
        else:
            yield part


def _matrices(parts: Sequence[nn.Module], shape: torch.Size) -> Iterator[Layer]:
    """The affine maps between ReLUs, by what they make of unit vectors."""
    from scipy.sparse import csr_matrix

    group: list[nn.Module] = []
    for part in [*parts, None]:
        if part is not None and not isinstance(part, nn.ReLU):
            group.append(copy.deepcopy(part).double().cpu())
            continue
        affine, size = nn.Sequential(*group), shape.numel()
        with torch.no_grad():
            zero = affine(torch.zeros(1, *shape, dtype=torch.float64))
            unit = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
            columns = [(affine(some) - zero).flatten(1) for some in torch.split(unit, 256)]
        yield Layer(csr_matrix(torch.cat(columns).T.numpy()), zero.flatten().numpy())
        shape, group = zero.shape[1:], []


def solved(
    question: Question, points: Tensor, margins: Tensor, net: Piecewise, runs: Sequence[Recipe], stage: Patterns
) -> State:
    """Search anew, by runs, for good points of samples that stand, and solve for the least margin between them.

    ``points`` are the best ones so far, ``margins`` those there. What is returned knows them too, but counts what was
    made here alone.
    """
    known, near = State(question, 0), 2 * margins
    known.best, known.points = margins.clone(), points.clone()
    pool = [[(float(margin), point)] for margin, point in zip(margins, points, strict=True)]
    for number in range(1, stage.restarts + 1):
        left = (~known.broken).nonzero().squeeze(1)
        if not left.numel():
            return known
        found = anew(question, left, runs, Rule(0.0), seed=question.seed + number * _random.PATTERNS)
        close = (~found.broken & (found.best <= near[left])).nonzero().squeeze(1)
        if close.numel():
            most = torch.full_like(close, _DESCENT)
            near_by = question.take(left[close])
            found.absorb(close, gathered(near_by, found.points[close], found.best[close], most, _SHARE))
        for at, k in enumerate(left.tolist()):
            pool[k].append((float(found.best[at]), found.points[at]))
        known.absorb(left, found)
    left = (~known.broken).nonzero().squeeze(1)
    box, answers = question.domain, []
    assert isinstance(box, Box)
    for k in left.tolist():
        good = [point for _, point in sorted(pool[k], key=lambda one: one[0])]
        own = box.take(torch.tensor([k], device=points.device))
        z = between(net, own.lo[0], own.hi[0], int(question.y[k]), good, stage.binaries, stage.nodes)
        answers.append(known.points[k] if z is None else z)
    if answers:
        fresh = State(question.take(left), 0)
        fresh.verified(torch.arange(len(left), device=left.device), verify(question, left, torch.stack(answers)))
        known.absorb(left, fresh)
    return known


def between(
    net: Piecewise, low: Tensor, high: Tensor, label: int, points: Sequence[Tensor], binaries: int, nodes: int
) -> Tensor | None:
    """Return the point of least margin among those that agree with good points where these agree.

    A mixed-integer program: ReLUs on which all points agree stay as they are, the others are binary, and so are, up to
    ``binaries`` in all, those that are nearest to their kink at the first point, which is the best. The margin is that
    of the label against the strongest other class there. The search tree has so many ``nodes`` at most, a limit in
    work, so that an answer replays; None if it holds no point.

    Source: Tjeng, Xiao and Tedrake, Evaluating robustness of neural networks with mixed integer programming (2019),
    arXiv:1711.07356; Zhang et al., A branch and bound framework for stronger adversarial attacks of ReLU networks
    (2022).
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    values = [net.at(point) for point in points]
    best, *_ = values
    scores = best.outputs.copy()
    scores[label] = -np.inf
    a, b = (bound.double().cpu().numpy().reshape(-1) for bound in (low, high))
    program = _Program(net, a, b, [z > 0 for z in best.relus], _open(net, values, binaries))
    towards = net.layers[-1].weight[label] - net.layers[-1].weight[int(scores.argmax())]
    cost = np.zeros(program.size)
    cost[program.last : program.last + towards.shape[1]] = towards.toarray().reshape(-1)
    with _quiet():
        found = milp(
            cost,
            constraints=LinearConstraint(*program.constraints()),
            bounds=Bounds(program.lower, program.upper),
            integrality=program.whole,
            options={"node_limit": nodes, "mip_rel_gap": 1e-3},
        )
    if found.x is None:
        return None
    return torch.from_numpy(np.clip(found.x[: len(a)], a, b)).to(low).reshape(low.shape)


def _open(net: Piecewise, values: Sequence[Values], binaries: int) -> list[Any]:
    """Which ReLUs are left open, by layer: where points differ, and nearest to a kink at the first, in units of x."""
    entering = np.stack([np.concatenate(one.relus) for one in values])
    signs = entering > 0
    scale = np.concatenate([np.asarray(abs(layer.weight).sum(1)).reshape(-1) for layer in net.layers[:-1]])
    near = np.abs(entering[0]) / np.maximum(scale, 1e-300)
    near[signs.any(0) & ~signs.all(0)] -= near.max() + 1
    chosen = np.zeros(len(near), dtype=bool)
    chosen[np.argsort(near, kind="stable")[:binaries]] = True
    return np.split(chosen, np.cumsum([len(layer.bias) for layer in net.layers[:-2]]))


class _Program:
    """The network over a box as linear constraints: a variable for each input, ReLU and open ReLU, in this order."""

    def __init__(self, net: Piecewise, low: Any, high: Any, on: Sequence[Any], free: Sequence[Any]) -> None:
        widths = [len(low), *(len(layer.bias) for layer in net.layers[:-1])]
        starts = np.cumsum([0, *widths])
        self.last, binary = int(starts[-2]), int(starts[-1])  # where the variables of the last, and of open ReLUs begin
        self.size = binary + sum(int(f.sum()) for f in free)
        self.whole = np.zeros(self.size)  # which variables are binary
        self._rows: list[tuple[Any, Any, Any]] = []
        self.lower, self.upper = np.zeros(self.size), np.ones(self.size)  # bounds of the variables
        self.lower[: len(low)], self.upper[: len(low)] = low, high
        for k, layer in enumerate(net.layers[:-1]):
            binary += self._relus(layer, int(starts[k]), int(starts[k + 1]), on[k], free[k], binary)

    def constraints(self) -> tuple[Any, Any, Any]:
        """Return rows and their bounds."""
        from scipy.sparse import vstack

        rows, least, most = zip(*self._rows, strict=True)
        return vstack(rows).tocsc(), np.concatenate(least), np.concatenate(most)

    def _relus(self, layer: Layer, before: int, at: int, on: Any, free: Any, binary: int) -> int:
        """Add the ReLUs of a layer; return how many of them are open."""
        W, c = layer.weight, layer.bias
        down, up = self.lower[before:at], self.upper[before:at]
        least = W.maximum(0) @ down + W.minimum(0) @ up + c
        most = W.maximum(0) @ up + W.minimum(0) @ down + c
        both = free & (least < 0) & (most > 0)
        on = np.where(free, least >= 0, on) & ~both
        off = ~on & ~both
        inner, outer = self._spread(W, before), self._spread(None, at, len(c))
        none, infinite = np.zeros(len(c)), np.full(len(c), np.inf)
        self._add(outer - inner, c, c, on)  # a = z
        self._add(inner, -infinite, -c, off)  # z <= 0, and a = 0 by its bounds
        self._add(outer - inner, c, infinite, both)  # a >= z
        place = np.flatnonzero(both)
        self.whole[binary : binary + len(place)] = 1
        for row, column in zip(place, range(binary, binary + len(place)), strict=True):
            switch = self._spread(None, column, 1)
            self._rows.append((outer[row] - inner[row] - least[row] * switch, [-np.inf], [c[row] - least[row]]))
            self._rows.append((outer[row] - most[row] * switch, [-np.inf], none[:1]))
        self.upper[at : at + len(c)] = np.where(off, 0.0, np.maximum(most, 0))
        return len(place)

    def _add(self, rows: Any, least: Any, most: Any, which: Any) -> None:
        if which.any():
            self._rows.append((rows[which], least[which], most[which]))

    def _spread(self, weight: Any, at: int, width: int = 0) -> Any:
        """A matrix, by default the identity, whose columns begin at a variable, as rows of the program."""
        from scipy.sparse import csr_matrix, identity

        own = identity(width, format="csr") if weight is None else weight
        return csr_matrix((own.data, own.indices + at, own.indptr), shape=(own.shape[0], self.size))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the solver from writing to the standard output, which may be read by a program.

    It writes from C, beside Python: what other threads write there meanwhile is lost too.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is none
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)
