"""Print the lower bounds of pyproject.toml as constraints for pip: what is promised to work, installed once.

    python scripts/lower_bounds.py test transport flows > lower.txt
    pip install -c lower.txt -e '.[test,transport,flows]'

The core dependencies come first, then those of the named extras. Torch alone is pinned as in constraints.txt: older
wheels for Linux on the package index bring gigabytes of CUDA libraries and none is for the CPU. Where one is at hand,
``--torch 2.6.0`` pins that.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def bounds(extras: list[str], torch: str | None = None) -> dict[str, str]:
    """The least version of each package that core and ``extras`` allow; the largest of several bounds.

    Raises:
        ValueError: if a requirement has no lower bound.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(r for extra in extras for r in project["optional-dependencies"][extra])]
    least: dict[str, str] = {}
    for requirement in map(Requirement, lines):
        found = [s.version for s in requirement.specifier if s.operator == ">="]
        if len(found) != 1:
            raise ValueError(f"Every requirement has one lower bound, name>=version, got {requirement}.")
        least[requirement.name] = max(least.get(requirement.name, "0"), found[0], key=_numbers)
    least["torch"] = torch or pinned("torch")
    return least


def pinned(name: str) -> str:
    """The version of ``name`` in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.lower().startswith(f"{name.lower()}=="))


def _numbers(version: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", version)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Lower bounds as constraints for pip.")
    parser.add_argument("extras", nargs="*", help="extras besides the core")
    parser.add_argument("--torch", help="version of torch; that of constraints.txt by default")
    given = parser.parse_args()
    for name, version in bounds(given.extras, given.torch).items():
        print(f"{name}=={version}")
