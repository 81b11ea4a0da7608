"""Every goal beside the best attack written by hand for it, on the same 200 samples and network.

    python benchmarks/goals.py [--case top-3 detector ...] [--samples 200] [--efforts quick standard] [--data DIR]

Networks are trained here, in seconds, from stated seeds, on the shipped digits and on data made here; ``grid-cnn-a``
needs ``--data DIR`` (cifar10_test_2000.npz, cifar_cnn_a_mix.safetensors). An attack by hand is projected
gradient descent on each of the losses that are natural for the goal (named in the table), from the clean point, from
random corners and uniform points of the ball and from its point nearest to gray, 100 steps each with momentum, of
lengths that fall along half a cosine wave; a sample leaves as soon as it is broken. All verdicts, of both sides, are
recomputed from the returned points by a plain forward pass and a plain check of ball, box and grid. Rows of every call
are counted inside the model, padding included.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import goal_peers
import torch
from _counting import Counting
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, one_hot, softplus

import maxslope as ms
from maxslope.data import default_data, default_network

STEPS, SEED = 100, 0
Lossy = Callable[[Tensor, Tensor], Tensor]  # outputs, labels -> [rows], what the attack by hand raises


@dataclass(frozen=True)
class Case:
    """A network, its samples, a question, and the losses of the attack by hand."""

    model: Any
    x: Tensor
    y: Tensor
    budget: ms.Budget
    goal: Any
    wrong: Callable[[Tensor, Tensor], Tensor]  # outputs, labels -> [rows] bool, written without maxslope.goals
    losses: dict[str, Lossy]
    clean: Callable[[Tensor, Tensor], Tensor] | None = None  # what is wrong to begin with; None for ``wrong``
    realize: Any = None
    snap: Callable[[Tensor, Tensor], Tensor] | None = None  # the realization, written by hand: points, clean points
    draws: int = 1  # answers that the attack by hand averages
    options: dict[str, Any] = field(default_factory=dict)


# --- data and networks ------------------------------------------------------------------------------------------------


def fit(
    net: nn.Module, x: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor], epochs: int, eps: float = 0.0
) -> nn.Module:
    """Train, seeded, on inputs with a little noise; with ``eps`` on two signed steps from there."""
    g, optimizer = torch.Generator().manual_seed(SEED), torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(epochs):
        for part in torch.randperm(len(x), generator=g).split(50):
            noisy = (x[part] + 0.1 * torch.randn(x[part].shape, generator=g)).clamp(0, 1)
            for _ in range(2 if eps else 0):
                noisy.requires_grad_()
                (way,) = torch.autograd.grad(loss(net(noisy), y[part]), noisy)
                noisy = (noisy.detach() + 0.6 * eps * way.sign()).clamp(0, 1)
            optimizer.zero_grad()
            loss(net(noisy), y[part]).backward()
            optimizer.step()
    return net.eval().requires_grad_(False)


def mlp(inputs: int, outputs: int, width: int = 64) -> nn.Module:
    torch.manual_seed(SEED + 1)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)
    )


def conv(channels: int, size: int, outputs: int) -> nn.Module:
    torch.manual_seed(SEED + 1)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(16 * (-(-size // 4)) ** 2, outputs),
    )  # fmt: skip


def textures(rows: int, classes: int, channels: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images of one smooth pattern a class, shifted, mixed with noise and written with 8 bits a channel."""
    g = torch.Generator().manual_seed(7)
    patterns = nn.functional.interpolate(torch.rand(classes, channels, 4, 4, generator=g), size=size, mode="bicubic")
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % classes
    shifts = torch.randint(-2, 3, (rows, 2), generator=g).tolist()
    x = torch.stack([patterns[k].roll(s, (1, 2)) for k, s in zip(y.tolist(), shifts, strict=True)])
    x = 0.45 + 0.5 * (x - 0.5) + 0.12 * torch.randn(x.shape, generator=g)
    return (x.clamp(0, 1) * 255).round() / 255, y


