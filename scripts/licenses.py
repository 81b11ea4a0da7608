"""Write docs/licences.md: the license of every dependency, read from the metadata of what is installed.

    python scripts/licenses.py

It lists the direct dependencies by extra, then everything that the required ones bring along.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

HEAD = """# Licenses

maxslope is under the [Apache License 2.0](https://www.apache.org/licenses/LICENSE-2.0). It copies no code of the
packages below; they are installed beside it, under their own licenses, as their metadata state them. This page is
written by `python scripts/licenses.py`.

All that is required is under permissive licenses. Two extras are not: `flint` brings python-flint, which links to
libraries under the LGPL; `test` brings hypothesis, under the MPL. The minimum cuts of `boundary` were made by
PyMaxflow, under the GNU General Public License, until OR-Tools took its place: it cuts the same sets, and as fast.
"""
TAIL = """
The images that ship with the package are from MNIST (Y. LeCun, C. Cortes, C. J. C. Burges), under CC BY-SA 3.0; the
weights are the project's own. Wheels of torch with CUDA bring NVIDIA's libraries, under NVIDIA's terms; this list was
made with the wheel for the CPU.
"""
NAMES = {  # classifiers and free text, in the words of the SPDX list
    "Apache Software License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "BSD License": "BSD",
    "BSD 3-Clause": "BSD-3-Clause",
    "BSD": "BSD",
    "3-Clause BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "The MIT License": "MIT",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU General Public License (GPL)": "GPL (version not stated)",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "Python Software Foundation License": "PSF-2.0",
}


def license_of(package: Distribution) -> str:
    """Return the license expression, else the classifiers, else the first line of the free text."""
    meta = package.metadata
    expression = meta.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = [c.rpartition(" :: ")[2] for c in meta.get_all("Classifier") or [] if c.startswith("License")]
    classifiers = [c for c in classifiers if c != "OSI Approved"]
    text = (meta.get("License") or "").strip().splitlines()
    found = classifiers or text[:1] or [first_line(package)]
    return ", ".join(NAMES.get(name.strip(), name.strip()) for name in found)


def first_line(package: Distribution) -> str:
    """Return the first line of the license file, which names most licenses."""
    files = [f for f in package.files or [] if f.name.upper().startswith(("LICENSE", "LICENCE", "COPYING"))]
    return files[0].read_text().strip().splitlines()[0].strip() if files else "not stated"


def needed(names: list[str]) -> list[Distribution]:
    """Return what is installed because of ``names``, themselves included."""
    seen: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        try:
            seen[name] = distribution(name)
        except PackageNotFoundError:
            continue
        requirements = map(Requirement, seen[name].requires or [])
        waiting += [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    return sorted(seen.values(), key=lambda package: package.metadata["Name"].lower())


def row(package: Distribution, *more: str) -> str:
    """Return a row of a table."""
    return "| " + " | ".join([package.metadata["Name"], license_of(package), *more]) + " |"


def main() -> None:
    """Write the page."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"required": project["dependencies"], **project["optional-dependencies"]}
    uses: dict[str, list[str]] = {}
    for group, requirements in groups.items():
        for requirement in requirements:
            name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]
            if name != project["name"]:
                uses.setdefault(canonicalize_name(name), []).append(group)
    lines = [HEAD, "## Direct dependencies\n", "| package | license | used by |", "| --- | --- | --- |"]
    for name in sorted(uses):
        lines.append(row(distribution(name), ", ".join(uses[name])))
    required = [name for name, groups_of in uses.items() if "required" in groups_of]
    lines += ["\n## What the required ones bring along\n", "| package | license |", "| --- | --- |"]
    lines += [row(p) for p in needed(required) if canonicalize_name(p.metadata["Name"]) not in required]
    (ROOT / "docs" / "licences.md").write_text("\n".join(lines) + "\n" + TAIL, encoding="utf-8")


if __name__ == "__main__":
    main()
