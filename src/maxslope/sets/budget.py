"""A budget: how far an adversary may move an input, and the box inputs live in."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from maxslope._rows import column
from maxslope.sets import _shapes
from maxslope.sets.ball_box import BallBox
from maxslope.sets.box import Box, plain
from maxslope.sets.groups import Groups, within
from maxslope.sets.shared import Shared
from maxslope.spaces import Lp, Mixed, Space, Weighted

Bounds = tuple[float | Tensor, float | Tensor]
_BY_SAMPLE = -1  # in place of the axes of an eps that is known to have one entry a sample


@dataclass(frozen=True, eq=False)
class _Allowed:
    """What a :class:`Budget` holds, in the form in which it is used."""

    norm: Space
    eps: float | Tensor
    box: Bounds | None
    _axes: int = field(repr=False)  # with which eps was given, or _BY_SAMPLE


class Budget(_Allowed):
    """All z with |z - x| <= eps and lo <= z <= hi, in the units of the inputs.

    Arrays and lists become tensors.

    Args:
        norm: the norm of the perturbation: Lp(p), Weighted(Lp(p), w), Mixed(Lp(math.inf), Lp(p), axis), by which
            every group of coordinates may move by eps, or Mixed(Lp(r), Lp(p), axis), by which groups share eps: all
            exactly. A norm of groups may have a single weight, Weighted(Mixed(...), w).
        eps: the radius, a number or one per sample, ``[rows]`` or ``[rows, 1, ..., 1]``. 0 allows the clean point only.
            One per channel is ``Weighted(Lp(p), w)``. The second form says that rows are meant where there are as many
            as channels.
        box: the range of valid inputs (lo, hi), numbers or tensors of the shape of a sample, up to ones (``[C, 1, 1]``
            for channels); -inf and inf are no bounds, and coordinates with lo = hi do not move. None for no box.

    Raises:
        TypeError: if the norm is no space, eps or a bound holds no numbers, or eps is a positive integer on a box
            narrower than 2 (8 is not 8/255).
        ValueError: if there are no exact sets of the norm, if eps is negative, NaN or infinite or not one per sample,
            or if the box is empty.

    >>> Budget(Lp(2), 0.5).around(torch.zeros(1, 2)).project(torch.tensor([[3.0, 4.0]]))
    tensor([[0.3000, 0.4000]])
    """

    def __init__(
        self, norm: Space, eps: float | Tensor, box: Bounds | None = (0.0, 1.0), *, _axes: int | None = None
    ) -> None:
        if not isinstance(norm, Space):
            raise TypeError(f"Budget needs a space such as Lp(2) as its norm, got {norm!r}.")
        plain(norm)
        eps, axes = _shapes.radius(eps)
        box = None if box is None else _shapes.box(box)
        _Allowed.__init__(self, norm, eps, box, _BY_SAMPLE if _axes == _BY_SAMPLE and axes == 1 else axes)
        values = torch.as_tensor(eps)
        if not bool((values >= 0).all() & values.isfinite().all()):
            raise ValueError(f"eps must be finite and not negative, in the units of the inputs, got eps={eps!r}.")
        if box is not None:
            _shapes.whole_radius(eps, box)

    def radius(self, x: Tensor) -> Tensor:
        """Return eps of each row of ``x``, ``[rows]`` float64.

        Raises:
            ValueError: if eps does not have one entry per row, or may have one per channel as well.
        """
        eps = self.eps
        if isinstance(eps, Tensor) and eps.ndim:
            if self._axes != _BY_SAMPLE or eps.shape[0] != x.shape[0]:
                _shapes.radius_fits(eps, max(self._axes, 1), x)
            return eps.to(device=x.device, dtype=torch.float64)
        return torch.full((x.shape[0],), float(eps), dtype=torch.float64, device=x.device)

    def bounds(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bounds of the box, both ``[1, *shape]`` in the dtype of ``x``, infinite where there is none.

        Raises:
            ValueError: if a bound does not fit a sample.
        """
        lo, hi = self.box if self.box is not None else (-math.inf, math.inf)
        return _shapes.bound(lo, x), _shapes.bound(hi, x)

    def window(self, x: Tensor, eps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return bounds like those of the box, but where it has none the farthest that eps reaches, the shape of ``x``.

        Args:
            x: clean points, ``[rows, *shape]``.
            eps: ``[rows]``; by default that of the budget.
        """
        radius = self.radius(x) if eps is None else eps
        w = self.norm.weights.to(x) if isinstance(self.norm, Weighted) else 1.0
        reach = column(radius.to(x), x) / w
        lo, hi = self.bounds(x)
        return torch.where(lo.isinf(), x - reach, lo), torch.where(hi.isinf(), x + reach, hi)

    def around(self, x: Tensor, *, mask: Tensor | None = None) -> Box | BallBox | Groups | Shared:
        """Return the set of allowed points around ``x``, ``[rows, *shape]``.

        Args:
            x: the clean points, inside the box.
            mask: boolean, of the shape of ``x`` or of a sample, up to ones; coordinates where it is False may not move.

        Raises:
            TypeError: if the mask is not boolean.
            ValueError: if eps, the box, the mask or the weights of the norm do not fit ``x``.
        """
        if isinstance(self.norm, Weighted) and isinstance(self.norm.base, Lp):
            _shapes.weights(self.norm.weights, x)
        lo, hi = self.bounds(x)
        if mask is not None:
            free = _shapes.mask(mask, x)
            lo, hi = torch.where(free, lo, x), torch.where(free, hi, x)
        return within(self.norm, x, self.radius(x), Box.known(lo, hi))

    @property
    def motion(self) -> Space:
        """The norm in which exact steps are made: that of the budget, or l_inf where groups share a radius."""
        base, _ = plain(self.norm)
        return Lp(math.inf) if isinstance(base, Mixed) and not math.isinf(base.outer.p) else self.norm

    def take(self, index: Tensor) -> Budget:
        """Return the budget of the samples ``index`` (the same one, unless eps differs by sample)."""
        if not isinstance(self.eps, Tensor) or not self.eps.ndim:
            return self
        return Budget(self.norm, self.eps[index], self.box, _axes=_BY_SAMPLE)

    def __str__(self) -> str:
        """Return the norm and the radius in words, such as ``l_inf 0.3``."""
        name = f"l_{self.norm.p:g}" if isinstance(self.norm, Lp) else str(self.norm)  # f"{math.inf:g}" is inf
        eps = torch.as_tensor(self.eps)
        return f"{name} {float(eps):.4g}" if eps.ndim == 0 else f"{name} {float(eps.min()):.4g}..{float(eps.max()):.4g}"


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
