"""The l_p norms: duals, steepest directions, uniform points of the ball, and what solvers in balls need of a power."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import entrywise, flat
from maxslope.spaces.base import Space


@dataclass(frozen=True)
class Lp(Space):
    r"""The norm \|v\|_p = (sum_i \|v_i\|^p)^(1/p), or max_i \|v_i\| for p = inf, for every real p in [1, inf].

    The dual is l_q with 1/p + 1/q = 1. The steepest direction is

        p = inf      -sign(xi_i), and 0 where xi_i = 0
        1 < p < inf  -sign(xi_i) (|xi_i| / |xi|_q)^(q-1)
        p = 1        -sign(xi_i) e_i at the first i where |xi_i| is largest

    Rows are divided by their largest modulus before powers are taken, so no finite p overflows or underflows.

    Args:
        p: the exponent, a number in [1, inf].

    Raises:
        ValueError: if p is not in [1, inf].

    Source: arXiv:2406.05376, section 2.

    >>> Lp(2).norm(torch.tensor([[3.0, 4.0]]))
    tensor([5.])
    >>> Lp(math.inf).steepest(torch.tensor([[0.5, -2.0, 0.0]]))
    tensor([[-1.,  1., 0.]])
    """

    p: float

    def __post_init__(self) -> None:
        if not self.p >= 1:
            raise ValueError(f"Lp needs an exponent p in [1, inf], got p={self.p!r}; the max norm is Lp(math.inf).")

    @property
    def q(self) -> float:
        """The dual exponent, 1/p + 1/q = 1."""
        if self.p == 1:
            return math.inf
        return 1.0 if math.isinf(self.p) else self.p / (self.p - 1)

    def norm(self, v: Tensor) -> Tensor:
        return _norm(flat(v), self.p)

    def dual_norm(self, xi: Tensor) -> Tensor:
        return _norm(flat(xi), self.q)

    def steepest(self, xi: Tensor) -> Tensor:
        if math.isinf(self.p):
            return xi.neg().sign_()
        rows = flat(xi)
        if self.p == 2:
            return _opposite(rows).reshape(xi.shape)
        size = rows.abs()
        if self.p == 1:
            at = size.argmax(1, keepdim=True)
            v = torch.zeros_like(rows).scatter_(1, at, -rows.gather(1, at).sign())
        else:
            size = size / _safe(size.amax(1, keepdim=True))
            powered = power(size, self.q - 1)
            v = -rows.sign() * powered / _safe(_norm(powered, self.p)[:, None])
        return v.reshape(xi.shape)

    def sample(self, key: Tensor, like: Tensor) -> Tensor:
        """See :class:`Space`. Powers are Gamma variables: Barthe et al., Ann. Probab. 33 (2005), Theorem 1."""
        shape = like.shape[1:]
        n = math.prod(shape)
        if math.isinf(self.p):
            return (2 * _random.uniform(key, shape) - 1).to(like.dtype)
        if n == 0:
            return torch.zeros_like(like)
        signs = _random.sign(_random.keys(0, key, _random.BALL_SIGNS), (n,))
        return (signs * radii(key, key.new_ones(n), self.p)).reshape(-1, *shape).to(like.dtype)

    def response(self, xi: Tensor, weight: Tensor) -> Tensor:
        """Return argmin_d xi d + weight |d|^p / p per coordinate (1 < p < inf), -sign(xi) (|xi| / weight)^(q-1).

        A zero weight sends the minimizer to infinity in the direction of descent, or leaves it at 0 where xi = 0.
        """
        ratio = torch.where(xi == 0, 0.0, xi.abs() / weight)
        return -xi.sign() * (ratio if self.p == 2 else power(ratio, self.q - 1))

    def prox(self, v: Tensor, weight: Tensor) -> Tensor:
        """Return argmin_d (d - v)^2 / 2 + weight |d|^p / p per coordinate (p < inf).

        Soft thresholding for p = 1, v / (1 + weight) for p = 2. Otherwise r + weight r^(p-1) = |v| is solved for r by
        Newton's method from an upper bound of the root, in r (p > 2) or in r^(p-1) (p < 2), where it is convex.
        """
        size = v.abs()
        if self.p == 1:
            return (size - weight).clamp_min(0) * v.sign()
        if self.p == 2:
            return v / (1 + weight)
        exponent = self.p - 1 if self.p > 2 else 1 / (self.p - 1)
        first, last = (1.0, weight) if self.p > 2 else (weight, 1.0)  # first r + last r^exponent = |v|
        r = torch.minimum(size / first, power(size / last, 1 / exponent))
        for _ in range(60):
            excess = first * r + last * power(r, exponent) - size
            new = (r - excess / (first + last * exponent * power(r, exponent - 1))).clamp_min(0)
            less = new < r * (1 - 4 * torch.finfo(r.dtype).eps)
            if not bool(less.any()):
                break
            r = torch.where(less, new, r)
        return (r if self.p > 2 else power(r, exponent)) * v.sign()

    def slope_of_power(self, d: Tensor) -> Tensor:
        """Return the derivative of |d|^p / p per coordinate, sign(d) |d|^(p-1), for 1 <= p < inf."""
        return d.sign() if self.p == 1 else d if self.p == 2 else d.sign() * power(d.abs(), self.p - 1)


_SMALL, _LARGE = 1e-12, 1e15  # between them an l_2 norm is right without scaling
_SHORT = 1 << 14  # coordinates up to which the fused norm, which sums one after the other, loses no digit


def power(size: Tensor, exponent: float) -> Tensor:
    """size^exponent, for every entry alike to the last bit, whatever stands beside it; see :func:`entrywise`."""
    powered = _by_products(size, exponent)
    return entrywise(lambda entries: entries**exponent, size) if powered is None else powered


def swift(size: Tensor, exponent: float) -> Tensor:
    """The same to ``exponent |log size|`` roundings, in two thirds of the time: a new tensor.

    A processor takes ten times as long for the logarithm of 0, and for the exponential of what underflows: so 0 stays
    0, and no other power is less than about the least normal number.
    """
    powered = _by_products(size, exponent)
    if powered is not None:
        return powered
    least = torch.finfo(size.dtype).tiny
    return size.clamp_min(least).log_().mul_(exponent).clamp_min_(faintest(size)).exp_().mul_(size.sign())


def faintest(like: Tensor) -> float:
    """The least number whose exponential is a normal number, and so one of the quick ones."""
    return math.log(torch.finfo(like.dtype).tiny) + 0.01


def _by_products(size: Tensor, exponent: float) -> Tensor | None:
    """Whole and half powers by products and a root, each of which rounds alike at every place; None for others."""
    twice = round(2 * exponent)
    if not 1 <= twice <= 128 or abs(twice - 2 * exponent) > 1e-12 * exponent:
        return None
    powered, square, left = size.sqrt() if twice % 2 else None, size, twice // 2
    while left:
        if left % 2:
            powered = powered * square if powered is not None else square.clone() if square is size else square
        left //= 2
        square = square * square if left else square
    return powered


def radii(key: Tensor, sizes: Tensor, p: float) -> Tensor:
    """Group norms ``[rows, groups]`` of a point uniform in the unit ball of l_p over groups of coordinates.

    ``sizes``, ``[groups]``, says how many each group has. The p-th powers of the norms are Gamma(size / p) variables
    over the sum of all and one exponential, in logarithms: a Gamma variable with a tiny parameter underflows.
    Gamma(c) = Gamma(c + 1) U^(1/c) in law.
    """
    share = sizes.double() / p
    boost = _random.uniform(_random.keys(0, key, _random.BOOST), sizes.shape).log() / share
    log_power = _random.gamma(_random.keys(0, key, _random.GAMMA), 1 + share, sizes.shape).log() + boost
    extra = (-_random.uniform(_random.keys(0, key, _random.REST), (1,)).log()).log()
    # Summed in order: a library's sum may round by how many rows there are, and draws are keyed to the bit.
    return ((log_power - torch.cat([log_power, extra], 1).logcumsumexp(1)[:, -1:]) / p).exp()


def norm_in_order(rows: Tensor, p: float) -> Tensor:
    """The l_p norm of ``[rows, d]`` summed one entry after the other: to the bit the same in any company of rows."""
    size = rows.abs()
    top = size.amax(1)
    if math.isinf(p):
        return top
    return top * power(power(size / _safe(top)[:, None], p).cumsum(1)[:, -1], 1 / p)


def _opposite(rows: Tensor) -> Tensor:
    """-rows / |rows|_2; rows whose norm is near the ends of the floating-point range are scaled first."""
    length = euclidean(rows)
    if not _all_within_range(length):
        ordinary = (length >= _SMALL) & (length <= _LARGE)
        rows = torch.where(ordinary[:, None], rows, rows / _safe(rows.abs().amax(1, keepdim=True)))
        length = torch.where(ordinary, length, _safe(_norm(rows, 2)))
    return rows / -length[:, None]


def euclidean(rows: Tensor) -> Tensor:
    """The l_2 norm over the last axis of ``[rows, d]``, for rows whose squares neither over- nor underflow."""
    return torch.linalg.vector_norm(rows, dim=1) if rows.shape[1] <= _SHORT else rows.square().sum(1).sqrt()


def _norm(rows: Tensor, p: float) -> Tensor:
    """The l_p norm over the last axis of ``[rows, d]``, scaled by the largest modulus."""
    if rows.shape[1] == 0:
        return rows.new_zeros(rows.shape[0])
    if p == 2:
        plain = euclidean(rows)
        if _all_within_range(plain):
            return plain
    size = rows.abs()
    if math.isinf(p):
        return size.amax(1)
    if p == 1:
        return size.sum(1)
    top = size.amax(1)
    scaled = size / _safe(top)[:, None]
    if p == 2:
        return torch.where((plain >= _SMALL) & (plain <= _LARGE), plain, top * scaled.square().sum(1).sqrt())
    return top * power(power(scaled, p).sum(1), 1 / p)


def _all_within_range(length: Tensor) -> bool:
    """Whether no square that counts in any of these l_2 norms has over- or underflowed, in the fewest operations."""
    kind = torch.finfo(length.dtype)
    return torch.equal(length, length.clamp(max(_SMALL, kind.tiny), min(_LARGE, kind.max)))


def _safe(scale: Tensor) -> Tensor:
    """A divisor: 1 where the scale is 0 (then everything it divides is 0) or infinite, the scale itself elsewhere."""
    return torch.where((scale == 0) | scale.isinf(), torch.ones_like(scale), scale)
