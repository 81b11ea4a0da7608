"""What a newcomer meets before the first result: missing packages, models in one file, folders of images."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset
from typer.testing import CliRunner

import maxslope as ms
from maxslope.cli.main import app
from maxslope.evaluation import smallest
from maxslope.evaluation.datasets import load_data
from maxslope.evaluation.models import load_model

ROOT = Path(__file__).parents[2]


class Unread(Dataset[Any]):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, i: int) -> Any:
        raise AssertionError("read before it is known whether the run can be written")


@pytest.fixture
def without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)


def test_what_a_folder_needs_is_missed_before_anything_is_read(without_pyarrow: None, tmp_path: Path) -> None:
    for call in (ms.evaluate, smallest):
        how: Any = ms.Linf(0.1) if call is ms.evaluate else ms.Lp(2)
        with pytest.raises(ImportError, match=r"A run on disk needs pyarrow: pip install"):
            call(torch.nn.Linear(2, 2).eval(), Unread(), how, out=tmp_path / "run")
    for words in (["evaluate"], ["minimal"]):  # there is no such data: nobody looked
        done = CliRunner().invoke(app, [*words, "--data", "none.npz", "--out", str(tmp_path / "run")])
        assert "A run on disk needs pyarrow" in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_what_the_readme_installs_can_keep_a_run() -> None:
    """README shows ``--out`` after ``pip install .[demo]``."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(line.startswith("pyarrow") for line in extras["demo"])


def test_a_pickled_model_finds_its_class_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of an installed command does not have that directory."""
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(Path.cwd()))])
    monkeypatch.chdir(tmp_path)
    made: Any = ModuleType("homemade")
    made.Net = type("Net", (torch.nn.Linear,), {"__module__": "homemade"})
    monkeypatch.setitem(sys.modules, "homemade", made)
    torch.save(made.Net(2, 2), "whole.pt")
    monkeypatch.delitem(sys.modules, "homemade")
    with pytest.raises(ValueError, match="needs the module homemade, which is not here"):
        load_model("whole.pt", trust=True)
    Path("homemade.py").write_text("from torch import nn\nclass Net(nn.Linear): pass\n")
    try:
        assert type(load_model("whole.pt", trust=True)).__module__ == "homemade"
    finally:
        sys.modules.pop("homemade", None)


def test_weights_that_are_a_whole_model_are_one_plain_line(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    (tmp_path / "own_net.py").write_text("from torch import nn\ndef make(): return nn.Linear(2, 2)\n")
    with pytest.raises(ValueError, match="state_dict") as refused:
        load_model(f"{tmp_path / 'own_net.py'}:make", weights=tmp_path / "whole.pt")
    assert "\x1b" not in str(refused.value)
    assert "weights_only" not in str(refused.value)
    assert "two options" not in str(refused.value)


def picture(folder: Path) -> None:
    folder.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(folder / "a.png")


def test_an_empty_folder_is_no_class_unless_folders_have_numbers(tmp_path: Path) -> None:
    for name in ("0", "2"):
        picture(tmp_path / "numbered" / name)
    (tmp_path / "numbered" / "1").mkdir()
    assert load_data(str(tmp_path / "numbered")).data.labels().tolist() == [0, 2]
    for name in ("cat", "dog"):
        picture(tmp_path / "named" / name)
    assert load_data(str(tmp_path / "named")).data.labels().tolist() == [0, 1]
    (tmp_path / "named" / "cow").mkdir()
    with pytest.raises(ValueError, match="folders without images, cow"):
        load_data(str(tmp_path / "named"))
