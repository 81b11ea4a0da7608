"""`maxslope integrability`: a proof sketch, the certificate and a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from maxslope.cli import ending, names, options
from maxslope.cli.ending import steps, typed
from maxslope.cli.options import OUTPUT, option

if TYPE_CHECKING:
    from rich.console import Console

    from maxslope.integrability.loops import Monodromy
    from maxslope.integrability.networks import NarrowNetwork
    from maxslope.integrability.ode import Equation
    from maxslope.integrability.verdict import Verdict

EXAMPLES = """
[bold]Examples[/]

A network with tanh and a bias, target 3/2:  [cyan]maxslope integrability tanh --target 3/2[/]

Your activation, samples and curve:  [cyan]maxslope integrability --activation z^5 --data "1:0, -1:0" --curve
"s: sqrt(s), sqrt(5*s), 0, 0"[/]

An equation, with its solutions:  [cyan]maxslope integrability --r "x^2 + 1"[/]
"""


_SEED = "the base point of the loops, on which their traces do not depend; proofs draw nothing"
_OUT = Path("maxslope-integrability")


class Setting(StrEnum):
    """The ready-made networks."""

    tanh = "tanh"
    cubic = "cubic"
    cubic_origin = "cubic-origin"
    zero = "zero"
    linear = "linear"
    linear_pair = "linear-pair"
    tanh_pair = "tanh-pair"
    cubic_pair = "cubic-pair"


class _Decided(NamedTuple):
    """The certificate, the equation that it is about, a title, and the verdict on a network if there is one."""

    certificate: dict[str, object]
    equation: Equation
    title: str
    verdict: Verdict | None


def integrability(
    context: typer.Context,
    setting: Annotated[Setting, typer.Argument(help="Which network.")] = Setting.tanh,
    target: Annotated[str, typer.Option(help="Target y (tanh, linear) or lambda squared (zero), exact.")] = "",
    *,
    activation: Annotated[str, typer.Option(help="Own network: tanh, sin, z^3, ... or an expression in z.")] = "",
    data: Annotated[str, typer.Option(help='Its samples, exact: "1:3/2, -1:-3/2".')] = "",
    neurons: Annotated[int, typer.Option(help="Its number of neurons.")] = 1,
    bias: Annotated[bool, typer.Option(help="Whether it has biases.")] = True,
    curve: Annotated[str, typer.Option(help='Its curve: "s: sqrt(s), sqrt(3*s), 0, 0".')] = "",
    search: Annotated[bool, typer.Option("--search", help="Search for a curve, and say what was tried.")] = False,
    equation: Annotated[str, typer.Option("--r", help="Decide y'' = r y for this r.")] = "",
    p: Annotated[str, typer.Option("--p", help="Decide u'' + p u' + q u = 0.")] = "",
    q: Annotated[str, typer.Option("--q", help="See --p.")] = "",
    parameter: Annotated[str, typer.Option(help="A symbol of r: for which values is it solvable?")] = "",
    values: Annotated[str, typer.Option(help='Values of the parameter to decide as well: "0, 1/3".')] = "",
    latex: Annotated[bool, typer.Option("--latex", help="Print the answer on an equation as LaTeX.")] = False,
    digits: Annotated[int, typer.Option(min=5, max=200, help="Digits of the numerical monodromy.")] = 40,
    seed: Annotated[int, options.seed_of(_SEED)] = 0,
    out: Annotated[Path, option(OUTPUT, "Folder for page (HTML), certificate (JSON), picture (SVG).")] = _OUT,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Decide closed forms: does a narrow network's gradient flow meet an obstruction, with a certificate.

    Prints a proof sketch, writes the JSON certificate and a picture of poles, loops and traces.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False, quiet=json_ or quiet)
    options.drawn_into(out)
    with steps(out, None, json_ or quiet, "deciding"):
        if parameter:
            line = _family(equation, parameter, values)
            facts: dict[str, Any] = {"parameter": parameter, "answer": line}
            console.print(line, soft_wrap=True)
        else:
            if equation or p or q:
                decided = _equation(equation, p, q, latex=latex, console=console)
            else:
                own = bool(activation or data or curve)
                network = _own_network(activation, data, neurons, bias=bias) if own else _network(setting, target)
                verdict = _searched(network, console) if search else _along(network, curve)
                decided = _of_network(verdict, "own network" if own else setting.value, console)
            facts = _certified(decided, digits, seed, out, typed(context), console)
            line = f"{facts['title']}; certificate {facts['certificate']}: {facts['claim']}"
    if json_:
        ending.say(facts | {"seed": seed})
    elif quiet:
        typer.echo(line)


def _certified(found: _Decided, digits: int, seed: int, out: Path, command: str, console: Console) -> dict[str, Any]:
    """Write the certificate, have it checked, draw the evidence and write the page; what came out."""
    from maxslope.integrability.checker import examine
    from maxslope.report.sheets import Again
    from maxslope.report.sheets import integrability as sheet

    out.mkdir(parents=True, exist_ok=True)
    certificate, picture = out / "integrability.json", out / "integrability.svg"
    certificate.write_text(json.dumps(found.certificate, indent=1) + "\n", encoding="utf-8")
    proof = examine(found.certificate)
    console.print(f"Certificate: {certificate} (independent checker: {proof.claim})", soft_wrap=True)
    console.print(f"The checker: {proof.scope}.", soft_wrap=True)
    monodromy, evidence = _evidence(found, digits, seed, picture, console)
    again = Again(command, [certificate.name, picture.name])
    written = sheet(found.title, found.verdict, proof, monodromy, again).save(out / "report.html")
    console.print(f"Page: {written}", soft_wrap=True)
    facts = {"title": found.title, "claim": proof.claim, "scope": proof.scope, "certificate": str(certificate)}
    return facts | evidence | {"page": str(written)}


def _of_network(verdict: Verdict, title: str, console: Console) -> _Decided:
    """What the verdict on a network decides; prints the sketch."""
    console.print(verdict.sketch())
    if verdict.written_out is not None:
        console.print(f"The certificate holds the equation alone: {verdict.written_out}.")
    if verdict.result is None:
        raise ValueError("the normal system is triangular; there is no equation to certify.")
    return _Decided(verdict.certificate(), verdict.result.equation, f"{title}: {verdict.group}", verdict)


def _equation(r: str, p: str, q: str, *, latex: bool, console: Console) -> _Decided:
    """Decide an equation, and print both solutions."""
    from maxslope.integrability import certificate, liouvillian, second_order

    if r and (p or q):
        raise ValueError("--r must come without --p and --q: it is another equation.")
    whole = None if r else second_order(p or "0", q or "0")
    result = liouvillian(r) if whole is None else whole.normal
    answer = result if whole is None else whole
    if latex:
        console.print(answer.latex(), soft_wrap=True)
    else:
        pair = answer.solutions()
        text = "no Liouvillian solution" if pair is None else f"solutions {pair[0]} and {pair[1]}"
        console.print(f"y'' = ({result.equation.r}) y: case {result.case}, {text}")
    return _Decided(certificate(result), result.equation, f"y'' = ({result.equation.r}) y", None)


def _family(r: str, parameter: str, values: str) -> str:
    """For which values of the parameter an equation is solvable."""
    from sympy import Symbol

    from maxslope.integrability import parametric
    from maxslope.integrability.exact import exact

    symbol = Symbol(parameter)
    others = exact(r or "0", "r").free_symbols - {symbol}
    if len(others) != 1:
        raise ValueError(f"--parameter needs an r (--r) with one variable beside it; got {sorted(map(str, others))}.")
    samples = [v.strip() for v in values.split(",") if v.strip()]
    return str(parametric(r, symbol, others.pop(), samples).text())


def _searched(network: NarrowNetwork, console: Console) -> Verdict:
    """The first verdict of a search with an obstruction, else the first verdict; prints every attempt."""
    from maxslope.integrability import search

    attempts = search(network)
    for attempt in attempts:
        console.print(attempt.text())
    found = [a.verdict for a in attempts if a.verdict is not None]
    if not found:
        raise ValueError("no curve of the kinds that were tried exists for the network. Give one with --curve.")
    return next((v for v in found if not v.solvable), found[0])


def _own_network(activation: str, data: str, neurons: int, *, bias: bool) -> NarrowNetwork:
    """A network from the options."""
    from maxslope.integrability import NarrowNetwork

    if not activation or not data:
        raise ValueError("an own network needs --activation and --data, such as --activation sin --data '1:0, -1:0'.")
    samples = []
    for piece in data.split(","):
        parts = [v.strip() for v in piece.split(":")]
        if len(parts) != 2:
            raise ValueError(f'--data must be pairs such as "1:3/2, -1:-3/2"; got {piece.strip()!r}.')
        samples.append((parts[0], parts[1]))
    return NarrowNetwork(names.activation(activation), tuple(samples), neurons, bias)


def _along(network: NarrowNetwork, word: str) -> Verdict:
    """The verdict along the curve that a word gives, "s: sqrt(s), sqrt(3*s), 0, 0", or along the table's."""
    from sympy import Symbol

    from maxslope.integrability import IntegralCurve, decide
    from maxslope.integrability.exact import exact

    if not word:
        return decide(network, None)
    name, colon, entries = word.partition(":")
    if not colon or not name.strip().isidentifier():
        raise ValueError(f'--curve must be a parameter and entries, such as "s: sqrt(s), s, 0, 0"; got {word!r}.')
    v = Symbol(name.strip(), positive=True)
    theta = tuple(exact(e, "an entry of the curve", {name.strip(): v}) for e in entries.split(","))
    if any(t.free_symbols - {v} for t in theta):
        raise ValueError(f"the curve must have the parameter {v} alone; got {entries.strip()!r}.")
    return decide(network, IntegralCurve(v, theta))


