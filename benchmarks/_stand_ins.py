"""Empty stand-ins for modules that peers import only for plots and model zoos, so that they run without them."""

from __future__ import annotations

import importlib.util
import sys
import types
from unittest.mock import MagicMock

_NAMES = ("torchvision", "torchvision.models", "torchvision.transforms", "torchvision.utils", "visdom", "robustbench",
          "robustbench.utils", "robustbench.data", "gdown")  # fmt: skip


def install() -> None:
    """Put stand-ins for the missing ones into sys.modules."""
    for name in _NAMES:
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            module = types.ModuleType(name)
            module.__getattr__ = lambda _: MagicMock()  # type: ignore[method-assign]
            module.__path__ = []
            module.__spec__ = importlib.util.spec_from_loader(name, loader=None)
            sys.modules[name] = module
