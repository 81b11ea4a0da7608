"""The certificate binds network, curve, equation and claim; no file makes the checker crash, hang or believe."""

import copy
import json
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from sympy import QQ, Symbol, log, root, sqrt

from integrability._lists import TETRA
from maxslope.integrability import (
    ALGEBRAIC,
    LINEAR,
    TAN,
    TANH,
    Activation,
    CertificateError,
    IntegralCurve,
    NarrowNetwork,
    certificate,
    check,
    decide,
    examine,
    invariant_planes,
    liouvillian,
    parse,
)
from maxslope.integrability import settings as ready
from maxslope.integrability.checker import main
from maxslope.integrability.networks import State
from maxslope.integrability.written import derivation

NETWORKS = {
    "tanh": lambda: ready.tanh_bias("3/2"),
    "tanh, irrational target": lambda: ready.tanh_bias("sqrt(2)"),
    "cubic": lambda: ready.cubic_teacher(origin=True),
    "zero target": lambda: ready.zero_target(3, "1/3"),
    "linear": lambda: ready.linear_bias(1),
    "linear pair": ready.linear_pair,
    "tanh pair": ready.tanh_pair,
    "cubic pair": ready.cubic_pair,
    "algebraic": lambda: NarrowNetwork(ALGEBRAIC, ((1, 0), (-1, 0))),
    "tan": lambda: NarrowNetwork(TAN, ((1, 2), (-1, -2))),
}
_MADE: dict[str, dict[str, Any]] = {}


def made(name: str) -> dict[str, Any]:
    """The certificate of one of the networks, as it comes out of a file; made once."""
    if name not in _MADE:
        _MADE[name] = json.loads(json.dumps(decide(NETWORKS[name]()).certificate()))
    return copy.deepcopy(_MADE[name])


@pytest.mark.parametrize("name", [n for n in NETWORKS if n != "tanh, irrational target"])
def test_the_network_is_bound(name: str) -> None:
    proof = examine(made(name))
    assert proof.network is not None
    assert proof.scope.startswith("proved are the derivation of r and the claim")


@pytest.mark.slow
def test_a_network_over_a_number_field_is_bound() -> None:
    assert examine(made("tanh, irrational target")).network is not None


def test_an_equation_alone_says_so() -> None:
    proof = examine(certificate(liouvillian("x")))
    assert proof.network is None
    assert "nothing is proved about" in proof.scope


def test_swapped_derivations_are_refused() -> None:
    """The fault found from outside: the linear network, which has a closed form, in tanh's certificate."""
    tanh = made("tanh")
    for name in ("linear pair", "tanh pair", "cubic", "linear", "tan", "algebraic"):
        with pytest.raises(CertificateError, match=r"another r|triangular"):
            check(tanh | {"derivation": made(name)["derivation"]})


def test_floats_are_not_cut() -> None:
    """The fault found from outside: numerator [-3, 0, 1.5] of r = x^2/4 - 1/2 passed as SL2."""
    data = certificate(liouvillian("x**2/4 - 1/3"))
    assert check(data) == "SL2"
    for value in (1.5, 3.0, True, "3", None, [3], float("nan"), float("inf")):
        changed = copy.deepcopy(data)
        changed["equation"]["numerator"][-1] = value
        with pytest.raises(CertificateError, match="must be an integer"):
            check(changed)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("activation",), "tan", "equation along the curve"),
        (("activation",), "z^3", "must have the fields"),
        (("activation",), "relu", "unknown"),
        (("neurons",), True, "integer"),
        (("neurons",), 2, "one entry for each parameter"),
        (("bias",), 1, "true or false"),
        (("data", 0, 1), "2", "gradient|another r"),
        (("data", 0, 0), "2", "equation along the curve"),
        (("data", 0, 1), "C", "constant"),
        (("origin",), "2", "vanish|another value"),
        (("curve", 0), "2*g1*g2", "gradient"),
        (("curve", 1, "slope"), "2/(g1*g2)", "equation along the curve"),
        (("curve", 1, "slope"), "1/(C - 1)", "no integral"),
        (("curve", 2), "C", "origin|gradient|equation"),
        (("states", 0, 0, "u"), "0", "equation along the curve"),
        (("normal", 0, 2), "2", None),
        (("normal", 0, 0), "1", "normal directions"),
        (("roots", "g1"), "C^2 + 1", "vanish|gradient|equation|value"),
    ],
)
def test_altered_derivations(path: tuple, value: object, reason: str | None) -> None:
    """Each entry of the derivation carries weight; longer normal vectors are the one change that keeps r."""
    data = made("tanh")
    node: Any = data["derivation"]
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    if reason is None:
        assert check(data) == "SL2"
        return
    with pytest.raises(CertificateError, match=reason):
        check(data)


