"""``maxslope train``: train a robust classifier."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope.cli import ending, names, options
from maxslope.cli.ending import interruptible, typed
from maxslope.cli.options import OUTPUT, option
from maxslope.cli.progress import progress
from maxslope.cli.settings import DEFAULT, Settings, given, of_settings
from maxslope.cli.sources import say_warnings_plainly

if TYPE_CHECKING:
    from maxslope.cli.learning import Lesson
    from maxslope.cli.progress import Update
    from maxslope.sets import Budget
    from maxslope.training import Callback, Fitted, Moment, Objective

EXAMPLES = """
[bold]Examples[/]

On 4,000 MNIST images, results in maxslope-train/:  [cyan]maxslope train[/]

Your network on your images:  [cyan]maxslope train --model nets.py:make --data images/ --size 32 --eps 8/255[/]

From weights that you have:  [cyan]maxslope train --model nets.py:make --weights net.safetensors --data train.npz --eps
8/255[/]

Ten epochs more, after that:  the same command with [cyan]--epochs 30[/]

Two processes:  [cyan]torchrun --no-python --nproc-per-node 2 maxslope train[/]
"""

_TRAINING, _OUT = "Training", Path("maxslope-train")
_WITHOUT = ("classes", "goal", "mask", "grid", "effort", "part", "fast")
_GROWS = 0.3  # of a training; then the radius is whole
_SINGLE = 1.25  # eps: the length of a single step, as in arXiv:2001.03994


@dataclass(frozen=True)
class Asked:
    """How to train."""

    objective: str
    steps: int
    epochs: int
    rate: float
    average: float
    patience: int | None
    out: Path
    command: str = ""  # that asks
    json: bool = False
    quiet: bool = False

    @property
    def silent(self) -> bool:
        """Whether this process says nothing of how far it is."""
        from maxslope.training.distributed import world

        return self.json or self.quiet or world().rank > 0

    @property
    def words(self) -> dict[str, Any]:
        """The options as ``training.toml`` has them."""
        without = ("out", "command", "json", "quiet")
        return {name: value for name, value in asdict(self).items() if name not in without}


@of_settings(*_WITHOUT, model=options.Trained, data=options.TrainingData)
def train(
    context: typer.Context,
    *,
    objective: Annotated[str, option(_TRAINING, "risk or trades.")] = "risk",
    steps: Annotated[int, option(_TRAINING, "Most inner gradients a sample; 1: single-step.", min=1)] = 2,
    epochs: Annotated[int, option(_TRAINING, "In all; more than --out has seen go on from there.", min=1)] = 20,
    batch_size: Annotated[int | None, option(_TRAINING, "Samples of a step; by default 100.", min=1)] = None,
    rate: Annotated[float, option(_TRAINING, "Peak learning rate of Adam.")] = 4e-3,
    average: Annotated[float, option(_TRAINING, "Decay of the mean of weights; 0: none.", min=0, max=0.99999)] = 0.0,
    patience: Annotated[int | None, option(_TRAINING, "Epochs without progress until it stops.", min=1)] = None,
    out: Annotated[Path, option(OUTPUT, "Folder for weights, history, figure and checkpoint.")] = _OUT,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a network that withstands perturbations: yours or a small one, on your data or 4,000 MNIST images.

    Writes weights (safetensors), a line for each epoch (CSV), a figure and a checkpoint, from which the same command
    goes on after an interruption, or with more --epochs. Prints the command that evaluates the result.

    A tenth of the data (at most 1,000) chooses the weights by verified robust accuracy after each epoch, and another
    tenth is left for the evaluation: test.npz in the folder, or the 1,000 MNIST images of `maxslope evaluate`.
    """
    from maxslope.cli.learning import lesson
    from maxslope.sets import Linf
    from maxslope.training import processes
    from maxslope.training.distributed import first_before_others

    say_warnings_plainly()
    options.folder(out)
    s = replace(Settings(), **given(context))
    asked = Asked(objective, steps, epochs, rate, average, patience, out, typed(context), json_, quiet)
    adam, _ = _adam(rate), _objective(asked, Linf(0.0), 0, s.seed)  # words are checked before anything is loaded
    with processes() as here:
        with first_before_others():
            taught = lesson(s, out, quiet=asked.silent)
        fitted = _fitted(taught, asked, s, adam)
        if here.rank == 0:
            _finish(fitted, taught, asked, s)


def _fitted(taught: Lesson, asked: Asked, s: Settings, adam: Any) -> Fitted:
    """Train, and tell how far it is; an interruption says how to go on."""
    from maxslope.cli.learning import remember, warmup
    from maxslope.training import Callback, Check, Checkpoint, Plan, fit
    from maxslope.training.checkpoint import OtherTrainingError
    from maxslope.training.distributed import world

    batch = s.batch_size or min(100, taught.count)
    if batch > taught.count:
        raise ValueError(f"--batch-size is between 1 and all {taught.count} samples to train on, got {batch}.")
    asked.out.mkdir(parents=True, exist_ok=True)
    batches = taught.count // batch
    ramp = warmup(asked.out, int(_GROWS * asked.epochs * batches))
    table = {**s.table()["evaluate"], **asked.words, "warmup": ramp}
    plan = Plan(asked.epochs, batch, adam, average=asked.average or None)
    check = Check(*taught.check, taught.budget, patience=asked.patience)
    kept, steps = Checkpoint(asked.out / "checkpoint.pt"), asked.epochs * batches

    def keep(moment: Moment) -> None:
        remember(asked.out, table, asked.command, int(moment.last["epoch"]) - 1)

    try:
        with (
            interruptible(lambda: _going_on(kept.path, asked.command)),
            progress(steps, asked.silent, resumed=kept.path.exists(), doing="training", unit="steps") as update,
        ):
            update.note(
                f"{taught.count} samples to train on, {len(taught.check[0])} to choose the weights, "
                f"{taught.left_words}; {taught.budget}" + (f"; going on from {kept.path}" if kept.path.exists() else "")
            )
            calls = [_telling(update, asked.epochs), *([] if world().rank else [Callback(epoch=keep)])]
            return fit(
                taught.model, taught.data, _objective(asked, taught.budget, ramp, s.seed), plan, check=check,
                checkpoint=kept, callbacks=calls, seed=s.seed,
            )  # fmt: skip
    except OtherTrainingError as error:
        raise ValueError(
            f"--out {asked.out} holds another training ({error.differences}); give another --out, or remove the folder."
        ) from error


