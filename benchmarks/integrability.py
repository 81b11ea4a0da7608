"""CPU seconds of the integrability room beside its specification's: python benchmarks/integrability.py."""

import argparse
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path
from time import process_time

from rich.console import Console
from rich.table import Table
from sympy import Expr, Rational, Symbol, diff, sinh, sympify

from maxslope.integrability import (
    certificate,
    check,
    decide,
    liouvillian,
    monodromy,
    numeric_flow,
    pull_back,
    second_opinion,
)
from maxslope.integrability import settings as ready
from maxslope.integrability.networks import invariant_planes
from maxslope.integrability.variational import eliminate, normal_form

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integrability"))

from _oracles import ZeroTarget, hypergeometric, linear_bias_equation

X = Symbol("x")
S = Symbol("s", positive=True)
VALUES = ("1", "3/2", "2", "3", "5")


def kimura_grid() -> None:
    for n, m2, y in product(range(2, 6), VALUES, VALUES):
        liouvillian(linear_bias_equation(n, m2, y, X))


def whittaker_grid() -> None:
    for k, q in product((1, 3, 5), sorted({Fraction(p, q) for p in range(1, 7) for q in range(1, 7)})):
        liouvillian(normal_form(*eliminate(ZeroTarget(k, q).matrix(S), S), S), S)


def from_omega(weights: list[Rational]) -> Expr:
    """r = w' + w^2 for w = sum of weight_k/(x - k)."""
    omega = sum(c / (X - k) for k, c in enumerate(weights))
    return diff(omega, X) + omega**2


def rows() -> list[tuple[str, float, Callable[[], object]]]:
    """Name, upper end of the specified time in seconds, action."""
    tanh, cubic = decide(ready.tanh_bias("3/2")), decide(ready.cubic_teacher())
    quadratic = decide(ready.tanh_bias(2)).normal.r
    proof, whole = certificate(tanh.result), tanh.certificate()
    irrational = decide(ready.tanh_bias("sqrt(2)"))
    quaternion = pull_back(hypergeometric("1/2", "1/2", "1/2", X), X, S**3 - 3 * S, S)
    simple = from_omega([Rational(k + 1, 7 + k) for k in range(8)])
    double = from_omega([Rational((-1) ** k * (2 * k + 1), 2) for k in range(12)])
    generic_poles = sum(Rational(k + 1, 7 + k) / (X - k) ** 2 for k in range(12))
    generic = ("1/2", "1/3", "1/5", "-1/7")
    return [
        ("unit equation", 0.1, lambda: liouvillian("x**2/4 - 5/2")),
        ("icosahedral row", 3, lambda: liouvillian(hypergeometric("1/2", "2/5", "1/3", X))),
        ("symmetry search", 0.05, lambda: invariant_planes(tanh.network)),
        ("tanh derivation and verdict, rational poles", 3.9, lambda: decide(ready.tanh_bias("3/2"))),
        ("tanh verdict, rational poles", 3.4, lambda: liouvillian(tanh.normal.r)),
        ("tanh verdict, quadratic poles", 17, lambda: liouvillian(quadratic)),
        ("tanh, Kovacic's classic cases", 30, lambda: second_opinion(tanh.result.equation)),
        ("cubic teacher", 0.7, lambda: liouvillian(cubic.normal.r)),
        ("Kimura grid", 20, kimura_grid),
        ("Whittaker grid", 2, whittaker_grid),
        ("checker, tanh", 0.14, lambda: check(proof)),
        ("checker, tanh, from the network on", 1, lambda: check(whole)),
        ("tanh, y = sqrt 2: derivation and verdict", 17, lambda: decide(ready.tanh_bias("sqrt(2)"))),
        ("certificate, tanh, y = sqrt 2", 5, irrational.certificate),
        ("checker, tanh, y = sqrt 2, from the network on", 2, lambda: check(irrational.certificate())),
        ("quaternion group, cubic pullback", 15.6, lambda: liouvillian(quaternion)),
        ("eight simple poles: both solutions", 10, lambda: liouvillian(simple).solutions()),
        ("twelve double poles, half-integer exponents", 10, lambda: liouvillian(double)),
        ("twelve double poles, none", 10, lambda: liouvillian(generic_poles)),
        ("monodromy, 40 digits, 5 poles", 16, lambda: monodromy(tanh.normal.r)),
        ("monodromy, 40 digits, 3 poles", 7, lambda: monodromy(cubic.normal.r)),
        ("flow, tanh, on the curve", 4, lambda: numeric_flow(tanh.network, (sinh(sympify("1/2")), "1/2", 0, 0), 1)),
        ("flow, tanh, generic", 4, lambda: numeric_flow(tanh.network, generic, 1)),
        ("flow, cubic, generic", 4, lambda: numeric_flow(cubic.network, generic, 1)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    table = Table("what", "specified [s]", "first [s]", f"best of {repeats} [s]", "first / specified")
    for name, specified, action in rows():
        times = []
        for _ in range(repeats):
            start = process_time()
            action()
            times.append(process_time() - start)
        table.add_row(name, f"{specified:g}", f"{times[0]:.3f}", f"{min(times):.3f}", f"{times[0] / specified:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
