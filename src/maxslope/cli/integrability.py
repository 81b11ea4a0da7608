"""`maxslope integrability`: a proof sketch, the certificate and a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope._escape import visible
from maxslope.cli import document, names, options
from maxslope.cli.again import typed
from maxslope.cli.ending import interruptible
from maxslope.cli.options import OUTPUT, option
from maxslope.cli.progress import progress

if TYPE_CHECKING:
    from rich.console import Console

    from maxslope.integrability.curves import IntegralCurve
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


@dataclass(frozen=True)
class _Own:
    """A network given by options: activation, data, neurons, biases, and perhaps a curve or a search for one."""

    activation: str
    data: str
    neurons: int
    bias: bool
    curve: str
    search: bool

    @property
    def given(self) -> bool:
        return bool(self.activation or self.data or self.curve)


@dataclass(frozen=True)
class _Linear:
    """An equation given by options: y'' = r y, or u'' + p u' + q u = 0, perhaps with a parameter."""

    r: str
    p: str
    q: str
    parameter: str
    values: str
    latex: bool


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
    certificate: Annotated[Path | None, typer.Option(help="Deprecated: see --out.", hidden=True)] = None,
    picture: Annotated[Path | None, typer.Option(help="Deprecated: see --out.", hidden=True)] = None,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Decide closed forms: does a narrow network's gradient flow meet an obstruction, with a certificate.

    Prints a proof sketch, writes the JSON certificate and a picture of poles, loops and traces.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False, quiet=json_ or quiet)
    own = _Own(activation, data, neurons, bias, curve, search)
    linear = _Linear(equation, p, q, parameter, values, latex)
    places = _places(out, certificate, picture)
    with (
        interruptible(out),
        progress(None, json_ or quiet, doing="deciding", unit="parts", even=False),
    ):
        if parameter:
            text = _family(linear)
            facts: dict[str, Any] = {"parameter": parameter, "answer": text}
            line = text
            console.print(text, soft_wrap=True)
        else:
            solved = _solve(setting, target, own, linear, console)
            facts = _certified(solved, (digits, seed), places, typed(context), console)
            line = f"{facts['title']}; certificate {facts['certificate']}: {facts['claim']}"
    if json_:
        document.say(facts | {"seed": seed})
    elif quiet:
        typer.echo(line)


def _places(out: Path, certificate: Path | None, picture: Path | None) -> tuple[Path, Path, Path]:
    """Where page, certificate and picture go: into the folder, unless a deprecated option names another file."""
    for name, given in (("--certificate", certificate), ("--picture", picture)):
        if given is not None:
            typer.echo(
                f"maxslope: warning: {name} is deprecated, and will go in 0.3: --out names the folder of all files. "
                f"This file alone goes to {visible(str(given))}, the others to {visible(str(out))}.",
                err=True,
            )
            options.file(given, name)
    options.drawn_into(out)
    return out / "report.html", certificate or out / "integrability.json", picture or out / "integrability.svg"


def _certified(
    solved: tuple[dict[str, object], Equation, str, Verdict | None],
    numerics: tuple[int, int],
    places: tuple[Path, Path, Path],
    command: str,
    console: Console,
) -> dict[str, Any]:
    """Write the certificate, have it checked, draw the evidence and write the page; what came out."""
    from maxslope.integrability.checker import examine
    from maxslope.report.sheets import integrability as sheet

    (found, r, title, verdict), (page, certificate, picture) = solved, places
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
    certificate.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    proof = examine(found)
    console.print(f"Certificate: {certificate} (independent checker: {proof.claim})", soft_wrap=True)
    console.print(f"The checker: {proof.scope}.", soft_wrap=True)
    monodromy, evidence = _evidence(r, numerics, picture, title, console)
    files = [file.name if file.parent == page.parent else str(file) for file in (certificate, picture)]
    written = sheet(title, verdict, proof, monodromy, command=command, files=files).save(page)
    console.print(f"Page: {written}", soft_wrap=True)
    facts = {"title": title, "claim": proof.claim, "scope": proof.scope, "certificate": str(certificate)}
    return facts | evidence | {"page": str(written)}


def _solve(
    setting: Setting, target: str, own: _Own, linear: _Linear, console: Console
) -> tuple[dict[str, object], Equation, str, Verdict | None]:
    """The certificate, the equation, a title, and the verdict on a network; prints the sketch."""
    if linear.r or linear.p or linear.q:
        return *_equation(linear, console), None
    from maxslope.integrability import decide

    network, title = (_own_network(own), "own network") if own.given else (_network(setting, target), setting.value)
    verdict = _searched(network, console) if own.search else decide(network, _own_curve(own))
    console.print(verdict.sketch())
    if verdict.written_out is not None:
        console.print(f"The certificate holds the equation alone: {verdict.written_out}.")
    if verdict.result is None:
        raise ValueError("the normal system is triangular; there is no equation to certify.")
    return verdict.certificate(), verdict.result.equation, f"{title}: {verdict.group}", verdict


