"""A model's weights as one row, and norms of weights layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maxslope import _random
from maxslope._rows import flat
from maxslope.spaces.base import Space
from maxslope.spaces.lp import Lp, norm_in_order, radii


@dataclass(frozen=True)
class Layout:
    """Where each weight of a model lies in a row ``[1, d]``: the trainable parameters one after the other.

    Args:
        names: of the parameters.
        shapes: of the parameters.

    >>> net = nn.Linear(2, 3)
    >>> layout = Layout.of(net)
    >>> layout.row(net).shape
    torch.Size([1, 9])
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @classmethod
    def of(cls, model: nn.Module) -> Layout:
        """Return the layout of the parameters that require a gradient.

        Raises:
            ValueError: if there are none.
        """
        held = {name: p.shape for name, p in model.named_parameters() if p.requires_grad}
        if not held:
            raise ValueError("The model has no parameter that requires a gradient: nothing would be trained.")
        return cls(tuple(held), tuple(held.values()))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of entries of each parameter."""
        return tuple(shape.numel() for shape in self.shapes)

    def row(self, model: nn.Module) -> Tensor:
        """Return a copy of the weights, ``[1, d]``."""
        return torch.cat([p.detach().reshape(-1) for p in map(model.get_parameter, self.names)])[None]

    def gradient(self, model: nn.Module) -> Tensor:
        """Return a copy of the weights' gradients, ``[1, d]``, zero where there is none."""
        held = [model.get_parameter(name) for name in self.names]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in held]
        return torch.cat([g.detach().reshape(-1) for g in parts])[None]

    def load(self, model: nn.Module, row: Tensor) -> None:
        """Copy a row ``[1, d]`` into the model's weights."""
        with torch.no_grad():
            for name, part in self.tensors(row[0]).items():
                model.get_parameter(name).copy_(part)

    def tensors(self, weights: Tensor) -> dict[str, Tensor]:
        """Return views of weights ``[d]`` as parameters by name."""
        parts = torch.split(weights, list(self.sizes))
        return {n: p.reshape(s) for n, p, s in zip(self.names, parts, self.shapes, strict=True)}


@dataclass(frozen=True)
class Layered(Space):
    """The norm | (|w_g|_inner)_g |_outer over consecutive groups g of a row, such as the layers of a network.

    Unlike in :class:`Mixed`, groups may differ in size. With the outer norm l_inf every layer moves as far as every
    other; with the outer norm l_1 only the layer that pays most moves.

    Args:
        outer: the norm across groups.
        inner: the norm within a group.
        sizes: entries of each group, ``Layout.of(model).sizes`` for a network.

    Raises:
        ValueError: if a size is less than 1, or a row has another number of entries.

    Source: arXiv:2406.05376, section 2 (the duality map of any norm drives a flow).

    >>> import math
    >>> Layered(Lp(math.inf), Lp(2), (2, 1)).norm(torch.tensor([[3.0, 4.0, 1.0]]))
    tensor([5.])
    """

    outer: Lp
    inner: Lp
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"Layered needs groups of at least one entry, got sizes={self.sizes!r}.")

    def norm(self, v: Tensor) -> Tensor:
        return self.outer.norm(self._by_group(v, self.inner.norm))

    def dual_norm(self, xi: Tensor) -> Tensor:
        return self.outer.dual_norm(self._by_group(xi, self.inner.dual_norm))

    def steepest(self, xi: Tensor) -> Tensor:
        share = -self.outer.steepest(self._by_group(xi, self.inner.dual_norm))
        parts = [share[:, g, None] * self.inner.steepest(part) for g, part in enumerate(self._split(xi))]
        return torch.cat(parts, 1).reshape(xi.shape)

    def sample(self, key: Tensor, like: Tensor) -> Tensor:
        """See :class:`Space`.

        A product of inner balls is uniform for the outer norm l_inf. For a finite outer norm l_p the norms r_g of the
        groups have density proportional to prod r_g^(n_g - 1) on its unit ball, see ``maxslope.spaces.lp.radii``.
        """
        key = key.expand(like.shape[0])
        groups = [
            self.inner.sample(_random.keys(_random.BLOCKS, key, g), part.double())
            for g, part in enumerate(self._split(like))
        ]
        if self.outer.p == torch.inf:
            return torch.cat(groups, 1).reshape(like.shape).to(like.dtype)
        wanted = radii(_random.keys(_random.BLOCK_NORMS, key), key.new_tensor(self.sizes), self.outer.p)
        parts = [part * (wanted[:, g] / norm_in_order(part, self.inner.p))[:, None] for g, part in enumerate(groups)]
        return torch.cat(parts, 1).reshape(like.shape).to(like.dtype)

    def _by_group(self, v: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.stack([norm(part) for part in self._split(v)], 1)

    def _split(self, v: Tensor) -> tuple[Tensor, ...]:
        rows = flat(v)
        if rows.shape[1] != sum(self.sizes):
            raise ValueError(f"Layered has groups of {sum(self.sizes)} entries in all, the rows have {rows.shape[1]}.")
        return torch.split(rows, list(self.sizes), 1)
