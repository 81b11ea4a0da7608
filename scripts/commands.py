"""Write the table of commands of README.md from the commands' own help: python scripts/commands.py [--check]."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from maxslope.cli.main import app

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- commands: made by scripts/commands.py -->\n", "<!-- end of commands -->\n"


def table() -> str:
    """Return a line for each command, with the first sentence of its help."""
    rows = [
        (f"maxslope {' '.join(path)}", text)
        for path, text in sorted(_commands(typer.main.get_command(app), ()), key=_place)
    ]
    lines = [f"| `{command}` | {text} |" for command, text in rows]
    return "\n".join(["| command | what it does |", "|---|---|", *lines]) + "\n"


def _commands(command, path):  # type: ignore[no-untyped-def]
    """Yield (words, first sentence of the help) of a command and those below it."""
    below = getattr(command, "commands", {})
    if not below:
        yield path, " ".join((command.help or "").split("\n\n")[0].split()).replace("|", "\\|")
    for name, one in below.items():
        yield from _commands(one, (*path, name))


def _place(row: tuple[tuple[str, ...], str]) -> int:
    """The order in which the commands are registered, which is that of the help."""
    names = list(getattr(typer.main.get_command(app), "commands", {}))
    return names.index(row[0][0]) if row[0] != ("version",) else len(names)


def written(text: str) -> str:
    """Return the page with its table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise ValueError(f"{README} has no lines {BEGIN.strip()} and {END.strip()}.")
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    found = README.read_text(encoding="utf-8")
    made = written(found)
    if "--check" in sys.argv:
        sys.exit(0 if made == found else f"{README} is not up to date: python scripts/commands.py")
    README.write_text(made, encoding="utf-8")
