"""A budget: how far an adversary may move an input, and the box inputs live in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope._rows import per_row
from maxslope.sets.ball_box import BallBox, ball
from maxslope.sets.box import Box, _unchecked
from maxslope.spaces import Lp, Space

Bounds = tuple[float | Tensor, float | Tensor]


@dataclass(frozen=True, eq=False)
class Budget:
    """All z with |z - x| <= eps and lo <= z <= hi, in the units of the inputs.

    Args:
        norm: the norm of the perturbation, such as Lp(2).
        eps: the radius, a number or one per sample, ``[rows]``. 0 allows the clean point only.
        box: the range of valid inputs (lo, hi), numbers or tensors of the shape of a sample; None for no box.

    Raises:
        TypeError: if the norm is no space, or eps is a positive integer on a box narrower than 2 (8 is not 8/255).
        ValueError: if eps is negative, NaN or infinite, or the box is empty.

    >>> Budget(Lp(2), 0.5).around(torch.zeros(1, 2)).project(torch.tensor([[3.0, 4.0]]))
    tensor([[0.3000, 0.4000]])
    """

    norm: Space
    eps: float | Tensor
    box: Bounds | None = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not isinstance(self.norm, Space):
            raise TypeError(f"Budget needs a space such as Lp(2) as its norm, got {self.norm!r}.")
        if self.box is not None:
            lo, hi = (torch.as_tensor(bound) for bound in self.box)
            if not bool((lo < hi).all()):
                raise ValueError(f"The box needs lo < hi, got box={self.box!r}; for unbounded inputs use box=None.")
            _reject_integer_eps(self.eps, float((hi - lo).min()))
        values = torch.as_tensor(self.eps)
        if not bool((values >= 0).all() & values.isfinite().all()):
            raise ValueError(f"eps must be finite and not negative, in the units of the inputs, got eps={self.eps!r}.")

    def around(self, x: Tensor, *, mask: Tensor | None = None) -> Box | BallBox:
        """Return the set of allowed points around ``x``, ``[rows, *shape]``.

        Args:
            x: the clean points, inside the box.
            mask: boolean, broadcastable to ``x``; coordinates where it is False may not move.
        """
        lo, hi = self.box if self.box is not None else (-math.inf, math.inf)
        bounds = [torch.as_tensor(b, dtype=x.dtype, device=x.device).expand(x.shape[1:])[None] for b in (lo, hi)]
        if mask is not None:
            bounds = [torch.where(mask.to(x.device), bound, x) for bound in bounds]
        return ball(self.norm, x, per_row(self.eps, x), _unchecked(*bounds))

    def take(self, index: Tensor) -> Budget:
        """Return the budget of the samples ``index`` (the same one, unless eps differs by sample)."""
        if isinstance(self.eps, Tensor) and self.eps.ndim:
            return Budget(self.norm, self.eps[index], self.box)
        return self

    def __str__(self) -> str:
        """Return the norm and the radius in words, such as ``l_inf 0.3``."""
        name = f"l_{self.norm.p:g}" if isinstance(self.norm, Lp) else str(self.norm)  # f"{math.inf:g}" is inf
        eps = torch.as_tensor(self.eps)
        return f"{name} {float(eps):.4g}" if eps.ndim == 0 else f"{name} {float(eps.min()):.4g}..{float(eps.max()):.4g}"


def _reject_integer_eps(eps: float | Tensor, width: float) -> None:
    whole = not eps.is_floating_point() if isinstance(eps, Tensor) else isinstance(eps, int)
    if whole and bool(torch.as_tensor(eps).ne(0).any()) and width < 2 and bool((torch.as_tensor(eps) >= 1).any()):
        raise TypeError(
            f"eps must be a float in the units of the inputs, got the integer eps={eps!r} on a box of width {width:g}; "
            f"write {eps}/255 if pixels are meant, or {eps}.0 if this is the radius."
        )


def Linf(eps: float | Tensor, box: Bounds | None = (0.0, 1.0)) -> Budget:  # noqa: N802
    """Return the budget max_i |z_i - x_i| <= eps; see :class:`Budget`.

    >>> str(Linf(8 / 255))
    'l_inf 0.03137'
    """
    return Budget(Lp(math.inf), eps, box)


def L2(eps: float | Tensor, box: Bounds | None = (0.0, 1.0)) -> Budget:  # noqa: N802
    """Return the budget |z - x|_2 <= eps; see :class:`Budget`.

    >>> str(L2(0.5))
    'l_2 0.5'
    """
    return Budget(Lp(2), eps, box)


def L1(eps: float | Tensor, box: Bounds | None = (0.0, 1.0)) -> Budget:  # noqa: N802
    """Return the budget sum_i |z_i - x_i| <= eps; see :class:`Budget`.

    >>> str(L1(12.0))
    'l_1 12'
    """
    return Budget(Lp(1), eps, box)
