"""Calibration of the stopping rule: among samples it gives up, the share that ten times the effort breaks.

    python benchmarks/calibration.py [--case mnist-linf gelu-mlp relu-conv digits-tabular] [--samples 400]

The rule states, for each sample it gives up, the chance that one more run would have succeeded. Ten times the passes
are many more runs; the table shows the share they break, the stated chance of one run, and the number of further runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from _table import head
from strength import CASES

import maxslope as ms
from maxslope.attacks.effort import portfolio
from maxslope.attacks.rule import Rule


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs="+", choices=CASES, default=["mnist-linf", "gelu-mlp", "relu-conv"])
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--efforts", nargs="+", default=["quick", "standard"])
    parser.add_argument("--data", type=Path, default=Path("."))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    head("case | effort | risk | given up | mean chance stated | broken by 10 x | share | backward | further runs")
    for name in options.case:
        case = CASES[name]
        model, x, y = case.load(options.data)
        x, y = x[: options.samples], y[: options.samples]
        right = model(x).argmax(1) == y
        x, y = x[right], y[right]
        budget = ms.Budget(ms.Lp(case.norm), case.eps, case.box)
        for level in options.efforts:
            effort = getattr(ms.Effort, level)()
            first = ms.attack(model, x, y, budget, effort=effort, certify=False)
            given_up = (~first.broken & (first.runs < len(effort.runs))).nonzero().squeeze(1)
            if not given_up.numel():
                continue
            passes = float(first.backward[given_up].double().mean())
            longer = ms.Effort(portfolio(more=200), rule=Rule(0.0)).limited(int(10 * passes))
            again = ms.attack(model, x[given_up], y[given_up], budget, effort=longer, seed=1, certify=False)
            share = float(again.broken.double().mean())
            chance = float(first.chance[given_up].double().mean())
            broken = int(again.broken.sum())
            print(
                f"| {name} | {level} | {effort.rule.risk:g} | {given_up.numel()} | {chance:.1e} | {broken} "
                f"| {share:.4f} | {passes:.0f} | {len(longer.runs)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