def _network(setting: Setting, target: str) -> NarrowNetwork:
    """The one place where a string names a network."""
    from maxslope.integrability import settings as ready

    made: dict[Setting, Callable[..., NarrowNetwork]] = {
        Setting.tanh: ready.tanh_bias,
        Setting.zero: partial(ready.zero_target, 3),
        Setting.linear: ready.linear_bias,
        Setting.linear_pair: ready.linear_pair,
        Setting.tanh_pair: ready.tanh_pair,
        Setting.cubic_pair: ready.cubic_pair,
        Setting.cubic: ready.cubic_teacher,
        Setting.cubic_origin: partial(ready.cubic_teacher, origin=True),
    }
    if target and setting not in (Setting.tanh, Setting.zero, Setting.linear):
        raise ValueError(f"--target belongs to tanh, zero and linear; got {setting.value}.")
    return made[setting](target) if target else made[setting]()


def _evidence(
    decided: _Decided, digits: int, seed: int, picture: Path, console: Console
) -> tuple[Monodromy, dict[str, Any]]:
    """Numerical monodromy: traces, density witness and the picture."""
    from mpmath import nstr
    from rich.table import Table

    from maxslope.integrability.loops import base_of, monodromy
    from maxslope.integrability.picture import draw

    found = monodromy(decided.equation, digits=digits, base=base_of(seed))
    table = Table("pole", "trace of its monodromy", title="Numerical monodromy (evidence only)")
    traces = {pole: nstr(trace, 20) for pole, trace in found.traces().items()}
    for row in traces.items():
        table.add_row(*row)
    console.print(table)
    witness = found.witness()
    if witness is None:
        console.print("No pair of words shows density; this proves nothing.")
    else:
        console.print(
            f"Dense in SL2(C) by the words {witness.words[0]} and {witness.words[1]}, "
            f"margin {witness.margin:.3g}, error {found.error:.1g}."
        )
    drawn = draw(found, picture, decided.title)
    console.print(f"Picture: {drawn}", soft_wrap=True)
    words = None if witness is None else [str(word) for word in witness.words]
    return found, {"picture": str(drawn), "traces": traces, "dense_by": words}
