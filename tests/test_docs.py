"""Every Python block of the documentation runs as it stands."""

import re
from pathlib import Path

import pytest

import maxslope

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [
    pytest.param(
        page, match[1], id=f"{page.name}:{page.read_text(encoding='utf-8')[: match.start()].count(chr(10)) + 1}"
    )
    for page in PAGES
    for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("page", "source"), BLOCKS)
def test_block_runs(page: Path, source: str) -> None:
    exec(compile(source, str(page), "exec"), {"__name__": "__main__"})


def test_cited_papers_are_in_the_bibliography() -> None:
    """Every arXiv number that a docstring cites has an entry in references.bib."""
    bibliography = (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    cited = set(re.findall(r"arXiv[: ](\d{4}\.\d{4,5})", sources))
    assert sorted(number for number in cited if number not in bibliography) == []


def test_the_api_page_shows_every_public_name() -> None:
    """docs/api.md has one entry for each name in maxslope.__all__."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    shown = [path.rpartition(".")[2] for path in re.findall(r"^::: (\S+)$", page, re.MULTILINE)]
    assert sorted(set(maxslope.__all__) - set(shown)) == []
