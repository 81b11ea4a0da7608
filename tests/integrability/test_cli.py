"""`maxslope integrability`: sketch, certificate, picture."""

import json
import re
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import maxslope.integrability
from integrability._lists import TETRA, X
from maxslope.cli.integrability import Setting, integrability
from maxslope.integrability import CertificateError, check, draw, monodromy
from maxslope.integrability.checker import main as check_files


def run(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(integrability)
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path), "--digits", "15"], env={"COLUMNS": "200"})
    return done.exit_code, done.output


@pytest.mark.parametrize("setting", list(Setting))
def test_every_setting(setting: Setting, tmp_path: Path) -> None:
    code, output = run(tmp_path, setting.value)
    data = json.loads((tmp_path / "integrability.json").read_text())
    assert code == 0, output
    assert check(data) == data["claim"]
    assert ("Dense in SL2(C)" in output) <= (data["claim"] == "SL2")
    assert "Does not follow" in output
    assert "<svg" in (tmp_path / "integrability.svg").read_text()


def test_target_switches_the_verdict(tmp_path: Path) -> None:
    assert "SL2(C) (case 4)" in run(tmp_path, "zero", "--target", "1/3")[1]
    output = run(tmp_path / "out", "zero", "--target", "1/2")[1]
    assert "case 1" in output
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "There is no obstruction in the first normal variation along this curve." in page
    assert "--target 1/2" in page
    assert "It does not follow that the flow is integrable" in page
    assert page.count('<svg class="drawn"') == 1


def test_any_equation(tmp_path: Path) -> None:
    code, output = run(tmp_path, "--r", TETRA)
    assert code == 0
    assert "case 3" in output
    assert check(json.loads((tmp_path / "integrability.json").read_text())) == "solvable"


@pytest.mark.parametrize("arguments", [("--r", "sin(x)"), ("cubic", "--target", "2"), ("tanh", "--target", "0.5")])
def test_misuse_is_explained(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """A ValueError, which the command line turns into one line and exit code 2."""
    app = typer.Typer()
    app.command()(integrability)
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert isinstance(done.exception, ValueError)
    assert "must" in str(done.exception) or "belongs" in str(done.exception)
    assert not (tmp_path / "integrability.json").exists()


def run_plain(tmp_path: Path, *arguments: str) -> str:
    code, output = run(tmp_path, *arguments)
    assert code == 0, output
    return " ".join(output.split())


def test_own_network_and_curve(tmp_path: Path) -> None:
    """An own activation, data and curve: z^3 as an expression gives what z^3 by name gives."""
    curve = ("--curve", "s: sqrt(s), sqrt(3*s), 0, 0")
    named = run_plain(tmp_path, "--activation", "z^3", "--data", "1:0, -1:0", *curve)
    assert "SL2(C) (case 4)" in named
    assert "proved are the derivation of r" in named
    own = run_plain(tmp_path, "--activation", "z*z^2", "--data", "1:0, -1:0", *curve)
    assert "SL2(C) (case 4)" in own
    assert "the equation alone" in own
    assert "nothing is proved about one" in own


@pytest.mark.slow
def test_any_common_input_of_tanh(tmp_path: Path) -> None:
    """|x| = 2, which the table refused."""
    output = run_plain(tmp_path, "--activation", "tanh", "--data", "2:1, -2:-1")
    assert "SL2(C) (case 4)" in output
    assert "proved are the derivation of r" in output


def test_two_neurons_without_biases(tmp_path: Path) -> None:
    output = run_plain(tmp_path, "--activation", "tanh", "--data", "2:1", "--neurons", "2", "--no-bias")
    assert "triangular (case 1" in output


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--activation", "sin", "--data", "1:0, -1:0"), "silent neuron: (0, pi/6"),
        (("--activation", "erf", "--data", "1:1, -1:1"), "silent neuron: (0, erfinv(1/2)"),
        (("--activation", "sigmoid", "--data", "1:0, -1:0", "--neurons", "2", "--no-bias"), "flat neurons: (v + 1, 0"),
    ],
)
def test_search_finds(arguments: tuple[str, ...], found: str, tmp_path: Path) -> None:
    output = run_plain(tmp_path, *arguments, "--search")
    assert found in output
    assert "table: none." in output
    assert "SL2(C) (case 4)" in output