def test_own_activation_with_its_rule() -> None:
    """tanh under another name and with a rule of its own; a false rule is refused."""
    own = Activation("mine", TANH.function, value="2*u", states=(State("u", TANH.function, "1 - u^2", "0"),))
    double = Activation("double", lambda z: 2 * TANH.function(z), value=own.value, states=own.states)
    v = Symbol("V", positive=True)
    curve = IntegralCurve(v, ((v - 1 / v) / 2, log(v), v * 0, v * 0))
    verdict = decide(NarrowNetwork(double, ((1, 0), (-1, 0))), curve)
    data = verdict.certificate()
    assert verdict.written_out is None
    assert check(data) == "SL2"
    for key, value in (("rate", "1 + u^2"), ("rate", "1/(u + 1)"), ("rate", "2 - u^2"), ("start", "1")):
        changed = copy.deepcopy(data)
        changed["derivation"]["activation"]["states"]["u"][key] = value
        with pytest.raises(CertificateError):
            check(changed)
    changed = copy.deepcopy(data)
    changed["derivation"]["activation"]["value"] = "u"
    with pytest.raises(CertificateError):
        check(changed)


@pytest.mark.slow
def test_without_a_rule_the_certificate_is_about_the_equation() -> None:
    v = Symbol("V", positive=True)
    curve = IntegralCurve(v, ((v - 1 / v) / 2, log(v), v * 0, v * 0))
    verdict = decide(NarrowNetwork(Activation("mine", TANH.function), ((1, 1), (-1, -1))), curve)
    assert "no rule" in str(verdict.written_out)
    assert examine(verdict.certificate()).network is None


def test_what_is_no_square_root_is_not_written_out() -> None:
    s = Symbol("s", positive=True)
    network = NarrowNetwork(LINEAR, ((1, 1), (-1, -1)))
    plane = invariant_planes(network)[0]
    for a, reason in ((root(s, 3), "not made of square roots"), (sqrt(s + sqrt(s)), "under another")):
        with pytest.raises(ValueError, match=reason):
            derivation(network, IntegralCurve(s, (a, a, s * 0, s * 0)), plane, QQ)
    shifted = IntegralCurve(s, (s, log(s + 7), s * 0, s * 0))
    with pytest.raises(ValueError, match="no input of the activation vanishes"):
        derivation(NarrowNetwork(TANH, ((1, 1), (-1, -1))), shifted, plane, QQ)


def test_a_field_that_is_none() -> None:
    """alpha^2 = 1: r = (1 + alpha) x is 2 x at one root and 0 at the other, where the claim is false."""
    empty = {"exponents": [], "columns": 0, "rank": 0}
    part = {
        "roots": [],
        "square_roots": [0],
        "families": {"total": 0, "admissible": []},
        "symmetric_powers": [{"m": m, **empty} for m in (4, 6, 8, 12)],
    }
    prime = 2**61 - 1
    data = {
        "format": "maxslope-integrability-2",
        "claim": "SL2",
        "field": ["-1", "0", "1"],
        "equation": {"numerator": [[], ["1", "1"]], "denominator": [["1"]], "factors": []},
        "local": [{"order": -1, "half": 0, "discriminant": None}],
        "prime": prime,
        "conjugates": [{"generator": g, **copy.deepcopy(part)} for g in (1, prime - 1)],
    }
    with pytest.raises(CertificateError, match="numerator has another degree"):
        check(data)
    honest = data | {"field": ["-2", "0", "1"], "conjugates": certificate(liouvillian("sqrt(2)*x"))["conjugates"]}
    assert check(honest) == "SL2"


# --- files ------------------------------------------------------------------------------------------------------------