def _equation(linear: _Linear, console: Console) -> tuple[dict[str, object], Equation, str]:
    """The certificate of an equation; prints both solutions."""
    from maxslope.integrability import certificate, liouvillian, second_order

    if linear.r and (linear.p or linear.q):
        raise ValueError("--r must come without --p and --q: it is another equation.")
    whole = None if linear.r else second_order(linear.p or "0", linear.q or "0")
    result = liouvillian(linear.r) if whole is None else whole.normal
    answer = result if whole is None else whole
    if linear.latex:
        console.print(answer.latex(), soft_wrap=True)
    else:
        pair = answer.solutions()
        text = "no Liouvillian solution" if pair is None else f"solutions {pair[0]} and {pair[1]}"
        console.print(f"y'' = ({result.equation.r}) y: case {result.case}, {text}")
    return certificate(result), result.equation, f"y'' = ({result.equation.r}) y"


def _family(linear: _Linear) -> str:
    """For which values of the parameter an equation is solvable."""
    from sympy import Symbol

    from maxslope.integrability import parametric
    from maxslope.integrability.exact import exact

    symbol = Symbol(linear.parameter)
    others = exact(linear.r or "0", "r").free_symbols - {symbol}
    if len(others) != 1:
        raise ValueError(f"--parameter needs an r (--r) with one variable beside it; got {sorted(map(str, others))}.")
    samples = [v.strip() for v in linear.values.split(",") if v.strip()]
    return str(parametric(linear.r, symbol, others.pop(), samples).text())


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


def _own_network(own: _Own) -> NarrowNetwork:
    """A network from the options."""
    from maxslope.integrability import NarrowNetwork

    if not own.activation or not own.data:
        raise ValueError("an own network needs --activation and --data, such as --activation sin --data '1:0, -1:0'.")
    samples = []
    for piece in own.data.split(","):
        parts = [v.strip() for v in piece.split(":")]
        if len(parts) != 2:
            raise ValueError(f'--data must be pairs such as "1:3/2, -1:-3/2"; got {piece.strip()!r}.')
        samples.append((parts[0], parts[1]))
    return NarrowNetwork(names.activation(own.activation), tuple(samples), own.neurons, own.bias)


def _own_curve(own: _Own) -> IntegralCurve | None:
    """The curve from the option, "s: sqrt(s), sqrt(3*s), 0, 0", or None for the table's."""
    from sympy import Symbol

    from maxslope.integrability import IntegralCurve
    from maxslope.integrability.exact import exact

    if not own.curve:
        return None
    name, colon, entries = own.curve.partition(":")
    if not colon or not name.strip().isidentifier():
        raise ValueError(f'--curve must be a parameter and entries, such as "s: sqrt(s), s, 0, 0"; got {own.curve!r}.')
    v = Symbol(name.strip(), positive=True)
    theta = tuple(exact(e, "an entry of the curve", {name.strip(): v}) for e in entries.split(","))
    if any(t.free_symbols - {v} for t in theta):
        raise ValueError(f"the curve must have the parameter {v} alone; got {entries.strip()!r}.")
    return IntegralCurve(v, theta)


def _network(setting: Setting, target: str) -> NarrowNetwork:
    """The one place where a string names a network."""
    from maxslope.integrability import settings as ready

    aimed: dict[Setting, Callable[[], NarrowNetwork]] = {
        Setting.tanh: lambda: ready.tanh_bias(target or "3/2"),
        Setting.zero: lambda: ready.zero_target(3, target or 1),
        Setting.linear: lambda: ready.linear_bias(target or 1),
    }
    fixed: dict[Setting, Callable[[], NarrowNetwork]] = {
        Setting.linear_pair: ready.linear_pair,
        Setting.tanh_pair: ready.tanh_pair,
        Setting.cubic_pair: ready.cubic_pair,
        Setting.cubic: ready.cubic_teacher,
        Setting.cubic_origin: lambda: ready.cubic_teacher(origin=True),
    }
    if target and setting in fixed:
        raise ValueError(f"--target belongs to tanh, zero and linear; got {setting.value}.")
    return (aimed | fixed)[setting]()


def _evidence(
    r: Equation, numerics: tuple[int, int], picture: Path, title: str, console: Console
) -> tuple[Monodromy, dict[str, Any]]:
    """Numerical monodromy: traces, density witness and the picture."""
    from mpmath import nstr
    from rich.table import Table

    from maxslope.integrability.loops import base_of, monodromy
    from maxslope.integrability.picture import draw

    digits, seed = numerics
    found = monodromy(r, digits=digits, base=base_of(seed))
    table = Table("pole", "trace of its monodromy", title="Numerical monodromy (evidence only)")
    for pole, trace in found.traces().items():
        table.add_row(pole, nstr(trace, 20))
    console.print(table)
    witness = found.witness()
    if witness is None:
        console.print("No pair of words shows density; this proves nothing.")
    else:
        console.print(
            f"Dense in SL2(C) by the words {witness.words[0]} and {witness.words[1]}, "
            f"margin {witness.margin:.3g}, error {found.error:.1g}."
        )
    drawn = draw(found, picture, title)
    console.print(f"Picture: {drawn}", soft_wrap=True)
    traces = {pole: nstr(trace, 20) for pole, trace in found.traces().items()}
    words = None if witness is None else [str(word) for word in witness.words]
    return found, {"picture": str(drawn), "traces": traces, "dense_by": words}
