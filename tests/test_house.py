"""The house's budgets, read off the source: small files, small functions, no surprises, everything explained."""

import ast
import inspect
import statistics
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import maxslope

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "maxslope"
FILES = sorted(SRC.rglob("*.py"))
MODULES = [path for path in FILES if path.name != "__init__.py"]

FILE_LINES = 350
FILE_MEDIAN = 170  # thin modules were merged
FUNCTION_LINES = 64  # a command has a line for each of its options
FUNCTION_P90 = 35
FUNCTION_MEDIAN = 12
INIT_ARGUMENTS = 7
SETTINGS = 12  # of an estimator: scikit-learn wants every setting to be an argument of the constructor
ESTIMATORS = {"odenet/fitting.py", "odenet/estimator.py"}
POSITIONAL_ARGUMENTS = 9
WRITTEN_TO = {"_Reader", "_Writer", "_Row"}  # dataclasses that keep a place while they work
ATTRIBUTES = 15  # of a class of attacks/: a result names every column of a table

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def place(path: Path, node: ast.AST | None = None) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}" if node else str(path.relative_to(ROOT))


def docstring_lines(node: Function | ast.ClassDef) -> int:
    first = node.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.end_lineno - first.lineno + 1 if is_docstring and isinstance(first.value.value, str) else 0


def code_lines(node: Function) -> int:
    """The span of a function from `def` to its end, minus its docstring."""
    return node.end_lineno - node.lineno + 1 - docstring_lines(node)


def functions() -> list[tuple[Path, Function]]:
    return [(path, node) for path in FILES for node in ast.walk(tree(path)) if isinstance(node, Function)]


def calls(name: str) -> list[str]:
    return [
        place(path, node)
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def constructor_arguments(node: ast.ClassDef) -> int:
    """Arguments of `__init__` without self; of a dataclass of some kind (it has a base), its fields.

    A dataclass without a base is a record, which the library fills in and nobody spells out; so is a page, whose base
    `Written` has no fields, and an `ABC`.
    """
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return len(item.args.posonlyargs + item.args.args + item.args.kwonlyargs) - 1
    bases = {ast.unparse(base) for base in node.bases} - {"ABC", "Written"}
    if not bases or not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return 0
    fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
    return sum("ClassVar" not in ast.unparse(f.annotation) and "init=False" not in ast.unparse(f) for f in fields)


def test_files_are_small() -> None:
    lines = {place(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: n for name, n in lines.items() if n > FILE_LINES} == {}
    assert statistics.median(lines[place(path)] for path in MODULES) <= FILE_MEDIAN


def test_functions_are_small() -> None:
    lengths = {f"{place(path, node)} {node.name}": code_lines(node) for path, node in functions()}
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LINES} == {}
    assert statistics.median(lengths.values()) <= FUNCTION_MEDIAN
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= FUNCTION_P90


def test_records_are_frozen_and_those_of_tensors_are_compared_by_identity() -> None:
    """Tensors have no equality that is true or false, and a record that may be a key must not change."""
    for path in FILES:
        for node in ast.walk(tree(path)):
            said = [d for d in getattr(node, "decorator_list", []) if ast.unparse(d).startswith("dataclass")]
            if isinstance(node, ast.ClassDef) and said:
                kinds = [ast.unparse(f.annotation) for f in node.body if isinstance(f, ast.AnnAssign)]
                words = {k.arg: ast.literal_eval(k.value) for k in getattr(said[0], "keywords", [])}
                assert words.get("frozen") or node.name in WRITTEN_TO, place(path, node)
                held = [kind for kind in kinds if "Tensor" in kind and "Callable" not in kind]
                assert not (held and words.get("eq", True)), place(path, node)


def test_constructors_take_few_arguments() -> None:
    classes = [(path, node) for path in FILES for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    counted = {f"{place(path, node)} {node.name}": constructor_arguments(node) for path, node in classes}
    most = {name: SETTINGS if any(e in name for e in ESTIMATORS) else INIT_ARGUMENTS for name in counted}
    assert {name: n for name, n in counted.items() if n > most[name]} == {}


def test_functions_take_few_positional_arguments() -> None:
    counted = {f"{place(path, f)} {f.name}": len(f.args.posonlyargs + f.args.args) for path, f in functions()}
    assert {name: n for name, n in counted.items() if n > POSITIONAL_ARGUMENTS} == {}


def attributes(node: ast.ClassDef) -> int:
    """What a class has of its own: fields of a record, and all that is assigned to self."""
    fields = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
    targets = [
        target
        for item in ast.walk(node)
        for target in ast.walk(item)
        if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store)
    ]
    return len(fields | {t.attr for t in targets if isinstance(t.value, ast.Name) and t.value.id == "self"})


def test_no_room_holds_much() -> None:
    """Nowhere more than 12 % of the lines."""
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    rooms = Counter[str]()
    for path, count in lines.items():
        rooms[path.relative_to(SRC).parts[0]] += count
    assert {name: count for name, count in rooms.items() if count > 0.12 * sum(lines.values())} == {}


def test_no_class_of_an_attack_holds_much() -> None:
    classes = {
        f"{place(path, node)} {node.name}": attributes(node)
        for path in FILES
        if path.parent.name == "attacks"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
    }
    assert {name: n for name, n in classes.items() if n > ATTRIBUTES} == {}


@pytest.mark.parametrize("name", ["super", "hasattr", "print", "eval", "exec"])
def test_source_never_calls(name: str) -> None:
    assert calls(name) == []


def test_no_record_is_written_to_behind_its_back() -> None:
    """What a constructor makes of its arguments is given to the record's own, or is set by a plain class."""
    found = [
        place(path, node)
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "object.__setattr__"
    ]
    assert found == []


def test_strings_name_classes_in_the_command_line_alone() -> None:
    """No comparison with the name of a norm, loss, scheme or effort outside cli/."""
    names = {"linf", "l2", "l1", "ce", "dlr", "margin", "pgd", "fgsm", "explicit", "quick", "standard", "exhaustive"}
    found = [
        place(path, node)
        for path in FILES
        if "cli" not in path.relative_to(SRC).parts
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Compare)
        and any(isinstance(side, ast.Constant) and side.value in names for side in [node.left, *node.comparators])
    ]
    assert found == []


