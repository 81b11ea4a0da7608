"""The documentation is true: its Python blocks run and print what it says, its names exist, its tables are complete."""

import doctest
import importlib
import importlib.util
import inspect
import re
import tomllib
from contextlib import redirect_stdout
from html import unescape
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import maxslope
import maxslope.boundary
import maxslope.integrability.verdict
import maxslope.odenet
import maxslope.training

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SLOW = {"reliability.md"}
BLOCK = re.compile(  # a block, the package it needs if it is no part of `dev`, and what it prints if the page says so
    r'^```python(?: title="needs (?P<needs>\w+)")?\n(?P<code>.*?)^```$'
    r'(?:\n\n```text title="printed"\n(?P<out>.*?)^```$)?',
    re.DOTALL | re.MULTILINE,
)
PRINTED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def text(*path: str) -> str:
    return ROOT.joinpath(*path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in SLOW else [])
        for page in PAGES
        if BLOCK.search(page.read_text(encoding="utf-8"))
    ],
)
def test_the_blocks_of_a_page_run(page: Path) -> None:
    """In order, as a reader would run them: later ones see the names of earlier ones."""
    run(page)


def run(page: Path) -> dict[str, Any]:
    """Run the blocks of a page, compare what they print, and return their names."""
    source, names = page.read_text(encoding="utf-8"), {"__name__": "__main__"}
    for match in BLOCK.finditer(source):
        if match["needs"] and importlib.util.find_spec(match["needs"]) is None:
            continue
        before = "\n" * source[: match.start("code")].count("\n")  # so that a failure names the line of the page
        with redirect_stdout(StringIO()) as printed:
            exec(compile(before + match["code"], str(page), "exec"), names)
        said = printed.getvalue() if match["out"] is None else match["out"]
        assert doctest.OutputChecker().check_output(said, printed.getvalue(), PRINTED), printed.getvalue()
    return names


