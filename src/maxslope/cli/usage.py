"""What is wrong with the words of a command, in the shape of every other error: rule, value, what to do."""

from __future__ import annotations

import difflib
import itertools
from typing import Any

import typer

UsageError: Any = typer.BadParameter.__base__  # wherever this version of typer has it


def sentence(error: Any, root: Any, words: list[str]) -> str:
    """Return what is wrong with the words typed after the name of the ``root`` command, with the nearest option."""
    command, path = root, ["maxslope"]
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for word in words:
        if word in getattr(command, "commands", {}):
            command = command.commands[word]
            path.append(word)
    name = " ".join(path)
    way = f"{name} --help lists what there is."
    if "possibilities" in vars(error):
        known = [option for one in command.params for option in (*one.opts, *one.secondary_opts)]
        alike = difflib.get_close_matches(error.option_name, [word for word in [*known, "--help"] if "--" in word], 1)
        found = f"did you mean {alike[0]}? " if alike else ""
        return f"{name} has no option {error.option_name}; {found}{way}"
    parameter = getattr(error, "param", None)
    if parameter is None:
        return f"{error.format_message()} {way}"
    known = [*parameter.opts, *parameter.secondary_opts]
    said = error.message.removeprefix("Value error, ").rstrip(".") if error.message else "it is missing"
    if said.startswith("Input"):  # as pydantic says it, without what was typed
        said += "".join(f", got {value!r}" for option, value in itertools.pairwise(words) if option in known)
    title = max(known, key=len) if known[0].startswith("-") else known[0].upper()
    return f"{title}: {said[:1].lower()}{said[1:]}. {parameter.help or ''} {way}"
