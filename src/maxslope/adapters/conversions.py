"""Models of other packages as functions from inputs to logits, with the box their inputs live in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from maxslope._optional import optional
from maxslope.sets.budget import Bounds


@dataclass(frozen=True, eq=False)
class Converted:
    """A model as maxslope wants it.

    Attributes:
        model: from inputs ``[rows, *shape]``, in the box, to logits; the other package's preprocessing is inside.
        box: the range of valid inputs, for a budget: ``ms.Linf(0.03, box=converted.box)``; None if it has none.
    """

    model: Callable[[Tensor], Tensor]
    box: Bounds | None


def from_foolbox(model: Any) -> Converted:
    """Take over a foolbox model: ``foolbox.PyTorchModel(net, bounds, preprocessing)``.

    Args:
        model: of foolbox, on PyTorch; in evaluation mode.

    Returns:
        :class:`Converted`; its box are the bounds.

    Raises:
        ImportError: if foolbox is not installed.
        TypeError: if this is no foolbox model.
    """
    foolbox = need("foolbox", "foolbox")
    if not isinstance(model, foolbox.models.Model):
        raise TypeError(f"from_foolbox takes a foolbox model such as PyTorchModel, got {type(model).__name__}.")
    bounds = model.bounds
    return Converted(model, (float(bounds.lower), float(bounds.upper)))


def from_art(classifier: Any) -> Converted:
    """Take over a PyTorch classifier of the Adversarial Robustness Toolbox, its preprocessing included.

    Args:
        classifier: ``art.estimators.classification.PyTorchClassifier`` whose preprocessing works on tensors.

    Returns:
        :class:`Converted`; its box are the clip values.

    Raises:
        ImportError: if ART is not installed.
        TypeError: if this is no PyTorch classifier of ART.
    """
    classification = need("art.estimators.classification", "art")
    if not isinstance(classifier, classification.PyTorchClassifier):
        raise TypeError(
            f"from_art takes ART's PyTorchClassifier, got {type(classifier).__name__}; for others evaluate "
            "lambda x: torch.from_numpy(classifier.predict(x.numpy())) with recipes.square(1000), which needs no "
            "gradients."
        )
    clip = classifier.clip_values
    box = None if clip is None else (_bound(clip[0]), _bound(clip[1]))
    return Converted(_ArtModule(classifier), box)


def _bound(value: Any) -> float | Tensor:
    tensor = torch.as_tensor(value, dtype=torch.float32)
    return float(tensor) if tensor.ndim == 0 else tensor


class _ArtModule(nn.Module):
    """The classifier's network behind its preprocessing; being a module, its mode and dtype can be checked."""

    def __init__(self, classifier: Any) -> None:
        nn.Module.__init__(self)
        self.network = classifier.model
        self.training = self.network.training
        self.apply_preprocessing = classifier._apply_preprocessing  # bound, and no module: not registered

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        ready, _ = self.apply_preprocessing(x, None, fit=False, no_grad=False)
        out: Tensor = self.network(ready)
        return out


def need(module: str, extra: str) -> Any:
    """Return a module of a package that is not always installed; ImportError names what to install."""
    package = module.partition(".")[0]
    with optional(f"This needs {package}", f"[{extra}]" if extra else package):
        return import_module(module)
