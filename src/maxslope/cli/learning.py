"""From the words of ``maxslope train`` to a model, data in three parts, and the files of the result."""

from __future__ import annotations

import importlib.util
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maxslope._modes import inference
from maxslope._optional import optional
from maxslope._pairs import alike
from maxslope.cli import names
from maxslope.cli.settings import DEFAULT, Settings
from maxslope.cli.sources import budget, loading, open_data, said
from maxslope.data import training_data
from maxslope.energies import Network
from maxslope.evaluation.data import by_number, length
from maxslope.evaluation.datasets import Loaded
from maxslope.evaluation.draw import divided, drawn, labels_of
from maxslope.evaluation.hardware import dtype_of
from maxslope.evaluation.models import load_model
from maxslope.evaluation.reader import collected
from maxslope.sets import Budget
from maxslope.training.distributed import world

if TYPE_CHECKING:
    from maxslope.training import Fitted

_HELD = 1000  # samples that are held out at most, for each of two purposes
_MEMORY = 1 << 30  # bytes of data that are read as a whole
_TEST = 1 << 28  # bytes of what is left for the evaluation
_SHIPPED = "maxslope.data:architecture"
_NETWORK = "network.py"
_TEST_FILE, _WEIGHTS, _TOLD = "test.npz", "network.safetensors", "training.toml"
_WENT = ("commands", "epochs", "after")  # the columns of a training's commands


@dataclass(frozen=True, eq=False)
class Lesson:
    """A model to be trained, by its word, and data: to train on, to choose the weights by, and left untouched."""

    model: nn.Module
    word: str
    budget: Budget
    data: Any
    count: int
    check: tuple[Tensor, Tensor]
    left: Any
    box: tuple[float, float] | None

    @property
    def left_words(self) -> str:
        """What is left for the evaluation, in words."""
        if self.left is None:
            return "the 1,000 MNIST images of maxslope evaluate left for the evaluation"
        return f"{length(self.left)} left for the evaluation"

    def evaluation(self, s: Settings, out: Path) -> list[str]:
        """Return the command that evaluates the result."""
        command = ["maxslope", "evaluate", "--model", self.word, "--weights", str(out / _WEIGHTS)]
        if self.left is not None:
            command += ["--data", str(out / _TEST_FILE)] + ([] if self.box else ["--no-box"])
        eps = s.eps if s.eps is not None else f"{float(self.budget.eps):g}"
        command += ["--norm", s.norm, "--eps", eps] + (["--device", s.device] if s.device else [])
        return command + (["--trust"] if s.trust else [])


