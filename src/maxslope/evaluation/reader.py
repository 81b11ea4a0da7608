"""Data of any form, read the same way by every verb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from maxslope._pairs import alike, pair_of
from maxslope.evaluation.data import Batch, jobs
from maxslope.evaluation.datasets import load_data
from maxslope.evaluation.hardware import dtype_of
from maxslope.evaluation.tables import adopted


def readable(data: Any, model: Any = None) -> Any:
    """Return data as tensors, a ``Dataset`` or a ``DataLoader``.

    Args:
        data: these; numpy arrays ``(x, y)``; a ``Dataset`` of Hugging Face's datasets; or a word that ``--data`` takes:
            an .npz, .safetensors, .parquet or .arrow file, a folder of images or of a saved data set,
            ``file.py:factory``. Their box is the budget's.
        model: whose precision arrays of floating-point numbers take, as those of files do.

    Raises:
        ValueError: as :func:`maxslope.evaluation.datasets.load_data` does.
    """
    if isinstance(data, str | Path):
        return alike(load_data(str(data), unbounded=True).data, dtype_of(model))
    data = adopted(data)
    pair = pair_of(data)
    if pair is None or not any(isinstance(item, np.ndarray) for item in data):
        return data
    return alike(pair, dtype_of(model))


def collected(data: Any) -> Batch:
    """Return all inputs and labels of data of any form, in memory.

    >>> collected((np.zeros((2, 3)), np.array([0, 1])))[0].shape
    torch.Size([2, 3])
    """
    data = adopted(data)
    pair = pair_of(data)
    if pair is not None:
        return pair
    parts = [(job.x, job.y) for job in jobs(data)]
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
