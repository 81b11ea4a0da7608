"""The map of the house is true: its files are there, and the names it gives are theirs."""

import ast
import itertools
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/maxslope"
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
ROOMS = {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name[0] != "_"}


def defined(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def test_every_file_and_folder_of_the_map_exists() -> None:
    paths = set(re.findall(r"`([\w./]+(?:\.py|\.toml|/))`", PAGE)) | set(re.findall(r"`(tests/[\w./]+)`", PAGE))
    missing = {p for p in paths if not (SOURCE / p).exists() and not (ROOT / p).exists()}
    assert len(paths) > 50
    assert not missing


def test_names_given_with_a_file_are_defined_in_it() -> None:
    pairs = re.findall(r"`([\w/]+\.py)`\s+·\s+`(\w+)`", PAGE)
    assert len(pairs) > 15
    assert not {(f, n) for f, n in pairs if n not in defined(SOURCE / f)}


def test_other_names_are_defined_somewhere() -> None:
    names = set(re.findall(r"`([A-Za-z_]\w*)`", PAGE)) - {"margin"}
    known = set().union(*(defined(path) for path in SOURCE.rglob("*.py")))
    assert {"Goal", "Crew", "march"} <= names
    assert names <= known


def test_no_room_is_left_out() -> None:
    table = PAGE.split("## The way")[0]
    assert {room for room in ROOMS if f"`{room}/`" not in table} == {"data"}  # the shipped network and its images


def test_rooms_stand_in_the_order_of_the_contract() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    layers = tools["importlinter"]["contracts"][0]["layers"]
    layer = {room: k for k, names in enumerate(layers) for room in re.findall(r"\w+", names)}
    rows = [line.split("|")[1] for line in PAGE.split("## The way")[0].splitlines() if line.startswith("| `")]
    places = [[layer[room] for room in re.findall(r"`(\w+)(?:/|\.py)`", row)] for row in rows]
    assert len(places) > 8
    assert all(max(above) <= min(below) for above, below in itertools.pairwise(places))
