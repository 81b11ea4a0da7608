"""MkDocs hooks: formulas become MathML, examples in docstrings code, and roles of another tool plain names."""

import re
from typing import Any
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor


def mathml(tex: str, display: str) -> str:
    """Return the MathML of a formula, spelled so that browsers without a mathematical font show it well.

    Raises:
        ValueError: where the converter left a command as it was.
    """
    tex = re.sub(r"\\(mathbb|mathcal|mathfrak) ?([A-Za-z])", r"\\\1{\2}", tex.strip())
    tex = re.sub(r"\\arg\\(min|max)", r"\\mathrm{arg\,\1}", tex)
    out = convert(tex, display=display)
    if "\\" in out:
        raise ValueError(f"A formula has a command that cannot be shown: {tex!r}; spell it in other commands.")
    out = re.sub(r"<mo[^>]*>&#x0007C;</mo>", '<mo stretchy="false" lspace="0" rspace="0">|</mo>', out)
    return out.replace("<mi>&#x02032;</mi>", '<mo lspace="0" rspace="0">&#x02032;</mo>')


class Formula(InlineProcessor):
    """``$...$`` in a line, ``$$...$$`` on its own, as MathML: the reader's browser fetches no script and no font."""

    def __init__(self, pattern: str, display: str, md: Markdown) -> None:
        InlineProcessor.__init__(self, pattern, md)
        self.display = display

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str | Element, int, int]:  # noqa: N802
        html = mathml(m[1], self.display)
        if self.display == "block":  # so that a long formula scrolls and the page does not
            html = f'<span class="formula">{html}</span>'
        return self.md.htmlStash.store(html), m.start(0), m.end(0)


class Sessions(Preprocessor):
    """A docstring ends with an example at a prompt, ``>>> 1 + 1``; Markdown would take it for quoted quotes."""

    def run(self, lines: list[str]) -> list[str]:
        out, fenced, session = [], False, False
        for line in lines:
            fenced ^= line.lstrip().startswith("```")
            if not fenced and not session and line.startswith(">>> "):
                out += ["", "```pycon"]
                session = True
            elif session and not line.strip():
                out.append("```")
                session = False
            out.append(line)
        return [*out, "```"] if session else out


class Formulas(Extension):
    """Formulas bind weaker than `code` (190) and stronger than backslashes (180), so both stay what they are."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        md.preprocessors.register(Sessions(md), "sessions", 29)  # before fences are looked for
        md.ESCAPED_CHARS.append("$")
        md.inlinePatterns.register(Formula(r"(?<!\\)\$\$(.+?)\$\$", "block", md), "formula-block", 186)
        md.inlinePatterns.register(Formula(r"(?<![\\$])\$(?! )([^$\n]+(?:\n[^$\n]+)?)\$", "inline", md), "formula", 185)


def on_config(config: Any) -> Any:
    config["markdown_extensions"].append(Formulas())
    return config


NAMES = "<!-- the names of all pages, by page -->"
_SHOWN = re.compile(r"^::: (\S+)$(?:\n    options:\n(?:      .*\n)*?      members: \[(.*)\])?", re.MULTILINE)


def on_page_markdown(markdown: str, page: Any, files: Any, **_: object) -> str:
    """The first page of the API has one line for each other one, with the names that it shows, as links."""
    if NAMES not in markdown:
        return markdown
    rows = ["| page | names |", "| --- | --- |"]
    for file in sorted(files.documentation_pages(), key=lambda file: file.src_uri):
        if file.src_uri.startswith("api/") and file.src_uri != page.file.src_uri:
            title = re.search(r"^# (.*)$", file.content_string, re.MULTILINE)
            rows.append(f"| [{title[1]}]({file.src_uri[4:]}) | {', '.join(links(file.content_string))} |")
    return markdown.replace(NAMES, "\n".join(rows))


def links(markdown: str) -> list[str]:
    """Links to what a page of the API shows, in its order."""
    names: list[str] = []
    for path, members in _SHOWN.findall(markdown):
        names += [f"{path}.{name.strip()}" for name in members.split(",")] if members else [path]
    return [f"[`{name.rpartition('.')[2]}`][{name}]" for name in names]


def on_page_content(html: str, **_: object) -> str:
    """Docstrings say :class:`Name`, which is a role of another documentation tool; show the name alone."""
    return re.sub(r":(?:class|func|meth|mod):(<code)", r"\1", html)
