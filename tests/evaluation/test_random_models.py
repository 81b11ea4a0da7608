"""A random model that is wrapped is one everywhere: from a file, in its fingerprint, before the indicators."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks._probe import Probe
from maxslope.attacks.findings import Kind
from maxslope.evaluation.hardware import device_of, dtype_of
from maxslope.evaluation.models import load_model
from maxslope.evaluation.plan import identity

CODE = """
import torch
import maxslope as ms

class Noisy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = torch.nn.Linear(4, 2, dtype=torch.float64)
        with torch.no_grad():
            self.inside.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]))
            self.inside.bias.zero_()

    def forward(self, x):
        return self.inside(x + 0.05 * torch.randn_like(x))

def make():
    return ms.Randomized(Noisy(), draws=4, votes=32)

made = make()
"""


class Noisy(nn.Module):
    """The larger of two coordinates, seen through noise."""

    def forward(self, x: Tensor) -> Tensor:
        return 4 * (x + 0.05 * torch.randn_like(x))


def data(rows: int = 24) -> tuple[Tensor, Tensor]:
    x = torch.rand(rows, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, (x[:, 1] > x[:, 0]).long()


@pytest.mark.parametrize("name", ["make", "made"])
def test_votes_survive_being_loaded_from_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "nets.py").write_text(CODE)
    model = load_model(f"{tmp_path / 'nets.py'}:{name}")
    assert isinstance(model, ms.Randomized)
    assert (model.draws, model.votes) == (4, 32)
    assert not model.model.training
    assert not any(p.requires_grad for p in model.model.parameters())
    report = ms.evaluate(model, data(4), ms.Linf(0.05), effort=ms.Effort((ms.recipes.pgd(3),)))
    assert "rate" in report.table
    assert not any("random" in str(w) for w in report.warnings)


def test_weights_go_to_the_model_inside_and_training_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(CODE)
    torch.save({"inside.weight": torch.ones(2, 4), "inside.bias": torch.zeros(2)}, tmp_path / "w.pt")
    model = load_model(f"{tmp_path / 'nets.py'}:make", weights=tmp_path / "w.pt")
    assert model.model.inside.weight.eq(1).all()
    with pytest.raises(ValueError, match="train the model inside"):
        load_model(f"{tmp_path / 'nets.py'}:make", trained=True)


def test_the_fingerprint_is_that_of_the_weights_and_of_how_it_is_asked() -> None:
    a = ms.Randomized(nn.Linear(2, 2), draws=4, votes=32)
    assert identity(a) == identity(replace(a))
    others = [ms.Randomized(nn.Linear(2, 2), draws=4, votes=32), replace(a, votes=33), replace(a, seed=1), a.model]
    assert len({identity(one) for one in [a, *others]}) == 5


def test_precision_and_device_are_those_of_the_model_inside() -> None:
    inside = nn.Linear(2, 2, dtype=torch.float64)
    assert dtype_of(ms.Randomized(inside)) == torch.float64
    assert device_of(ms.Randomized(inside)) == torch.device("cpu")
    assert dtype_of(lambda x: x) is None


def test_differences_of_a_random_model_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws are others at every point, so that what differs between points says nothing of the gradient."""
    monkeypatch.setattr(Probe, "differences", lambda probe: (probe.spot.long | True, probe.spot.long & False))
    x, y = data(8)
    x += nn.functional.one_hot(y, 4)

    def kinds(model: object) -> list[Kind]:
        effort = ms.Effort((ms.recipes.pgd(5),))
        result = ms.attack(model, x, y, ms.Linf(0.1, box=None), effort=effort, probe=True)
        return [one.kind for one in result.findings.indicators]

    assert kinds(ms.Randomized(Noisy().eval(), draws=2, votes=8)) == []
    assert kinds(nn.Identity().eval()) == [Kind.DISAGREES]


def test_errors_that_votes_take_back_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of a few draws finds more errors than votes confirm: that is what votes are for."""
    x, y = data(12)
    model = ms.Randomized(Noisy().eval(), draws=1, votes=64)
    effort = ms.Effort((ms.recipes.pgd(20),))
    result = ms.attack(model, x, y, ms.Linf(0.05, box=None), effort=effort, probe=True)
    assert int(result.unconfirmed.sum()) > 0
    assert not [one for one in result.findings.indicators if one.kind is Kind.RANDOM]
