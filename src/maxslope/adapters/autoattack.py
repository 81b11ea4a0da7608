"""The calls of AutoAttack and RobustBench, answered by this library."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maxslope._rows import choose
from maxslope.adapters.conversions import need
from maxslope.attacks import Effort
from maxslope.energies import Network
from maxslope.evaluation import Report, evaluate, resume
from maxslope.evaluation.report import BROKEN
from maxslope.goals.classes import as_logits
from maxslope.sets import Budget
from maxslope.spaces import Lp

_NORMS = {"Linf": math.inf, "L2": 2.0, "L1": 1.0}
_EFFORTS = {"standard": Effort.standard, "plus": Effort.exhaustive}


@dataclass(frozen=True, eq=False)
class AutoAttack:
    """A drop-in for ``autoattack.AutoAttack``: the same call, another search.

    Robust accuracies are comparable in meaning (each is an upper bound, the worst over an ensemble), not equal.

    Args:
        model: from images in [0, 1] to logits, in evaluation mode.
        norm: "Linf", "L2" or "L1".
        eps: the radius.
        version: "standard" (``Effort.standard()``) or "plus" (``Effort.exhaustive()``).
        seed: of all random numbers; None is 0.
        device: where images are moved to; by default where they are.
        verbose: whether reports go to the logger ``maxslope`` (level INFO).
        log_path: a file that reports are appended to.

    Raises:
        ValueError: for another norm or version.

    Source: arXiv:2003.01690.

    >>> adversary = AutoAttack(lambda x: 10 * x, norm="Linf", eps=0.2)
    >>> adversary.run_standard_evaluation(torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0]))[0]
    tensor([0.9000, 0.1000])
    """

    model: Any
    norm: str = "Linf"
    eps: float = 0.3
    version: str = "standard"
    seed: int | None = None
    device: Any = None
    verbose: bool = False
    log_path: str | Path | None = None

    def __post_init__(self) -> None:
        if self.norm not in _NORMS:
            raise ValueError(f"norm is one of {', '.join(_NORMS)}, got {self.norm!r}.")
        if self.version not in _EFFORTS:
            raise ValueError(
                f"version is one of {', '.join(_EFFORTS)}, got {self.version!r}; for random models evaluate "
                "ms.Randomized(model, draws=8, votes=64), for single attacks use maxslope.attack(..., recipe=...)."
            )

    @property
    def budget(self) -> Budget:
        """The budget; images live in [0, 1]."""
        return Budget(Lp(_NORMS[self.norm]), float(self.eps))

    def evaluate(self, x_orig: Tensor, y_orig: Tensor, bs: int | None = None, state_path: Any = None) -> Report:
        """Return the whole report, of which :meth:`run_standard_evaluation` returns the points alone.

        Args:
            x_orig: ``[n, *shape]``.
            y_orig: ``[n]``.
            bs: rows per call of the model; by default chosen by the size of a sample.
            state_path: a folder where the run is kept, and gone on with if it is there.
        """
        x, y = self._here(x_orig), self._here(y_orig)
        if state_path is not None and (Path(state_path) / "run.json").exists():
            report = resume(state_path, self.model, (x, y))
        else:
            effort = _EFFORTS[self.version]()
            report = evaluate(
                self.model, (x, y), self.budget, effort=effort, seed=self.seed or 0, batch_size=bs, out=state_path
            )
        if self.verbose:
            logging.getLogger("maxslope").info("%s", report)
        if self.log_path is not None:
            with Path(self.log_path).open("a", encoding="utf-8") as file:
                file.write(f"{report}\n")
        return report

    def run_standard_evaluation(
        self, x_orig: Tensor, y_orig: Tensor, bs: int = 250, return_labels: bool = False, state_path: Any = None
    ) -> Any:
        """Return adversarial images, the clean ones where none was found; see :meth:`evaluate`.

        With ``return_labels`` the model's answers to them come second.
        """
        report = self.evaluate(x_orig, y_orig, bs, state_path)
        assert report.points is not None
        broken = torch.tensor([v == BROKEN for v in report.table["verdict"]], device=x_orig.device)
        x_adv = choose(broken, report.points.to(x_orig), x_orig)
        if not return_labels:
            return x_adv
        return x_adv, self._answers(x_adv, bs).to(y_orig.device)

    def clean_accuracy(self, x_orig: Tensor, y_orig: Tensor, bs: int = 250) -> float:
        """Return the share of samples that the model gets right without change."""
        return float((self._answers(x_orig, bs) == self._here(y_orig)).double().mean())

    def _here(self, t: Tensor) -> Tensor:
        return t if self.device is None else t.to(self.device)

    def _answers(self, x: Tensor, bs: int) -> Tensor:
        return as_logits(Network(self.model, bs).all_outputs(self._here(x))).argmax(1)


def benchmark(
    model: Any,
    n_examples: int = 10_000,
    dataset: Any = "cifar10",
    threat_model: str = "Linf",
    *,
    eps: float,
    batch_size: int = 32,
    device: Any = None,
    data_dir: str = "./data",
    version: str = "standard",
    seed: int = 0,
) -> tuple[float, float]:
    """Return (clean accuracy, robust accuracy), as ``robustbench.eval.benchmark`` does.

    Args:
        model: from images in [0, 1] to logits, in evaluation mode.
        n_examples: how many samples, from the first.
        dataset: tensors ``(x, y)``, or the name of a data set of RobustBench, which then loads it.
        threat_model: "Linf", "L2" or "L1"; corruptions are no attack, and RobustBench's own task.
        eps: the radius.
        batch_size: rows per call of the model.
        device: where images are moved to.
        data_dir: where RobustBench keeps data.
        version: of :class:`AutoAttack`.
        seed: of all random numbers.

    Returns:
        Two shares of the samples.

    Raises:
        ImportError: for a name where RobustBench is not installed.
        ValueError: for another threat model or version.

    Source: arXiv:2010.09670.

    >>> benchmark(lambda x: 10 * x, dataset=(torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0])), eps=0.2)
    (1.0, 0.5)
    """
    adversary = AutoAttack(model, threat_model, eps, version, seed, device)
    if isinstance(dataset, tuple | list):
        x, y = (t[:n_examples] for t in dataset)
    else:
        loader = need("robustbench.data", "")
        enums = need("robustbench.model_zoo.enums", "")
        kind = enums.BenchmarkDataset(dataset)
        ready = loader.get_preprocessing(kind, enums.ThreatModel(threat_model), None, None)
        x, y = loader.load_clean_dataset(kind, n_examples, data_dir, ready)
    report = adversary.evaluate(x, y, batch_size)
    return report.clean_accuracy, report.robust_accuracy
