"""The packages of the extra ``boundary``, imported when they are needed."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any


def load(module: str, package: str) -> Any:
    """Return a module of an optional package.

    Raises:
        ImportError: if it is not installed, naming the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"Sets on a grid need the package {package}, which is not installed; pip install 'maxslope[boundary]'."
        ) from error


def ndimage() -> Any:
    """Return ``scipy.ndimage``."""
    return load("scipy.ndimage", "scipy")


def spatial() -> Any:
    """Return ``scipy.spatial``."""
    return load("scipy.spatial", "scipy")


def measure() -> Any:
    """Return ``skimage.measure``."""
    return load("skimage.measure", "scikit-image")


def skfmm() -> Any:
    """Return ``skfmm``."""
    return load("skfmm", "scikit-fmm")


def found(module: str) -> bool:
    """Whether a package is installed."""
    return importlib.util.find_spec(module) is not None


def maxflow() -> Any:
    """Return ``maxflow``, which serves where OR-Tools is not installed."""
    try:
        return importlib.import_module("maxflow")
    except ImportError:
        return load("ortools", "ortools")