BAD_TEXTS = {
    "empty": "",
    "no object": "[]",
    "a number": "1",
    "floats": '{"format": 1e999}',
    "nan": '{"format": NaN}',
    "minus infinity": '{"format": -Infinity}',
    "deep": "[" * 200_000,
    "deep objects": '{"a":' * 100_000,
    "a key twice": '{"format": "maxslope-integrability-2", "format": "maxslope-integrability-2"}',
    "many digits": '{"format": ' + "9" * 100_000 + "}",
    "long": '{"format": "' + "x" * 5_000_000 + '"}',
    "cut": json.dumps(certificate(liouvillian("x")))[:-40],
    "a tail": json.dumps(certificate(liouvillian("x"))) + "x",
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_bad_files_are_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CertificateError):
        examine(parse(BAD_TEXTS[name]))
    file = tmp_path / "bad.json"
    file.write_text(BAD_TEXTS[name])
    assert main([str(file)]) == 1
    assert "refused" in capsys.readouterr().out


def test_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{}")
    assert main([str(tmp_path / "bytes.json"), str(tmp_path), str(tmp_path / "missing.json")]) == 3
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize("value", [None, [], "SL2", 3, 2.5, True, b"{}"])
def test_what_is_no_mapping(value: object) -> None:
    with pytest.raises(CertificateError):
        check(value)  # type: ignore[arg-type]


