"""The arithmetic facts of a certificate as Lean 4 text (with Mathlib), for a reader who trusts no Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from maxslope.integrability import _exact as ex
from maxslope.integrability.checker import examine, power_chain

_LONGEST = 40_000  # characters of one text


def lean(certificate: Mapping[str, Any]) -> str:
    """Write the facts that a certificate rests on as Lean 4 examples.

    A certificate of solvability becomes polynomial identities, proved by `ring`: they are all that its claim
    needs beside Kovacic's theorems. One of SL2 becomes the roots of the denominator modulo p and the
    square roots; the ranks of the linear systems are not in it, and the text says so.

    Args:
        certificate: a certificate over the rationals; it is checked first.

    Raises:
        ValueError: if the certificate is refused, its field is larger, or the text would become too long.

    >>> from maxslope.integrability import certificate, liouvillian
    >>> print(lean(certificate(liouvillian("x**2/4 - 1/2"))).splitlines()[-1])
    example (x : Rat) : ((-1) * (2) - (-1 * x) * (0) + (-1 * x)^2) * (4) = (-2 + 1 * x^2) * (2)^2 := by ring
    """
    proof = examine(certificate)
    if "field" in certificate:
        raise ValueError("Lean text is written over the rationals alone; the certificate has a larger field.")
    head = [
        "import Mathlib",
        "",
        f"-- maxslope: arithmetic facts behind the claim {proof.claim} on y'' = r y. Kovacic's theorems, which turn",
        "-- them into the claim, are not stated here; nor is the derivation of r from a network.",
    ]
    body = _identities(certificate) if proof.claim == "solvable" else _modular(certificate)
    text = "\n".join([*head, *body])
    if len(text) > _LONGEST:
        raise ValueError(f"the Lean text would have {len(text)} characters; at most {_LONGEST} are written.")
    return text


def _poly(p: Sequence[Any]) -> str:
    """A polynomial in x, lowest degree first."""
    terms = [f"{c}" if k == 0 else f"{c} * x" if k == 1 else f"{c} * x^{k}" for k, c in enumerate(p) if c]
    return "(" + (" + ".join(terms) or "0") + ")"


def _identities(certificate: Mapping[str, Any]) -> list[str]:
    witness, eq = certificate["witness"], certificate["equation"]
    u, v, s, e = (list(d[k]) for d in (witness, eq) for k in ("numerator", "denominator"))
    if witness["kind"] == "riccati":
        left = f"({_poly(ex.diff(u))} * {_poly(v)} - {_poly(u)} * {_poly(ex.diff(v))} + {_poly(u)}^2) * {_poly(e)}"
        right = f"{_poly(s)} * {_poly(v)}^2"
        return [f"-- w = u/v satisfies w' + w^2 = r:\nexample (x : Rat) : {left} = {right} := by ring"]
    m = witness["m"]
    lines = [f"-- F solves the symmetric power {m}: n_(i+1) = g n_i' - e v' n_i - i g' n_i - i (m-i+1) s e v^2 n_(i-1)"]
    chain = power_chain((u, v), (s, e), m)
    g, lead, dg, second = (_poly(p) for p in (chain.g, chain.lead, ex.diff(chain.g), chain.second))
    for i, (before, (current, new)) in enumerate(zip([[], *chain.members], pairwise(chain.members), strict=False)):
        n = _poly(current)
        right = f"{_poly(ex.diff(current))} * {g} - {lead} * {n} - {i} * {dg} * {n}"
        right += f" - {i * (m - i + 1)} * {second} * {_poly(before)}"
        lines.append(f"example (x : Rat) : {_poly(new)} = {right} := by ring")
    return lines


def _modular(certificate: Mapping[str, Any]) -> list[str]:
    p, eq = certificate["prime"], certificate["equation"]
    lines = [
        "-- Not stated: the ranks modulo p of the linear systems (families and symmetric powers) and that p is",
        "-- prime, both of which the checker recomputes.",
    ]
    for (f, _), roots in zip(eq["factors"], certificate["roots"], strict=True):
        for c in roots:
            value = " + ".join(f"({a}) * {c}^{k}" for k, a in enumerate(f))
            lines.append(f"example : ({value} : Int) % {p} = 0 := by norm_num")
    roots = [*certificate["roots"], [0]]  # infinity last
    points = [(q, c) for q, cs in zip(certificate["local"], roots, strict=True) for c in cs]
    for (local, c), s in zip(points, certificate["square_roots"], strict=True):
        if local["order"] == 2 and local["discriminant"] is not None:
            value = sum(ex.reduce(Fraction(d), p) * pow(c, k, p) for k, d in enumerate(local["discriminant"])) % p
            lines.append(f"example : (({s})^2 - {value} : Int) % {p} = 0 := by norm_num")
    return lines