def digits(samples: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """600 shipped images to train on, and others to attack."""
    x, y = default_data()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(SEED))
    x, y = x[order], y[order]
    return x[:600], y[:600], x[600 : 600 + samples], y[600 : 600 + samples]


def scenes(rows: int, seed: int, size: int = 16) -> tuple[Tensor, Tensor]:
    """Images of three textured rectangles on a ground, and the class of every pixel."""
    g = torch.Generator().manual_seed(seed)
    x, y = 0.3 + 0.1 * torch.randn(rows, 1, size, size, generator=g), torch.zeros(rows, size, size).long()
    for row in range(rows):
        for k in (1, 2, 3):
            i, j = (int(v) for v in torch.randint(0, size - 6, (2,), generator=g))
            h, w = (int(v) for v in torch.randint(4, 9, (2,), generator=g))
            x[row, 0, i : i + h, j : j + w] += 0.15 * k
            y[row, i : i + h, j : j + w] = k
    return x.clamp(0, 1), y


# --- cases ------------------------------------------------------------------------------------------------------------


def others(z: Tensor, y: Tensor) -> Tensor:
    return z.scatter(1, y[:, None], -torch.inf)


def own(z: Tensor, y: Tensor) -> Tensor:
    return z.gather(1, y[:, None]).squeeze(1)


