"""The documentation is true: its Python blocks run, its names exist, its tables are complete."""

import re
import tomllib
from pathlib import Path

import pytest

import maxslope
import maxslope.boundary
import maxslope.integrability
import maxslope.odenet
import maxslope.training

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def text(*path: str) -> str:
    return ROOT.joinpath(*path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.name) for p in PAGES if BLOCK.search(p.read_text(encoding="utf-8"))]
)
def test_the_blocks_of_a_page_run(page: Path) -> None:
    """In order, as a reader would run them: later ones see the names of earlier ones."""
    source, names = page.read_text(encoding="utf-8"), {"__name__": "__main__"}
    for match in BLOCK.finditer(source):
        before = "\n" * source[: match.start(1)].count("\n")  # so that a failure names the line of the page
        exec(compile(before + match[1], str(page), "exec"), names)


def test_cited_papers_are_in_the_bibliography() -> None:
    """Every arXiv number that a docstring or a page cites has an entry in references.bib."""
    bibliography = text("docs", "references.bib")
    sources = [*(ROOT / "src").rglob("*.py"), *PAGES]
    cited = set(re.findall(r"arXiv[: ](\d{4}\.\d{4,5})", "".join(p.read_text(encoding="utf-8") for p in sources)))
    assert sorted(number for number in cited if number not in bibliography) == []


def test_the_api_page_shows_every_public_name() -> None:
    """docs/api.md has one entry for each name in maxslope.__all__."""
    shown = [path.rpartition(".")[2] for path in re.findall(r"^::: (\S+)$", text("docs", "api.md"), re.MULTILINE)]
    assert sorted(set(maxslope.__all__) - set(shown)) == []


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
    with pytest.raises(ValueError, match="got re;?"):
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
    linked = set(re.findall(r"examples/(\w+\.py)", text("docs", "index.md")))
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")}
    assert linked == set(scripts)
    assert [name for name, source in scripts.items() if "The reader learns" not in source] == []