def _telling(update: Update, epochs: int) -> Callback:
    """What is told after steps and epochs."""
    from maxslope.training import Callback

    def step(moment: Moment) -> None:
        update(moment.step, f"epoch {moment.epoch + 1} of {epochs}, loss {moment.loss:.3f}")

    def epoch(moment: Moment) -> None:
        record = moment.last
        update.note(
            f"epoch {record['epoch']:>3}  loss {record['loss']:.3f}  clean {100 * record['clean']:5.1f} %  robust "
            f"{100 * record['robust']:5.1f} %  {record['backward']:.2f} gradients a sample  {record['seconds']:.0f} s"
        )

    return Callback(step=step, epoch=epoch)


def _finish(fitted: Fitted, taught: Lesson, asked: Asked, s: Settings) -> None:
    """Write what was trained and say what it is; the exit code is 1 where it broke off."""
    from maxslope._status import Status
    from maxslope.cli.learning import doing_again, written

    finite = fitted.status != int(Status.NON_FINITE)
    if not fitted.history:
        raise RuntimeError(
            f"The loss was not finite in the first epoch, after {fitted.step} steps; try a lower --rate."
        )
    best = max(fitted.history, key=lambda record: (record["robust"], record["clean"]))
    command = shlex.join(taught.evaluation(s, asked.out))
    again = doing_again(asked.out, asked.command, command)
    files = [str(file) for file in written(fitted, best, taught, asked.out, _facts(taught, asked, s), again)]
    facts = {
        "samples": taught.count, "checked": len(taught.check[0]), "budget": names.asked(s.norm, s.eps),
        "norm": f"l_{names.norm(s.norm).p:g}", "eps": float(taught.budget.eps), "seed": s.seed,
        "epochs": len(fitted.history), "best_epoch": best["epoch"], "clean_accuracy": best["clean"],
        "robust_accuracy": best["robust"], "backward_per_sample": best["backward"], "finite": finite,
        "files": files, "evaluate": command,
    }  # fmt: skip
    accuracy = f"clean {100 * best['clean']:.1f} %, robust {100 * best['robust']:.1f} % after epoch {best['epoch']}"
    line = f"{accuracy} on the {facts['checked']} samples that chose the weights"
    lines = [
        f"best       {accuracy}, on the {facts['checked']} samples that chose it",
        f"written    {', '.join(files)}",
        f"evaluate   {command}",
    ]
    ending.tell(facts, line, lines, json=asked.json, quiet=asked.quiet)
    if not finite:
        typer.echo(
            f"maxslope: training broke off after {fitted.step} steps: the loss was not finite. The weights are "
            "the best before that; try a lower --rate.",
            err=True,
        )
        raise typer.Exit(1)


def _facts(taught: Lesson, asked: Asked, s: Settings) -> list[tuple[str, str]]:
    """What the page says that was asked."""
    return [
        ("Objective", {"risk": "adversarial risk", "trades": "TRADES"}[asked.objective]),
        ("Budget", names.asked(s.norm, s.eps)),
        ("Data", f"{taught.count} samples to train on, of {'MNIST, as shipped' if s.data == DEFAULT else s.data}"),
        ("Epochs", f"{asked.epochs}"),
        ("Seed", f"{s.seed}"),
    ]


def _going_on(kept: Path, command: str) -> str:
    """What is kept of a training that was interrupted, and how to go on."""
    if kept.exists():
        return f"What was trained until the last whole epoch is kept in {kept}; go on with: {command}"
    return f"No epoch was finished, and nothing is kept in {kept.parent}."


def _adam(rate: float) -> Any:
    import torch

    if not 0 < rate < float("inf"):
        raise ValueError(f"--rate is a positive learning rate, got {rate}.")
    return lambda parameters: torch.optim.Adam(parameters, lr=rate)


def _objective(asked: Asked, budget: Budget, warmup: int, seed: int) -> Objective:
    """The objective that a word names."""
    from maxslope.training import AdversarialRisk, Guard, Inner, Pointwise, Ramp, Trades

    ramp, guard, steps = Ramp(warmup), Guard(), asked.steps
    if asked.objective == "risk":
        inner = Inner(steps=steps, first=_SINGLE if steps == 1 else 1.0)
        return AdversarialRisk(Pointwise(budget, inner), ramp=ramp, guard=guard, seed=seed)
    if asked.objective == "trades":
        return Trades(Pointwise(budget, Inner(steps=steps, adapt=True)), ramp=ramp, guard=guard, seed=seed)
    raise ValueError(f"--objective is risk or trades, got {asked.objective!r}.")
