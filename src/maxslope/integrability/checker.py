"""Independent checker of integrability certificates, in pure Python.

It reads y'' = r y and a claim, and recomputes everything the claim rests on. It shares no code
with the solver and imports no computer algebra system.

Claim "SL2". G is SL2(C) if (1) w' + w^2 = r has no rational solution and (2) the symmetric
powers 4, 6, 8, 12 have no rational solution F != 0 (Kovacic 1986; Ulmer and Weil 1996). The
poles, the roots of the discriminants and the amplitudes at irregular points are reduced modulo a
prime p that splits them all. A family of signs whose degree d is a non-negative integer below
the archimedean bound reduces to a family with d mod p in the same range, and a solution P
reduces to a non-zero solution modulo p. So full column rank modulo p for every such family, and
for every symmetric power, proves the claim; poles may be irregular and algebraic.

Claim "solvable". A rational w with w' + w^2 = r, or a rational F != 0 that solves a symmetric
power (SL2(C) has no such invariant), is substituted exactly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from maxslope.integrability import _exact as ex
from maxslope.integrability._check_data import CertificateError, demand, read, split
from maxslope.integrability._check_steps import check_families, check_symmetric_power

FORMAT = "maxslope-integrability-1"


def check(certificate: Mapping[str, Any]) -> str:
    """Recompute a certificate and return its claim, "SL2" or "solvable".

    Args:
        certificate: the mapping read from the JSON file.

    Raises:
        CertificateError: (a ValueError) with the first step that does not hold.

    Source: Kovacic, J. Symbolic Computation 2 (1986), sections 3 to 5; Ulmer and Weil (1996).

    >>> check({"format": "something else"})
    Traceback (most recent call last):
    ...
    maxslope.integrability._check_data.CertificateError: certificate refused: unknown format. \
Derive it again with `certificate(...)`.
    """
    demand(certificate.get("format") == FORMAT, "unknown format")
    claim = certificate.get("claim")
    demand(claim in ("SL2", "solvable"), "the claim must be SL2 or solvable")
    try:
        if claim == "SL2":
            case = split(certificate)
            check_families(case, certificate)
            steps = certificate["symmetric_powers"]
            demand([s["m"] for s in steps] == [4, 6, 8, 12], "a symmetric power is missing")
            for step in steps:
                check_symmetric_power(case, step)
        else:
            _check_witness(certificate)
    except CertificateError:
        raise
    except (KeyError, TypeError, IndexError, ValueError, ZeroDivisionError) as error:
        raise CertificateError(f"certificate refused: malformed ({error!r}).") from error
    return str(claim)


def _fractions(values: Sequence[Any]) -> list[Fraction]:
    return ex.strip([Fraction(v) for v in values])


def _check_witness(certificate: Mapping[str, Any]) -> None:
    eq, witness = certificate["equation"], certificate["witness"]
    r = (_fractions(eq["numerator"]), _fractions(eq["denominator"]))
    if certificate["local"]:
        read(certificate)
    f = (_fractions(witness["numerator"]), _fractions(witness["denominator"]))
    demand(bool(r[1] and f[1]), "a denominator vanishes")
    if witness["kind"] == "riccati":
        demand(witness["m"] == 1, "a Riccati witness has degree 1")
        # w = u/v: (u' v - u v' + u^2) den = num v^2
        u, v = f
        top = ex.plus(ex.plus(ex.times(ex.diff(u), v), ex.times(u, ex.diff(v)), -1), ex.times(u, u))
        left, right = ex.times(top, r[1]), ex.times(r[0], ex.times(v, v))
        demand(left == right, "w' + w^2 = r does not hold")
        return
    demand(witness["kind"] == "invariant" and bool(f[0]), "unknown or zero witness")
    m = int(witness["m"])
    demand(m >= 1, "a witness must have a positive degree")
    demand(_solves_power(f, r, m), "the invariant does not solve its symmetric power")


def _solves_power(f: tuple[list[Fraction], list[Fraction]], r: tuple[list[Fraction], list[Fraction]], m: int) -> bool:
    """F_{m+1} = 0 for F_{i+1} = F_i' - i(m-i+1) r F_{i-1}.

    F = u/v and r = s/e are written over powers of g = v e: F_i = n_i / (v g**i).
    """
    u, v = f
    s, e = r
    g = ex.times(v, e)
    lead = ex.times(e, ex.diff(v))
    dg = ex.diff(g)
    second = ex.times(ex.times(s, e), ex.times(v, v))
    before: list[Fraction] = []
    current = u
    for i in range(m + 1):
        new = ex.plus(ex.times(ex.diff(current), g), ex.times(current, lead), -1)
        new = ex.plus(new, [i * c for c in ex.times(current, dg)], -1)
        new = ex.plus(new, [i * (m - i + 1) * c for c in ex.times(before, second)], -1)
        before, current = current, new
    return not current


def main(arguments: Sequence[str]) -> int:
    """Check certificate files; the exit code is the number of refusals, at most 100."""
    refused = 0
    for name in arguments:
        try:
            verdict = check(json.loads(Path(name).read_text(encoding="utf-8")))
            sys.stdout.write(f"{name}: proved, {verdict}\n")
        except CertificateError as error:
            refused += 1
            sys.stdout.write(f"{name}: {error}\n")
    return min(refused, 100)  # 256 would read as success


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
