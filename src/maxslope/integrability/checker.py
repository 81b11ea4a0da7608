"""Independent checker of integrability certificates: pure Python, without code of the solver or computer algebra.

Everything a claim about y'' = r y rests on is recomputed, and r too where a network is named; docs/liouvillian.md and
docs/integrability.md say why that is a proof. G is SL2(C) if w' + w^2 = r has no rational solution and the symmetric
powers 4, 6, 8, 12 have none but 0 (Kovacic 1986; Ulmer and Weil 1996); a rational w or such an F shows that it is not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from maxslope.integrability import _check_data as cd
from maxslope.integrability import _exact as ex
from maxslope.integrability._check_data import CertificateError, demand
from maxslope.integrability._check_derivation import check_derivation
from maxslope.integrability._check_steps import check_families, check_symmetric_power

FORMAT = "maxslope-integrability-2"
BYTES = 4_000_000
_PART = {"roots", "square_roots", "families", "symmetric_powers"}


@dataclass(frozen=True)
class Proof:
    """What a certificate proves: the claim, and the network it is about, or None for y'' = r y alone."""

    claim: str
    network: str | None

    @property
    def scope(self) -> str:
        """Which part is proved and which is not, in one sentence."""
        if self.network is None:
            return "proved is the claim about y'' = r y alone; no network is named, and nothing is proved about one"
        return f"proved are the derivation of r and the claim about y'' = r y, for {self.network}"


def check(certificate: Mapping[str, Any], seconds: float = 60) -> str:
    """Recompute a certificate and return its claim, "SL2" or "solvable".

    Args:
        certificate: the mapping read from the JSON file.
        seconds: when to give up on a certificate that is more work.

    Raises:
        CertificateError: (a ValueError) with the first step that does not hold.

    Source: Kovacic, J. Symbolic Computation 2 (1986), sections 3 to 5; Ulmer and Weil (1996).

    >>> check({"format": "something else"})
    Traceback (most recent call last):
    ...
    maxslope.integrability._check_data.CertificateError: certificate refused: unknown format. \
Derive it again with `certificate(...)`.
    """
    return examine(certificate, seconds).claim


def examine(certificate: Mapping[str, Any], seconds: float = 60) -> Proof:
    """Recompute a certificate and say what it proves, and about what; arguments and errors are those of `check`.

    >>> from maxslope.integrability import certificate, liouvillian
    >>> examine(certificate(liouvillian("x"))).scope[:46]
    "proved is the claim about y'' = r y alone; no "
    """
    demand(isinstance(certificate, Mapping), "it must be an object")
    demand(certificate.get("format") == FORMAT, "unknown format")
    claim = certificate.get("claim")
    demand(type(claim) is str and claim in ("SL2", "solvable"), "the claim must be SL2 or solvable")
    try:
        with ex.within(seconds):
            return _examine(certificate, str(claim))
    except CertificateError:
        raise
    except ex.OverTimeError as error:
        reason = f"certificate refused: it takes more than {seconds:g} seconds. Give more, check(..., seconds=600)."
        raise CertificateError(reason) from error
    except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CertificateError(f"certificate refused: malformed ({type(error).__name__}: {error}).") from error


def _examine(certificate: Mapping[str, Any], claim: str) -> Proof:
    optional = {"field", "derivation"} & set(certificate)
    common = {"format", "claim", "equation"} | optional
    if claim == "solvable":
        cd.fields(certificate, common | {"witness"}, "a certificate of solvability")
        cd.fields(certificate["equation"], {"numerator", "denominator"}, "the equation")
    else:
        own = {"conjugates"} if "field" in optional else _PART
        cd.fields(certificate, common | {"local", "prime"} | own, "a certificate of SL2")
        cd.fields(certificate["equation"], {"numerator", "denominator", "factors"}, "the equation")
    eq = cd.given(certificate)
    network = check_derivation(certificate["derivation"], eq) if "derivation" in optional else None
    if claim == "solvable":
        _check_witness(eq, certificate["witness"])
    else:
        _check_exclusions(eq, certificate)
    return Proof(claim, network)


def _check_exclusions(eq: cd.Given, certificate: Mapping[str, Any]) -> None:
    found, p = cd.places(certificate, eq), cd.prime(certificate)
    if eq.modulus is None:
        _check_part(cd.split(eq, found, certificate, p, 0), certificate)
        return
    parts = cd.listing(certificate["conjugates"], "the list of conjugates", len(eq.modulus) - 1)
    field = [ex.reduce(c, p) for c in eq.modulus]
    generators = set()
    for part in parts:
        cd.fields(part, {"generator", *_PART}, "a conjugate")
        rho = cd.integer(part["generator"], "a root of the field's polynomial")
        demand(0 <= rho < p and ex.evaluate(field, rho, p) == 0, "a root of the field's polynomial is wrong")
        generators.add(rho)
        _check_part(cd.split(eq, found, part, p, rho), part)
    demand(len(generators) == len(field) - 1, "a root of the field's polynomial is missing")


def _check_part(case: cd.Case, part: Mapping[str, Any]) -> None:
    check_families(case, part)
    steps = cd.listing(part["symmetric_powers"], "the symmetric powers", 4)
    for step in steps:
        cd.fields(step, {"m", "exponents", "columns", "rank"}, "a symmetric power")
    demand([s["m"] for s in steps] == [4, 6, 8, 12], "a symmetric power is missing")
    for step in steps:
        check_symmetric_power(case, part["square_roots"], step)


def _check_witness(eq: cd.Given, witness: Mapping[str, Any]) -> None:
    cd.fields(witness, {"kind", "m", "numerator", "denominator"}, "the witness")
    u, v = (cd.polynomial(witness[key], eq.modulus, f"the witness's {key}") for key in ("numerator", "denominator"))
    demand(bool(v), "a denominator vanishes")
    demand(eq.modulus is None or v[-1] == 1, "the witness's denominator must be monic")
    m, kind = cd.integer(witness["m"], "the degree of the witness"), witness["kind"]
    demand(1 <= m <= 12, "a witness must have a degree from 1 to 12")
    if kind == "riccati":
        demand(m == 1, "a Riccati witness has degree 1")
        # w = u/v: (u' v - u v' + u^2) den = num v^2
        top = ex.plus(ex.plus(ex.times(ex.diff(u), v), ex.times(u, ex.diff(v)), -1), ex.times(u, u))
        left, right = ex.times(top, eq.den), ex.times(eq.num, ex.times(v, v))
        demand(left == right, "w' + w^2 = r does not hold")
        return
    demand(kind == "invariant" and bool(u), "unknown or zero witness")
    demand(eq.modulus is None or u[-1] == 1, "the witness's numerator must be monic")
    chain = power_chain((u, v), (eq.num, eq.den), m)
    demand(not chain.members[-1], "the invariant does not solve its symmetric power")


class PowerChain(NamedTuple):
    """F_i = n_i / (v g**i), i = 0, ..., m+1, of F = u/v and r = s/e with g = v e, lead = e v', second = s e v^2."""

    g: list[Any]
    lead: list[Any]
    second: list[Any]
    members: list[list[Any]]


