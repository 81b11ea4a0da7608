"""Exact minimization over a ball of l_p (p < inf) inside a box, on flat rows ``[rows, d]`` centered at the origin.

The constraints are separable up to one number, the norm. With a multiplier for the norm each coordinate has a closed
form that a box only clips, and the norm of the answer is monotone in the multiplier: what remains is one root per row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad, threshold

from maxslope._rows import asks_freely, column, select
from maxslope.sets._roots import root
from maxslope.spaces import Lp, Space
from maxslope.spaces.lp import euclidean, faintest, swift

Solver = Callable[..., Tensor]


def project(
    lp: Lp, v: Tensor, clipped: Tensor, size: Tensor, radius: Tensor, a: Tensor, b: Tensor, curvature: Tensor, *,
    centered: bool,
) -> Tensor:  # fmt: skip
    """Return argmin { sum_i curvature_i (d_i - v_i)^2 : |d|_p <= radius, a <= d <= b }, shape ``[rows, d]``.

    ``clipped`` is v clipped to the box, ``size`` its norm, above the radius in some row. ``curvature`` is one number
    unless the norm is weighted. ``centered`` says whether the origin lies in the box.
    """

    def far(v: Tensor, _: Tensor, size: Tensor, radius: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return shrink(lp, _project_by_root(lp, v, size, radius, a, b, curvature), radius, a, b)

    if lp.p != 2 or curvature.numel() > 1:
        return far(v, clipped, size, radius, a, b)
    return _by_center(partial(_pull_back, lp), far, centered, v, clipped, size, radius, a, b)


def _by_center(near: Solver, far: Solver, centered: bool, *rows: Tensor) -> Tensor:
    """Solve the rows whose box holds the origin by ``near`` and the others by ``far``, whatever is beside them."""
    if centered:
        return near(*rows)
    *_, a, b = rows
    holds = ~((a > 0) | (b < 0)).any(1)
    if bool(holds.all()):
        return near(*rows)
    d = far(*rows)
    index = holds.nonzero().squeeze(1)
    return d.index_copy(0, index, near(*(select(t, index) for t in rows))) if index.numel() else d


def _pull_back(lp: Lp, v: Tensor, clipped: Tensor, size: Tensor, radius: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return clip(s v, a, b) with the s in [0, 1] for which its l_2 norm is ``radius``, where it is larger for s = 1.

    In t = s^2 the square of the norm is concave and piecewise linear: Newton's method from t = 1 jumps to the left of
    the root, then increases to it in finitely many steps, two as a rule when the point has left the ball by a small
    step. Rows for which the first jump goes too far are filled from zero instead.
    """
    tight = 4 * torch.finfo(v.dtype).eps
    outside = size > radius
    ordinary = (size < 1e15) & (radius > 1e-12)  # no square over- or underflows
    todo = outside & ordinary
    s, grown, d = torch.ones_like(size), v, clipped
    for _ in range(64):
        held = (grown - d).sign_().abs_()  # 1 at the coordinates that a change of s does not move
        free = torch.addcmul(d, d, held, value=-1)
        gain = (radius - size) * (radius + size) / euclidean(free).square() + 1
        s = torch.where(todo, s * gain.sqrt(), s)
        grown = v * s[:, None]
        d = grown.clamp(a, b)
        size = torch.where(todo, euclidean(d), size)
        todo = todo & ((size - radius).abs() > tight * radius)  # no longer where the gain has no root: NaN
        if not bool(todo.any()):
            break
    d = d * (radius / size).clamp_max(1)[:, None]
    lost = outside & ~((size - radius).abs() <= tight * radius)
    if bool(lost.any()):
        filled = shrink(lp, _fill(lp, _scaled(v).abs(), _reach(v, a, b), radius).copysign(v), radius, a, b)
        d = torch.where(lost[:, None], filled, d)
    return d


def minimize_linear(lp: Lp, xi: Tensor, radius: Tensor, a: Tensor, b: Tensor, *, centered: bool) -> Tensor:
    """Return argmin { <xi, d> : |d|_p <= radius, a <= d <= b }, ``[rows, d]``; 0 where xi and the box allow it."""
    if lp.p == 1:
        return _greedy(lp, xi, radius, a, b)

    def near(xi: Tensor, radius: Tensor, a: Tensor, b: Tensor) -> Tensor:
        down = -_scaled(xi)
        descent = Lp(lp.q).slope_of_power(down).abs()  # |xi|^(q-1)
        return _fill(lp, descent, _reach(down, a, b), radius).copysign(down)

    return _by_center(near, partial(_linear_by_root, lp), centered, xi, radius, a, b)


