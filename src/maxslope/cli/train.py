"""``maxslope train``: train a robust classifier."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope.cli import document, names, options
from maxslope.cli.again import typed
from maxslope.cli.ending import interruptible
from maxslope.cli.options import OUTPUT, option
from maxslope.cli.progress import progress
from maxslope.cli.settings import DEFAULT, Settings
from maxslope.cli.sources import say_warnings_plainly

if TYPE_CHECKING:
    from maxslope.cli.learning import Lesson
    from maxslope.cli.progress import Update
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

    @property
    def words(self) -> dict[str, Any]:
        """The options as ``training.toml`` has them."""
        return {name: value for name, value in asdict(self).items() if name != "out"}


def train(
    context: typer.Context,
    *,
    model: options.Trained = DEFAULT,
    weights: options.Weights = None,
    device: options.Device = None,
    trust: options.Trust = False,
    memory: options.Memory = None,
    data: options.TrainingData = DEFAULT,
    box: options.Box = None,
    no_box: options.NoBox = False,
    size: options.Size = None,
    samples: options.Samples = None,
    norm: options.Norm = "linf",
    eps: options.Eps = None,
    objective: Annotated[str, option(_TRAINING, "risk or trades.")] = "risk",
    steps: Annotated[int, option(_TRAINING, "Most inner gradients a sample; 1: single-step.", min=1)] = 2,
    epochs: Annotated[int, option(_TRAINING, "In all; more than --out has seen go on from there.", min=1)] = 20,
    batch_size: Annotated[int | None, option(_TRAINING, "Samples of a step; by default 100.", min=1)] = None,
    rate: Annotated[float, option(_TRAINING, "Peak learning rate of Adam.")] = 4e-3,
    average: Annotated[float, option(_TRAINING, "Decay of the mean of weights; 0: none.", min=0, max=0.99999)] = 0.0,
    patience: Annotated[int | None, option(_TRAINING, "Epochs without progress until it stops.", min=1)] = None,
    out: Annotated[Path, option(OUTPUT, "Folder for weights, history, figure and checkpoint.")] = _OUT,
    seed: options.Seed = 0,
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
    from maxslope.training import processes
    from maxslope.training.distributed import first_before_others

    say_warnings_plainly()
    options.folder(out)
    s = replace(Settings(), **options.given(context))
    asked = Asked(objective, steps, epochs, rate, average, patience, out)
    plan, _ = _adam(rate), _objective(asked, None, 0, seed)  # words are checked before anything is loaded
    with processes() as here:
        silent = quiet or json_ or here.rank > 0
        with first_before_others():
            given = lesson(s, out, first=here.rank == 0, quiet=silent)
        fitted = _fitted(given, asked, s, plan, (silent, typed(context), here.rank == 0))
        if here.rank == 0:
            _finish(fitted, given, asked, s, (json_, quiet), typed(context))


def _fitted(given: Lesson, asked: Asked, s: Settings, adam: Any, how: tuple[bool, str, bool]) -> Fitted:
    """Train, and tell how far it is; an interruption says how to go on."""
    from maxslope.cli.learning import noted, remember, warmup
    from maxslope.training import Callback, Check, Checkpoint, Plan, fit
    from maxslope.training.checkpoint import OtherTrainingError
    from maxslope.training.distributed import world

    silent, command, first = how
    batch = s.batch_size or min(100, given.count)
    if batch > given.count:
        raise ValueError(f"--batch-size is between 1 and all {given.count} samples to train on, got {batch}.")
    batches = given.count // batch
    ramp = warmup(asked.out, s, asked.words, int(0.3 * asked.epochs * batches))
    plan = Plan(asked.epochs, batch, adam, average=asked.average or None)
    check = Check(*given.check, given.budget, patience=asked.patience)
    kept = Checkpoint(asked.out / "checkpoint.pt")
    steps = asked.epochs * batches
    try:
        with (
            interruptible(lambda: _kept(kept.path, command)),
            progress(steps, silent, resumed=kept.path.exists(), doing="training", unit="steps") as update,
        ):
            update.note(
                f"{given.count} samples to train on, {len(given.check[0])} to choose the weights, {given.left_words}; "
                f"{given.budget}" + (f"; going on from {kept.path}" if kept.path.exists() else "")
            )
            calls = [_telling(update, asked.epochs)]
            if first:

                def keep(moment: Moment) -> None:
                    remember(asked.out, command, asked.epochs, int(moment.last["epoch"]) - 1)

                calls.append(Callback(epoch=keep))
            fitted = fit(
                given.model, given.data, _objective(asked, given.budget, ramp, s.seed), plan, check=check,
                checkpoint=kept, callbacks=calls, seed=s.seed,
            )  # fmt: skip
        if world().rank == 0:  # of a training that went on, the epochs are others now
            noted(asked.out, s, asked.words, ramp)
        return fitted
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


def _finish(fitted: Fitted, given: Lesson, asked: Asked, s: Settings, how: tuple[bool, bool], again: str) -> None:
    """Write what was trained and say what it is; the exit code is 1 where it broke off."""
    from maxslope._status import Status
    from maxslope.cli.learning import doing_again, written

    finite = fitted.status != int(Status.NON_FINITE)
    if not fitted.history:
        raise RuntimeError(
            f"The loss was not finite in the first epoch, after {fitted.step} steps; try a lower --rate."
        )
    best = max(fitted.history, key=lambda record: (record["robust"], record["clean"]))
    command = shlex.join(given.evaluation(s, asked.out))
    again = doing_again(asked.out, again, command)
    files = [str(file) for file in written(fitted, best, given, asked.out, _facts(given, asked, s), again)]
    facts = {
        "samples": given.count, "checked": len(given.check[0]), "budget": names.asked(s.norm, s.eps),
        "norm": f"l_{names.norm(s.norm).p:g}", "eps": float(given.budget.eps), "seed": s.seed,
        "epochs": len(fitted.history), "best_epoch": best["epoch"], "clean_accuracy": best["clean"],
        "robust_accuracy": best["robust"], "backward_per_sample": best["backward"], "finite": finite,
        "files": files, "evaluate": command,
    }  # fmt: skip
    json_, quiet = how
    accuracy = f"clean {100 * best['clean']:.1f} %, robust {100 * best['robust']:.1f} % after epoch {best['epoch']}"
    if json_:
        document.say(facts)
    elif quiet:
        typer.echo(f"{accuracy} on the {facts['checked']} samples that chose the weights")
    else:
        typer.echo(f"best       {accuracy}, on the {facts['checked']} samples that chose it")
        typer.echo(f"written    {', '.join(files)}")
        typer.echo(f"evaluate   {command}")
    if not finite:
        typer.echo(
            f"maxslope: training broke off after {fitted.step} steps: the loss was not finite. The weights are "
            "the best before that; try a lower --rate.",
            err=True,
        )
        raise typer.Exit(1)


def _facts(given: Lesson, asked: Asked, s: Settings) -> list[tuple[str, str]]:
    """What the page says that was asked."""
    return [
        ("Objective", {"risk": "adversarial risk", "trades": "TRADES"}[asked.objective]),
        ("Budget", names.asked(s.norm, s.eps)),
        ("Data", f"{given.count} samples to train on, of {'MNIST, as shipped' if s.data == DEFAULT else s.data}"),
        ("Epochs", f"{asked.epochs}"),
        ("Seed", f"{s.seed}"),
    ]


def _kept(kept: Path, command: str) -> str:
    """What is kept of a training that was interrupted, and how to go on."""
    if kept.exists():
        return f"What was trained until the last whole epoch is kept in {kept}; go on with: {command}"
    return f"No epoch was finished, and nothing is kept in {kept.parent}."


def _adam(rate: float) -> Any:
    import torch

    if not 0 < rate < float("inf"):
        raise ValueError(f"--rate is a positive learning rate, got {rate}.")
    return lambda parameters: torch.optim.Adam(parameters, lr=rate)


def _objective(asked: Asked, budget: Any, warmup: int, seed: int) -> Objective:
    """The objective that a word names; without a budget it is only checked."""
    from maxslope.sets import Linf
    from maxslope.training import AdversarialRisk, Guard, Inner, Pointwise, Ramp, Trades

    ramp, guard, steps = Ramp(warmup), Guard(), asked.steps
    budget = Linf(0.0) if budget is None else budget
    if asked.objective == "risk":
        inner = Inner(steps=steps, first=1.25 if steps == 1 else 1.0)
        return AdversarialRisk(Pointwise(budget, inner), ramp=ramp, guard=guard, seed=seed)
    if asked.objective == "trades":
        return Trades(Pointwise(budget, Inner(steps=steps, adapt=True)), ramp=ramp, guard=guard, seed=seed)
    raise ValueError(f"--objective is risk or trades, got {asked.objective!r}.")
