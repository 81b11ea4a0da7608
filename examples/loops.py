"""Adversarial training in the loop that one has: Lightning's, Accelerate's, or plain PyTorch.

The reader learns that an objective is a loss: the one line that changes in a `training_step` or between `prepare` and
`backward`, which numbers of samples to hand it so that each flow starts where its last one ended, and that the three
loops train the same network when they take the same batches.

    python examples/loops.py FOLDER

Needs scikit-learn and safetensors: pip install "maxslope[examples]"; and Lightning or Accelerate, or both, for their
loops (what is not installed is left out). Data: scikit-learn's 8 x 8 digits.
"""

import importlib.util
import logging
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import maxslope as ms

BUDGET = ms.Linf(0.1)
EPOCHS, BATCH, RATE = 3, 100, 5e-3


def network() -> nn.Module:
    """Return a small network with the same weights each time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def batches(x: Tensor, y: Tensor) -> DataLoader[tuple[Tensor, ...]]:
    """Return a loader that gives the number of each sample too, by which an objective remembers it."""
    return DataLoader(TensorDataset(x, y, torch.arange(len(x))), batch_size=BATCH, drop_last=True)


def by_hand(loader: DataLoader[tuple[Tensor, ...]]) -> nn.Module:
    """Train in a loop of one's own."""
    model, objective = network().train(), ms.AdversarialRisk(BUDGET)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    for _ in range(EPOCHS):
        for x, y, ids in loader:
            optimizer.zero_grad()
            loss = objective(model, x, y, ids=ids)  # the one line
            loss.backward()
            optimizer.step()
    return model.eval()


def with_accelerate(loader: DataLoader[tuple[Tensor, ...]]) -> nn.Module:
    """Train in Accelerate's loop: the model that `prepare` returns is what the objective gets."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, objective = network().train(), ms.AdversarialRisk(BUDGET)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for _ in range(EPOCHS):
        for x, y, ids in loader:
            optimizer.zero_grad()
            loss = objective(model, x, y, ids=ids)  # the one line
            accelerator.backward(loss)
            optimizer.step()
    return accelerator.unwrap_model(model).eval()


def with_lightning(loader: DataLoader[tuple[Tensor, ...]], folder: Path) -> nn.Module:
    """Train with Lightning's trainer: the objective is the loss of a `training_step`."""
    import lightning

    class Robust(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.objective = network(), ms.AdversarialRisk(BUDGET)

        def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
            x, y, ids = batch
            return self.objective(self.net, x, y, ids=ids)  # the one line

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.net.parameters(), RATE)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    module = Robust()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")  # the data are in memory
        trainer.fit(module, loader)
    return module.net.eval()


def main(folder: Path) -> None:
    """Train in each loop that is installed, and judge the results on samples that none has seen."""
    folder.mkdir(parents=True, exist_ok=True)
    data = load_digits()
    x, y = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16, torch.tensor(data.target)
    loader, test = batches(x[:1500], y[:1500]), (x[1500:], y[1500:])
    trained = {"plain PyTorch": by_hand(loader)}
    if importlib.util.find_spec("accelerate") is not None:
        trained["Accelerate"] = with_accelerate(loader)
    if importlib.util.find_spec("lightning") is not None:
        trained["Lightning"] = with_lightning(loader, folder)
    print("loop            clean   robust")
    for name, model in trained.items():
        report = ms.evaluate(model, test, BUDGET, effort=ms.Effort.quick(), probe=False)
        print(f"{name:<14}  {report.clean_accuracy:6.1%}  {report.robust_accuracy:6.1%}")
    reference = trained["plain PyTorch"].state_dict()
    for name, model in trained.items():
        apart = max(float((model.state_dict()[key] - value).abs().max()) for key, value in reference.items())
        print(f"{name}: weights {apart:.1e} apart from those of plain PyTorch.")
        if apart > 1e-4:
            raise RuntimeError(f"{name} made other steps than plain PyTorch on the same batches.")
    save_file(reference, folder / "robust.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
