"""How an interrupted command says what it keeps: in words that are true of nothing and of one sample too."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from maxslope.cli import main
from maxslope.cli.ending import interrupted
from maxslope.cli.settings import Settings

AGAIN = "go on with: maxslope evaluate --resume run"


@pytest.mark.parametrize(
    ("done", "begun", "folder", "rows", "said"),
    [
        (
            0,
            True,
            Path("run"),
            None,
            "before the first samples were done. No part was finished; " + AGAIN,
        ),
        (0, False, Path("run"), None, "before the first samples were done. The run in run was not begun yet."),
        (0, False, None, None, "before the first samples were done. Nothing is kept: no part was finished."),
        (0, False, None, Path("t.csv"), "before the first samples were done. Nothing is kept: no part was finished."),
        (1, True, Path("run"), None, "after 1 sample. They are kept; " + AGAIN),
        (20, True, Path("run"), None, "after 20 samples. They are kept; " + AGAIN),
    ],
)
def test_what_is_kept_of_an_interrupted_run(
    done: int, begun: bool, folder: Any, rows: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stop: Any = SimpleNamespace(done=done, begun=begun)
    with pytest.raises(typer.Exit) as ended:
        interrupted(stop, "evaluate", Settings(), folder, rows)
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == f"maxslope: interrupted {said}\n"


def test_without_a_command_the_help_is_printed_and_nothing_called_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["maxslope"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert "Usage: " in said.out
    assert said.err == ""
