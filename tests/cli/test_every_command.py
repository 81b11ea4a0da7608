"""Every command keeps one convention: help, terminal, log, JSON, one line, interruption, and README's table of them."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from maxslope.cli import main, progress
from maxslope.cli.main import app
from maxslope.cli.settings import ELSEWHERE, Settings

ROOT = Path(__file__).parents[2]
NETS = """
import torch
from torch import nn
def make():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
"""
OWN = ["--model", "nets.py:make", "--data", "data.npz", "--seed", "1"]
COMMANDS: dict[str, list[str]] = {
    "evaluate": ["evaluate", *OWN, "--eps", "0.01", "--effort", "quick"],
    "minimal": ["minimal", *OWN, "--effort", "quick"],
    "train": ["train", *OWN, "--eps", "0.01", "--epochs", "1"],
    "report": ["report", "run", "--no-model"],
    "boundary": ["boundary", "disk", "--cells", "24", "--until", "0.01", "--no-animation"],
    "odenet": ["odenet", "table.csv", "--layers", "1", "--particles", "2", "--gradients", "3"],
    "integrability": ["integrability", "linear", "--digits", "10"],
    "flow moons": ["flow", "moons"],
}
HEAVY = {  # what is computed once, and given again
    "boundary": "maxslope.studies.boundary.study",
    "odenet": "maxslope.report.odenet.run",
    "integrability": "maxslope.integrability.loops.monodromy",
}
INSIDE = {  # what is interrupted
    "evaluate": "maxslope.evaluation.session.Session.go",
    "minimal": "maxslope.evaluation.session.Session.go",
    "train": "maxslope.training.run.Run.loss",
    "report": "maxslope.report.page",
    "boundary": "maxslope.studies.boundary.study",
    "odenet": "maxslope.report.odenet.run",
    "integrability": "maxslope.integrability.decide",
    "flow moons": "maxslope.report.experiment.run",
}
NEEDS = {"boundary": ("skfmm", "ortools", "skimage"), "integrability": ("sympy", "mpmath"), "odenet": ("scipy",)}
KEPT: dict[str, Any] = {}


def usable(name: str) -> None:
    missing = [module for module in NEEDS.get(name, ()) if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("commands")
    (place / "nets.py").write_text(NETS)
    x = np.random.default_rng(0).random((30, 16), dtype=np.float32)
    np.savez(place / "data.npz", x=x, y=np.arange(30) // 10, box=[0, 1])
    (place / "table.csv").write_text("\n".join(f"{k / 10},{(k / 10) ** 2}" for k in range(12)))
    return place


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in; what takes long is computed once."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("maxslope.report.training.draw_history", lambda history, path, title: None)
    boundary = importlib.import_module("maxslope.cli.boundary")  # its figures and its page have tests of their own
    monkeypatch.setattr(boundary, "_draw", lambda found, out, moving: ({}, []))
    sheet = SimpleNamespace(save=lambda path: path)
    monkeypatch.setattr("maxslope.report.boundary_sheet.sheet", lambda *words, **more: sheet)
    for left in (folder / "maxslope-train").glob("*"):
        left.unlink()
    for name, place in HEAVY.items():
        module, _, attribute = place.rpartition(".")
        usable_here = all(importlib.util.find_spec(need) for need in NEEDS[name])
        if usable_here:
            real = getattr(importlib.import_module(module), attribute)
            monkeypatch.setattr(place, remembered(name, real))

    def experiment(out: Path, *, say: Callable[[str], None], seed: int, **more: int) -> dict[str, Any]:
        assert seed in (0, 7)
        assert more["animation"]
        out.mkdir(exist_ok=True)
        for part in ("trained", "drawn"):
            say(part)
        return {"differences": {"ReLU": [0.1, 0.05]}, "orders": {"Explicit": [1.0, 0.9, float("nan")]}, "astray": {}}

    monkeypatch.setattr("maxslope.report.experiment.run", experiment)
    if not (folder / "run").exists():
        assert CliRunner().invoke(app, [*COMMANDS["evaluate"], "-q", "--out", "run"]).exit_code == 0
    return folder


def remembered(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def once(*words: Any, **more: Any) -> Any:
        if name not in KEPT:  # what it says would be said the first time alone
            KEPT[name] = real(*words, **more | ({"say": lambda text: None} if "say" in more else {}))
        if "say" in more:
            more["say"]("measured")
        return KEPT[name]

    return once


def run(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, terminal: bool = False
) -> tuple[int, str, str]:
    """Exit code, standard output and error stream, as a process has them."""
    monkeypatch.setattr(sys, "argv", ["maxslope", *words])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_no_command_is_left_out() -> None:
    names = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert {words[0] for words in COMMANDS.values()} | {"version"} == names


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_the_common_options(name: str) -> None:
    done = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    for word in ("Examples", f"maxslope {name}", "--out", "--json", "--quiet", "-q"):
        assert word in " ".join(done.output.split()), word


def test_every_command_has_the_same_five_under_the_same_words() -> None:
    """--out, --json, --quiet, --seed alike; progress is what ``test_a_log_has_plain_lines`` looks at."""
    for name in COMMANDS:
        command = typer.main.get_command(app)
        for word in name.split():
            command = command.commands[word]  # type: ignore[attr-defined]
        known = {option: p for p in command.params for option in p.opts if option.startswith("-")}
        assert known["--json"].help == "Print one JSON object and nothing else.", name  # type: ignore[attr-defined]
        assert known["--quiet"].opts == ["--quiet", "-q"], name
        assert known["--quiet"].help == "Print one line, no progress.", name  # type: ignore[attr-defined]
        assert not known["--out"].is_flag, name  # type: ignore[attr-defined]
        panels = {option: known[option].rich_help_panel for option in ("--json", "--quiet", "--out", "--seed")}  # type: ignore[attr-defined]
        assert panels == {"--json": "Output", "--quiet": "Output", "--out": "Output", "--seed": "Run"}, name
        if "--animation" in known:
            assert known["--animation"].help == "Write a GIF, and put a film on the page."  # type: ignore[attr-defined]
        assert known["--seed"].help.startswith("Seed of "), name  # type: ignore[attr-defined]
        assert known["--seed"].default == (None if name == "report" else 0), name  # that of the run


@pytest.mark.parametrize("name", COMMANDS)
def test_a_seed_is_a_64_bit_integer(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = run([*COMMANDS[name], "--seed", str(2**63)], monkeypatch, capsys)
    assert code == 2
    assert error == (
        "maxslope: --seed is a 64-bit integer, from -2^63 to 2^63 - 1, got 9223372036854775808; give a smaller one.\n"
    )
    assert not out


def test_every_setting_is_an_option_with_the_default_of_the_settings() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in ("evaluate", "minimal"):
        known = {p.name: p.default for p in commands[name].params if not getattr(p, "hidden", False)}
        wanted = {f.name: f.default for f in fields(Settings) if f.name not in ELSEWHERE.get(name, ())}
        assert {field: known[field] for field in wanted} == wanted
        assert known.keys().isdisjoint(ELSEWHERE.get(name, ()))


def test_the_exit_codes_are_in_the_help() -> None:
    text = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output.split())
    assert "Exit codes: 0 done, 1 failed" in text
    assert "130 interrupted" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_json_is_one_document_and_nothing_else(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usable(name)
    code, out, error = run([*COMMANDS[name], "--json", "--seed", "7"], monkeypatch, capsys)
    assert code == 0, error
    facts = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert isinstance(facts, dict)
    assert name == "report" or facts["seed"] == 7
    assert [line for line in error.splitlines() if not line.startswith("maxslope: warning")] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_quiet_is_one_line(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usable(name)
    code, out, error = run([*COMMANDS[name], "-q"], monkeypatch, capsys)
    assert code == 0, error
    assert out.count("\n") == (0 if name == "report" else 1)  # a page says where it is on the error stream
    said = [line for line in error.splitlines() if "warning: guessing" not in line]  # the network here knows little
    assert len(said) == (1 if name == "report" else 0)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_log_has_plain_lines_and_a_terminal_a_bar(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usable(name)
    monkeypatch.setattr(progress, "_EVERY", 0.0)  # each news a line
    monkeypatch.setattr(progress._Lines, "_beat", lambda self: None)
    code, out, error = run(COMMANDS[name], monkeypatch, capsys)
    assert code == 0, error
    assert "\x1b" not in error
    told = {"report": "4 of 4 steps", "integrability": "", "odenet": "1 of 1 data sets", "train": "epoch   1  loss"}
    assert told.get(name, " of ") in error
    assert out or name == "report"
    again_words = [*COMMANDS[name], "--out", "other"] if name == "train" else COMMANDS[name]
    code, again, bar = run(again_words, monkeypatch, capsys, terminal=True)
    assert code == 0, bar
    assert "━" in bar or "╸" in bar
    assert again.replace("other/", "maxslope-train/").split() == out.split() or name == "report"


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interruption_ends_with_130_and_a_sentence(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    usable(name)

    def stop(*words: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(INSIDE[name], stop)
    where = [] if name == "report" else ["--out", str(tmp_path / "new")]
    code, out, error = run([*COMMANDS[name], *where], monkeypatch, capsys)
    assert code == 130, error
    last = error.splitlines()[-1]
    assert last.startswith("maxslope: interrupted"), error
    assert any(word in last for word in ("kept", "go on", "not begun", "written", "Finished files stay")), last
    assert "Traceback" not in error
    assert out == ""


@pytest.mark.slow
def test_a_real_terminal_and_a_real_log(here: Path) -> None:
    """In processes of their own: a pseudo-terminal gets a bar, and the standard output stays clean."""
    code = "from maxslope.cli import main; main()"
    words = [sys.executable, "-c", code, *COMMANDS["evaluate"], "--json"]
    plain = [word for word in words if word != "--json"]
    leader, follower = pty.openpty()
    with subprocess.Popen(plain, stdout=subprocess.PIPE, stderr=follower, env={**os.environ, "TERM": "xterm"}) as one:
        os.close(follower)
        seen = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:
                break
            if not part:
                break
            seen += part
        out = one.stdout.read() if one.stdout else b""
    assert one.returncode == 0
    assert b"\x1b[" in seen
    assert b"\x1b" not in out
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["samples"] == 30
    assert done.stderr == ""


def test_readme_lists_the_commands_as_their_help_does() -> None:
    """``python scripts/commands.py`` was run after the last change of a command's help."""
    spec = importlib.util.spec_from_file_location("commands", ROOT / "scripts" / "commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.README.read_text(encoding="utf-8")
    assert module.written(text) == text
    for name in COMMANDS:
        assert f"| `maxslope {name}` |" in text


@pytest.mark.parametrize("name", sorted(INSIDE.keys() - {"evaluate", "minimal", "train", "report"}))
def test_what_draws_is_missed_before_anything_is_computed(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usable(name)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(INSIDE[name], lambda *words, **more: pytest.fail("something was computed"))
    code, out, error = run(COMMANDS[name], monkeypatch, capsys)
    assert code == 2
    assert "maxslope[report]" in error
    assert not out