def ce(z: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(z, y, reduction="none")


def cw(z: Tensor, y: Tensor) -> Tensor:
    return others(z, y).amax(1) - own(z, y)


def dlr(z: Tensor, y: Tensor) -> Tensor:
    top = z.topk(3, 1).values
    return cw(z, y) / (top[:, 0] - top[:, 2]).clamp_min(1e-9)


def top_k(k: int) -> dict[str, Lossy]:
    """The k-th of the others; the sum over k, cut off where won; softened; the k best of the clean point; CE."""

    def ranked(z: Tensor, y: Tensor) -> Tensor:
        return others(z, y).topk(k, 1).values - own(z, y)[:, None]

    return {
        "k-th": lambda z, y: ranked(z, y)[:, -1],
        "hinges": lambda z, y: ranked(z, y).clamp_max(1.0).sum(1),
        "log-sigmoids": lambda z, y: logsigmoid(ranked(z, y)).sum(1),
        "CE": ce,
    }


def top_3(samples: int, _: Path | None) -> Case:
    tx, ty, x, y = digits(samples)
    net = fit(mlp(784, 10), tx, ty, cross_entropy, 15)
    return Case(net, x, y, ms.Linf(0.09), ms.goals.TopK(3), lambda z, y: (z > own(z, y)[:, None]).sum(1) >= 3, top_k(3))


def top_3_l2(samples: int, _: Path | None) -> Case:
    tx, ty, x, y = digits(samples)
    net = fit(conv(1, 28, 10), tx, ty, cross_entropy, 15, 0.1)
    return Case(net, x, y, ms.L2(2.2), ms.goals.TopK(3), lambda z, y: (z > own(z, y)[:, None]).sum(1) >= 3, top_k(3))


def shipped_top_2(samples: int, _: Path | None) -> Case:
    x, y = digits(samples)[2:]
    goal = ms.goals.TopK(2)
    return Case(
        default_network(), x, y, ms.Linf(0.35), goal, lambda z, y: (z > own(z, y)[:, None]).sum(1) >= 2, top_k(2)
    )  # fmt: skip


def detector(samples: int, _: Path | None) -> Case:
    """Ten digits and a class of rejects, which was shown noise and the errors of a network without it."""
    tx, ty, x, y = digits(samples)
    first = fit(mlp(784, 10), tx, ty, cross_entropy, 15)
    bad = [ms.attack(first, tx, ty, ms.Linf(e), recipe=ms.recipes.pgd(10)).points for e in (0.1, 0.2)]
    g = torch.Generator().manual_seed(SEED)
    bad.append(torch.rand(200, 1, 28, 28, generator=g))
    xs, ys = torch.cat([tx, tx, *bad]), torch.cat([ty, ty, torch.full((1400,), 10)])
    net = fit(conv(1, 28, 11), xs, ys, cross_entropy, 15, 0.03)

    def best(z: Tensor, y: Tensor) -> Tensor:
        return others(z, y)[:, :10].amax(1)

    def wanted(z: Tensor, y: Tensor) -> Tensor:
        return -cross_entropy(z, others(z, y)[:, :10].argmax(1), reduction="none")

    def joint(z: Tensor, y: Tensor) -> Tensor:
        return best(z, y) - torch.maximum(own(z, y), z[:, 10])

    def summed(z: Tensor, y: Tensor) -> Tensor:
        return best(z, y) - own(z, y) + (best(z, y) - z[:, 10]).clamp_max(0)

    def selective(z: Tensor, y: Tensor) -> Tensor:
        """First the class, then the detector: whichever is not yet passed (arXiv:2106.15023)."""
        passed = best(z, y) > own(z, y)
        return torch.where(passed, best(z, y) - z[:, 10], best(z, y) - own(z, y))

    def mass(z: Tensor, y: Tensor) -> Tensor:
        return others(z, y)[:, :10].logsumexp(1) - z.logsumexp(1)

    losses = {"joint": joint, "target": wanted, "sum": summed, "selective": selective, "mass": mass}
    return Case(
        net, x, y, ms.Linf(0.18), ms.goals.Undetected(reject=10),
        lambda z, y: (z.argmax(1) != y) & (z.argmax(1) != 10), losses, clean=lambda z, y: z.argmax(1) != y,
    )  # fmt: skip


def segmentation(share: float, eps: float) -> Callable[[int, Path | None], Case]:
    def make(samples: int, _: Path | None) -> Case:
        tx, ty = scenes(400, SEED)
        torch.manual_seed(SEED + 1)
        layers = [nn.Conv2d(1, 12, 5, padding=2), nn.ReLU(), nn.Conv2d(12, 12, 5, padding=2), nn.ReLU()]
        net = fit(nn.Sequential(*layers, nn.Conv2d(12, 4, 1)), tx, ty, cross_entropy, 10, 0.06)
        x, y = scenes(samples, SEED + 1)

        def wrong(z: Tensor, y: Tensor) -> Tensor:
            return (z.argmax(1) != y).flatten(1).double().mean(1) >= share - 1e-9

        def right(z: Tensor, y: Tensor) -> Tensor:
            return (z.argmax(1) == y).to(z.dtype)

        def lead(z: Tensor, y: Tensor) -> Tensor:
            return others(z, y).amax(1) - own(z, y)

        losses: dict[str, Lossy] = {
            "CE": lambda z, y: ce(z, y).flatten(1).mean(1),
            "masked CE": lambda z, y: (ce(z, y) * right(z, y)).flatten(1).mean(1),
            "SegPGD": lambda z, y: (ce(z, y) * (0.75 * right(z, y) + 0.25 * (1 - right(z, y)))).flatten(1).mean(1),
            "balanced": lambda z, y: -own(z.softmax(1), y).flatten(1).mean(1),
            "hinges": lambda z, y: lead(z, y).clamp_max(0.1).flatten(1).mean(1),
            "sigmoids": lambda z, y: (4 * lead(z, y)).sigmoid().flatten(1).mean(1),
        }
        return Case(net, x, y, ms.Linf(eps), ms.goals.Share(share), wrong, losses)

    return make


def tags(samples: int, _: Path | None) -> Case:
    """Twelve patterns, of which any may be there."""
    g = torch.Generator().manual_seed(SEED)
    patterns = nn.functional.interpolate(torch.rand(12, 1, 5, 5, generator=g), size=16, mode="bicubic") - 0.5

    def made(rows: int, seed: int) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(seed)
        y = (torch.rand(rows, 12, generator=g) < 0.3).long()
        x = 0.5 + 0.4 * torch.einsum("rt,tchw->rchw", y.float(), patterns)
        return (x + 0.1 * torch.randn(x.shape, generator=g)).clamp(0, 1), y

    def sure(z: Tensor, y: Tensor) -> Tensor:
        return z * (2 * y - 1)

    net = fit(mlp(256, 12), *made(1500, 1), lambda z, y: softplus(-sure(z, y)).mean(), 15)
    losses: dict[str, Lossy] = {
        "least bit": lambda z, y: -sure(z, y).amin(1),
        "BCE": lambda z, y: softplus(-sure(z, y)).sum(1),
        "softmax of bits": lambda z, y: (-sure(z, y)).logsumexp(1),
        "largest sigmoid": lambda z, y: (-sure(z, y)).sigmoid().amax(1),
    }
    x, y = made(samples, 2)
    return Case(
        net, x, y, ms.Linf(0.03), ms.goals.AnyLabel(), lambda z, y: ((z > 0) != (y > 0)).any(1), losses
    )  # fmt: skip


def places(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """A bright spot on a noisy ground, and where it is, in pixels."""
    g = torch.Generator().manual_seed(seed)
    at = 3 + 10 * torch.rand(rows, 2, generator=g)
    grid = torch.arange(16.0)
    far = (grid[None, :, None] - at[:, :1, None]) ** 2 + (grid[None, None, :] - at[:, 1:, None]) ** 2
    x = 0.2 + 0.6 * (-far / 8).exp()[:, None] + 0.1 * torch.randn(rows, 1, 16, 16, generator=g)
    return x.clamp(0, 1), at


def regression(samples: int, _: Path | None) -> Case:
    tx, ty = places(1000, 1)
    net = fit(mlp(256, 1), tx, ty[:, :1], nn.functional.mse_loss, 25)
    x, y = places(samples, 2)
    losses: dict[str, Lossy] = {
        "up": lambda z, y: z[:, 0] - y,
        "down": lambda z, y: y - z[:, 0],
        "both": lambda z, y: (z[:, 0] - y).abs(),
        "square": lambda z, y: (z[:, 0] - y).square(),
    }
    return Case(
        net, x, y[:, 0], ms.Linf(0.032), ms.goals.Beyond(2.0), lambda z, y: (z[:, 0] - y).abs() > 2.0, losses
    )  # fmt: skip


def off_by(z: Tensor, y: Tensor) -> Tensor:
    """A goal of one's own: the spot is put more than 3 pixels from where it is, and the answer is in micrometers."""
    return 3e6 - (z - y).norm(dim=1)


def own_goal(samples: int, _: Path | None) -> Case:
    tx, ty = places(1000, 1)
    inner = fit(mlp(256, 2), tx, ty, nn.functional.mse_loss, 25)
    x, y = places(samples, 2)
    losses: dict[str, Lossy] = {
        "distance": lambda z, y: (z - y).norm(dim=1),
        "square": lambda z, y: (z - y).square().sum(1),
        "first": lambda z, y: (z - y)[:, 0].abs(),
        "second": lambda z, y: (z - y)[:, 1].abs(),
    }
    return Case(
        nn.Sequential(inner, Scale(1e6)), x, 1e6 * y, ms.Linf(0.035), off_by,
        lambda z, y: (z - y).norm(dim=1) > 3e6, losses,
    )  # fmt: skip


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


CLASSES: dict[str, Lossy] = {"CE": ce, "CW": cw, "DLR": dlr}


def misread(z: Tensor, y: Tensor) -> Tensor:
    return z.argmax(1) != y


def levels(eps: float, most: int) -> Callable[[Tensor, Tensor], Tensor]:
    """8 bits a channel, and in l_inf as many whole levels as the budget holds."""

    def snap(z: Tensor, x: Tensor) -> Tensor:
        home = (x * 255).round()
        away = (z * 255).round() - home
        if most < 255:
            return (away.clamp(-most, most) + home).clamp(0, 255) / 255
        # In l_2 a point that leaves the ball by rounding is rounded towards the clean point.
        inside = (away.flatten(1).norm(dim=1) <= 255 * eps).reshape(-1, *[1] * (x.ndim - 1))
        return (torch.where(inside, away, (z * 255 - home).trunc()) + home).clamp(0, 255) / 255

    return snap


def grid(eps: float, norm: Callable[[float], ms.Budget]) -> Callable[[int, Path | None], Case]:
    def make(samples: int, _: Path | None) -> Case:
        net = fit(conv(3, 16, 10), *textures(1000, 10, 3, 16, 1), cross_entropy, 15)
        x, y = textures(samples, 10, 3, 16, 2)
        return Case(
            net, x, y, norm(eps), None, misread, CLASSES, realize=ms.realize.Grid(256),
            snap=levels(eps, int(255 * eps) if norm is ms.Linf else 255),
        )  # fmt: skip

    return make


def grid_cnn_a(samples: int, folder: Path | None) -> Case:
    import strength

    if folder is None:
        raise SystemExit("grid-cnn-a needs --data DIR.")
    net, x, y = strength.cnn_a(folder)
    x, y = x[:samples], y[:samples]
    return Case(
        net, x, y, ms.Linf(2.5 / 255), None, misread, CLASSES, realize=ms.realize.Grid(256), snap=levels(2.5 / 255, 2)
    )  # fmt: skip


def one_hot_table(samples: int, _: Path | None, changes: int = 1) -> Case:
    """Eight columns of five categories, of which one may be changed."""
    groups = [list(range(5 * k, 5 * k + 5)) for k in range(8)]

    def table(rows: int, seed: int) -> tuple[Tensor, Tensor]:
        codes = torch.randint(0, 5, (rows, 8), generator=torch.Generator().manual_seed(seed))
        weights = torch.randn(8, 5, 3, generator=torch.Generator().manual_seed(3))
        x = one_hot(codes, 5).float()
        pairs = (x[:, :-1, :, None] * x[:, 1:, None, :]).flatten(1)
        cross = torch.randn(pairs.shape[1], 3, generator=torch.Generator().manual_seed(4))
        return x.flatten(1), (torch.einsum("rgc,gcl->rl", x, weights) + pairs @ cross).argmax(1)

    tx, ty = table(3000, 1)
    net = fit(mlp(40, 3), tx, ty, cross_entropy, 15)
    x, y = table(samples, 2)

    def snap(z: Tensor, x: Tensor) -> Tensor:
        """The groups that moved most change."""
        z, home = z.unflatten(1, (8, 5)), x.unflatten(1, (8, 5))
        lead = z.amax(2) - (z * home).sum(2)
        change = (lead >= lead.topk(changes, 1).values[:, -1:]) & (lead > 0)
        return torch.where(change[:, :, None], one_hot(z.argmax(2), 5).to(z), home).flatten(1)

    return Case(
        net, x, y, ms.L1(2.0 * changes), None, misread, CLASSES, realize=ms.realize.OneHot(groups), snap=snap
    )  # fmt: skip


class Noise(nn.Module):
    """A network behind normal noise, which is drawn anew at every call."""

    def __init__(self, net: nn.Module, size: float) -> None:
        super().__init__()
        self.net, self.size = net, size

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x + self.size * torch.randn_like(x))
        return out


def randomized(samples: int, _: Path | None) -> Case:
    _, _, x, y = digits(samples)
    return Case(Noise(default_network(), 0.3).eval(), x, y, ms.Linf(0.15), None, misread, CLASSES, draws=8)


def pixels(samples: int, _: Path | None) -> Case:
    """Colored pixels in l_2, any number of them."""
    net = fit(conv(3, 16, 10), *textures(1000, 10, 3, 16, 1), cross_entropy, 15)
    x, y = textures(samples, 10, 3, 16, 2)
    budget = ms.Budget(ms.Mixed(ms.Lp(math.inf), ms.Lp(2), axis=1), 0.06)
    return Case(net, x, y, budget, None, misread, CLASSES)


CASES: dict[str, Callable[[int, Path | None], Case]] = {
    "top-3": top_3,
    "top-3-l2": top_3_l2,
    "top-2-shipped": shipped_top_2,
    "detector": detector,
    "share-0.5": segmentation(0.5, 0.22),
    "share-0.8": segmentation(0.8, 0.5),
    "tags": tags,
    "regression": regression,
    "own goal": own_goal,
    "grid-linf": grid(6.6 / 255, ms.Linf),
    "grid-l2": grid(0.8, ms.L2),
    "grid-cnn-a": grid_cnn_a,
    "one-hot": one_hot_table,
    "mixed": pixels,
    "random": randomized,
}


# --- the attack by hand -----------------------------------------------------------------------------------------------


class Hand:
    """Projected gradient descent, on standing samples only, loss after loss and start after start."""

    def __init__(self, case: Case, model: Callable[[Tensor], Tensor], seed: int = SEED) -> None:
        self.case, self.model, self.g = case, model, torch.Generator().manual_seed(seed)
        self.points = case.x.clone()
        self.standing = ~wrong_by_vote(case, model, case.x, case.y, case.clean or case.wrong)

    def run(self) -> Tensor:
        for loss in self.case.losses.values():
            for start in ("clean", "faces", "uniform", "middle"):
                rows = self.standing.nonzero().squeeze(1)
                for part in rows.split(64):
                    self._descend(loss, part, start)
        return self.points

    def _descend(self, loss: Lossy, rows: Tensor, start: str) -> None:
        case = self.case
        x, y, domain = case.x[rows], case.y[rows], case.budget.around(case.x[rows])
        eps = float(case.budget.eps)
        noise = 2 * torch.rand(x.shape, generator=self.g) - 1
        far = {"clean": 0.0 * x, "faces": noise.sign(), "uniform": noise, "middle": 0.5 - x}[start]
        size = case.budget.norm.norm(far).clamp_min(1e-9).reshape(-1, *[1] * (x.ndim - 1))
        z = domain.project(x + far * eps / size)
        live, way = torch.ones(len(rows), dtype=torch.bool), torch.zeros_like(x)
        for step in range(STEPS + 1):
            at = self._realized(z[live], x[live]).requires_grad_()
            copies = at.repeat_interleave(case.draws, 0)
            out = self.model(copies)
            labels = y[live].repeat_interleave(case.draws, 0)
            value, hits = loss(out, labels).sum(), case.wrong(out.detach(), labels).reshape(-1, case.draws)
            broken = hits.double().mean(1) > 0.5
            if case.draws > 1 and bool(broken.any()):
                sure = broken.nonzero().squeeze(1)
                voted = wrong_by_vote(case, self.model, at.detach()[sure], y[live][sure], case.wrong)
                broken[sure] = voted
            (gradient,) = torch.autograd.grad(value, at)
            index = live.nonzero().squeeze(1)
            self.points[rows[index[broken]]] = at.detach()[broken]
            self.standing[rows[index[broken]]] = False
            live[index[broken]] = False
            if step == STEPS or not bool(live.any()):
                return
            keep = ~broken
            way[live] = 0.75 * way[live] + 0.25 * unit(case.budget.norm, gradient[keep])
            tau = eps * (0.5 + 0.5 * math.cos(math.pi * step / STEPS)) * (1.0 if start == "clean" else 0.5)
            z[live] = domain.take(index[keep]).project(z[live] + tau * unit(case.budget.norm, way[live]))

    def _realized(self, z: Tensor, x: Tensor) -> Tensor:
        return z.clone() if self.case.snap is None else self.case.snap(z, x)


def unit(norm: ms.spaces.Space, gradient: Tensor) -> Tensor:
    """The steepest way of length 1; in l_1, where it moves one coordinate, that of a sparse sum of the largest."""
    if isinstance(norm, ms.Lp) and norm.p == 1:
        flat = gradient.flatten(1).abs()
        least = flat.topk(max(2, flat.shape[1] // 20), 1).values[:, -1:]
        way = torch.where(flat >= least, gradient.flatten(1).sign(), 0.0)
        return (way / way.abs().sum(1, keepdim=True).clamp_min(1e-30)).reshape(gradient.shape)
    return -norm.steepest(gradient)


def wrong_by_vote(case: Case, model: Any, x: Tensor, y: Tensor, wrong: Any, votes: int = 64) -> Tensor:
    """Whether points are errors; of a random model, whether 40 of 64 answers are (95 %); 33 at clean points."""
    if case.draws == 1:
        with torch.no_grad():
            return wrong(model(x), y)  # type: ignore[no-any-return]
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(SEED + 5)
        counts = sum(wrong(model(x), y).long() for _ in range(votes))
    return counts >= 40  # type: ignore[return-value]


# --- the table --------------------------------------------------------------------------------------------------------


def outcome(case: Case, points: Tensor, standing: Tensor) -> tuple[int, int]:
    """Samples that stand, and broken points that are not allowed, by plain checks."""
    broken = wrong_by_vote(case, case.model, points, case.y, case.wrong) & standing
    size = case.budget.norm.norm(points - case.x)
    slack = 1e-5 * max(1.0, float(case.budget.eps))
    bad = (size > float(case.budget.eps) + slack) | (points < 0).flatten(1).any(1) | (points > 1).flatten(1).any(1)
    if isinstance(case.realize, ms.realize.Grid):
        bad |= (((points * 255).round() - points * 255).abs() > 1e-3).flatten(1).any(1)
    return int((standing & ~broken).sum()), int((broken & bad).sum())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", default=[k for k in CASES if k != "grid-cnn-a"], choices=list(CASES))
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--efforts", nargs="*", default=["quick", "standard"])
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--libraries", action="store_true", help="attacks of foolbox, adv-lib and ART, too")
    parser.add_argument("--radius", type=float, default=1.0, help="times the radius of each case")
    parser.add_argument("--each", action="store_true", help="each loss of the attack by hand alone, too")
    parser.add_argument("--data", type=Path)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| case | attack | right | robust | not allowed | passes a sample, forward + backward | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for name in chosen.case:
        case = CASES[name](chosen.samples, chosen.data)
        eps = chosen.radius * float(case.budget.eps)
        case = replace(case, budget=replace(case.budget, eps=eps))
        standing = ~wrong_by_vote(case, case.model, case.x, case.y, case.clean or case.wrong)
        attacks: dict[str, Callable[[Any], Tensor]] = {}
        for effort in chosen.efforts:
            attacks[effort] = partial(ours, case, standing, getattr(ms.Effort, effort)())
        if not chosen.no_peer:
            attacks["by hand: " + ", ".join(case.losses)] = partial(by_hand, case)
        if chosen.libraries:
            attacks |= goal_peers.peers(name, case, standing, partial(_errs, case))
        for label, loss in case.losses.items() if chosen.each else ():
            attacks["by hand: " + label] = partial(by_hand, replace(case, losses={label: loss}))
        for label, attack in attacks.items():
            counting, began = Counting(case.model), time.process_time()
            points = attack(counting)
            seconds, n = time.process_time() - began, len(case.x)
            robust, bad = outcome(case, points, standing)
            passes = f"{counting.forward_rows / n:.0f} + {counting.backward_rows / n:.0f}"
            print(
                f"| {name} | {label} | {int(standing.sum())} | {robust} | {bad} | {passes} | {seconds:.1f} |",
                flush=True,
            )


def _errs(case: Case, points: Tensor, y: Tensor) -> Tensor:
    """Whether points, as the world has them, are errors."""
    return wrong_by_vote(case, case.model, points, y, case.wrong)


def by_hand(case: Case, model: Any) -> Tensor:
    return Hand(case, model).run()


def ours(case: Case, standing: Tensor, effort: ms.Effort, model: Any) -> Tensor:
    """The points of an attack on the samples that are right."""
    asked = ms.Randomized(model, draws=case.draws) if case.draws > 1 else model
    points, ids = case.x.clone(), standing.nonzero().squeeze(1)
    found = ms.attack(
        asked, case.x[ids], case.y[ids], case.budget, effort=effort, goal=case.goal, realize=case.realize, ids=ids,
        certify=False, **case.options,
    )  # fmt: skip
    points[ids] = found.points
    return points


if __name__ == "__main__":
    main()
