"""What each tolerance of the reference curves decides: python benchmarks/reference.py [--only sparse].

Every constant of `maxslope.reference` is made a hundred times smaller and larger (integers: four times) in all of
its modules, and a fixed set of curves is followed again: smooth and kinked networks, quadratics, boxes, balls, flat and
singular energies, l_inf, l_1, l_2, l_3, finite rates. The table says by how much points move, how many curves change
their status, uniqueness or number of events, and how many gradients more are taken.
"""

import argparse
import math
import re
from collections.abc import Callable, Iterator
from importlib import import_module

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import gelu

from maxslope.energies import Energy, Function, Quadratic
from maxslope.reference import Reference, reference
from maxslope.sets import L2, Box
from maxslope.spaces import Lp

MODULES = [import_module(f"maxslope.reference.{n}") for n in ("base", "modes", "events", "sparse", "smooth", "rates")]


def points(rows: int, d: int, seed: int) -> Tensor:
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def definite(d: int, seed: int, less: float = 0.0) -> Energy:
    a = points(d, d, seed)
    return Quadratic(a @ a.T + (0.1 - less) * torch.eye(d, dtype=torch.float64))


def network(act: Callable[[Tensor], Tensor]) -> Energy:
    first, second, last = points(2, 8, 0), points(8, 8, 1) / 2, points(8, 1, 2)
    return Function(lambda x: (act(act(x @ first) @ second) @ last)[:, 0])


def curves() -> Iterator[Reference]:
    start, zero = points(2, 2, 3).clamp(-0.9, 0.9), torch.zeros(1, 3)
    box = Box(-torch.ones(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64))
    flat = Function(lambda x: (x.abs() - 0.3).clamp_min(0).pow(3).sum(1))
    pole = Function(lambda x: x.abs().log().sum(1))
    quartic = Function(lambda x: x.pow(4).sum(1))
    for space in (Lp(math.inf), Lp(1)):
        for energy in (network(gelu), network(torch.relu), flat, pole, quartic):
            yield reference(energy, start, 1.0, space=space, instants=20)
        for d in (3, 8):
            yield reference(definite(d, 5), points(1, d, 4), 1.0, space=space, instants=20)
        yield reference(definite(3, 5, 1.5), zero, 1.0, space=space, instants=20)
    yield reference(network(gelu), start, 1.0, space=Lp(2), instants=10)
    yield reference(pole, start, 1.0, space=Lp(2), instants=10)
    yield reference(network(torch.tanh).within(box), start, 2.0, instants=20)
    yield reference(network(torch.tanh).within(box), start[:1], 2.0, space=Lp(3), instants=10)
    yield reference(network(torch.tanh).within(L2(0.5, box=None).around(start)), start, 2.0, space=Lp(2), instants=10)
    yield reference(definite(3, 5), points(1, 3, 4), 1.5, rate=2.0, instants=10)


def facts(found: list[Reference]) -> list[tuple[Tensor, list, float]]:
    """Of each reference its points, what is said of its rows, and the gradients it took."""
    said = [
        [r.curve.status.tolist(), r.unique.tolist(), [len(e) for e in r.events], float(r.curve.backward.sum())]
        for r in found
    ]
    return [(r.curve.points, one[:3], one[3]) for r, one in zip(found, said, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="the constants whose names match")
    only = parser.parse_args().only
    before = facts(list(curves()))
    names = sorted({n for m in MODULES for n in vars(m) if re.fullmatch("_?[A-Z]{2,}", n)} - {"ABC", "EPS"})
    table = Table("constant", "value", "times", "points move by", "other facts", "gradients")
    for name in (n for n in names if re.search(only, n)):
        values = [(m, vars(m)[name]) for m in MODULES if name in vars(m)]
        value = values[0][1]
        for factor in (0.25, 4) if type(value) is int else (0.01, 100):
            for home, own in values:
                setattr(home, name, type(own)(own * factor))
            after = facts(list(curves()))
            for home, own in values:
                setattr(home, name, own)
            pairs = list(zip(before, after, strict=True))
            moved = max(float((a[0] - b[0]).abs().max()) for a, b in pairs)
            cost = sum(b[2] for _, b in pairs) / sum(a[2] for a, _ in pairs)
            changed = sum(a[1] != b[1] for a, b in pairs)
            table.add_row(
                name,
                ", ".join(f"{v:g}" for v in sorted({v for _, v in values})),
                f"{factor:g}",
                f"{moved:.0e}",
                f"{changed}",
                f"{cost:.2f}",
            )
    Console(width=100).print(f"{len(before)} sets of curves", table)


if __name__ == "__main__":
    main()
