"""Reads the library for the API pages: methods that an interface declares are shown there, not again in each class."""

import re
from typing import Any

import griffe

_ONLY = re.compile(r"See :class:`\w+`\.")


class Quiet(griffe.Extension):
    """Takes away docstrings that say "See :class:`Scheme`." and no more; what has none is not shown."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        quieten(pkg)


def quieten(here: griffe.Module | griffe.Class) -> None:
    """Take them away, all the way down."""
    for member in here.members.values():
        if member.is_alias:
            continue
        if member.is_function and member.docstring and _ONLY.fullmatch(member.docstring.value.strip()):
            member.docstring = None
        if isinstance(member, griffe.Module | griffe.Class):
            quieten(member)