def lesson(s: Settings, out: Path, *, quiet: bool) -> Lesson:
    """Load the model and the data of settings, and divide the data; only the first process writes files."""
    with optional("Weights in files need safetensors", "[train]"):
        importlib.import_module("safetensors.torch")
    names.budget(s.norm, s.eps)  # words are checked before anything is loaded
    with loading(quiet):
        loaded = _data(s)
    data, bounds = loaded.data, loaded.box
    chosen = budget(s, bounds)
    said(loaded.notes, quiet)
    read, count = by_number(data)  # type: ignore[misc]
    if count < 10:
        raise ValueError(
            f"Training holds out a tenth of the samples twice, and needs 10 samples at least, got {count}."
        )
    x = read(0, 1)[0]
    held = min(_HELD, count // 10)
    left = 0 if s.data == DEFAULT else max(1, min(held, _TEST // max(4 * x.numel(), 1)))
    model, word = _model(s, x, data, out)
    checked, kept, rest = divided(alike(data, dtype_of(model)), [held, left], s.seed)
    x, y = collected(checked)
    return Lesson(model, word, chosen, rest, count - held - left, (x, y), kept if left else None, bounds)


def _data(s: Settings) -> Loaded:
    """The data of settings, as many as are asked for: in memory, if they fit or come as a stream."""
    loaded = Loaded(training_data(), (0.0, 1.0)) if s.data == DEFAULT else open_data(s)
    data, notes, most = loaded.data, loaded.notes, _MEMORY if s.most is None else s.most
    if s.samples is not None and (few := drawn(data, s.samples, s.seed)) is not None:
        data, notes = few, (*notes, few.words)
    found = by_number(data)
    if found is not None and found.samples and 4 * found.samples * found.read(0, 1)[0].numel() > most:
        large = f"more than {most / (1 << 30):.3g} GiB, read sample by sample (--memory holds more)"
        return loaded if isinstance(data, tuple | list) else Loaded(data, loaded.box, (*notes, large))
    return Loaded(collected(data), loaded.box, notes)


def _model(s: Settings, x: Tensor, data: Any, out: Path) -> tuple[nn.Module, str]:
    """The model and the word by which it is made again, with weights that the seed decides."""
    word = s.model
    if word == DEFAULT:
        if s.weights is not None:
            raise ValueError("--weights belong to a factory: give --model file.py:factory.")
        if (labels := labels_of(data)) is None:
            unknown = "The number of classes is not known without reading all data"
            raise ValueError(f"{unknown}: give --model file.py:factory.")
        word = _described(x, int(labels.max()) + 1, out)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(s.seed)
        model = load_model(word, weights=s.weights, trust=s.trust, device=s.device, most=s.most, trained=True)
    assert isinstance(model, nn.Module), "a random model is not trained"
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(
            f"--model {word} has no parameter that requires a gradient: nothing would be trained. Make a module with "
            "weights, and do not freeze all of them."
        )
    kind = next(p for p in model.parameters() if p.requires_grad)
    with inference(model):  # one call, which raises where the model cannot take such inputs, and changes nothing of it
        Network(model).all_outputs(x.to(kind.device, kind.dtype))
    return model, word


def _described(x: Tensor, classes: int, out: Path) -> str:
    """The word of a small network for such inputs; one that does not ship is written as code, beside its weights."""
    shape = tuple(x.shape[1:])
    if shape == (1, 28, 28) and classes == 10:
        return _SHIPPED
    path, text = out / _NETWORK, _code(shape, classes)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path} is a network for other data; give another --out, or remove it.")
    if world().rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return f"{path}:make"


def _code(shape: tuple[int, ...], classes: int) -> str:
    """The source of a small network: convolutions for images of four pixels a side and more, else dense."""
    image = len(shape) in (2, 3) and min(shape[-2:]) >= 4
    channels = shape[0] if len(shape) == 3 else 1
    if image:
        flat = 64 * (shape[-2] // 4) * (shape[-1] // 4)
        first = [f"nn.Unflatten(1, (1, {shape[0]}))"] if len(shape) == 2 else []
        layers = [
            *first, f"nn.Conv2d({channels}, 16, 3, padding=1)", "nn.ReLU()", "nn.Conv2d(16, 32, 4, 2, 1)", "nn.ReLU()",
            "nn.Conv2d(32, 64, 4, 2, 1)", "nn.ReLU()", "nn.Flatten()", f"nn.Linear({flat}, 100)", "nn.ReLU()",
            f"nn.Linear(100, {classes})",
        ]  # fmt: skip
    else:
        size = torch.Size(shape).numel()
        layers = ["nn.Flatten()", f"nn.Linear({size}, 128)", "nn.ReLU()", "nn.Linear(128, 128)", "nn.ReLU()"]
        layers.append(f"nn.Linear(128, {classes})")
    body = "".join(f"        {layer},\n" for layer in layers)
    return (
        f'"""The network that maxslope train made for inputs of shape {list(shape)} and {classes} classes."""\n\n'
        f"from torch import nn\n\n\ndef make():\n    return nn.Sequential(\n{body}    )\n"
    )


def warmup(out: Path, calls: int) -> int:
    """Return the calls until the full radius; a training that goes on has those with which it was begun."""
    return int(_kept(out)["train"]["warmup"]) if _begun(out) else calls


def remember(out: Path, table: dict[str, Any], command: str, after: int) -> None:
    """Write ``training.toml``: how a training was asked for, by which commands it went, and after how many epochs."""
    from maxslope.evaluation.plan import toml

    went = _kept(out)["went"] if _begun(out) else {name: [] for name in _WENT}
    if went["epochs"][-1:] == [table["epochs"]]:
        return  # the same training, interrupted or not
    for name, value in zip(_WENT, (command, table["epochs"], after), strict=True):
        went[name].append(value)
    (out / _TOLD).write_text(toml({"train": table, "went": went}), encoding="utf-8")


def _begun(out: Path) -> bool:
    """Whether a training was begun that is to be gone on with."""
    return (out / _TOLD).exists() and (out / "checkpoint.pt").exists()


def _kept(out: Path) -> dict[str, dict[str, Any]]:
    """The tables of a training's configuration, its warmup and lists of its commands among them."""
    try:
        tables = tomllib.loads((out / _TOLD).read_text(encoding="utf-8"))
        int(tables["train"]["warmup"])
        tables["went"] = {name: list(tables.get("went", {}).get(name, [])) for name in _WENT}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{out / _TOLD} is damaged ({error!r}); give another --out, or remove the folder.") from error
    return tables


def doing_again(out: Path, command: str, evaluation: str) -> str:
    """Return the commands that do a training again, and evaluate it, with comments between."""
    went = _kept(out)["went"]
    steps = list(zip(went["commands"], went["after"], strict=False)) or [(command, 0)]
    lines = []
    for k, (one, after) in enumerate(steps):
        if k:
            lines.append(f"# and, after epoch {after}, on in the same folder:")
        elif after:
            lines.append(f"# what was done until epoch {after} is not known; then")
        lines.append(one)
    return "\n".join([*lines, "# evaluate the result:", evaluation])


def written(
    fitted: Fitted, best: dict[str, Any], given: Lesson, out: Path, asked: list[tuple[str, str]], again: str
) -> list[Path]:
    """Write weights, history, a figure, a page and the samples that are left; return the files."""
    import numpy as np
    from safetensors.torch import save

    from maxslope.facts.export import write_csv
    from maxslope.report.sheets import Again
    from maxslope.report.training import draw_history, sheet

    about = {"budget": str(given.budget), "robust": f"{best['robust']:.4f}", "epochs": str(len(fitted.history))}
    state = {k: v.detach().cpu().clone().contiguous() for k, v in fitted.network.state_dict().items()}
    (out / _WEIGHTS).write_bytes(save(state, metadata=about))
    write_csv(fitted.history, out / "history.csv")
    files = [out / _WEIGHTS, out / "history.csv", out / "checkpoint.pt", out / _TOLD]
    files += [out / _NETWORK] if given.word == f"{out / _NETWORK}:make" else []
    drawing = None
    if importlib.util.find_spec("matplotlib") is not None:
        said = dict(asked)
        drawing = draw_history(fitted.history, out / "history", f"{said['Objective']} within {said['Budget']}")
        files += [out / "history.png", out / "history.svg"]
    if given.left is not None:
        x, y = collected(given.left)
        arrays = {"x": x.numpy(), "y": y.numpy()} | ({} if given.box is None else {"box": np.array(given.box)})
        np.savez(out / _TEST_FILE, **arrays)  # type: ignore[arg-type]
        files.append(out / _TEST_FILE)
    if drawing is not None and importlib.util.find_spec("jinja2") is not None:
        held, names = len(given.check[0]), [file.name for file in files]
        page = sheet(fitted.history, drawing, asked, held, Again(again, names))
        files.append(page.save(out / "report.html"))
    return files
