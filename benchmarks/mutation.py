"""How many small alterations of the code that decides verdicts the tests notice: mutation testing with cosmic-ray.

    pip install cosmic-ray
    python benchmarks/mutation.py                 # every room, a seeded sample of its mutants, as a table
    python benchmarks/mutation.py sets --sample 200 --seed 1

A copy of the repository is altered, never the working tree. A mutant in an annotation, a docstring or a message changes
nothing that runs, and is left out; of the others a sample is drawn by the seed. Survivors go to the error output, to be
read one by one.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import difflib
import gc
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import NoReturn

import hypothesis.strategies  # noqa: F401  # here so that each fork has them at hand
import pytest
import scipy.optimize  # noqa: F401
import sympy  # noqa: F401
import torch  # noqa: F401
from _table import head
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
RECORDS = "tests/test_house.py::test_records_are_frozen_and_those_of_tensors_are_compared_by_identity"
SLOW = (  # tests of sets by solvers that take their time: a mutant that only they notice counts as alive
    *("beats_1000_points", "conditions_of_karush", "independent_solver", "linear_program"),
    *("equals_a_program", "quadratic_program", "feasible_idempotent", "gap_bounds", "half_a_box", "pairs_of_norms"),
    *(
        "row_of_nan",
        "rows_are_strangers",
        "scale_with_the_set",
        "single_point",
        "steepest_feasible",
        "that_do_not_bind",
    ),
)
ROOMS: dict[str, tuple[list[str], list[str]]] = {
    "verify": (
        ["attacks/verify.py", "attacks/question.py"],
        ["tests/laws/test_verify.py", "tests/goals/test_randomized.py", "tests/laws/test_one_answer.py", RECORDS],
    ),
    "table": (
        ["evaluation/part.py"],
        ["tests/evaluation/test_part.py", RECORDS],
    ),
    "parts": (
        ["evaluation/draw.py", "evaluation/data.py"],
        ["tests/evaluation/test_parts.py", "src/maxslope/evaluation/draw.py", "src/maxslope/evaluation/data.py"],
    ),
    "sets": (
        ["sets/base.py", "sets/box.py", "sets/ball_box.py", "sets/budget.py", "sets/_rounding.py", "sets/_shapes.py"],
        [
            *("tests/contracts/test_set_forms.py", "tests/contracts/test_budgets.py"),
            *("tests/contracts/test_sets.py", "tests/contracts/test_set_edges.py", RECORDS),
            *("-k", f"not ({' or '.join(SLOW)})"),
        ],
    ),
    "goals": (
        ["goals/base.py", "goals/classes.py", "goals/structured.py"],
        ["tests/goals/test_forms.py", "src/maxslope/goals", "tests/goals/test_meanings.py", RECORDS],
    ),
}
# One thing for None, enums and small numbers, and for masks.
SAME = ("_Eq_Is", "_NotEq_IsNot", "_Is_Eq", "_IsNot_NotEq", "_BitOr_Add", "_BitAnd_Mul")


# Mutants that change nothing anyone can see: a module, a piece of the altered line as it was, pieces of it as it is
# then (any of them; none for whatever it is), and why. They are named in the table, and do not count.
EQUIVALENT: list[tuple[str, str, tuple[str, ...], str]] = [
    ("evaluation/part.py", "strict=True", ("strict=False",), "the two are as long as each other by their making"),
    ("evaluation/part.py", "State(question, 1)", (), "the history of runs, which there are none of, is not read"),
    ("evaluation/part.py", "job.number == 0", ("<= 0",), "parts are numbered from 0"),
    ("evaluation/part.py", "votes > 1", ("votes != 1",), "there are no fewer than 1"),
    ("evaluation/data.py", "strict=True", ("strict=False",), "the two are as long as each other by their making"),
    ("evaluation/draw.py", "keys.argsort(stable=True)", ("stable=False",), "no two of 2^64 numbers are equal"),
    ("evaluation/draw.py", "(sizes)).argsort(stable=True)", ("stable=False",), "no two of 2^53 numbers are equal"),
    ("evaluation/data.py", "ndim == 0", ("ndim <= 0",), "there are no fewer than 0 axes"),
    ("sets/_rounding.py", "bits < 0, -(bits", ("bits < -1,",), "the number of bits -1 is none: NaN"),
    ("sets/_rounding.py", "(product == radius)", ("(product >= radius) & ~",), "where it is larger is decided already"),
    ("sets/_rounding.py", "(wide == value)", ("wide <= value) & (rest > 0", "wide >= value) & (rest < 0"), "likewise"),
    ("sets/_shapes.py", "whole = given[0] if", (">= x.ndim",), "what has more axes does not fit with one less either"),
    ("sets/box.py", "bool((out > 0).any())", (">= 0", "!= 0", "> -1"), "work that is spared has the same answer"),
    ("sets/ball_box.py", "torch.where(size > 0, size", ("size != 0",), "a norm is not negative"),
    ("sets/ball_box.py", "torch.where(steep > 0", ("steep != 0",), "a norm is not negative"),
    ("sets/ball_box.py", "torch.where(self.radius > 0", ("radius != 0",), "a radius is not negative"),
    ("attacks/verify.py", "Randomized) else 1", ("else 0",), "the last of one answer is the first"),
    ("attacks/question.py", "numel(), 1)", ("numel(), 2)",), "256 rows are the most, of one number or of two"),
    (
        "sets/box.py",
        "torch.where(xi < 0",
        ("where(xi != 0, self.hi",),
        "where xi > 0 is decided already, and NaN has no minimizer",
    ),
    ("attacks/question.py", "rows * size <= 98304", ("98305",), "no multiple of 16"),
]


def equivalent(module: str, before: str, after: str) -> bool:
    """Whether a mutant is one of :data:`EQUIVALENT`."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    kept = [line for line in lines if line[0] in "+-"]
    was, now = (" ".join(line[2:] for line in kept if line[0] == sign) for sign in "-+")
    return any(
        module == where and old in was and (not new or any(piece in now for piece in new))
        for where, old, new, _ in EQUIVALENT
    )


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
    """What the tests of the rooms need of the repository."""
    for name in ("src", "tests", "pyproject.toml"):
        whole = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        to.mkdir(exist_ok=True)
        whole(ROOT / name, to / name)
    compileall.compile_dir(to, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


def mutants(place: Path, modules: list[str]) -> list[tuple[str, str, int]]:
    """Each mutant of the modules that changes what runs: its module, the operator, and which of its places."""
    found = []
    for module in modules:
        path = place / "src/maxslope" / module
        quiet, tree = silent(path), get_ast_from_path(path)
        for name in sorted(operator_names()):
            if get_operator(name).arguments() or name.endswith(SAME):
                continue
            operator = get_operator(name)()
            places = (start for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node))
            for occurrence, (line, column) in enumerate(places):
                if not any(begin <= line * 10000 + column < end for begin, end in quiet):
                    found.append((module, name, occurrence))
    return found


