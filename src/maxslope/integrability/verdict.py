"""From a network to a verdict: what follows, what does not, and the proof sketch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy as sp

from maxslope.integrability.certify import certificate
from maxslope.integrability.curves import IntegralCurve, table_curve
from maxslope.integrability.families import families, splitting
from maxslope.integrability.kovacic import Liouvillian, liouvillian
from maxslope.integrability.local import Local, local_data
from maxslope.integrability.networks import NarrowNetwork, Plane, invariant_planes
from maxslope.integrability.variational import NormalEquation, normal_equation
from maxslope.integrability.written import derivation

_GROUPS = {
    1: "triangular (case 1: an invariant line)",
    2: "imprimitive (case 2: an invariant pair of lines)",
    3: "finite and primitive (case 3)",
    4: "SL2(C) (case 4)",
}
_OUT_OF_SCOPE = (
    "Nothing is said about other curves, higher variations, other data or other activations.",
    "Nothing is said about convergence, speed or numerical solution of the flow.",
)


@dataclass(frozen=True)
class Verdict:
    """The outcome for one network, one curve and its first normal variation.

    `result` is None when the normal system is triangular: then it is solved by quadratures.
    """

    network: NarrowNetwork
    curve: IntegralCurve
    plane: Plane
    normal: NormalEquation
    result: Liouvillian | None

    @property
    def solvable(self) -> bool:
        """Whether the identity component of the group of the normal equation is solvable."""
        return self.result is None or self.result.solvable

    @property
    def group(self) -> str:
        """The differential Galois group of the normal form, in words."""
        return _GROUPS[1 if self.result is None else self.result.case]

    @cached_property
    def local(self) -> tuple[Local, ...]:
        """Local data at the poles of r and at infinity."""
        return () if self.result is None else local_data(self.result.equation)

    @property
    def neighborhood(self) -> str:
        """Where first integrals must be meromorphic for the negative statement."""
        irregular = [p for p in self.local if not p.regular]
        if not irregular:
            return "near the curve"
        infinite = any(p.factor is None for p in irregular)
        where = (
            " with its point at infinity (r is irregular there"
            if infinite
            else ", equilibria included (r has an irregular point"
        )
        return f"near the closure of the curve{where}, and monodromy alone need not carry the obstruction)"

    def follows(self) -> tuple[str, ...]:
        """Statements proved by the verdict."""
        if self.solvable:
            return (
                "There is no obstruction in the first normal variation along this curve.",
                "The normal variational equation is solved by Liouvillian functions.",
            )
        return (
            "The identity component of the group of the normal variational equation is SL2(C), which is not solvable.",
            f"The gradient flow is not integrable by meromorphic first integrals and commuting "
            f"fields {self.neighborhood} (Ayoul and Zung, arXiv:0901.4586).",
            "Its general solution is not Liouvillian with smooth dependence on the initial data.",
        )

    def does_not_follow(self) -> tuple[str, ...]:
        """Statements that a reader might infer and must not."""
        if self.solvable:
            return (
                "It does not follow that the flow is integrable or has a closed form: solvable "
                "is not integrable, and one curve at first order is not the flow.",
                *_OUT_OF_SCOPE,
            )
        return (
            "It does not follow that single trajectories have no closed form: the curve used here has one.",
            *_OUT_OF_SCOPE,
        )

    def certificate(self) -> dict[str, Any]:
        """The JSON certificate of r, with the derivation from the network unless `written_out` says why not.

        Raises:
            ValueError: if the system is triangular.
        """
        if self.result is None:
            raise ValueError("a triangular normal system needs no certificate; its matrix is the proof.")
        found = certificate(self.result)
        return found | {"derivation": self._derivation} if self.written_out is None else found

    @property
    def written_out(self) -> str | None:
        """None when the certificate can hold the derivation of r, otherwise why not."""
        return None if isinstance(self._derivation, dict) else self._derivation

    @cached_property
    def _derivation(self) -> dict[str, Any] | str:
        if self.result is None:
            return "the normal system is triangular"
        try:
            return derivation(self.network, self.curve, self.plane, self.result.equation.field)
        except ValueError as error:
            return str(error)

    def sketch(self) -> str:
        """A proof sketch in plain text."""
        net, v = self.network, self.curve.variable
        lines = [
            f"Network: {net.neurons} neuron(s), activation {net.activation.name}, "
            f"data {', '.join(f'({x}, {y})' for x, y in net.samples)}.",
            f"Curve: {self.curve.origin}; "
            + ", ".join(f"{n} = {t}" for n, t in zip(net.parameters, self.curve.theta, strict=True))
            + ".",
            f"Flow on the curve: {v}' = {sp.factor(self.normal.speed)} (verified).",
            f"Normal directions: {self.plane.normal.T.tolist()}; mixed Hessian block 0 (verified).",
        ]
        if self.result is None:
            lines.append("The normal system is triangular, hence solved by quadratures.")
        else:
            lines.append(f"Normal form: y'' = r y with r = {sp.factor(self.result.equation.r)}.")
            lines += [*self._points(), *self._decision(self.result)]
        lines.append(f"Group: {self.group}.")
        lines += [f"Follows: {s}" for s in self.follows()]
        lines += [f"Does not follow: {s}" for s in self.does_not_follow()]
        return "\n".join(lines)

    def _points(self) -> list[str]:
        out = []
        for p in self.local:
            place = "infinity" if p.factor is None else f"zeros of {p.factor.as_expr()}"
            kind = "irregular, " if p.irregular else ""
            values = ", ".join(str(e) for e in p.exponents()) or "none (odd order)"
            out.append(f"  at {place}: {kind}order {p.order}, exponents {values}")
        return out

    def _decision(self, result: Liouvillian) -> list[str]:
        if result.case == 4:
            split = splitting(result.equation.field, self.local)
            found = [] if split is None else families(result.equation, split[0]).admissible
            text = ", ".join(f"{f.signs} (d = {f.degree})" for f in found) or "none"
            return [
                f"Case 1: families with d in N: {text}; all linear systems inconsistent.",
                "Cases 2 and 3: the symmetric powers 4, 6, 8, 12 have no rational solution.",
            ]
        if result.omega is not None:
            return [f"Solution exp(int w) with w = {result.omega} (verified by substitution)."]
        if result.invariant is not None:
            m, f = result.invariant
            return [f"Invariant of degree {m}: F = {f} (verified by substitution)."]
        return []


def decide(network: NarrowNetwork, curve: IntegralCurve | None = None, plane: Plane | None = None) -> Verdict:
    """Decide solvability of the normal variational equation of a network's gradient flow.

    Args:
        network: the network with exact data.
        curve: an integral curve; the table is used when it is left out.
        plane: an invariant plane of codimension 2 that holds the curve; when left out, every fixed
            plane of a signed permutation is tried until one shows an obstruction.

    Raises:
        ValueError: if there is no curve in the table, the curve fails verification, or no
            signed permutation fixes a plane that holds it.

    Source: arXiv:2408.08286 (idea: variational equations of narrow networks), arXiv:0901.4586
    (Ayoul and Zung: meromorphic integrability makes the identity component abelian).

    >>> from maxslope.integrability.networks import LINEAR
    >>> decide(NarrowNetwork(LINEAR, ((1, 1), (-1, -1)))).group
    'SL2(C) (case 4)'
    """
    if len(network.parameters) < 3:
        raise ValueError(
            f"a network must have at least three parameters for a normal equation; got {network.parameters}. "
            "Take biases (bias=True) or more neurons."
        )
    curve = table_curve(network) if curve is None else curve
    curve.matches(network)
    planes = [p for p in invariant_planes(network) if p.contains(curve.theta)] if plane is None else [plane]
    if not planes:
        raise ValueError(
            "no signed permutation of the parameters fixes a plane of codimension 2 that holds "
            f"the curve {curve.theta}. Use data symmetric under (x, y) -> (-x, -y) or give a plane."
        )
    verdicts = []
    for candidate in planes:
        normal = normal_equation(network, curve, candidate)
        result = None if normal.r is None else liouvillian(normal.r, normal.variable)
        verdicts.append(Verdict(network, curve, candidate, normal, result))
        if not verdicts[-1].solvable:
            return verdicts[-1]
    return verdicts[0]
