"""`maxslope integrability`: sketch, certificate, picture."""

import json
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
    files = ["--certificate", str(tmp_path / "c.json"), "--picture", str(tmp_path / "p.svg")]
    done = CliRunner().invoke(app, [*arguments, *files, "--digits", "15"], env={"COLUMNS": "200"})
    return done.exit_code, done.output


@pytest.mark.parametrize("setting", list(Setting))
def test_every_setting(setting: Setting, tmp_path: Path) -> None:
    code, output = run(tmp_path, setting.value)
    data = json.loads((tmp_path / "c.json").read_text())
    assert code == 0, output
    assert check(data) == data["claim"]
    assert ("Dense in SL2(C)" in output) <= (data["claim"] == "SL2")
    assert "Does not follow" in output
    assert "<svg" in (tmp_path / "p.svg").read_text()


def test_target_switches_the_verdict(tmp_path: Path) -> None:
    assert "SL2(C) (case 4)" in run(tmp_path, "zero", "--target", "1/3")[1]
    assert "case 1" in run(tmp_path, "zero", "--target", "1/2")[1]


def test_any_equation(tmp_path: Path) -> None:
    code, output = run(tmp_path, "--r", TETRA)
    assert code == 0
    assert "case 3" in output
    assert check(json.loads((tmp_path / "c.json").read_text())) == "solvable"


@pytest.mark.parametrize("arguments", [("--r", "sin(x)"), ("cubic", "--target", "2"), ("tanh", "--target", "0.5")])
def test_misuse_is_explained(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """A ValueError, which the command line turns into one line and exit code 2."""
    app = typer.Typer()
    app.command()(integrability)
    done = CliRunner().invoke(app, [*arguments, "--certificate", str(tmp_path / "c.json")])
    assert isinstance(done.exception, ValueError)
    assert "must" in str(done.exception) or "belongs" in str(done.exception)
    assert not (tmp_path / "c.json").exists()


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
