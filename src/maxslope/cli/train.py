"""``maxslope train``: train a robust classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope._escape import visible
from maxslope.cli import options
from maxslope.cli.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from maxslope.training import Objective

EXAMPLES = """
[bold]Examples[/]

On 4,000 MNIST images, results in maxslope-train/:  [cyan]maxslope train[/]

Another budget and objective:  [cyan]maxslope train --norm l2 --eps 1.5 --objective trades[/]

Your images:  [cyan]maxslope train --data mine.npz --eps 8/255[/]

Two processes:  [cyan]torchrun --no-python --nproc-per-node 2 maxslope train[/]
"""


def train(
    context: typer.Context,
    norm: Annotated[str, typer.Option(help="Norm of the budget: linf, l2, l1, l1.5, ...")] = "linf",
    *,
    eps: Annotated[str | None, typer.Option(help="Radius, in the units of the inputs: 0.3 or 8/255.")] = None,
    objective: Annotated[str, typer.Option(help="risk or trades.")] = "risk",
    steps: Annotated[int, typer.Option(min=1, help="Most inner gradients a sample; 1 is single-step training.")] = 2,
    epochs: Annotated[int, typer.Option(min=1)] = 20,
    batch_size: Annotated[int, typer.Option(min=1)] = 100,
    rate: Annotated[float, typer.Option(help="Peak learning rate of Adam.")] = 4e-3,
    average: Annotated[float, typer.Option(min=0, max=0.99999, help="Decay of the mean of weights; 0 for none.")] = 0.0,
    patience: Annotated[int | None, typer.Option(min=1, help="Checks without progress until it stops.")] = None,
    data: options.Data = DEFAULT,
    box: options.Box = None,
    no_box: options.NoBox = False,
    size: options.Size = None,
    trust: options.Trust = False,
    memory: options.Memory = None,
    out: Annotated[Path, typer.Option(help="Folder for weights, history, figure and checkpoint.")] = Path(
        "maxslope-train"
    ),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Train a network that withstands perturbations: on 4,000 MNIST images, or on your own.

    Writes weights (safetensors), a line for each epoch (CSV), a figure and a checkpoint, from which the same command
    goes on after an interruption. A fifth of your data (at most 1,000; the shipped MNIST images by default) is held
    out for verified robust accuracy after each epoch.
    """
    from maxslope.cli import names
    from maxslope.cli.again import typed
    from maxslope.report.canvas import write_csv
    from maxslope.report.sheets import training as page
    from maxslope.report.training import draw_history
    from maxslope.training import Check, Checkpoint, Plan, fit, processes

    given = names.budget(norm, eps)
    settings = Settings(data=data, box=box, no_box=no_box, size=size, trust=trust, memory=memory)
    (x, y, held_x, held_y), bounds = _data(settings, seed)
    budget = names.inside(given, bounds)
    network = _network(x, int(y.max()) + 1, seed)
    warmup = int(0.3 * epochs * (len(x) // batch_size))
    plan = Plan(epochs, batch_size, _adam(rate), average=average or None)
    check = Check(held_x, held_y, budget, patience=patience)
    with processes() as here:
        say = typer.echo if here.rank == 0 else _nothing
        say(f"{len(x)} samples to train on, {len(held_x)} held out, {budget}, {here.size} process(es)")
        fitted = fit(
            network, (x, y), _objective(objective, budget, steps, warmup, seed), plan, check=check,
            checkpoint=Checkpoint(out / "checkpoint.pt"), progress=_Progress(say), seed=seed,
        )  # fmt: skip
        if here.rank:
            return
        best = max(fitted.history, key=lambda record: record["robust"])
        say(f"best: clean {100 * best['clean']:.1f} %, robust {100 * best['robust']:.1f} % after epoch {best['epoch']}")
        about = {"budget": str(budget), "seed": str(seed), "robust": f"{best['robust']:.4f}", "epochs": str(epochs)}
        _write(fitted.network, out / "network.safetensors", about)
        write_csv(fitted.history, out / "history.csv")
        drawing = draw_history(fitted.history, out / "history", f"{objective} within {budget}")
        asked = _asked(objective, budget, data, len(x), epochs, seed)
        files = ("network.safetensors", "history.csv", "history.svg", "checkpoint.pt")
        sheet = page(fitted.history, drawing, asked, held=len(held_x), command=typed(context), files=files)
        sheet.save(out / "report.html")
        say(f"written: {out / 'network.safetensors'}, report.html, history.csv, history.png, checkpoint.pt")


def _asked(objective: str, budget: Any, data: str, samples: int, epochs: int, seed: int) -> list[tuple[str, str]]:
    """What the page says that was asked."""
    return [
        ("Objective", {"risk": "adversarial risk", "trades": "TRADES"}[objective]), ("Budget", str(budget)),
        ("Data", f"{samples} samples to train on, of {'MNIST, as shipped' if data == DEFAULT else data}"),
        ("Epochs", f"{epochs}"), ("Seed", f"{seed}"),
    ]  # fmt: skip


def _nothing(text: str) -> None:
    """Say nothing: another process speaks."""


class _Progress:
    """One line an epoch."""

    def __init__(self, say: Any) -> None:
        self.say, self.told = say, 0

    def __call__(self, moment: Any) -> None:
        record = moment.last
        if record and record["epoch"] > self.told:
            self.told = record["epoch"]
            self.say(
                f"epoch {record['epoch']:>3}  loss {record['loss']:.3f}  clean {100 * record['clean']:5.1f} %  robust "
                f"{100 * record['robust']:5.1f} %  {record['backward']:.2f} gradients a sample  "
                f"{record['seconds']:.0f} s"
            )


def _adam(rate: float) -> Any:
    import torch

    if not rate > 0:
        raise ValueError(f"--rate is a positive learning rate, got {rate}.")
    return lambda parameters: torch.optim.Adam(parameters, lr=rate)


def _objective(word: str, budget: Any, steps: int, warmup: int, seed: int) -> Objective:
    from maxslope.training import AdversarialRisk, Guard, Inner, Pointwise, Ramp, Trades

    ramp, guard = Ramp(warmup), Guard()
    if word == "risk":
        inner = Inner(steps=steps, first=1.25 if steps == 1 else 1.0)
        return AdversarialRisk(Pointwise(budget, inner), ramp=ramp, guard=guard, seed=seed)
    if word == "trades":
        return Trades(Pointwise(budget, Inner(steps=steps, adapt=True)), ramp=ramp, guard=guard, seed=seed)
    raise ValueError(f"--objective is risk or trades, got {word!r}.")


def _data(s: Settings, seed: int) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Any]:
    """What is trained on and held out, and the box."""
    from maxslope.cli.sources import open_data
    from maxslope.data import default_data, training_data
    from maxslope.evaluation.reader import collected
    from maxslope.training.source import order

    found, bounds, notes = open_data(s)
    if s.data == DEFAULT:
        return (*training_data(), *default_data()), bounds
    for note in notes:
        typer.echo(f"data: {visible(note)}", err=True)
    x, labels = collected(found)
    x = (x[:, None] if x.ndim == 3 else x).float()
    mixed = order(seed, -1, len(x))
    held, kept = mixed[: min(1000, len(x) // 5)], mixed[min(1000, len(x) // 5) :]
    return (x[kept], labels[kept], x[held], labels[held]), bounds


def _network(x: Tensor, classes: int, seed: int) -> nn.Module:
    """The architecture of the default network for MNIST, one of its kind for other images, dense for tables."""
    import torch
    from torch import nn

    from maxslope.data import architecture

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if tuple(x.shape[1:]) == (1, 28, 28) and classes == 10:
            return architecture()
        if x.ndim != 4:
            return nn.Sequential(
                nn.Flatten(), nn.Linear(x[0].numel(), 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(),
                nn.Linear(128, classes),
            )  # fmt: skip
        body = nn.Sequential(
            nn.Conv2d(x.shape[1], 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        return nn.Sequential(*body, nn.Linear(body(x[:1]).shape[1], 100), nn.ReLU(), nn.Linear(100, classes))


def _write(network: nn.Module, path: Path, about: dict[str, str]) -> None:
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise ImportError('Weights are written with safetensors: pip install "maxslope[train]".') from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save({k: v.contiguous() for k, v in network.state_dict().items()}, metadata=about))