def test_no_line_of_code_is_cut_on_a_wide_screen() -> None:
    """At 1440 pixels a block shows 106 characters a line (docs/style.css); what is printed wraps."""
    code = re.compile(r"^```(?:python|bash|toml|yaml).*?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    extend = text("CONTRIBUTING.md").partition("[start:extend]")[2].partition("[end:extend]")[0]
    pages = {page.name: page.read_text(encoding="utf-8") for page in PAGES if page.name != "CONTRIBUTING.md"}
    wide = {
        f"{name}: {line}"
        for name, source in {**pages, "extend": extend}.items()
        for block in code.findall(source)
        for line in block.splitlines()
        if len(line) > 106
    }
    assert sorted(wide) == []


def test_each_row_of_the_threat_model_is_a_call_that_runs() -> None:
    """docs/threat-model.md: the calls in the second column, with the names of the page's block."""
    page = ROOT / "docs" / "threat-model.md"
    calls = re.findall(r"^\| [^|`]+ \| `(ms\.[^`]+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    names = run(page)
    answers = {call: eval(call, names) for call in calls}
    assert len(calls) >= 20
    assert {type(answer) for answer in answers.values()} <= {maxslope.Report, maxslope.MinimalResult}


def test_cited_papers_are_in_the_bibliography() -> None:
    """Every arXiv number that a docstring or a page cites has an entry in references.bib."""
    bibliography = text("docs", "references.bib")
    sources = [*(ROOT / "src").rglob("*.py"), *PAGES]
    cited = set(re.findall(r"arXiv[: ](\d{4}\.\d{4,5})", "".join(p.read_text(encoding="utf-8") for p in sources)))
    assert sorted(number for number in cited if number not in bibliography) == []


def shown_by_the_api() -> list[str]:
    """The paths of what the pages of the API show, members that they choose included."""
    pages = [text("docs", "api", path.name) for path in sorted((ROOT / "docs" / "api").glob("*.md"))]
    shown = re.compile(r"^::: (\S+)$(?:\n    options:\n(?:      .*\n)*?      members: \[(.*)\])?", re.MULTILINE)
    found = [(path, members) for page in pages for path, members in shown.findall(page)]
    return [f"{path}.{name.strip()}" if name else path for path, names in found for name in names.split(",")]


def test_the_api_shows_every_public_name() -> None:
    """Each name of maxslope itself, and each function and class of its rooms, is on a page of docs/api."""
    shown = set(shown_by_the_api())
    rooms = {path.parent.name for path in (ROOT / "src" / "maxslope").glob("*/__init__.py")} - {"cli", "data"}
    missing = []
    for room in [maxslope, *(importlib.import_module(f"maxslope.{room}") for room in sorted(rooms))]:
        names = {name: getattr(room, name) for name in getattr(room, "__all__", ()) if name != "as_goal"}
        for name, one in names.items():
            if inspect.isclass(one) or inspect.isroutine(one):
                homes = {f"{one.__module__}.{name}", f"{room.__name__}.{name}"}
                missing += [] if homes & shown else [f"{room.__name__}.{name}"]
    assert missing == []


def test_no_page_of_the_api_shows_a_name_twice() -> None:
    """Two sections of one name would be two places that a search finds; rooms that share a name show each its own."""
    pages = "".join(text("docs", "api", path.name) for path in (ROOT / "docs" / "api").glob("*.md"))
    paths = re.findall(r"^::: (\S+)$", pages, re.MULTILINE)
    assert sorted({path for path in paths if paths.count(path) > 1}) == []


def test_citations_are_those_of_the_bibliography() -> None:
    """Each paper of `citation` stands in references.bib, letter for letter."""
    software, *papers = maxslope.citation().split("\n\n")
    assert f"version = {{{maxslope.__version__}}}" in software
    assert len(papers) == 4
    assert [paper for paper in papers if paper not in text("docs", "references.bib")] == []


def test_citations_follow_the_rooms() -> None:
    chosen = maxslope.citation(maxslope.odenet, maxslope.training, maxslope.integrability.verdict, maxslope.odenet)
    assert re.findall(r"^@\w+\{(\w+),", chosen, re.MULTILINE) == [
        "maxslope",
        "isobe2023convergence",
        "weigand2025adversarial",
        "park2024absence",
    ]


def test_citations_of_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="modules such as"):
        maxslope.citation("boundary")
    with pytest.raises(ValueError, match="got re"):
        maxslope.citation(re)


def test_the_license_page_lists_every_direct_dependency() -> None:
    """`python scripts/licenses.py` was run after the last change of the dependencies."""
    project = tomllib.loads(text("pyproject.toml"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {re.split(r"[\s\[<>=!~;]", r, maxsplit=1)[0].lower() for group in groups for r in group} - {"maxslope"}
    table = text("docs", "licences.md").partition("## What")[0]
    listed = {name.lower().replace("_", "-") for name in re.findall(r"^\| ([\w.-]+) \|", table, re.MULTILINE)}
    assert listed - {"package", "---"} == {name.replace("_", "-") for name in wanted}


def test_every_example_is_linked_and_says_what_it_teaches() -> None:
    linked = set(re.findall(r"\[`examples/(\w+\.py)`\]\(examples\.md#\w+\)", text("docs", "index.md")))
    assert linked == set(re.findall(r'^--8<-- "examples/(\w+\.py)"$', text("docs", "examples.md"), re.MULTILINE))
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")}
    assert linked == set(scripts)
    assert [name for name, source in scripts.items() if "The reader learns" not in source] == []


def hooks() -> ModuleType:
    """What mkdocs runs while it builds the site."""
    pytest.importorskip("latex2mathml", reason="the extra `docs` holds it")
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rendered(page: str) -> str:
    from markdown import Markdown

    return Markdown(extensions=["fenced_code", "tables", hooks().Formulas()]).convert(page)


def test_formulas_become_mathml() -> None:
    html = rendered("Let $x_i \\in \\mathbb R$.\n\n$$ |x|\n\\le 1 $$\n\n| a |\n| - |\n| $\\tau$ |\n")
    assert html.count("<math") == 3
    assert html.count('class="formula"') == 1
    assert "\u211d" in unescape(html)
    assert "<em>" not in html
    assert "$" not in html


def test_code_and_prices_stay_what_they_are() -> None:
    html = rendered("`$HOME` and `a$b$c`, \\$5, 5 $ or 6 $ apart.\n\n```sh\necho $OUT $PATH\n```\n")
    assert "<math" not in html
    assert "echo $OUT $PATH" in html
    assert "$5" in html


def test_a_formula_that_cannot_be_shown_fails_the_build() -> None:
    with pytest.raises(ValueError, match="cannot be shown"):
        rendered("$\\notacommand x$")


def test_examples_of_docstrings_are_code() -> None:
    html = rendered("One sentence.\n\n>>> 1 + 1\n2\n\nMore.\n\n```pycon\n>>> 2 + 2\n```\n")
    assert html.count("<pre>") == 2
    assert "blockquote" not in html
    assert html.rindex("More.") > html.index("1 + 1")


def test_roles_of_another_tool_are_not_shown() -> None:
    assert hooks().on_page_content("<p>see :class:<code>Lp</code></p>") == "<p>see <code>Lp</code></p>"
