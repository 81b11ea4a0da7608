"""Text from outside, made safe for where it is written: a terminal, HTML, Markdown, a table."""

from __future__ import annotations

import html as _html
import re
from typing import Any

# controls, and what turns the direction of text or hides in it
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_MORE = "it holds more than tensors and plain values"
_COLOR = re.compile("\x1b\\[[0-9;]*m")
_SPECIAL = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")  # l_inf is no emphasis
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def visible(text: str) -> str:
    r"""Return a text whose control characters are spelled out, so that a terminal shows them instead of obeying.

    Line feeds and tabs stay.

    >>> visible("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def first_line(error: BaseException) -> str:
    r"""Return the first line of what an error says, without colors and a point at its end.

    What torch says of a file that would run code is how to run it; that is left out.

    >>> first_line(ValueError("\x1b[1mno\x1b[0m way.\nAnd more.")), first_line(ValueError())
    ('no way', 'no reason given')
    """
    lines = _COLOR.sub("", str(error)).strip().splitlines()
    if lines and lines[0].startswith("Weights only load failed"):
        return _MORE
    return lines[0].strip().rstrip(".") if lines else "no reason given"


def markup(text: str) -> str:
    r"""Return a text for rich: visible, and with its brackets as brackets.

    >>> markup("[red]a")
    '\\[red]a'
    """
    from rich.markup import escape

    return escape(visible(text))


def html(text: str) -> str:
    """Return a text for HTML and SVG, between tags and inside quoted attributes.

    >>> html('<b id="a">')
    '&lt;b id=&quot;a&quot;&gt;'
    """
    return _html.escape(visible(text), quote=True)


def markdown(text: str) -> str:
    r"""Return a text for one line or cell of Markdown: no tags, no links, no emphasis, no bars, no line feeds.

    >>> print(markdown("<img> [a](b)|c in l_inf"))
    &lt;img&gt; \[a\](b)\|c in l_inf
    """
    safe = _html.escape(visible(" ".join(text.split())), quote=False)
    return _SPECIAL.sub(r"\\\g<0>", safe)


def cell(value: Any) -> Any:
    """Return a value for a table of comma-separated values: no text is a formula for a spreadsheet.

    >>> cell("=1+1"), cell(-1), cell("a")
    ("'=1+1", -1, 'a')
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip(" ").startswith(_FORMULA[:4]) else text