def _scaled(xi: Tensor) -> Tensor:
    top = xi.abs().amax(1, keepdim=True)
    return xi / torch.where(top > 0, top, torch.ones_like(top))


def _reach(direction: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """How far each coordinate can go from 0 along the sign of ``direction``."""
    return direction.new_full((), torch.inf).copysign(direction).clamp(a, b).abs()


def _fill(lp: Lp, weight: Tensor, reach: Tensor, radius: Tensor) -> Tensor:
    """Return min(s weight, reach) with the s >= 0 for which its l_p norm is ``radius``, or s = inf.

    The largest weight of a row is 1, or 0. In t = s^p the p-th power of the norm, sum_i min(t weight_i^p, reach_i^p),
    is concave and piecewise linear, so Newton's method from the left increases to the root and ends after finitely many
    steps.
    """
    unit = torch.where(radius > 0, radius, torch.ones_like(radius))
    w = threshold(swift(weight, lp.p), 1e-30, 0.0)
    m = swift((reach / unit[:, None]).clamp_max_(1.0), lp.p)
    t = 1 / w.sum(1).clamp_min(1e-30)
    for _ in range(64):
        grown = w * t[:, None]
        level = torch.minimum(grown, m).sum(1)
        slope = (m - grown).sign_().clamp_min_(0).mul_(w).sum(1)  # of the coordinates below their bounds
        new = t + (1 - level) / slope
        more = (slope > 0) & (new > t * (1 + 4 * torch.finfo(t.dtype).eps))
        if not bool(more.any()):
            break
        t = torch.where(more, new, t)
    scale = swift(t, 1 / lp.p) * unit * (radius > 0)
    length = torch.minimum(weight * scale[:, None], reach)
    full = (slope <= 0) & (level < 1) & (radius > 0)  # all that counts is at its bound, and radius is left
    if not bool(full.any()):
        return length
    length = torch.where(full[:, None] & (w > 0), reach, length)
    faint = torch.where(full[:, None] & (w == 0), weight, 0.0)  # too small beside the top: they get what is left
    if not bool(faint.any()):
        return length
    left = torch.where(full, radius * swift(1 - level, 1 / lp.p), 0.0)
    return torch.where(faint > 0, _fill(lp, _scaled(faint), reach, left), length)


def _greedy(lp: Lp, xi: Tensor, radius: Tensor, a: Tensor, b: Tensor, *, width: int = 128) -> Tensor:
    """The l_1 case: spend the radius on the coordinates of largest |xi_i|; all are sorted if ``width`` are too few."""
    anchor = torch.zeros_like(xi).clamp(a, b)
    left = (radius - lp.norm(anchor)).clamp_min(0)[:, None]
    room = torch.minimum(_reach(-xi, a - anchor, b - anchor), left)
    best = (xi.abs() * room.sign()).topk(min(width, xi.shape[1]), dim=1)
    rooms = room.gather(1, best.indices) * (best.values > 0)
    total = rooms.cumsum(1)
    d = anchor - torch.zeros_like(xi).scatter(1, best.indices, spend(left, rooms, total)) * xi.sign()
    rest = ((best.values[:, -1] > 0) & (total[:, -1] < left[:, 0])).nonzero().squeeze(1)
    if rest.numel() and width < xi.shape[1]:
        d[rest] = _greedy(lp, *(t[rest] for t in (xi, radius, a, b)), width=xi.shape[1])
    return d


def spend(left: Tensor, rooms: Tensor, total: Tensor) -> Tensor:
    """What each entry gets of ``left``, first come first served; ``total`` are the running sums of ``rooms``."""
    return torch.minimum((left - pad(total[:, :-1], (1, 0))).clamp_min(0), rooms)


def _oriented(direction: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Signs along which each coordinate leaves 0, and its least and greatest length; both \|b\| where it cannot."""
    sign = torch.ones_like(direction).copysign(direction)
    low, high = torch.minimum(a * sign, b * sign), torch.maximum(a * sign, b * sign)
    against = high < 0
    if asks_freely(high) and not bool(against.any()):
        return sign, low.clamp_min_(0), high
    return torch.where(against, -sign, sign), torch.where(against, -high, low.clamp_min(0)), high.abs()


def _level(base: Tensor, weight: Tensor, least: Tensor, most: Tensor, wanted: Tensor, t: Tensor) -> Tensor:
    """The t >= 0 for which sum_i clamp(base_i + t weight_i, least_i, most_i) = wanted, or an end where there is none.

    The sum is piecewise linear and monotone: Newton's method, kept in a bracket, ends after finitely many steps.
    """
    low, high = torch.zeros_like(t), torch.full_like(t, torch.inf)
    rising = (weight > 0).any(1)
    tight = 4 * torch.finfo(t.dtype).eps
    done = torch.zeros_like(rising)
    for turn in range(1, 201):
        raw = torch.addcmul(base, weight, t[:, None])
        level = torch.maximum(least, torch.minimum(raw, most))
        miss = wanted - level.sum(1)
        slope = (weight * (raw == level)).sum(1)
        up = torch.where(rising, miss > 0, miss < 0)
        low, high = torch.where(up, t, low), torch.where(up, high, t)
        new = t + miss / slope
        middle = torch.where(high.isinf(), 8 * t, torch.where(low == 0, high / 8, (low * high).sqrt()))
        new = torch.where((new > low) & (new < high), new, middle)
        done = done | (miss.abs() <= tight * wanted) | ((new - t).abs() <= tight * t) | miss.isnan() | (new > 1e30)
        # A row that is done rests, so that a GPU can be asked seldom: its processor waits for every answer.
        if (turn % 4 == 0 or asks_freely(t)) and bool(done.all()):
            break
        t = torch.where(done, t, new)
    return t


def _project_by_root(
    lp: Lp, v: Tensor, size: Tensor, radius: Tensor, a: Tensor, b: Tensor, curvature: Tensor
) -> Tensor:
    """Any p < inf, any box, in units where the radius is 1 and the coordinates are lengths along v."""
    unit = torch.where(radius > 0, radius, torch.where(size > 0, size, 1.0))[:, None]
    sign, least, most = _oriented(v, a / unit, b / unit)
    far = (v / unit).mul_(sign)
    if lp.p == 1:
        pull = -1 / curvature.expand_as(v)
        top = (far * -1 / pull).amax(1).clamp_min(torch.finfo(v.dtype).tiny)
        fixed = torch.maximum(least, torch.zeros_like(least))
        t = _level(far, pull, fixed, most, torch.ones_like(top), top / 2)
        d = torch.maximum(fixed, torch.minimum(torch.addcmul(far, pull, t[:, None]), most))
        return d * sign * unit
    d, settled = _shell(lp, far.clamp_min_(0), size / unit[:, 0], least, most, curvature)
    d = d.mul_(sign).mul_(unit)
    rest = (~settled & ~size.isnan()).nonzero().squeeze(1)  # a row of NaN has no answer
    if rest.numel():
        curved = curvature if curvature.numel() == 1 else curvature.expand_as(v)[rest]
        d[rest] = _project_by_bracket(lp, v[rest], radius[rest], a[rest], b[rest], curved)
    return d


def _shell(lp: Lp, v: Tensor, size: Tensor, least: Tensor, most: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
    """Return argmin { sum c_i (r_i - v_i)^2 : |r|_p <= 1, least <= r <= most } for v >= 0, and where it was found.

    With the multiplier mu, w = mu / c and rho = p - 1 a free coordinate solves r + w r^rho = v. The logarithm of the
    left side is a function of x = log r with slopes between 1 and rho, for every p almost a line. A step of Newton's
    method corrects each x and moves log mu so that sum r^p = 1 to first order, where r^p = r (w r^rho) / w.
    ``size`` is the norm of v clipped to the bounds, c the ``curvature``, and 1 < p < inf.
    """
    p, rho, kind = lp.p, lp.p - 1, torch.finfo(v.dtype)
    near = (3e-4 if v.dtype == torch.float32 else 3e-7) * min(rho, 1.0) ** 2
    least_p, most_p = swift(least, p), swift(most, p)
    over, top = size[:, None], v.amax(1, keepdim=True).clamp_min(kind.tiny)
    open_, last, share = (over > 1 + 16 * kind.eps).to(v), torch.zeros_like(over), torch.ones_like(over)
    radial = (curvature * v.clamp(least, most).square()).sum(1, keepdim=True) / over  # what mu is if r = v / over
    log_w = (radial * (1 - 1 / over) * open_).clamp_min(kind.tiny).log() - curvature.log()
    log_v = v.clamp_min(kind.tiny).log()
    floor = faintest(v)
    x = torch.minimum(log_v, (log_v - log_w).div_(rho))  # both terms are at most v
    for _ in range(60):
        one, two = x.clamp_min(floor).exp_(), torch.add(log_w, x, alpha=rho).clamp_min_(floor).exp_()
        both, steep = one + two, torch.add(one, two, alpha=rho).clamp_min_(kind.tiny)
        part = one.mul_(two).mul_((-log_w).exp())
        bounded = part.clamp(least_p, most_p)
        free = 1 - (part - bounded).sign_().abs_()
        level = bounded.sum(1, keepdim=True)
        gap = both - v
        own = (gap / (both + v)).mul_(-2).mul_(both).div_(steep)  # log(v / both) to the third order
        rate, yields = part.mul_(free), two.div_(steep)
        ahead = (rate * own).sum(1, keepdim=True) / (rate * yields).sum(1, keepdim=True)
        change = level * level.log() / (p * (rate * yields).sum(1, keepdim=True)) + ahead
        change = change.nan_to_num(0.0).clamp(-max(rho, 1.0), max(rho, 1.0))
        share = torch.where((change * last < 0) & (change.abs() > 0.3 * last.abs()), 0.5 * share, 2 * share)
        share = share.clamp_max(1)
        last = share * change
        x = x.addcmul(own, open_).addcmul_(yields, last * open_, value=-1)
        log_w = log_w + last * open_
        off = torch.maximum(level.log().abs(), gap.mul_(free).abs_().amax(1, keepdim=True) / top)
        open_ = open_ * ((off > near) | (share < 1))  # a whole step squares what was off
        if not bool(open_.any()):
            break
    return torch.minimum(x.exp_(), v).clamp(least, most), open_[:, 0] == 0


def _project_by_bracket(lp: Lp, v: Tensor, radius: Tensor, a: Tensor, b: Tensor, curvature: Tensor) -> Tensor:
    """One root in the logarithm of the multiplier, in units where the radius is 1: slow, and always right.

    ``top`` bounds it where the origin lies in the box. Where it does not, the norm falls to that of the nearest point
    of the box only as the multiplier grows, hence the margin above; below, the excess is zero to rounding.
    """
    unit = torch.where(radius > 0, radius, torch.ones_like(radius))[:, None]
    v1, a1, b1 = v / unit, a / unit, b / unit

    def at(log_multiplier: Tensor) -> Tensor:
        return lp.prox(v1, log_multiplier.exp()[:, None] / curvature).clamp(a1, b1)

    top = (lp.dual_norm(v1 * curvature) * (1 + 1e-12)).clamp_min(1e-30).log()
    return at(root(lambda s: lp.norm(at(s)) - 1, top - 80.0, top + 40.0)) * unit


def _linear_by_root(lp: Lp, xi: Tensor, radius: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Where the box does not hold the origin: the same powers of lengths, that have a least value now."""
    unit = torch.where(radius > 0, radius, torch.ones_like(radius))[:, None]
    down = -_scaled(xi)
    sign, least, most = _oriented(down, a / unit, b / unit)
    weight = Lp(lp.q).slope_of_power(down).abs() * (sign * down > 0)
    w, least_p, most_p = swift(weight, lp.p), swift(least, lp.p), swift(most.clamp_max(2.0), lp.p)
    t = _level(torch.zeros_like(w), w, least_p, most_p, torch.ones_like(radius), 1 / w.sum(1).clamp_min(1e-30))
    length = (weight * swift(t, 1 / lp.p)[:, None]).clamp(least, torch.maximum(most, least))
    full = (t > 1e29)[:, None] & (weight > 0)
    return shrink(lp, torch.where(full, most, length) * sign * unit, radius, a, b)


def draw(norm: Space, z: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    """Take points outside { |z - center| <= radius } back onto it, along the segments to the center."""
    size = norm.distance(center, z).clamp_min(torch.finfo(z.dtype).tiny)
    return center + column((radius / size).clamp_max(1), z) * (z - center)


def shrink(lp: Lp, d: Tensor, radius: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Take back what rounding put outside the ball, along the segment to the point of the box nearest the center."""
    size = lp.norm(d)
    if not bool((size > radius).any()):
        return d
    anchor = torch.zeros_like(d).clamp(a, b)
    base = lp.norm(anchor)
    keep = ((radius - base) / (size - base).clamp_min(torch.finfo(d.dtype).tiny)).clamp(0, 1)
    return torch.where((size > radius)[:, None], anchor + keep[:, None] * (d - anchor), d)
