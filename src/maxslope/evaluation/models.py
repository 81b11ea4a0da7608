"""Models from outside: from a word on the command line to a module in evaluation mode."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maxslope._digest import digest_of_text
from maxslope._escape import first_line
from maxslope._optional import optional
from maxslope.energies import Randomized
from maxslope.evaluation._files import absent, bounded, needed, safetensors_header, unpacked, without_pickles
from maxslope.evaluation.exported import load_exported, load_onnx

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib")
OWN = "maxslope_from_file_"  # modules that were loaded from a file by its path


def load_model(
    word: str,
    *,
    weights: str | Path | None = None,
    trust: bool = False,
    device: str | None = None,
    most: int | None = None,
    trained: bool = False,
) -> nn.Module | Randomized:
    """Load a model and put it into evaluation mode, or leave it as it was made, to be trained.

    Args:
        word: ``file.py:factory`` or ``package.module:factory`` (called without arguments; a module serves too),
            ``model.pt2`` (torch.export), ``model.onnx`` (needs onnx2torch), ``hf://name`` (transformers, local files)
            or ``timm://name`` (timm, local files or ``weights``).
        weights: a safetensors file, or a .pt/.pth file of tensors alone, for the model that the factory makes.
        trust: whether to load files that can run code as they are read: pickled models, and torch.export files with
            more than tensors inside.
        device: such as ``"cuda"``; by default where the model is.
        most: bytes that a packed file may take in memory; by default 1 GiB, or 64 times its size if that is more.
        trained: whether it is to be trained: modes and what requires a gradient stay as the factory left them.

    Returns:
        The module; a function that the factory returned is wrapped into one, a :class:`Randomized` model stays one.

    Raises:
        ValueError: for a word of no known form, a file that cannot be read, weights that do not fit, or a file that
            needs ``trust``.
        ImportError: naming the package that is missing.
    """
    path, random = Path(word), None
    if trained and path.suffix in (".pt2", ".onnx"):
        raise ValueError(
            f"{word} is an exported program, whose weights cannot be trained; give what makes the module: "
            "file.py:factory, with its weights as --weights."
        )
    if word.startswith("hf://"):
        model = _transformers(word.removeprefix("hf://"), trust)
    elif word.startswith("timm://"):
        model = _timm(word.removeprefix("timm://"), trust, pretrained=weights is None)
    elif path.suffix == ".pt2":
        model = load_exported(path, trust=trust, most=most)
    elif path.suffix == ".onnx":
        model = load_onnx(path)
    elif path.suffix in PICKLES:
        model = _pickled(path, trust)
    elif ":" in word:
        made = call(word, "model")
        random = made if isinstance(made, Randomized) else None
        model = _module(made if random is None else random.model, word)
    else:
        raise ValueError(
            f"A model is file.py:factory, package.module:factory, a .pt2 or .onnx file, hf://name or timm://name, got "
            f"{word!r}."
        )
    if weights is not None:
        model.load_state_dict(_fitting(model, _weights(Path(weights), most), weights))
    if trained and random is not None:
        raise ValueError(f"{word} makes a Randomized model, whose verdicts are votes; train the model inside of it.")
    model = placed(model, device)
    if not trained:
        for module in model.modules():  # as eval() does, which exported programs refuse
            module.training = False
        model.requires_grad_(False)
    return model if random is None else replace(random, model=model)


def runs_code(word: str) -> bool:
    """Return whether to load a model or data of this name is to run code that the name chooses.

    >>> runs_code("nets.py:make"), runs_code("net.pt2"), runs_code("hf://name")
    (True, False, False)
    """
    return ":" in word and Path(word).suffix not in (".pt2", ".onnx") and not word.startswith(("hf://", "timm://"))


def call(word: str, what: str) -> Any:
    """Return what ``file.py:factory`` or ``package.module:factory`` makes; ValueError with the error of its code."""
    place, _, name = word.rpartition(":")
    if not place or not name.isidentifier():
        raise ValueError(f"A {what} from code is file.py:factory or package.module:factory, got {word!r}.")
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else _imported(place)
    except FileNotFoundError as error:
        raise ValueError(absent(Path(place))) from error
    except (Exception, SystemExit) as error:
        raise ValueError(f"Importing {place} failed with {type(error).__name__}: {error}.") from error
    found = getattr(module, name, None)
    if found is None:
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        alike = difflib.get_close_matches(name, known, 1)
        has = f"did you mean {alike[0]}?" if alike else f"it has {', '.join(known[:8]) or 'nothing to call'}."
        raise ValueError(f"{place} has no {name}; {has}")
    if isinstance(found, nn.Module | Randomized) or not callable(found):
        return found
    try:
        return found()
    except (Exception, SystemExit) as error:
        raise ValueError(f"{word}() failed with {type(error).__name__}: {error}.") from error


class Function(nn.Module):
    """A function from inputs to logits, as a module without parameters of its own."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        nn.Module.__init__(self)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Call the function."""
        return self.function(x)


class Logits(nn.Module):
    """A model whose answers hold logits under that name, as those of transformers do."""

    def __init__(self, model: nn.Module) -> None:
        nn.Module.__init__(self)
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.model(x).logits
        return logits


