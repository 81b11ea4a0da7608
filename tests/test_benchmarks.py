"""The measurement on a GPU is one that nobody can try twice: its whole path runs here, tiny, on a processor."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu.py"


def results():
    spec = importlib.util.spec_from_file_location("_results", ROOT / "benchmarks" / "_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_whole_path_on_a_processor(tmp_path):
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--dry", "--minutes", "30", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(out.read_text(encoding="utf-8"))
    assert not data["dropped"]
    assert not data["failed"]
    parts = {part["name"]: part for part in data["parts"]}
    assert all(part["rows"] for part in parts.values())
    needs_a_gpu = {"CUDA graphs, ResNet-18", "CUDA graphs, ViT"}
    failed = {name for name, part in parts.items() if "failed" in str(part["rows"])}
    assert failed == needs_a_gpu
    same = dict(zip(parts["verdicts"]["columns"], zip(*parts["verdicts"]["rows"], strict=True), strict=True))
    assert set(same["verdicts that differ"]) == {0}  # this device is a processor too
    assert set(same["again to the bit"]) == {"yes"}
    printed = subprocess.run(
        [sys.executable, str(SCRIPT), "--table", str(out)], capture_output=True, text=True, check=True
    ).stdout
    assert printed == out.with_suffix(".md").read_text(encoding="utf-8")
    assert "| ResNet-18 | 8 | l_2 |" in printed


def test_nothing_is_lost_where_a_part_fails_or_time_is_short(tmp_path):
    module = results()
    kept = module.Results(tmp_path / "r.json", 1.0, {"device": "none"})

    def good(part):
        part.row("a", 0.123456)

    def bad(part):
        part.row("b", float("nan"))
        raise RuntimeError("no luck")

    kept.part("good", "Good", ["what", "much"], 1, good)
    kept.part("bad", "Bad", ["what", "much"], 1, bad)
    kept.part("long", "Long", ["what", "much"], 1e6, good)
    kept.part("after", "After", ["what", "much"], 1, good)
    kept.close()
    data = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert [len(part["rows"]) for part in data["parts"]] == [1, 1, 1]
    assert (data["dropped"], data["failed"]) == (["long"], ["bad"])
    text = (tmp_path / "r.md").read_text(encoding="utf-8")
    assert text == module.table(data)
    for line in ("| a | 0.123 |", "| b | - |", "Failed here: RuntimeError: no luck", "for want of time: long."):
        assert line in text
    assert module.attempt(lambda: [1, 2], 2) == [1, 2]
    assert module.attempt(lambda: 1 / 0, 3) == ["failed: ZeroDivisionError: division by zero", "", ""]


def test_a_part_that_does_not_end_is_cut_off(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; import _results; _results.GRACE = 0.0\n"
        "r = _results.Results(Path(sys.argv[1]), 0.02, {})\n"
        "r.part('endless', 'Endless', ['n'], 0, lambda part: (part.row(1), time.sleep(60)))\n"
    )
    out = tmp_path / "r.json"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    data = json.loads(out.read_text(encoding="utf-8"))
    assert data["parts"][0]["rows"] == [[1]]
    assert "endless (cut off" in data["failed"][0]
