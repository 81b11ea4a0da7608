"""The numbers of a page as JSON, comma-separated values and Markdown."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

from maxslope._escape import cell, markdown, visible
from maxslope.attacks import Effort
from maxslope.attacks.findings import Finding
from maxslope.evaluation import Report, Smallest
from maxslope.evaluation.remains import Remains
from maxslope.facts.evaluation import Facts
from maxslope.facts.numbers import Share, percent
from maxslope.sets import Budget
from maxslope.spaces import Lp


def plain(value: Any) -> Any:
    """Return dictionaries, lists, numbers and words; records by their fields, and what is not finite as None.

    >>> plain({"gap": float("nan"), "eps": (0.1, 1)})
    {'gap': None, 'eps': [0.1, 1]}
    """
    if isinstance(value, Finding | Remains):
        return value.data()
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(content: Mapping[str, Any]) -> str:
    """Return everything that is a number or a word; NaN and infinity are null."""
    return json.dumps(plain(dict(content)), indent=1, allow_nan=False) + "\n"


def table_csv(report: Report | Smallest) -> str:
    """Return one line per sample, with a header; the name of its class at the end, where classes have names."""
    columns: dict[str, Sequence[Any]] = dict(report.table)
    if report.about.classes:
        columns["class"] = [report.about.name(label) for label in columns["label"]]
    return columns_csv(columns)


def columns_csv(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return columns of equal length, by name, as comma-separated values."""
    return to_csv(list(columns), zip(*columns.values(), strict=True))


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return comma-separated values.

    >>> to_csv(["a"], [[1]]).splitlines()
    ['a', '1']
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([cell(name) for name in header])
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