def run(place: Path, tests: list[str]) -> NoReturn:
    """The tests, in a process of their own, which ends with them."""
    status = 1
    try:
        os.setsid()
        os.chdir(place)
        log = os.open("tests.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.path.insert(0, str(place / "src"))
        sys.dont_write_bytecode = True
        plain = ["-n", "0", "-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "-m", ""]
        status = int(pytest.main([*plain, *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def passes(place: Path, tests: list[str], timeout: float) -> bool:
    """Run the tests in a fork of this process, which has the heavy packages at hand; too slow counts as failing."""
    child = os.fork()
    if child == 0:
        run(place, tests)
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def tried(room: str, sample: int, seed: int, timeout: float, part: slice) -> dict[str, int]:
    """Try a sample of the mutants of a room; counts, and those that no test noticed on the error output."""
    modules, tests = ROOMS[room]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "copy"
        copied(place)
        started = time.monotonic()
        if not passes(place, tests, 10 * timeout):
            raise SystemExit(f"tests of {room} fail before anything is altered:\n{(place / 'tests.log').read_text()}")
        limit = max(timeout, 3 * (time.monotonic() - started))
        every = mutants(place, modules)
        gone = [e for e in EQUIVALENT if e[0] in modules and e[1] not in (place / "src/maxslope" / e[0]).read_text()]
        assert not gone, f"lines that are no longer there: {gone}"
        alive = same = 0
        drawn = random.Random(seed).sample(every, min(sample, len(every)))[part]
        for module, name, occurrence in drawn:
            with use_mutation(place / "src/maxslope" / module, get_operator(name)(), occurrence) as (before, after):
                if after is None or equivalent(module, before, after):
                    same += 1
                elif passes(place, tests, limit):
                    alive += 1
                    texts = (before.splitlines(), after.splitlines())
                    print(*difflib.unified_diff(*texts, module, name, n=1, lineterm=""), sep="\n", file=sys.stderr)
                    sys.stderr.flush()
    counts = {"mutants": len(every), "tried": len(drawn), "equivalent": same, "killed": len(drawn) - same - alive}
    return counts | {"seconds": round(time.monotonic() - started)}


def main() -> None:
    """Print a line for each room."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", default=list(ROOMS), choices=[*ROOMS, []])
    parser.add_argument("--sample", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--part", default="1/1", help="2/4: the second of four parts of the sample, for four processes")
    given = parser.parse_args()
    which, of = map(int, given.part.split("/"))
    os.environ["HYPOTHESIS_PROFILE"] = "mutation"
    gc.freeze()
    head("room | seed | mutants | tried | equivalent | killed | share of the others | seconds")
    for room in given.rooms:
        found = tried(room, given.sample, given.seed, given.timeout, slice(which - 1, None, of))
        mutants, drawn, same, killed, seconds = found.values()
        share = 100 * killed / max(drawn - same, 1)
        print(
            f"| {room} | {given.seed} | {mutants} | {drawn} | {same} | {killed} | {share:.0f} % | {seconds} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
