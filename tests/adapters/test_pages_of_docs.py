"""The blocks of docs/coming-from.md that share its first one, and the example of a workflow, run as they stand."""

from __future__ import annotations

import re
import shlex
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r'^```python title="([\w-]+)"\n(.*?)^```$', PAGE, re.DOTALL | re.MULTILINE)
NEEDED = {"foolbox": "foolbox", "ART": "art", "torchattacks": "torchattacks", "scikit-learn": "sklearn"}
EXAMPLE = ROOT / "docs" / "ci-example"


@cache
def shared() -> dict[str, Any]:
    """What the first block of the page defines."""
    first = re.search(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert first is not None
    names: dict[str, Any] = {}
    exec(first[1], names)
    return names


@pytest.mark.parametrize(("package", "source"), BLOCKS, ids=[package for package, _ in BLOCKS])
def test_block_runs(package: str, source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what others deprecate is theirs
        if package in NEEDED:
            pytest.importorskip(NEEDED[package], reason=f"{package} is not installed")
        exec(compile(source, f"coming-from.md ({package})", "exec"), {**shared(), "__name__": "__main__"})


def test_every_package_has_its_block() -> None:
    assert {package for package, _ in BLOCKS} == {*NEEDED, "AutoAttack", "RobustBench", "pytest", "logs"}


@pytest.mark.slow
def test_the_example_of_a_workflow_passes() -> None:
    source = (EXAMPLE / "test_robustness.py").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(source, "test_robustness.py", "exec"), names)
    names["test_the_model_is_robust"]()


def test_the_workflow_s_commands_exist() -> None:
    """Every ``maxslope`` line of the workflow has options that the command knows; every extra is one of ours."""
    import tomllib

    import typer

    from maxslope.cli.main import app

    yaml = pytest.importorskip("yaml", reason="mkdocs brings it")
    steps = yaml.safe_load((EXAMPLE / "robustness.yml").read_text(encoding="utf-8"))["jobs"]["robustness"]["steps"]
    lines = [step["run"] for step in steps if "run" in step]
    group: Any = typer.main.get_command(app)
    told = [line for line in lines if line.startswith("maxslope")]
    assert len(told) == 3
    for line in told:
        words = shlex.split(line.split(">>")[0])
        known = {option for parameter in group.commands[words[1]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known
    extras = re.search(r"maxslope\[([\w,]+)\]", next(line for line in lines if "pip install" in line))
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
