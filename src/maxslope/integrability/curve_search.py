"""A search for explicit integral curves where the table has none; what was tried, and why it failed."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from maxslope.integrability.curves import IntegralCurve, table_curve
from maxslope.integrability.networks import NarrowNetwork
from maxslope.integrability.verdict import Verdict, decide

_HEIGHTS = (sp.Rational(1, 2), sp.Rational(1, 3), sp.Rational(1, 4))


@dataclass(frozen=True)
class Attempt:
    """One kind of curve: its verdict, or the reason why there is none for the network."""

    kind: str
    verdict: Verdict | None
    reason: str | None

    def text(self) -> str:
        """One line."""
        if self.verdict is None:
            return f"{self.kind}: none. {self.reason}"
        theta = ", ".join(str(t) for t in self.verdict.curve.theta)
        return f"{self.kind}: ({theta}), {self.verdict.group}."


def search(network: NarrowNetwork) -> tuple[Attempt, ...]:
    r"""Try every kind of explicit curve on a network, verify it, and decide along it.

    The table ($a^2/2 = \int s/s'\,dw$ where it is algebraic), the silent neuron ($a = b = 0$, w stays and c moves) and
    the flat neurons ($w_1 = w_2 = 0$, $a_1 - a_2$ constant).

    Args:
        network: the network.

    Returns:
        The attempts in this order, each with a verdict or a reason.

    >>> from maxslope.integrability.networks import SIN
    >>> [a.verdict is not None for a in search(NarrowNetwork(SIN, ((1, 0), (-1, 0))))]
    [False, True, False]
    """
    kinds = {"table": table_curve, "silent neuron": silent_neuron, "flat neurons": flat_neurons}
    found = []
    for kind, make in kinds.items():
        try:
            found.append(Attempt(kind, decide(network, make(network)), None))
        except ValueError as error:
            why = _INTEGRALS.get(network.activation.name) if kind == "table" else None
            more = "" if why is None else f" ({why}: no parameter makes a and s(w) algebraic together.)"
            found.append(Attempt(kind, None, f"{error}{more}"))
    return tuple(found)


# why a^2/2 = int s/s' dw is no algebraic curve, for the activations where that is known
_INTEGRALS = {
    "sin": "int s/s' = -log cos z",
    "sigmoid": "int s/s' = z + exp(z)",
    "softplus": "int s/s' has a dilogarithm",
    "erf": "int s/s' is not elementary",
    "atan": "int s/s' has arctan and a logarithm",
    "sinh": "int s/s' = log cosh z",
}


def silent_neuron(network: NarrowNetwork) -> IntegralCurve:
    """a = b = 0, w x = z0 with s(z0) rational, c = mean(y) + v/s'(z0)."""
    z = sp.Symbol("z", real=True)
    s = network.activation.function
    if network.neurons != 1 or not network.bias:
        raise ValueError("the silent neuron needs one neuron with biases.")
    if sp.simplify(s(z) + s(-z)) != 0:
        raise ValueError(f"the silent neuron needs an odd activation; {network.activation.name} is not.")
    sizes = network.sizes
    if len(sizes) != 1 or 0 in sizes or not network.even:
        raise ValueError("the silent neuron needs data (x, y), (-x, y) with one |x|: targets symmetric under x -> -x.")
    size = sizes.pop()
    middle = sum((y for _, y in network.samples), sp.Integer(0)) / len(network.samples)
    for height in _HEIGHTS:
        roots = [c for c in sp.solve(s(z) - height, z) if c.is_number and sp.im(sp.N(c)) == 0]
        if roots:
            v = sp.Symbol("v", positive=True)
            slope = sp.diff(s(z), z).subs(z, roots[0])
            plain = sp.simplify(slope.rewrite(sp.exp))
            slope = plain if plain.is_algebraic else slope
            origin = f"silent neuron, s(w x) = {height}, c - {middle} = v/s'(w x)"
            return IntegralCurve(v, (sp.S.Zero, roots[0] / size, sp.S.Zero, middle + v / slope), origin)
    raise ValueError(f"{network.activation.name} must take one of the values 1/2, 1/3, 1/4 for the silent neuron.")


def flat_neurons(network: NarrowNetwork) -> IntegralCurve:
    """w1 = w2 = 0, a1 = v + 1, a2 = v - 1."""
    if network.neurons != 2 or network.bias:
        raise ValueError("the flat neurons need two neurons without biases.")
    if not network.even:
        raise ValueError("the flat neurons need targets symmetric under x -> -x.")
    start = network.activation.function(sp.Integer(0))
    if start == 0:
        raise ValueError(f"the flat neurons need s(0) != 0; with {network.activation.name} they stand still.")
    if not sp.simplify(start).is_algebraic:
        raise ValueError(f"the flat neurons need an algebraic s(0); {network.activation.name} has {start}.")
    v = sp.Symbol("v", positive=True)
    return IntegralCurve(v, (v + 1, sp.S.Zero, v - 1, sp.S.Zero), "flat neurons, a1 - a2 = 2")