def power_chain(f: tuple[list[Any], list[Any]], r: tuple[list[Any], list[Any]], m: int) -> PowerChain:
    """The chain of F = u/v; F solves the m-th symmetric power of y'' = r y if the last member vanishes."""
    (u, v), (s, e) = f, r
    g, lead = ex.times(v, e), ex.times(e, ex.diff(v))
    second = ex.times(ex.times(s, e), ex.times(v, v))
    return PowerChain(g, lead, second, ex.chain(m, g, [-c for c in lead], second, u))


def parse(text: str) -> Mapping[str, Any]:
    """Read the text of a certificate: JSON without floats, without a key twice, and not nested deeply.

    Raises:
        CertificateError: for anything else.

    >>> parse('{"claim": 1e999}')
    Traceback (most recent call last):
    ...
    maxslope.integrability._check_data.CertificateError: certificate refused: not a certificate's JSON \
(a number is not an integer).
    """
    try:
        demand(len(text) <= BYTES, f"it is longer than {BYTES} characters, which this checker does not take on")
        value = json.loads(text, object_pairs_hook=_object, parse_float=_refuse, parse_constant=_refuse)
    except CertificateError:
        raise
    except (ValueError, RecursionError) as error:
        raise CertificateError(f"certificate refused: not a certificate's JSON ({error}).") from error
    demand(isinstance(value, dict), "it must be an object")
    return dict(value)


def _refuse(_: str) -> Any:
    raise ValueError("a number is not an integer")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        raise ValueError("a key occurs twice")
    return keys


def main(arguments: Sequence[str]) -> int:
    """Check certificate files; the exit code is the number of refusals, at most 100."""
    refused = 0
    for name in arguments:
        try:
            with Path(name).open("rb") as file:
                proof = examine(parse(file.read(BYTES + 1).decode("utf-8")))
            sys.stdout.write(f"{name}: proved, {proof.claim}; {proof.scope}\n")
        except (CertificateError, OSError, UnicodeDecodeError) as error:
            refused += 1
            sys.stdout.write(f"{name}: {error}\n")
    return min(refused, 100)  # 256 would read as success


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
