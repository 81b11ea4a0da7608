"""Verdicts and times beside Maxima's kovacicODE: python benchmarks/kovacic.py [--seconds 100] [--repeats 3] [--table].

Needs `maxima` with its share packages (Debian: maxima, maxima-share). Each equation y'' = r y is solved by both in
processes of their own, and the verdicts (solvable or not) must agree. Times are CPU seconds of the solver alone,
medians over the processes. Maxima's clock counts in hundredths of a second, so that what a side solves faster than a
tenth it solves 20 times in a row, and the ratio is that of the means; ours of the first call is beside it.
"""

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import process_time

from rich.console import Console
from rich.table import Table
from sympy import Symbol, sympify

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integrability"))

from _lists import EXPECTED, X, hypergeometric

FEW = 0.1  # seconds of Maxima, from which on its clock of hundredths is fine enough
MORE = (
    ("quaternion", hypergeometric("1/2 1/2 1/2"), 2),
    ("quaternion, shifted", hypergeometric("3/2 1/2 1/2"), 2),
    ("quaternion, Joukowski", ("1/2 1/2 1/2", "(x**2+1)/(2*x)"), 2),
    ("quaternion, quadratic", ("1/2 1/2 1/2", "x**2/(x-1)"), 2),
    ("quaternion, cubic", ("1/2 1/2 1/2", "x**3-3*x"), 2),
    ("dihedral, pulled back", ("1/2 1/2 1/3", "(x**2+1)/(2*x)"), 2),
    ("Euler", "5/(16*x**2)", 1),
    ("Euler, irrational", "1/x**2", 1),
    ("Coulomb 1", "2/x**2 - 4/x + 1", 1),
    ("Coulomb 2", "1/4 - 3/x", 1),
    ("Coulomb 3", "1/4 - 3/(2*x)", 4),
    ("Weber 1/2", "x**2/4", 4),
    ("x^2 - 7", "x**2 - 7", 1),
    ("x^4 + x", "x**4 + x", 4),
    ("two double poles", "1/x**2 + 1/(x-1)**2", 1),
    ("three double poles", "1/x**2 + 2/(x-1)**2 - 1/(x+1)**2", 4),
    ("1/x^3", "1/x**3", 4),
    ("1/x^4", "1/x**4", 1),
    ("2/x^3 + 1/x^4", "2/x**3 + 1/x**4", 1),
    ("simple poles", "1/x + 1/(x-1)", 4),
)


def equations() -> list[tuple[str, str, int]]:
    """Name, r as a string, case."""
    from maxslope.integrability import pull_back

    rows = [(r if isinstance(r, str) else f"row {k}", str(sympify(r)), case) for k, (r, case, _) in enumerate(EXPECTED)]
    t = Symbol("t")
    for name, given, case in MORE:
        r = given
        if not isinstance(given, str):
            start = sympify(hypergeometric(given[0])).subs(X, t)
            r = str(pull_back(start, t, sympify(given[1]), X))
        rows.append((name, r, case))
    return rows


def _limit(seconds: float) -> None:
    """End this process after so many CPU seconds."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))


def _solve(r: str, seconds: float, pipe: object) -> None:
    _limit(process_time() + seconds)
    from maxslope.integrability import liouvillian

    start = process_time()
    found = liouvillian(r, X)
    first = process_time() - start
    found.solutions()
    written = process_time() - start
    begin = process_time()
    for _ in range(19 if first < FEW else 0):
        liouvillian(r, X)
    mean = (first + process_time() - begin) / 20 if first < FEW else first
    pipe.send((found.case, mean, first, written))


def ours(r: str, seconds: float) -> tuple[int | None, float, float, float]:
    """Case, mean seconds to the verdict, those of the first call, and with both solutions written out."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_solve, args=(r, seconds, there))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        return None, seconds, seconds, seconds
    finally:
        process.join()