def test_the_public_page_holds_names_alone() -> None:
    """`__init__.py` lists the public names and loads them on first use; nothing else is defined there."""
    defined = [node.name for node in tree(SRC / "__init__.py").body if isinstance(node, Function | ast.ClassDef)]
    assert set(defined) <= {"__getattr__", "__dir__"}


def test_public_methods_are_explained_where_they_are_declared() -> None:
    """Each has a docstring of its own, or implements a method of one of the library's interfaces that has one."""
    classes = {node.name: node for path in FILES for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)}

    def explains(node: ast.ClassDef, method: str) -> bool:
        own = [item for item in node.body if isinstance(item, Function) and item.name == method]
        above = [classes[ast.unparse(base)] for base in node.bases if ast.unparse(base) in classes]
        return any(ast.get_docstring(item) for item in own) or any(explains(base, method) for base in above)

    bare = [
        f"{place(path, item)} {node.name}.{item.name}"
        for path in MODULES
        if not path.name.startswith("_")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for item in node.body
        if isinstance(item, Function) and not item.name.startswith("_") and not explains(node, item.name)
    ]
    assert bare == []


def test_public_names_exist_and_are_explained() -> None:
    assert len(set(maxslope.__all__)) == len(maxslope.__all__)
    public = {name: getattr(maxslope, name) for name in maxslope.__all__ if not name.startswith("__")}
    objects = {name: value for name, value in public.items() if callable(value) or inspect.ismodule(value)}
    own = {
        name: value.__dict__.get("__doc__") if isinstance(value, type) else value.__doc__
        for name, value in objects.items()
    }
    bare = [name for name, text in own.items() if not text or text.startswith(f"{name}(")]  # a dataclass's made-up text
    assert bare == []


def test_the_version_is_cited_and_its_changes_are_listed() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {maxslope.__version__}\n" in citation
    assert f"[{maxslope.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_dependency_is_pinned_once() -> None:
    """constraints.txt names each direct dependency exactly once, and nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.partition("==")[0].lower() for line in lines if line and not line.startswith("#")]
    names = {requirement_name(r) for r in wanted} - {"maxslope"}
    assert sorted(pinned) == sorted(names | {"mkdocstrings-python"})


def test_every_requirement_has_a_lower_bound_that_its_pin_meets() -> None:
    """`scripts/lower_bounds.py` reads them, and CI installs them together."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(
        line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    for text in [*project["dependencies"], *(r for e in project["optional-dependencies"].values() for r in e)]:
        requirement = Requirement(text)
        if requirement.name != "maxslope":
            assert [s.operator for s in requirement.specifier if s.operator != "<"] == [">="], text
            assert requirement.specifier.contains(pins[requirement.name.lower()]), text
    typer = next(Requirement(r) for r in project["dependencies"] if r.startswith("typer"))
    assert not typer.specifier.contains("0.15.4")  # with the click of today it does not start


def requirement_name(requirement: str) -> str:
    end = next((i for i, c in enumerate(requirement) if c in "<>=[ ;!~"), len(requirement))
    return requirement[:end].lower()
