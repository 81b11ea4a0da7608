"""`maxslope integrability`: a proof sketch, the certificate and a picture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from maxslope.integrability.networks import Network
    from maxslope.integrability.ode import Equation


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


def integrability(
    setting: Annotated[Setting, typer.Argument(help="Which network.")] = Setting.tanh,
    target: Annotated[str, typer.Option(help="Target y (tanh, linear) or lambda squared (zero), exact.")] = "",
    equation: Annotated[str, typer.Option("--r", help="Decide y'' = r y for this r.")] = "",
    certificate: Annotated[Path, typer.Option(help="JSON file to write.")] = Path("integrability.json"),
    picture: Annotated[Path, typer.Option(help="Picture to write (svg, png, pdf).")] = Path("integrability.svg"),
    digits: Annotated[int, typer.Option(help="Digits of the numerical monodromy.")] = 40,
) -> None:
    """Decide whether a narrow network's gradient flow meets an obstruction to closed form.

    Prints a proof sketch, writes the JSON certificate and a picture of poles, loops and traces.
    """
    import json

    from rich.console import Console

    from maxslope.integrability.checker import check

    console = Console(highlight=False)
    data, r, title = _solve(setting, target, equation, console)
    certificate.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    console.print(f"Certificate: {certificate} (independent checker: {check(data)})")
    _evidence(r, digits, picture, title, console)


def _solve(setting: Setting, target: str, equation: str, console: Console) -> tuple[dict[str, object], Equation, str]:
    """The certificate, the equation and a title; prints the sketch."""
    from rich.markup import escape

    if equation:
        from maxslope.integrability import certificate, liouvillian

        result = liouvillian(equation)
        answer = result.solution() if result.solvable else "no Liouvillian solution"
        console.print(escape(f"y'' = ({result.equation.r}) y: case {result.case}, {answer}"))
        return certificate(result), result.equation, f"y'' = ({equation}) y"
    from maxslope.integrability import decide

    verdict = decide(_network(setting, target))
    console.print(escape(verdict.sketch()))
    if verdict.result is None:
        raise ValueError("the normal system is triangular; there is no equation to certify.")
    return verdict.certificate(), verdict.result.equation, f"{setting.value}: {verdict.group}"


def _network(setting: Setting, target: str) -> Network:
    """The one place where a string names a network."""
    from maxslope.integrability import settings as ready

    if setting is Setting.tanh:
        return ready.tanh_bias(target or "3/2")
    if setting is Setting.zero:
        return ready.zero_target(3, target or 1)
    if setting is Setting.linear:
        return ready.linear_bias(target or 1)
    if target:
        raise ValueError(f"--target belongs to tanh, zero and linear; got {setting.value}.")
    if setting is Setting.linear_pair:
        return ready.linear_pair()
    if setting is Setting.tanh_pair:
        return ready.tanh_pair()
    if setting is Setting.cubic_pair:
        return ready.cubic_pair()
    return ready.cubic_teacher(origin=setting is Setting.cubic_origin)


def _evidence(r: Equation, digits: int, picture: Path, title: str, console: Console) -> None:
    """Numerical monodromy: traces, density witness and the picture."""
    from mpmath import nstr
    from rich.table import Table

    from maxslope.integrability.loops import monodromy
    from maxslope.integrability.picture import draw

    found = monodromy(r, digits=digits)
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
    console.print(f"Picture: {draw(found, picture, title)}")
