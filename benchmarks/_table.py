"""Tables in Markdown, printed row by row while they are measured."""

from __future__ import annotations


def head(columns: str, title: str = "") -> None:
    """Begin a table: its columns, with bars between them, below its title."""
    print(
        f"\n{title}\n" if title else "", f"| {columns} |", f"|{'---|' * (columns.count('|') + 1)}", sep="\n", flush=True
    )


def row(*cells: object) -> None:
    """Print a row at once, numbers to four digits; strings are shown as they are."""
    print("| " + " | ".join(f"{c:.4g}" if isinstance(c, float) else str(c) for c in cells) + " |", flush=True)
