"""Every example runs as a script, in an empty folder of its own, and leaves its files there and nowhere else."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDS = {  # what an example needs besides the required packages, and what it promises to write
    "audio": (("scipy", "silero_vad"), ("clean.wav", "silenced.wav")),
    "boundary": (("skfmm", "skimage", "matplotlib"), ("boundary.png",)),
    "certificate": (("sympy", "mpmath"), ("certificate.json",)),
    "images": (("safetensors", "jinja2"), ("report.html",)),
    "loops": (("sklearn", "safetensors"), ("robust.safetensors",)),  # and Lightning and Accelerate, where they are
    "moons": (("sklearn", "scipy", "matplotlib", "ot"), ("trajectories.svg", "differences.svg")),
    "odenet": (("sklearn",), ("plain.pt", "robust.pt")),
    "own_model": (("sklearn",), ("report.txt",)),
    "tabular": (("sklearn",), ("smallest-changes.csv",)),
    "train": (("sklearn", "safetensors"), ("plain.safetensors", "adversarial.safetensors", "TRADES.safetensors")),
}


def test_every_example_is_tested() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(NEEDS)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), [("accelerate", "Accelerate"), ("lightning", "Lightning")])
def test_the_loops_of_others(module: str, name: str, tmp_path: Path) -> None:
    """Their loop on the same batches makes the weights of one's own loop; the example fails otherwise."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module}")
    code = f"import sys; sys.argv[1:] = [{str(tmp_path)!r}]; import runpy; "
    code += f"runpy.run_path({str(ROOT / 'examples' / 'loops.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert f"{name}: weights " in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NEEDS))
def test_example_runs(name: str, tmp_path: Path) -> None:
    modules, files = NEEDS[name]
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py"), str(out)],
        check=False,
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr.replace("DeprecationWarning", "")
    assert done.stdout.count("\n") >= 3
    assert [file for file in files if not (out / file).stat().st_size] == []
    assert list(elsewhere.iterdir()) == []