def theirs(r: str, seconds: float) -> tuple[bool | None, float]:
    """Whether kovacicODE found solutions (None: no answer in time, or an error), and its seconds."""
    text = r.replace("**", "^")
    solve = f"kovacicODE('diff(y,x,2)=({text})*y,y,x)"
    program = (
        'display2d:false$ load("contrib/maxima-odesolve/kovacicODE.mac")$ t0:elapsed_run_time()$ '
        f"s:errcatch({solve})$ t1:elapsed_run_time()$ "
        f"if t1-t0 < {FEW} then (for k thru 19 do errcatch({solve}), t1:t0+(elapsed_run_time()-t0)/20)$ "
        'print("ANSWER",if s=[] then error_ else (if s[1]=false then none_ else found_),"TIME",t1-t0)$'
    )
    command = ["maxima", "--very-quiet", f"--batch-string={program}"]
    quiet = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    done = subprocess.run(command, check=False, preexec_fn=lambda: _limit(seconds + 5), **quiet)
    line = next((row for row in done.stdout.splitlines() if row.startswith("ANSWER")), "")
    if not line or "error_" in line:
        return None, seconds
    return "found_" in line, float(line.split("TIME")[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=100, help="CPU seconds, when to give up on one equation")
    parser.add_argument("--repeats", type=int, default=3, help="processes for each equation and side")
    parser.add_argument("--table", action="store_true", help="print every equation")
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the rows")
    options = parser.parse_args()
    import maxslope.integrability.kovacic  # noqa: F401

    rows = []
    for name, r, case in equations():
        answers = [ours(r, options.seconds) for _ in range(options.repeats)]
        found, (mean, first, written) = answers[0][0], (median(row[k] for row in answers) for k in (1, 2, 3))
        other, seconds = theirs(r, options.seconds)
        if seconds < 10 * FEW:
            seconds = median([seconds, *(theirs(r, options.seconds)[1] for _ in range(options.repeats - 1))])
        rows.append((name, case, found, mean, first, written, other, seconds))
        mine = f"case {found} {mean:.4f} {first:.3f} {written:.3f}"
        sys.stderr.write(f"{len(rows)} {name[:50]}: {mine}; Maxima {other} {seconds:.4f}\n")
    if options.out is not None:
        options.out.write_text(json.dumps(rows))
    report(rows, options.table)


def report(rows: list, every: bool) -> None:
    """The counts, and the slowest ratios."""
    console = Console(width=140)
    both = [row for row in rows if row[2] is not None and row[6] is not None]
    wrong = [row for row in rows if row[2] != row[1]]
    apart = [row for row in both if (row[2] != 4) != row[6]]
    denied = [row for row in apart if row[2] != 4]
    slower = [row for row in both if row[3] > 2 * row[7]]
    table = Table("equation", "case", "maxslope [s]", "first", "with solutions", "Maxima", "[s]", "ratio")
    for name, _, found, mean, first, written, other, seconds in rows if every else slower + apart + wrong:
        ratio = "" if other is None else f"{mean / max(seconds, 1e-3):.2f}"
        times = (f"{mean:.4f}", f"{first:.3f}", f"{written:.3f}", str(other), f"{seconds:.4f}", ratio)
        table.add_row(name[:60], str(found), *times)
    console.print(table)
    mine, full, maxima = (sum(row[k] for row in both) for k in (4, 5, 7))
    console.print(
        f"{len(rows)} equations, {len(wrong)} wrong cases, {len(both)} answered by both, {len(apart)} disagreements "
        f"({len(denied)} where Maxima denies solutions that are verified by substitution). Slower by more than 2: "
        f"{len(slower)}; median ratio {median(row[3] / max(row[7], 1e-3) for row in both):.2f}. Sum on those answered "
        f"by both: first calls {mine:.2f} s (with solutions {full:.2f}) against {maxima:.2f} s."
    )


if __name__ == "__main__":
    main()
