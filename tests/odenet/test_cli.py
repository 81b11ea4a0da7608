"""``maxslope odenet`` and its report."""

import csv
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from maxslope.cli.main import app
from maxslope.odenet import Squared, Until, descend, load, sobol
from maxslope.report.odenet import _end
from maxslope.studies import networks as report

QUICK = ["--layers", "2", "--particles", "6", "--gradients", "60"]


def invoke(*arguments: str) -> str:
    threads = torch.get_num_threads()
    try:
        result = CliRunner().invoke(app, ["odenet", *arguments], env={"COLUMNS": "200"})
    finally:
        torch.set_num_threads(threads)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.output


@pytest.mark.slow
def test_both_sets_by_default(tmp_path: Path) -> None:
    output = invoke("--out", str(tmp_path), *QUICK)
    for name in ("moons", "digits"):
        assert name in output
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert found["monotone"]
        assert found["relative_defect"] <= 1e-3
        assert 0 <= found["score"] <= 1
        assert found["held_out"] == {"rows": 40 if name == "moons" else 60, "score": found["held_out"]["score"]}
        with (tmp_path / f"{name}.csv").open() as file:
            lines = list(csv.DictReader(file))
        energies = [float(line["energy"]) for line in lines]
        assert energies == sorted(energies, reverse=True)
        assert energies[-1] == pytest.approx(found["energy"])
        assert (tmp_path / f"{name}.png").stat().st_size > 20_000
        assert (tmp_path / f"{name}.svg").exists()


@pytest.mark.slow
def test_a_table_of_classes_and_robust_training(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    lines = [f"{k / 10},{(k % 5) / 5},{7 + (k > 10)}" for k in range(20)]
    path.write_text("first,second,class\n" + "\n".join(lines) + "\n")
    assert "accuracy" in invoke(str(path), "--out", str(tmp_path / "out"), "--eps", "0.01", *QUICK)
    assert (tmp_path / "out" / "own.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("features", [1, 2])
def test_a_table_of_numbers(features: int, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("\n".join(",".join([str(k / 10)] * features + [str((k / 10) ** 2)]) for k in range(30)))
    assert "R^2" in invoke(str(path), "--out", str(tmp_path / "out"), *QUICK)


@pytest.mark.slow
def test_a_class_per_line(tmp_path: Path) -> None:
    path = tmp_path / "line.csv"
    path.write_text("\n".join(f"{k / 10},{k // 10}" for k in range(30)))
    assert "accuracy" in invoke(str(path), "--out", str(tmp_path / "out"), *QUICK)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Mean-field networks: line" in page
    assert f"maxslope odenet {path} --out {tmp_path / 'out'} --layers 2 --particles 6 --gradients 60" in page
    assert page.count('<svg class="drawn"') >= 4


@pytest.mark.slow
def test_a_converged_study_draws_its_exponent(tmp_path: Path) -> None:
    data = report.Data("line", torch.linspace(-1, 1, 12)[:, None].double(), torch.linspace(-2, 2, 12).double())
    found = report.study(data, report.Settings(layers=2, particles=4, penalty=0.3, slope=1e-7))
    assert found.verdict.fate.name == "CONVERGED"
    assert isinstance(found.risk.misfit, Squared)
    measured = report.numbers(found)
    assert measured["theta"]["fit"] == pytest.approx(0.5, abs=0.02)
    assert measured["smallest_eigenvalue"] > 0
    from maxslope.report.odenet import draw

    draw(found, tmp_path / "line")
    assert (tmp_path / "line.png").exists()


@pytest.mark.slow
def test_one_json_object_a_network_in_a_file_and_a_score_on_rows_held_out(tmp_path: Path) -> None:
    path, out = tmp_path / "own.csv", tmp_path / "out"
    x = torch.arange(40).double() / 10
    y = (3 * x).sin() + x
    path.write_text("\n".join(f"{a!r},{b!r}" for a, b in zip(x.tolist(), y.tolist(), strict=True)))
    said = json.loads(invoke(str(path), "--json", "--held-out", "0.25", "--out", str(out), *QUICK))
    (found,) = said["data"]
    assert found == json.loads((out / "own.json").read_text())
    assert (found["samples"], found["held_out"]["rows"]) == (30, 10)
    _, rest = report._split(report.table(path), report.Settings(held_out=0.25))
    network = load(out / "own.safetensors")
    kept = [k for k in range(40) if k not in rest]
    predicted = network(x[:, None])[:, 0].detach() * y[kept].std(correction=0) + y[kept].mean()
    for rows, score in ((rest, found["held_out"]["score"]), (kept, found["score"])):
        miss, total = (predicted - y)[rows].square().sum(), (y[rows] - y[rows].mean()).square().sum()
        assert score == pytest.approx(1 - float(miss / total), rel=1e-9)


def test_every_class_is_learned_however_much_is_held_out() -> None:
    y = torch.tensor([0] * 10 + [1] + [2] * 10)
    data = report.Data("three", torch.arange(21).double()[:, None], y)
    for seed in range(5):
        kept, rest = report._split(data, report.Settings(seed=seed, held_out=0.9))
        assert set(kept.y.tolist()) == {0, 1, 2}
        assert len(rest) == 18
        assert sorted(kept.x[:, 0].long().tolist() + rest) == list(range(21))
    assert report._split(data, report.Settings())[1] == []


def test_what_is_said_of_the_end_is_what_happened() -> None:
    risk = report.problem(report.moons(), 0.01)
    theta = sobol(risk.design, 1, 4)
    (cut,) = descend(risk, theta, until=Until(slope=1e-9, gradients=30), rates=False)
    (done,) = descend(risk, theta, until=Until(slope=0.3), rates=False)
    assert "what more steps would do is not known" in _end(cut, 1e-9)
    assert _end(done, 0.3) == "The slope came down to 0.3."


def test_misuse(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="CSV file that exists"):
        invoke("nothing.csv")
    path = tmp_path / "bad.csv"
    for text in ("a,b\n", "1,2\n3\n", "1,2\nx,y\n", "1\n2\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="at least two lines"):
            report.table(path)
    path.write_text("1,0\n2,0\n")
    with pytest.raises(ValueError, match="at least two classes"):
        report.problem(report.table(path), 0.1)
