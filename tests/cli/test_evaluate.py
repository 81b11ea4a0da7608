"""``maxslope evaluate`` on the command line, and the evaluation behind it: statistics, data, report, picture."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import binomtest
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from typer.testing import CliRunner

import maxslope as ms
from maxslope.attacks import Effort, Recipe, recipes
from maxslope.cli import main, names
from maxslope.cli.main import app
from maxslope.data import default_data, default_network
from maxslope.evaluation import Report, evaluate, wilson
from maxslope.evaluation.draw import drawn
from maxslope.figures.evaluation import draw
from nets import answers, conv, images

RUN = CliRunner()
FAST = Effort((recipes.ifgsm(3), recipes.pgd(3)), "fast")
NET = conv()
X = images(30)
Y = answers(NET, X)
Y[::10] = (Y[::10] + 1) % 5
BUDGET = ms.Linf(0.08)


def command(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a process of its own."""
    code = "from maxslope.cli import main; main()"
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )


def number(text: str, name: str) -> float:
    found = re.search(rf"{name}\s+([\d.]+) %", text)
    assert found, text
    return float(found[1])


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_default_job_on_a_few_samples(tmp_path: Path) -> None:
    done = command("evaluate", "--samples", "12", "--effort", "quick", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "l_inf 0.3" in done.stdout
    assert re.search(r"samples\s+12", done.stdout)
    assert "12 of 1000 samples, drawn by label with seed 0" in done.stdout
    few = drawn(default_data(), 12, 0)
    x, y = few.rows(0, 12)
    clean = float((default_network()(x).argmax(1) == y).float().mean())
    assert number(done.stdout, "clean accuracy") == pytest.approx(100 * clean, abs=0.01)
    report = evaluate(default_network(), few, ms.Linf(0.3), effort=Effort.quick())
    assert number(done.stdout, "robust accuracy") == pytest.approx(100 * report.robust_accuracy, abs=0.01)
    assert "interval" in done.stdout
    assert f"{report.backward_per_sample:.1f} backward, {report.forward_per_sample:.1f} forward" in done.stdout
    for reason, count in report.reasons().items():
        assert re.search(rf"\b{count}\s+{re.escape(reason[:25])}", done.stdout)
    for found in report.warnings:
        assert found.name in done.stdout
    assert_picture(tmp_path / "maxslope-evaluate.png")


def assert_picture(path: Path) -> None:
    """A picture that is not blank: its colors differ, in the upper part and in the lower."""
    from matplotlib.image import imread

    pixels = imread(path)
    assert pixels.shape[0] > 600
    assert pixels.shape[1] > 600
    for part in (pixels[: len(pixels) // 2], pixels[len(pixels) // 2 :]):
        assert len({tuple(c) for c in part[::7, ::7, :3].reshape(-1, 3).round(2).tolist()}) > 20


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--norm", "l2"], "l_2 2"),
        (["--norm", "L_2", "--eps", "1/2"], "l_2 1/2 (0.5)"),
        (["--norm", "l1"], "l_1 10"),
        (["--norm", "inf", "--eps", "8/255"], "l_inf 8/255 (0.03137)"),
        (["--batch-size", "3", "--seed", "7"], "seed 7"),
    ],
)
def test_norms_radii_and_options(words: list[str], said: str, tmp_path: Path) -> None:
    picture = tmp_path / "deeper" / "picture.png"
    done = RUN.invoke(app, ["evaluate", "--samples", "6", "--effort", "quick", "--picture", str(picture), *words])
    assert done.exit_code == 0, done.output
    assert said in done.output
    assert "picture" in done.output
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--norm", "l0.5"], "--norm is linf, l2, l1"),
        (["--norm", "euclid"], "got 'euclid'"),
        (["--norm", "l3"], "--eps is needed for the norm 'l3'"),
        (["--eps", "much"], "got 'much'"),
        (["--eps", "1/0"], "got '1/0'"),
        (["--eps", "-0.1"], "eps=-0.1"),
        (["--eps", "nan"], "eps=nan"),
        (["--effort", "heroic"], "--effort is one of quick, standard, exhaustive, got 'heroic'"),
    ],
)
def test_wrong_words_end_with_one_line_and_code_2(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["maxslope", "evaluate", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("maxslope: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_exit_codes_of_a_process(tmp_path: Path) -> None:
    wrong = command("evaluate", "--norm", "l0.5", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
    assert wrong.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["evaluate", "--samples", "0"], ["evaluate", "--batch-size", "0"], ["evaluate", "--nonsense"], ["sing"]]
)
def test_words_that_typer_refuses(words: list[str]) -> None:
    assert RUN.invoke(app, words).exit_code == 2


def test_an_unknown_ending_of_the_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    where = str(tmp_path / "picture.nonsense")
    monkeypatch.setattr(
        sys, "argv", ["maxslope", "evaluate", "--samples", "3", "--effort", "quick", "--picture", where]
    )
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["evaluate", "--help"]])
def test_help_needs_no_torch(words: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['maxslope', *sys.argv[1:]]\n"
        "from maxslope.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'sympy'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "evaluate" in done.stdout


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version(word: str) -> None:
    done = RUN.invoke(app, [word])
    assert done.exit_code == 0
    assert done.output.split() == [
        "maxslope",
        f"{ms.__version__},",
        "torch",
        f"{torch.__version__},",
        "Python",
        sys.version.split()[0],
    ]


@pytest.mark.parametrize(
    ("word", "p"), [("linf", math.inf), ("Linf", math.inf), ("inf", math.inf), ("l_2", 2), ("2", 2), ("l1.5", 1.5)]
)
def test_words_for_norms(word: str, p: float) -> None:
    assert names.norm(word) == ms.Lp(p)


def test_words_for_efforts_and_numbers() -> None:
    assert [names.effort(w).name for w in ("quick", "standard", "exhaustive")] == ["quick", "standard", "exhaustive"]
    assert names.number("8/255") == 8 / 255
    assert names.number("0.25") == 0.25


# --- statistics ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 10), (10, 10), (1, 1), (3, 7), (80, 100), (999, 1000), (5000, 10_000)]
)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy(successes: int, n: int, confidence: float) -> None:
    want = binomtest(successes, n).proportion_ci(confidence_level=confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx((want.low, want.high), abs=1e-12)


def test_wilson_of_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


# --- reports ---------------------------------------------------------------------------------------------------------


def report_of(data: Any = (X, Y), **options: Any) -> Report:
    return evaluate(NET, data, BUDGET, **({"effort": FAST, "probe": False} | options))


def test_a_report_is_the_sum_of_its_table() -> None:
    report = report_of()
    table = report.table
    wanted = {
        "index",
        "label",
        "prediction",
        "verdict",
        "margin",
        "gap",
        "slope",
        "distance",
        "forward",
        "backward",
        "runs",
    }
    assert wanted | {"reason"} <= set(table)
    assert {len(column) for column in table.values()} == {30}
    assert table["index"] == list(range(30))
    assert table["label"] == Y.tolist()
    assert table["prediction"] == answers(NET, X).tolist()
    wrong = set(range(0, 30, 10))
    for i, verdict in enumerate(table["verdict"]):
        fooled = int(answers(NET, report.points[i : i + 1])) != int(Y[i])
        assert verdict == ("misclassified" if i in wrong else "broken" if fooled else "robust")
        assert (float(table["margin"][i]) < 0) == fooled
    counts = {v: table["verdict"].count(v) for v in ("robust", "broken", "misclassified")}
    assert min(counts.values()) > 0
    assert report.samples == 30
    assert report.clean_accuracy == pytest.approx(27 / 30)
    assert report.robust_accuracy == pytest.approx(counts["robust"] / 30)
    assert report.interval == pytest.approx(tuple(binomtest(counts["robust"], 30).proportion_ci(method="wilson")))
    assert report.clean_interval == pytest.approx(tuple(binomtest(27, 30).proportion_ci(method="wilson")))
    assert report.forward_per_sample == pytest.approx(sum(table["forward"]) / 30)
    assert report.backward_per_sample == pytest.approx(sum(table["backward"]) / 30)
    assert sum(report.reasons().values()) == 30
    assert report.reasons()["The model misclassifies the clean point: nothing to attack."] == 3
    assert [found.name for found in report.warnings] == ["guessing"]  # the network says one class
    assert torch.equal(report.points[0], X[0])
    assert report.points.shape == X.shape


class Pairs(Dataset[tuple[torch.Tensor, int]]):
    """Labels as plain numbers, as data sets of images have them."""

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return X[i], int(Y[i])

    def __len__(self) -> int:
        return 30


class Stream(IterableDataset[tuple[torch.Tensor, int]]):
    """No length."""

    def __iter__(self) -> Any:
        return ((X[i], int(Y[i])) for i in range(30))


@pytest.mark.parametrize(
    "data",
    [
        [X, Y],
        (X, Y.int()),
        TensorDataset(X, Y),
        Pairs(),
        Stream(),
        DataLoader(Pairs(), batch_size=7),
        DataLoader(TensorDataset(X, Y), batch_size=30),
        DataLoader(Stream(), batch_size=4),
    ],
    ids=["list", "int labels", "TensorDataset", "Dataset", "IterableDataset", "DataLoader", "one batch", "streamed"],
)
def test_data_in_any_form_give_the_same_report(data: Any) -> None:
    report, wanted = report_of(data), report_of()
    assert str(report.table) == str(wanted.table)
    assert torch.equal(report.points, wanted.points)


def test_more_samples_than_one_part_holds() -> None:
    """Rows on both sides of 1,024, keyed by their place; progress comes with every part."""
    x, y = X.repeat(40, 1, 1, 1)[:1100], Y.repeat(40)[:1100]
    seen: list[tuple[int, int]] = []
    once = Effort((recipes.ifgsm(2),), "once")
    report = evaluate(NET, (x, y), BUDGET, effort=once, progress=lambda done, robust: seen.append((done, robust)))
    assert report.table["index"] == list(range(1100))
    assert report.points.shape == x.shape
    assert seen[-1] == (1100, round(report.robust_accuracy * 1100))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert len(seen) > 1
    for name in ("verdict", "margin", "backward"):  # no randomness in this effort: image i again and again
        assert str(report.table[name][1080:1100]) == str(report.table[name][:20])


def test_radii_by_sample() -> None:
    eps = torch.full((30,), 0.08)
    eps[5:10] = 0.0
    report = evaluate(NET, (X, Y), ms.Linf(eps), effort=FAST, probe=False)
    same = report_of()
    keep = [i for i in range(30) if not 5 <= i < 10]
    assert [report.table["verdict"][i] for i in keep] == [same.table["verdict"][i] for i in keep]
    assert torch.equal(report.points[5:10], X[5:10])
    assert "l_inf 0..0.08" in str(report)


def test_points_may_be_left_out() -> None:
    report = report_of(keep_points=False)
    assert report.points is None
    assert str(report.table) == str(report_of().table)
    with pytest.raises(ValueError, match="did not keep: keep_points=True"):
        draw(report, NET, X, Path("never.png"))


def test_seeds_matter_and_repeat() -> None:
    start = Effort((recipes.pgd(1),), "start")
    a, b, c = (report_of(effort=start, seed=s).points for s in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_the_printed_report(monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of()
    text = str(report)
    low, high = report.interval
    assert "Robustness within l_inf 0.08" in text
    assert f"{100 * report.robust_accuracy:.2f} %  (95 % interval {100 * low:.2f} to {100 * high:.2f})" in text
    assert f"{100 * report.clean_accuracy:.2f} %" in text
    assert "fast" in text
    assert "seed 0" in text
    assert "3  The model misclassifies the clean point: nothing to attack." in text
    assert text.count("warning ") == 1  # the network says one class
    assert "warning guessing: 27 of 30 clean samples are classified correctly" in text
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in str(report)  # a string is no terminal


def test_a_row_that_is_not_finite_is_counted_neither_way() -> None:
    def fragile(x: torch.Tensor) -> torch.Tensor:
        z = NET(x)
        return torch.where((x.flatten(1)[:, 0] == X[1].flatten()[0])[:, None], math.nan, z)

    report = evaluate(fragile, (X, Y), BUDGET, effort=FAST, probe=False)
    assert report.table["verdict"][1] == "non-finite"
    assert report.table["verdict"].count("non-finite") == 1
    assert report.clean_accuracy == pytest.approx(26 / 30)
    assert "1 samples met NaN or infinity" in report.warnings[0]
    assert "[1]" in str(report)


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_pictures_of_every_kind_of_file(ending: str, tmp_path: Path) -> None:
    draw(report_of(), NET, X, tmp_path / f"picture.{ending}")
    assert (tmp_path / f"picture.{ending}").stat().st_size > 5_000


def test_a_misclassified_sample_is_not_said_to_stand(tmp_path: Path) -> None:
    import matplotlib as mpl

    wrong = (Y + 1) % 5
    report = evaluate(NET, (X[1:4], wrong[1:4]), BUDGET, effort=FAST, probe=False)
    assert set(report.table["verdict"]) == {"misclassified"}
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw(report, NET, X[1:4], tmp_path / "wrong.svg")
    text = (tmp_path / "wrong.svg").read_text(encoding="utf-8")
    assert text.count("seen as") == 3
    assert "still" not in text


def test_what_a_picture_says(tmp_path: Path) -> None:
    """The numbers of the report, labels and answers of the samples shown, in the text of an svg."""
    import matplotlib as mpl

    report = report_of()
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw(report, NET, X, tmp_path / "picture.svg")
    text = (tmp_path / "picture.svg").read_text(encoding="utf-8")
    assert f"Robust accuracy {100 * report.robust_accuracy:.1f} %" in text
    broken = [i for i, v in enumerate(report.table["verdict"]) if v == "broken"]
    assert f"label {report.table['label'][broken[0]]}" in text
    assert f"seen as {int(answers(NET, report.points[broken[0]][None]))}" in text
    assert f"margin {float(report.table['margin'][broken[0]]):+.3g}" in text
    for verdict in ("broken", "robust", "misclassified"):
        assert f"{verdict} ({report.table['verdict'].count(verdict)})" in text


def color(x: torch.Tensor) -> torch.Tensor:
    return NET(x.mean(1, keepdim=True))


def fragile_model(x: torch.Tensor) -> torch.Tensor:
    return torch.where((x.flatten(1)[:, 0] > 0.5)[:, None], math.nan, NET(x))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["color", "nothing broken", "nothing robust", "binary", "not finite", "one sample", "all wrong"]
)
def test_pictures_of_every_kind_of_report(case: str, tmp_path: Path) -> None:
    model: Any = {"color": color, "binary": lambda x: NET(x)[:, 0], "not finite": fragile_model}.get(case, NET)
    x = X.expand(30, 3, 8, 8) if case == "color" else X[:1] if case == "one sample" else X
    y = (NET(X)[:, 0] > 0).long() if case == "binary" else (answers(NET, X) + 1) % 5 if case == "all wrong" else Y
    radius = {"nothing broken": 1e-6, "nothing robust": 0.9}.get(case, 0.08)
    report = evaluate(model, (x, y[: len(x)]), ms.Linf(radius), effort=FAST)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(report, model, x, tmp_path / "picture.png")
    assert_picture(tmp_path / "picture.png")


def test_pictures_are_of_images() -> None:
    flat = lambda x: NET(x.reshape(-1, 1, 8, 8))  # noqa: E731
    report = evaluate(flat, (X.flatten(1), Y), BUDGET, effort=Effort((Recipe("none", 0, 0.0),)))
    with pytest.raises(ValueError, match=r"needs images \[n, 1 or 3, height, width\], got \(30, 64\)"):
        draw(report, flat, X.flatten(1), Path("never.png"))


# --- without extras --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "words"), [("safetensors", "maxslope\\[demo\\]"), ("matplotlib", "maxslope\\[report\\]")]
)
def test_missing_extras_are_named(module: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n == module or n.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    report = report_of()
    needs = {"safetensors": default_network, "matplotlib": lambda: draw(report, NET, X, Path("never.png"))}
    with pytest.raises(ImportError, match=words):
        needs[module]()


def test_the_shipped_network_and_images() -> None:
    net, (x, y) = default_network(), default_data()
    assert x.shape == (1000, 1, 28, 28)
    assert x.dtype == torch.float32
    assert (float(x.min()), float(x.max())) == (0.0, 1.0)
    assert y.bincount().tolist() == [100] * 10
    assert not any(p.requires_grad for p in net.parameters())
    assert not net.training
    assert float((net(x).argmax(1) == y).float().mean()) > 0.95
