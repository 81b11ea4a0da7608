"""docs/statements.md is true: what it names exists, and the statements no other room tests hold."""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main

import maxslope as ms
from boundary._cases import box, disk, two_gaussians
from maxslope.boundary import Cut, evolve
from maxslope.cli.main import app

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "statements.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| statement")
]
PLACES = [
    importlib.import_module(f"maxslope{room}")
    for room in (
        ".reference.curves", "", ".boundary", ".boundary.risk", ".integrability.verdict", ".integrability.checker",
        ".odenet", ".transport", ".reference", ".reference.study", ".schemes", ".spaces", ".sets", ".energies",
        ".curve",
    )
]  # fmt: skip


def spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def found(name: str) -> Any:
    """The object of a name, in the first room that has it."""
    if name == "maxslope" or name.startswith("maxslope."):
        return importlib.import_module(name)
    head, _, rest = name.partition(".")
    for place in PLACES:
        if head in dir(place):
            value = getattr(place, head)
            return value if not rest else member(value, rest)
    if head in {"transport", "odenet", "boundary"}:
        return member(importlib.import_module(f"maxslope.{head}"), rest)
    raise AssertionError(f"docs/statements.md names {name!r}, which no room has")


def member(value: Any, name: str) -> Any:
    """An attribute of a module, a class, or what a function returns."""
    if inspect.isfunction(value):
        value = inspect.get_annotations(value, eval_str=True)["return"]
    declared = inspect.isclass(value) and any(name in inspect.get_annotations(c) for c in value.__mro__)
    assert declared or name in dir(value), f"{value} has no {name!r}"
    return getattr(value, name, None)


def check_call(span: str, before: list[Any]) -> None:
    """A name, a call with the parameters it shows, or a member of the name before."""
    call = re.fullmatch(r"(?P<name>[\w.]*)(\((?P<inside>.*?)\)(\.(?P<of>\w+))?)?", span)
    assert call is not None, span
    name = call["name"]
    value = member(before[-1], name[1:]) if name.startswith(".") else found(name)
    if inspect.isclass(value) or inspect.isfunction(value):
        for parameter in re.findall(r"(\w+)=", call["inside"] or ""):
            assert parameter in inspect.signature(value).parameters, span
    if call["of"]:
        member(value, call["of"])
    if not name.startswith("."):
        before.append(found(name.rpartition(".")[0]) if "." in name else value)


def check_command(span: str) -> None:
    words = span.split()[1:]
    group: Any = typer.main.get_command(app)
    assert words[0] in group.commands, span
    options = {option for parameter in group.commands[words[0]].params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options, span


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:50] for row in ROWS])
def test_what_a_row_names_exists(row: list[str]) -> None:
    statement, how, _, tests, standing = row
    before: list[Any] = []
    for span in spans(how):
        if span.startswith("maxslope "):
            check_command(span)
        elif "/" in span:
            assert (ROOT / span).exists(), span
        elif span.endswith(".csv"):
            assert any(span in path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")), span
        elif span.endswith("="):
            assert span[:-1] in inspect.signature(ms.SemiImplicit).parameters
        else:
            check_call(span, before)
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    names = spans(tests)
    assert names, f"no test of {statement!r}"
    assert [name for name in names if f"def {name}(" not in written] == []
    assert re.search("proved|measured|reconstructed|definition|identity|example|derived", standing)


def test_the_page_has_a_table_for_each_paper() -> None:
    for number in ("2406.05376", "2404.14402", "2311.15365", "2408.08286"):
        _, _, part = PAGE.partition(f"arXiv:{number})")
        assert part.lstrip().startswith("| statement | how to see it | what it shows | tests | standing |")
    assert len(ROWS) >= 25


def test_no_theorem_has_a_number_here() -> None:
    """We did not have the text of the papers but for the first, so numbers would be invented."""
    assert re.findall(r"(?i)(theorem|corollary|proposition|lemma)\s+\d", PAGE) == []


def test_fgsm_is_one_explicit_step_and_ifgsm_the_explicit_scheme() -> None:
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64)
    x = torch.rand(5, 6, generator=generator, dtype=torch.float64)
    y = net(x).argmax(1)
    eps, tau, steps = 0.1, 0.025, 6
    by_hand = x.clone()
    for _ in range(steps):
        by_hand.requires_grad_()
        (g,) = torch.autograd.grad(torch.nn.functional.cross_entropy(net(by_hand), y, reduction="sum"), by_hand)
        by_hand = torch.clamp(by_hand.detach() + tau * g.sign(), x - eps, x + eps).clamp(0, 1)
    (g,) = torch.autograd.grad(torch.nn.functional.cross_entropy(net(x.requires_grad_()), y, reduction="sum"), x)
    x = x.detach()
    energy = ms.Loss(net, y).within(ms.Linf(eps).around(x))
    one = ms.flow(energy, x, scheme=ms.Explicit(eps, ms.Lp(torch.inf)), until=ms.Steps(1)).end
    torch.testing.assert_close(one, (x + eps * g.sign()).clamp(0, 1), rtol=0, atol=1e-15)
    many = ms.flow(energy, x, scheme=ms.Explicit(tau, ms.Lp(torch.inf)), until=ms.Steps(steps)).end
    torch.testing.assert_close(many, by_hand, rtol=0, atol=1e-14)


def test_the_boundary_scheme_keeps_inclusions() -> None:
    """Of nested sets each step makes nested sets: exactly, by cuts, in densities that are not constant."""
    grid = box(16)
    densities, _ = two_gaussians(grid)
    inner, outer = (
        evolve(disk(grid, r), grid, densities, until=0.2, tau=0.05, solver=Cut()).points for r in (0.4, 0.6)
    )
    assert bool((inner[-1] != inner[0]).any())
    assert 2 <= len(inner) <= len(outer)  # the smaller set may vanish
    for small, large in zip(inner, outer, strict=False):
        assert bool(((small <= 0) | (large > 0)).all())
