"""The numbers of a page as JSON, comma-separated values and Markdown."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from maxslope._escape import cell, markdown, visible
from maxslope.evaluation import Report
from maxslope.report.html_facts import Facts, Share
from maxslope.report.html_samples import Track


def plain(value: Any) -> Any:
    """Return dictionaries, lists, numbers and words; what is not finite becomes None.

    >>> plain({"gap": float("nan"), "eps": (0.1, 1)})
    {'gap': None, 'eps': [0.1, 1]}
    """
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(facts: Facts, tracks: Sequence[Track], report: Report) -> str:
    """Return everything that is a number or a word."""
    content = {"facts": asdict(facts), "tracks": [asdict(t) for t in tracks], "table": report.table}
    return json.dumps(plain(content), indent=1, allow_nan=False) + "\n"


def table_csv(report: Report) -> str:
    """Return one line per sample, with a header."""
    return to_csv(list(report.table), zip(*report.table.values(), strict=True))


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


def to_markdown(facts: Facts, command: str = "") -> str:
    """Return a summary of a page."""
    parts = [f"## {markdown(facts.title)}\n\n", headline(facts), "\n\n"]
    rows = [(f"{verdict}: {meaning}", f"{s.count}", s.words) for verdict, meaning, s in facts.verdicts]
    parts.append(markdown_table(("verdict", "samples", "share (95 % interval)"), rows))
    if len(facts.classes) > 1:
        cells = [(c.name, f"{c.robust.total}", c.clean.words, c.robust.words) for c in facts.classes]
        parts += ["\n", markdown_table(("class", "samples", "clean", "robust"), cells)]
    parts += [f"\n> **{markdown(d.name)}** {markdown(d.sentence)}\n" for d in facts.doubts]
    parts.append(
        f"\nEffort {markdown(facts.effort_name)}, risk {facts.risk:g}, seed {facts.seed}; {cost_words(facts)}.\n"
    )
    if command:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", command)), default=0))
        parts.append(f"\n{fence}bash\n{visible(' '.join(command.split()))}\n{fence}\n")
    return "".join(parts)


def headline(facts: Facts) -> str:
    """Return the answer in a sentence or two."""
    return (
        f"Robust accuracy within {markdown(facts.budget)}: **{percents(facts.robust)}** of {facts.samples} samples; "
        f"clean accuracy {percents(facts.clean)}. An upper bound, as from every attack: a stronger one may find more."
    )


def cost_words(facts: Facts) -> str:
    """Return the mean cost of a sample."""
    return f"{facts.passes[0]:.1f} backward and {facts.passes[1]:.1f} forward passes a sample"


def percents(share: Share) -> str:
    """Return a share with its interval spelled out."""
    return f"{100 * share.value:.1f} % (95 % interval {100 * share.low:.1f} to {100 * share.high:.1f} %)"