def test_search_says_why_not(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(integrability)
    arguments = ["--activation", "softplus", "--data", "1:0, -1:0", "--neurons", "2", "--no-bias", "--search"]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    assert "dilogarithm" in done.output
    assert "softplus has log(2)" in done.output
    assert "no curve of the kinds" in str(done.exception)


@pytest.mark.slow
def test_irrational_target(tmp_path: Path) -> None:
    """The fault found from outside: sketch, certificate and command died for sqrt(2)."""
    output = run_plain(tmp_path, "linear", "--target", "sqrt(2)")
    assert "sqrt(2)" in output
    assert "proved are the derivation of r" in output
    assert check(json.loads((tmp_path / "integrability.json").read_text())) == "SL2"


def test_linear_equations(tmp_path: Path) -> None:
    assert "exp(I*x)/x and exp(-I*x)/x" in run_plain(tmp_path, "--p", "2/x", "--q", "1")
    assert r"u_{1}(x) = \frac{e^{i x}}{x}" in run_plain(tmp_path, "--p", "2/x", "--q", "1", "--latex")


def test_parameter(tmp_path: Path) -> None:
    output = run_plain(tmp_path, "--r", "(4*nu^2 - 1)/(4*x^2) - 1", "--parameter", "nu", "--values", "1/3")
    assert "Exact: case 1 is excluded unless one of -nu - 1/2, nu - 1/2 is 0, 1, 2" in output
    assert "Sampled (nu: case): 1/3: case 4" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--activation", "tanh"), "--activation and --data"),
        (("--activation", "tanh", "--data", "1"), "pairs"),
        (("--activation", "tanh", "--data", "1:0.5, -1:-0.5"), "float"),
        (("--activation", "tanh", "--data", "1:N*x"), "exact number"),
        (("--activation", "tanh(y)", "--data", "1:1, -1:-1"), "in z alone"),
        (("--activation", "__import__('os')", "--data", "1:1, -1:-1"), "exact expression"),
        (("--activation", "tanh", "--data", "1:1, -1:-1", "--neurons", "0"), "at least 1"),
        (("--activation", "tanh", "--data", "1:1", "--no-bias"), "three parameters"),
        (("--activation", "tanh", "--data", "1:1, -1:-1", "--curve", "s"), "--curve must"),
        (("--activation", "tanh", "--data", "1:1, -1:-1", "--curve", "s: t, s, 0, 0"), "parameter s alone"),
        (("--activation", "tanh", "--data", "1:1, -1:-1", "--curve", "s: s, s, 0"), "one entry for each"),
        (("--activation", "tanh", "--data", "1:1, 2:-1"), "one \\|x_i\\|"),
        (("--r", "x", "--p", "1"), "without --p"),
        (("--r", "x", "--parameter", "nu", "--values", "a"), "exact number"),
        (("--parameter", "nu"), "one variable"),
    ],
)
def test_misuse_of_own_networks(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(integrability)
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert isinstance(done.exception, ValueError)
    assert re.search(message, str(done.exception)), done.exception
    assert not (tmp_path / "integrability.json").exists()


def test_picture_formats(tmp_path: Path) -> None:
    found = monodromy("1/x**2 + 1/(x-2)", X, digits=10)
    assert draw(found, tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert "M1 at" in draw(found, tmp_path / "a.svg", "title").read_text()


def test_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="unknown format"):
        check({})
    assert issubclass(CertificateError, ValueError)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = monodromy("-3/(16*x**2)", digits=10)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "maxslope\[report\]"'):
        draw(found, tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "sympy", None)
    monkeypatch.delitem(sys.modules, "maxslope.integrability.kovacic")
    with pytest.raises(ImportError, match=r'pip install "maxslope\[integrability\]"'):
        _ = maxslope.integrability.liouvillian


def test_many_refusals_are_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.json"
    file.write_text("{}")
    assert check_files([str(file)] * 256) == 100
    assert capsys.readouterr().out.count("unknown format") == 256
