"""Roots and minima of monotone and convex functions of one variable, all rows at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]


def root(f: Function, lo: Tensor, hi: Tensor, *, iterations: int = 100) -> Tensor:
    """Return where a monotone ``f`` changes sign between ``lo`` and ``hi``, entry by entry, to machine precision.

    Inverse quadratic interpolation safeguarded by bisection: T. Chandrupatla, Adv. Eng. Softw. 28 (1997). Where ``f``
    has the same sign at both ends the end of smaller modulus of ``f`` is returned. An entry where ``f`` is NaN rests.
    """
    a, b = hi, lo
    fa, fb = f(a), f(b)
    c, fc = a, fa
    t = torch.full_like(a, 0.5)
    tiny = torch.finfo(a.dtype).eps
    bracketed = (fa.sign() != fb.sign()) & ~(fa.isnan() | fb.isnan())
    ends = torch.where(fb.abs() < fa.abs(), lo, hi)
    done = ~bracketed | (fa == 0) | (fb == 0)  # a finished entry rests, whatever its neighbors still do
    for _ in range(iterations):
        x = torch.where(done, a, a + t * (b - a))
        fx = f(x)
        same = fx.sign() == fa.sign()
        c, fc = torch.where(same, a, b), torch.where(same, fa, fb)
        b, fb = torch.where(same, b, a), torch.where(same, fb, fa)
        a, fa = x, fx
        best = torch.where(fa.abs() < fb.abs(), a, b)
        tolerance = 2 * tiny * best.abs() + torch.finfo(a.dtype).tiny
        width = (b - a).abs()
        done = done | (width <= 2 * tolerance) | (fa == 0) | (fb == 0) | fa.isnan()
        if bool(done.all()):
            break
        t = _next(a, b, c, fa, fb, fc)
        least = (tolerance / width.clamp_min(torch.finfo(a.dtype).tiny)).clamp_max(0.5)
        t = t.clamp(least, 1 - least)
    return torch.where(bracketed, torch.where(fa.abs() < fb.abs(), a, b), ends)


def above(f: Function, hi: Tensor, factor: float = 2.0) -> Tensor:
    """Return ``hi`` > 0, multiplied until an increasing ``f`` is not negative there, entry by entry."""
    for _ in range(60):
        short = f(hi) < 0
        if not bool(short.any()):
            break
        hi = torch.where(short, factor * hi, hi)
    return hi


def newton(f: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], lo: Tensor, hi: Tensor, x: Tensor) -> Tensor:
    """Return where an increasing ``f`` is 0 between ``lo`` and ``hi``, entry by entry, by Newton's method from ``x``.

    ``f`` takes points and which entries they belong to, and returns values, of which those near 1 are large, and where
    Newton's method goes from there. A step that goes most of the last one back, as between two sides of a kink, is cut
    to a half; one that leaves the bracket halves it. Entries found, or NaN, rest: the last answer is the root's.
    """
    tight = 16 * torch.finfo(x.dtype).eps
    found, index = x.clone(), (lo < hi).nonzero().squeeze(1)
    lo, hi, x = lo[index], hi[index], x[index]
    last = torch.zeros_like(x)
    for _ in range(100):
        if not index.numel():
            break
        value, new = f(x, index)
        lo, hi = torch.where(value < 0, x, lo), torch.where(value < 0, hi, x)
        step, width = new - x, tight * x.abs().clamp_min(1.0)
        done = (step.abs() <= width) | (hi - lo <= width) | (value.abs() <= tight) | value.isnan()
        found[index] = x
        last = torch.where((step * last < 0) & (step.abs() > 0.5 * last.abs()), 0.5 * step, step)
        inside = (x + last > lo) & (x + last < hi)
        last = torch.where(inside, last, (lo + hi) / 2 - x)
        index, lo, hi, x, last = (part[~done] for part in (index, lo, hi, x + last, last))
    return found


def _next(a: Tensor, b: Tensor, c: Tensor, fa: Tensor, fb: Tensor, fc: Tensor) -> Tensor:
    """The fraction of the bracket to go: inverse quadratic interpolation where it is safe, one half elsewhere."""
    xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
    safe = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
    t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
    return torch.where(safe & t.isfinite(), t, torch.full_like(t, 0.5))


def minimum(f: Function, hi: Tensor, *, iterations: int = 80) -> tuple[Tensor, Tensor]:
    """Return where a convex ``f`` is least over [0, hi], and the least value met, row by row, by golden-section search.

    The bracket shrinks to 0.618^iterations of its length: 2e-17 after 80 iterations, 2e-9 after 42.
    """
    ratio = (5**0.5 - 1) / 2
    left, right = torch.zeros_like(hi), hi
    inner_l, inner_r = right - ratio * (right - left), left + ratio * (right - left)
    fl, fr = f(inner_l), f(inner_r)
    best = torch.minimum(f(left), f(right))
    for _ in range(iterations):
        best = torch.minimum(best, torch.minimum(fl, fr))
        go_left = fl <= fr
        left, right = torch.where(go_left, left, inner_l), torch.where(go_left, inner_r, right)
        new_l, new_r = right - ratio * (right - left), left + ratio * (right - left)
        f_new = f(torch.where(go_left, new_l, new_r))
        fl, fr = torch.where(go_left, f_new, fr), torch.where(go_left, fl, f_new)
        inner_l, inner_r = new_l, new_r
    return (left + right) / 2, best


def least(f: Function, reach: Tensor) -> Tensor:
    """Return the least value of a convex ``f`` over [0, inf), row by row; ``reach`` > 0 is where to look first."""
    reach = above(lambda r: f(2 * r) - f(r), reach)
    return minimum(f, 2 * reach)[1]
