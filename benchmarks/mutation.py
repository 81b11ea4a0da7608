"""How many small alterations of the code that decides verdicts the tests notice: mutation testing with cosmic-ray.

    pip install cosmic-ray
    python benchmarks/mutation.py                 # every room, a seeded sample of its mutants, as a table
    python benchmarks/mutation.py sets --sample 200 --seed 1

A copy of the repository is altered, never the working tree. A mutant in an annotation, a docstring or a message changes
nothing that runs, and is left out; of the others a sample is drawn by the seed. Survivors are listed, to be read one by
one.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ROOMS: dict[str, tuple[list[str], list[str]]] = {
    "verify": (
        ["attacks/verify.py", "attacks/question.py"],
        ["tests/laws/test_one_answer.py", "tests/laws/test_verify.py", "tests/goals/test_truth.py"],
    ),
    "table": (["evaluation/part.py"], ["tests/evaluation/test_part.py", "tests/laws/test_one_answer.py"]),
    "sets": (
        ["sets/base.py", "sets/box.py", "sets/ball_box.py", "sets/budget.py", "sets/_rounding.py", "sets/_shapes.py"],
        ["tests/contracts/test_set_edges.py", "tests/contracts/test_sets.py"],
    ),
    "goals": (
        ["goals/base.py", "goals/classes.py", "goals/structured.py"],
        ["src/maxslope/goals", "tests/goals", "tests/training/test_goals.py"],
    ),
}


def silent(path: Path) -> list[tuple[int, int]]:
    """Line ranges in which a mutant changes nothing that runs: annotations, docstrings, what is raised and said."""
    tree = ast.parse(path.read_text())
    found: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found += [a.annotation for a in ast.walk(node.args) if isinstance(a, ast.arg) and a.annotation]
            found += [node.returns] if node.returns else []
        elif isinstance(node, ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            found.append(node)
    return [(n.lineno * 10000 + n.col_offset, n.end_lineno * 10000 + n.end_col_offset) for n in found]  # type: ignore


def copied(to: Path) -> None:
    """The repository as git sees it, without what it ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def tried(room: str, sample: int, seed: int, timeout: float) -> dict[str, Any]:
    """Kill the mutants of a room; counts, and the diffs of those that survived."""
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    modules, tests = ROOMS[room]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "copy"
        copied(place)
        there = [test for test in tests if (place / test).exists()]
        paths = ", ".join(f'"src/maxslope/{module}"' for module in modules)
        command = f"{sys.executable} -m pytest -n 0 -x -q -p no:cacheprovider {' '.join(there)}"
        (place / "cosmic.toml").write_text(
            f"[cosmic-ray]\nmodule-path = [{paths}]\ntimeout = {timeout}\nexcluded-modules = []\n"
            f'test-command = "{command}"\n[cosmic-ray.distributor]\nname = "local"\n'
        )
        env = os.environ | {"PYTHONPATH": str(place / "src"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run(
            command.split(), cwd=place, env=env, check=True, capture_output=True
        )  # all is well to begin with
        cosmic = [str(Path(sys.executable).parent / "cosmic-ray")]
        subprocess.run([*cosmic, "init", "cosmic.toml", "session.sqlite"], cwd=place, env=env, check=True)
        quiet = {module: silent(place / "src/maxslope" / module) for module in modules}
        with use_db(place / "session.sqlite", WorkDB.Mode.open) as db:
            items = sorted(db.work_items, key=lambda item: str(item.mutations))
            loud = []
            for item in items:
                spec = item.mutations[0]
                at = spec.start_pos[0] * 10000 + spec.start_pos[1]
                module = str(spec.module_path).split("src/maxslope/")[1]
                if not any(begin <= at < end for begin, end in quiet[module]):
                    loud.append(item.job_id)
            kept = set(random.Random(seed).sample(loud, min(sample, len(loud))))
            skipped = WorkResult(worker_outcome=WorkerOutcome.SKIPPED)
            db.set_multiple_results([item.job_id for item in items if item.job_id not in kept], skipped)
        subprocess.run([*cosmic, "exec", "cosmic.toml", "session.sqlite"], cwd=place, env=env, check=True)
        with use_db(place / "session.sqlite", WorkDB.Mode.open) as db:
            results = [result for _, result in db.results if result.worker_outcome != WorkerOutcome.SKIPPED]
    alive = [result.diff for result in results if not result.is_killed]
    return {
        "room": room,
        "mutants": len(loud),
        "tried": len(results),
        "killed": len(results) - len(alive),
        "alive": alive,
    }


def main() -> None:
    """Print a line for each room, and the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", default=list(ROOMS), choices=[*ROOMS, []])
    parser.add_argument("--sample", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=240.0)
    given = parser.parse_args()
    print("| room | mutants | tried | killed | share |\n|---|---|---|---|---|")
    alive = []
    for room in given.rooms:
        found = tried(room, given.sample, given.seed, given.timeout)
        share = 100 * found["killed"] / max(found["tried"], 1)
        print(f"| {room} | {found['mutants']} | {found['tried']} | {found['killed']} | {share:.0f} % |", flush=True)
        alive += found["alive"]
    for diff in alive:
        print(f"\n{diff}")


if __name__ == "__main__":
    main()