def write_csv(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write records of equal keys as a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(records[0])
    path.write_text(to_csv(names, ([record[name] for name in names] for record in records)), encoding="utf-8")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Return a Markdown table of plain texts; what is markup in them is escaped.

    >>> print(markdown_table(["a"], [["1|2"]]), end="")
    | a |
    | --- |
    | 1\|2 |
    """
    lines = [header, *rows]
    written = ["| " + " | ".join(markdown(text) for text in line) + " |\n" for line in lines]
    return "".join([written[0], "| " + " | ".join(["---"] * len(header)) + " |\n", *written[1:]])


_TEX = {c: f"\\{c}" for c in "&%$#_{}"}
_TEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}


def tex(text: str) -> str:
    r"""Return text with what LaTeX would take for its own escaped.

    >>> tex("50 % of l_inf")
    '50 \\% of l\\_inf'
    """
    return "".join(_TEX.get(c, c) for c in visible(" ".join(text.split())))


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Return a LaTeX table with the rules of booktabs; all text is escaped.

    >>> print(latex_table(["a"], [["1 %"]]), end="")
    \begin{tabular}{l}
    \toprule
    a \\
    \midrule
    1 \% \\
    \bottomrule
    \end{tabular}
    """
    lines = [" & ".join(map(tex, line)) + r" \\" for line in [header, *rows]]
    parts = [rf"\begin{{tabular}}{{{'l' * len(header)}}}", r"\toprule", lines[0], r"\midrule", *lines[1:]]
    return "\n".join([*parts, r"\bottomrule", r"\end{tabular}"]) + "\n"


_CLASSES = ("class", "samples", "clean", "robust")


def _by_class(facts: Facts) -> list[tuple[str, ...]]:
    """The lines of a table of classes, where there are several."""
    several = facts.classes if len(facts.classes) > 1 else ()
    return [(c.name, f"{c.robust.total}", c.clean.words, c.robust.words) for c in several]


def to_latex(facts: Facts) -> str:
    """Return verdicts and classes of a page as a table for a paper; warnings are comments above it."""
    rows = [("all", f"{facts.samples}", facts.clean.words, facts.robust.words), *_by_class(facts)]
    said = [*map(str, facts.doubts)]
    said += [] if facts.remains is None else [f"Would fall {facts.remains.words}."]
    said.append(f"Within {facts.budget}, effort {facts.effort_name}, seed {facts.seed}; 95 % intervals.")
    return latex_comments(said) + latex_table(_CLASSES, rows)


def latex_comments(said: Iterable[str]) -> str:
    """Return texts as comments, a line each, whatever is in them."""
    return "".join(f"% {visible(' '.join(words.split()))}\n" for words in said)


def to_python(report: Report, budget: Budget | None) -> str:
    """Return lines of Python that do an evaluation again, for somebody who has its model and data (x, y).

    What cannot be written in a line (a radius per sample, an effort of one's own) is taken from the report or named.
    """
    said = _budget_words(report, budget)
    levels = {e.name: e for e in (Effort.quick(), Effort.standard(), Effort.exhaustive())}
    own = levels.get(report.effort.name) == report.effort  # not that of an earlier version
    effort = f"ms.Effort.{report.effort.name}()" if own else "report.effort  # of the report of this run"
    lines = [
        "import maxslope as ms",
        "",
        "# model, x and y: the model and the data of this evaluation",
        said,
        f"effort = {effort}",
        f"again = ms.evaluate(model, (x, y), budget, effort=effort, seed={report.seed})",
    ]
    if not report.about.plain:
        lines.insert(3, "# and give evaluate the goal, mask, context and realization of this run")
    return visible("\n".join(lines))


def _budget_words(report: Report, budget: Budget | None) -> str:
    """The line that makes the budget; a comment alone where it cannot be written in one."""
    unknown = f"# budget: {' '.join(report.asked.split())}"
    if budget is None or not isinstance(budget.norm, Lp) or torch.as_tensor(budget.eps).ndim:
        return unknown
    box = budget.box
    if box is not None and any(torch.as_tensor(b).ndim for b in box):
        return unknown
    eps, kinds = float(budget.eps), {math.inf: "ms.Linf(", 2.0: "ms.L2(", 1.0: "ms.L1("}
    typed = [f"{top} / {bottom}" for top, bottom in re.findall(r"(\d+\.?\d*)/(\d+\.?\d*)", report.about.budget)
             if float(bottom) and float(top) / float(bottom) == eps]  # fmt: skip
    radius = typed[0] if typed else repr(eps)
    where = "None" if box is None else f"({float(box[0])!r}, {float(box[1])!r})"
    inside = "" if where == "(0.0, 1.0)" else f", box={where}".replace("inf", 'float("inf")')
    head = kinds.get(budget.norm.p, f"ms.Budget(ms.Lp({budget.norm.p!r}), ")
    return f"budget = {head}{radius}{inside})"


def to_markdown(facts: Facts, command: str = "") -> str:
    """Return a summary of a page."""
    parts = [f"## {markdown(facts.title)}\n\n", headline(facts), "\n\n"]
    parts += markdown_doubts(facts.doubts)
    asked = [(name, words) for name, words in facts.asked if name not in ("Budget", "Effort")]
    parts += [", ".join(f"{name.lower()}: {markdown(words)}" for name, words in asked), "\n\n"]
    rows = [(f"{verdict}: {meaning}", f"{s.count}", s.words) for verdict, meaning, s in facts.verdicts]
    parts.append(markdown_table(("verdict", "samples", "share (95 % interval)"), rows))
    if classes := _by_class(facts):
        parts += ["\n", markdown_table(_CLASSES, classes)]
    late = "" if facts.remains is None else f"; {facts.remains.place}"
    backward, forward = facts.passes
    cost = f"{backward:.1f} backward and {forward:.1f} forward passes a sample"
    parts.append(f"\nEffort {markdown(facts.effort_name)}, seed {facts.seed}; {cost}{late}.\n")
    return "".join(parts) + ("\n" + markdown_command(command) if command else "")


def markdown_doubts(found: Iterable[Finding]) -> list[str]:
    """Return what may be wrong with numbers, a quotation each."""
    return [f"> **{markdown(doubt.name)}** {markdown(doubt.sentence)}\n\n" for doubt in found]


def markdown_command(command: str) -> str:
    """Return a command as a block of code."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", command)), default=0))
    return f"{fence}bash\n{visible(' '.join(command.split()))}\n{fence}\n"


def headline(facts: Facts) -> str:
    """Return the answer in a sentence or two."""

    def spelled(share: Share) -> str:
        return f"{percent(share.value)} (95 % interval {share.interval})"

    doubtful = "Not to be trusted: see below. " if not facts.trusted else ""
    left = "" if facts.remains is None else f" It would fall {facts.remains.words}."
    return (
        f"{doubtful}Robust accuracy within {markdown(facts.budget)}: **{spelled(facts.robust)}** of {facts.samples} "
        f"samples; clean accuracy {spelled(facts.clean)}. An upper bound, as from every attack: a stronger one may "
        f"find more.{left}"
    )