HUGE = {
    "m": lambda d: d["symmetric_powers"][0].update(m=10**9),
    "order": lambda d: d["equation"]["factors"][0].__setitem__(1, 10**8),
    "stated order": lambda d: d["local"][0].update(order=10**8),
    "degree": lambda d: d["equation"].update(numerator=[1] * 20_001),
    "denominator": lambda d: d["equation"].update(denominator=[1] * 20_001),
    "prime": lambda d: d.update(prime=10**4000 + 1),
    "small prime": lambda d: d.update(prime=7),
    "root": lambda d: d["roots"][0].__setitem__(0, 10**1000),
    "coefficient": lambda d: d["equation"]["numerator"].__setitem__(0, 10**5000),
    "columns": lambda d: d["symmetric_powers"][3].update(columns=10**12, rank=10**12),
    "total": lambda d: d["families"].update(total=10**30),
    "families": lambda d: d["families"].update(admissible=d["families"]["admissible"] * 10**4),
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_numbers_are_refused_quickly(name: str) -> None:
    data = made("tanh")
    HUGE[name](data)
    start = process_time()
    with pytest.raises(CertificateError):
        check(data)
    assert process_time() - start < 5


EXPENSIVE = {
    "powers of powers": ("curve", 0, "((((C + 2)^60)^60)^60)^60"),
    "brackets": ("curve", 0, "(" * 3000 + "C" + ")" * 3000),
    "digits": ("curve", 0, "((9^60)^60)^60"),
    "a long sum": ("curve", 0, "+".join(f"1/(C + {k})" for k in range(400))),
    "signs": ("curve", 0, "-" * 3999 + "C"),
}


@pytest.mark.parametrize("name", EXPENSIVE)
def test_expensive_expressions_are_refused_in_time(name: str) -> None:
    data = made("tanh")
    *path, value = EXPENSIVE[name]
    data["derivation"][path[0]][path[1]] = value
    start = process_time()
    with pytest.raises(CertificateError):
        examine(data, seconds=1)
    assert process_time() - start < 4


def test_the_time_is_kept() -> None:
    with pytest.raises(CertificateError, match="more than 0 seconds"):
        check(made("tanh"), seconds=0)


# --- seeded mutations -------------------------------------------------------------------------------------------------

SMALL = [
    "x",
    "x/(x**2-3)**2",
    "(x+3)/(x**3-x-1)**4",
    "sqrt(2)*x + 1/x**2",
    "x**2/4 - 3/2",
    "1/x - 3/(16*x**2)",
    TETRA,
    "1/2 + sqrt(2)/x",
    "1/(4*x**2*(x-1))",
]
BASES: dict[str, Callable[[], dict]] = {
    **{r: (lambda r=r: json.loads(json.dumps(certificate(liouvillian(r))))) for r in SMALL},
    **{f"network: {n}": (lambda n=n: made(n)) for n in ("linear", "linear pair", "tanh pair", "zero target")},
}


def _nodes(node: Any, path: tuple = ()) -> list[tuple]:
    here = [path] if path else []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return here + [p for key, value in items for p in _nodes(value, (*path, key))]


def _strange(rng: random.Random, value: Any) -> Any:
    """Something else than `value`: another type, a huge number, a neighbor, a permutation."""
    other: list[Any] = [None, True, False, 0, -1, 10**9, 10**400, 1.5, 0.0, float("nan"), "", "x", "1/0", [], {}, [[]]]
    other += ["1" * 5000, [1] * 300, {"slope": "1"}]
    if type(value) is int:
        other += [value + 1, value - 1, -value, 2 * value, value + 2**61 - 1, str(value), bool(value)] * 3
        other += [float(value)] if abs(value) < 2**60 else []
    if isinstance(value, str):
        other += [value + "0", value[:-1], "-" + value, f"({value})+1", f"2*({value})", value.replace("1", "2")] * 3
    if isinstance(value, list):
        other += [value[::-1], value[:-1], value + value[-1:], [*value, 0], rng.sample(value, len(value))] * 4
    if isinstance(value, dict):
        other += [{**value, "more": 1}, dict(list(value.items())[:-1])] * 4
    return rng.choice(other)


def _mutate(rng: random.Random, data: dict, donors: list[dict]) -> dict:
    out = copy.deepcopy(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        paths = _nodes(out)
        path = rng.choice(paths)
        node = out
        for key in path[:-1]:
            node = node[key]
        donor = rng.choice(donors)
        if rng.random() < 0.2 and path[0] in donor:
            out[path[0]] = copy.deepcopy(donor[path[0]])  # a whole part of another certificate
        else:
            node[path[-1]] = _strange(rng, node[path[-1]])
    return out


def _still_true(data: dict) -> bool:
    """Whether the claim of an accepted file holds, by the solver: of its equation alone."""
    x = Symbol("x")
    field = data.get("field")
    if field is not None and [Fraction(c) for c in field] not in ([-2, 0, 1],):
        return False

    def number(c: Any) -> Any:
        return c if isinstance(c, int) else sum(Fraction(v) * sqrt(2) ** k for k, v in enumerate(c))

    num, den = (
        sum(number(c) * x**k for k, c in enumerate(data["equation"][key])) for key in ("numerator", "denominator")
    )
    return liouvillian(num / den, x).solvable == (data["claim"] == "solvable")


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_mutated_certificates(name: str, seed: int) -> None:
    """Accepted only where the claim is still true; refused with the one exception otherwise; quickly."""
    rng = random.Random(f"{name} {seed}")
    base = BASES[name]()
    donors = [certificate(liouvillian(r)) for r in ("x", "x**2/4 - 1/2", TETRA)] + [made("linear")]
    assert check(base) == base["claim"]
    for _ in range(150 if seed == 0 else 500):
        data = _mutate(rng, base, donors)
        start = process_time()
        try:
            claim = examine(data, seconds=5).claim
        except CertificateError:
            claim = None
        assert process_time() - start < 10
        if claim is None or data == base:
            continue
        assert _exact(data)
        assert _still_true(data), data
        assert data.get("derivation") == base.get("derivation") or _same_network(data, base), data


def _exact(data: Any) -> bool:
    """No float and no truth value but `bias` anywhere."""
    if isinstance(data, dict):
        return all(k == "bias" or _exact(v) for k, v in data.items())
    return all(_exact(v) for v in data) if isinstance(data, list) else type(data) in (int, str, type(None))


def _same_network(data: dict, base: dict) -> bool:
    """Whether an accepted derivation differs in what does not matter: how it is written, or no network at all."""
    if "derivation" not in data:
        return True
    ours, theirs = data["derivation"], base.get("derivation")
    if theirs is None:
        return ours == made("linear")["derivation"]
    keys = ("activation", "neurons", "bias", "data", "curve", "normal")
    changed = [k for k in keys if ours[k] != theirs[k]]
    return all(k in ("normal", "curve", "data") for k in changed)


def test_mutated_texts() -> None:
    """Bytes changed, cut out and doubled: read and refused, or read as before."""
    rng = random.Random(5)
    text = json.dumps(certificate(liouvillian("x/(x**2-3)**2")))
    for _ in range(400):
        at, size = rng.randrange(len(text)), rng.choice([1, 1, 2, 30])
        piece = rng.choice(["", text[at : at + size] * 2, rng.choice('0123456789[]{}",:-.eE '), "NaN", "1e5", "true"])
        changed = text[:at] + piece + text[at + size :]
        try:
            data = parse(changed)
            claim = examine(data, seconds=5).claim
        except CertificateError:
            continue
        assert claim == "SL2"
        assert _still_true(data)