def _imported(place: str) -> Any:
    """Import a module: a file of that name in the folder where one stands, else as Python does, there at last."""
    if Path(f"{place}.py").is_file():
        return _from_file(Path(f"{place}.py"))
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        top = place.partition(".")[0]
        if error.name != top or not Path(top).is_dir():
            raise
    _findable(Path.cwd())
    importlib.invalidate_caches()
    return importlib.import_module(place)


def _findable(folder: Path) -> None:
    """Let modules of a folder be imported, after all others; they may be asked for later, so it stays."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(path)
    name = OWN + digest_of_text(str(path.resolve()))[:12]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _findable(path.resolve().parent)  # what lies beside it, as for a script
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module(found: Any, word: str) -> nn.Module:
    if isinstance(found, nn.Module):
        return found
    if isinstance(found, type):
        name = found.__name__
        raise ValueError(
            f"{word} makes a model, got the class {name} itself, which has no weights yet: return {name}()."
        )
    if callable(found):
        return Function(found)
    raise ValueError(f"{word} makes a torch.nn.Module or a function from inputs to logits, got {type(found).__name__}.")


def placed(model: nn.Module, device: str | None) -> nn.Module:
    """Return a module on a device, None leaves it where it is; ValueError for a device that is not there."""
    try:
        return model if device is None else model.to(device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(f"The device {device!r} cannot be used: {first_line(error)}.") from error


def tensors_of(path: Path, most: int | None = None) -> Any:
    """Return the plain tensors, in plain containers, of a .pt file; ValueError if it holds other ones, or too large."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked(path, archive, most)
    found = torch.load(path, map_location="cpu", weights_only=True)
    for tensor in _within(found):
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ValueError(f"{path} holds a tensor that is {tensor.layout} on {tensor.device.type}, not plain.")
        bounded(path, tensor.numel() * tensor.element_size(), most)
    return found


def _within(found: Any) -> Iterator[Tensor]:
    """All tensors in containers."""
    todo, seen = [found], set()
    while todo:
        item = todo.pop()
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, dict | list | tuple | set) and id(item) not in seen:
            seen.add(id(item))
            todo += item.values() if isinstance(item, dict) else item


def _weights(path: Path, most: int | None = None) -> dict[str, Tensor]:
    needed(path)
    if path.suffix == ".safetensors":
        with optional("Weights in safetensors need safetensors", "[data]"):
            from safetensors.torch import load_file
    try:
        if path.suffix == ".safetensors":
            safetensors_header(path)
            return load_file(path)
        state = tensors_of(path, most)
    except Exception as error:
        raise ValueError(
            f"{path} holds no weights that can be read without running code ({type(error).__name__}: "
            f"{first_line(error)}); save model.state_dict() alone (torch.save), or with safetensors."
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} holds no table of named tensors, but {type(state).__name__}.")
    return state


def _fitting(model: nn.Module, state: dict[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    """The weights, if names and shapes are those of the model."""
    own = model.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    other = [
        f"{k} {tuple(state[k].shape)} for {tuple(own[k].shape)}"
        for k in own
        if k in state and own[k].shape != state[k].shape
    ]
    if missing or extra or other:
        lists = (("missing", missing), ("unknown", extra), ("of another shape", other))
        said = "; ".join(f"{name}: {', '.join(names[:4])}" for name, names in lists if names)
        raise ValueError(f"The weights in {path} do not fit the model: {said}.")
    return state


def _pickled(path: Path, trust: bool) -> nn.Module:
    if not trust:
        raise ValueError(
            f"{path} is a pickle, which runs whatever code its author put into it when it is read. Give the class as "
            f"--model file.py:factory with its weights as --weights (a .pt file of tensors is read without code), or "
            "export the model (torch.export.save), or add --trust if you made the file yourself."
        )
    needed(path)
    found = unpickled(path)
    if isinstance(found, dict):
        raise ValueError(f"{path} holds weights, not a model; give --model file.py:factory and --weights {path}.")
    return _module(found, str(path))


def unpickled(path: Path) -> Any:
    """Return what a pickle holds, whose code is run, with modules of the working directory; ValueError if it fails."""
    _findable(Path.cwd())
    importlib.invalidate_caches()
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{path} needs the module {error.name}, which is not here: call from the folder that has it, or give "
            "--model file.py:factory with a state_dict() as --weights."
        ) from error
    except Exception as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {first_line(error)}.") from error


def _transformers(name: str, trust: bool) -> nn.Module:
    with optional("Names with hf:// need transformers", "transformers"):
        from transformers import AutoModelForImageClassification
    try:
        with nullcontext() if trust else without_pickles():
            return Logits(
                AutoModelForImageClassification.from_pretrained(name, local_files_only=True, trust_remote_code=False)
            )
    except (Exception, SystemExit) as error:
        raise ValueError(f"hf://{name} is not here: {type(error).__name__}: {first_line(error)}.") from error


def _timm(name: str, trust: bool, *, pretrained: bool) -> nn.Module:
    with optional("Names with timm:// need timm", "timm"):
        import timm
    if pretrained:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # local files alone: nothing is fetched behind one's back
    try:
        with nullcontext() if trust else without_pickles():
            made: nn.Module = timm.create_model(name, pretrained=pretrained)
        return made
    except Exception as error:
        raise ValueError(f"timm://{name} cannot be made: {type(error).__name__}: {error}.") from error
