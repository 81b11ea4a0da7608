"""The semi-implicit step: a linear form over two balls and a box, on flat rows ``[rows, d]``.

    argmin { <xi, d> : |d - e|_p <= tau, |d|_r <= radius, a <= d <= b },   e in the second ball and the box.

From the fast to the general: if one ball alone decides, its own minimizer; for l_2 the two multipliers by an active-set
iteration that solves each active set in closed form; for l_1 a cutting plane in the multiplier of the budget, which
ends with the exact answer; for any other norm that both share, Newton's method (``_pair``); otherwise nested roots in
both multipliers.
Source: arXiv:2406.05376, the semi-implicit scheme; the solvers are the project's own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope._rows import asks_freely, select
from maxslope.sets import _ball, _pair
from maxslope.sets._roots import root
from maxslope.spaces import Lp

_FEW = 16  # iterations of nested roots: 12 gave 15 digits, 8 gave one


def minimize(
    step: Lp, ball: Lp, xi: Tensor, e: Tensor, tau: Tensor, radius: Tensor, a: Tensor, b: Tensor, *, centered: bool
) -> Tensor:
    """Return the minimizer, ``[rows, d]``; ``centered`` says whether the origin lies in the box."""
    d = e + _ball.minimize_linear(step, xi, tau, a - e, b - e, centered=True)
    over = ball.norm(d) > radius
    if asks_freely(d) and not bool(over.any()):
        return d
    index = (over & (xi.abs().amax(1) > 0)).nonzero().squeeze(1)
    if not index.numel():
        return d
    everyone = index.numel() == xi.shape[0]
    if not everyone:
        xi, e, tau, radius, a, b = (select(t, index) for t in (xi, e, tau, radius, a, b))
    if step.p == ball.p == 2:
        both, settled = _euclidean(xi, e, tau, radius, a, b)
        rest = (~settled).nonzero().squeeze(1)
        if rest.numel():
            part = (select(t, rest) for t in (xi, e, tau, radius, a, b))
            both[rest] = _decided(step, ball, *part, centered=centered)
    else:
        both = _decided(step, ball, xi, e, tau, radius, a, b, centered=centered)
    both = _ball.draw(step, both, e, tau)  # what rounding put outside the step ball; e is feasible
    return both if everyone else d.index_copy(0, index, both)


def _decided(
    step: Lp, ball: Lp, xi: Tensor, e: Tensor, tau: Tensor, radius: Tensor, a: Tensor, b: Tensor, *, centered: bool
) -> Tensor:
    """The budget decides: alone, or together with the step."""
    d = _ball.minimize_linear(ball, xi, radius, a, b, centered=centered)
    rest = (step.norm(d - e) > tau).nonzero().squeeze(1)
    if rest.numel():
        part = tuple(select(t, rest) for t in (xi, e, tau, radius, a, b))
        if step.p == ball.p:
            d[rest] = _taxicab(*part) if step.p == 1 else _same(step, *part)
        else:
            d[rest] = _nested(step, ball, *part)
    return d


def _same(lp: Lp, xi: Tensor, e: Tensor, tau: Tensor, radius: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Both balls bind and have one norm, 1 < p < inf: Newton's method, slower in float64 where that does not settle."""
    whole = (xi, e, tau, radius, a, b)
    d, settled = _pair.minimize(lp, *whole)
    rest = (~settled & ~(xi + e).sum(1).isnan()).nonzero().squeeze(1)  # a row of NaN has no answer
    for pace in (0.2, 0.05):
        if not rest.numel():
            break
        better, settled = _pair.minimize(lp, *(select(t, rest).double() for t in whole), pace=pace)
        d[rest] = better.to(d.dtype)
        rest = rest[~settled]
    if rest.numel():
        d[rest] = _nested(lp, lp, *(select(t, rest) for t in whole), iterations=_FEW)
    return _ball.shrink(lp, d, radius, a, b)


def _euclidean(xi: Tensor, e: Tensor, tau: Tensor, radius: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both l_2 constraints active: return d and whether it was found, row by row.

    d = e + clip(-c e - s x) with x along xi, |d - e| = tau and |d| = radius. On a fixed set of free coordinates the
    second condition is linear in (c, s), given the first; what remains is
    s^2 = (tau^2 - H - k^2 / P) / |x - Q / P e|^2 with P and Q the products of e with e and x, and that square, over the
    free coordinates, and H the square of the others. Everything is measured from e, so that tiny steps lose no digits,
    and x is taken across e before it is squared, so that gradients along e lose few. With c in [0, 1] both multipliers
    are nonnegative, and d is the minimizer; otherwise the step or the ball does not bind, and more rounds change
    nothing.
    """
    lo, hi = a - e, b - e
    scale = xi.norm(dim=1)
    x = xi * (tau / torch.where(scale > 0, scale, torch.ones_like(scale)))[:, None]
    ee, ex = e * e, e * x
    size = Lp(2).norm(e)
    wanted = ((radius - size) * (radius + size) - tau.square()) / 2
    free, held = torch.ones_like(e), torch.zeros_like(e)
    for _ in range(24):
        p, q = (ee * free).sum(1), (ex * free).sum(1)
        across = torch.addcmul(x, e, -(q / p)[:, None])
        k = wanted - (held * e).sum(1)
        left = tau.square() - held.square().sum(1) - k.square() / p
        s = (left / (across.square() * free).sum(1)).clamp_min(0).sqrt()
        c = -(k + s * q) / p
        raw = torch.addcmul(e * (k / p)[:, None], across, -s[:, None])
        moved = raw.clamp(lo, hi)
        now = 1 - (raw - moved).sign_().abs_()
        changed = (now - free).abs_().amax(1) > 0
        if not bool(changed.any()):
            break
        free, held = now, torch.addcmul(moved, moved, now, value=-1)
    # Where xi is parallel to e nothing is left across, and s is noise: then the step is not as long as it must be.
    length = Lp(2).norm(moved)
    right = (length - tau).abs() <= 256 * torch.finfo(tau.dtype).eps * tau
    return e + moved, ~changed & (left >= 0) & (c >= 0) & (c <= 1) & right


def _taxicab(xi: Tensor, e: Tensor, tau: Tensor, radius: Tensor, a: Tensor, b: Tensor, *, width: int = 128) -> Tensor:
    """Both l_1 constraints active: solve on the few coordinates that can matter, then on all where that is not proven.

    Those are the ones away from 0 and, at 0, the ones of largest |xi_i| that can move. If the last of them stays at 0
    in the answer, it proves by its multipliers that no coordinate left out, of smaller |xi_i|, would move.
    """
    if xi.shape[1] <= 2 * width:
        return _cutting_plane(xi, e, tau, radius, a, b)
    able = torch.full_like(xi, torch.inf).copysign(-xi).clamp(a - e, b - e).sign().abs()
    score = (xi.abs() * able).masked_fill(e != 0, torch.inf)
    best = score.topk(width, dim=1)
    xi_few, e_few, a_few, b_few = (t.gather(1, best.indices) for t in (xi, e, a, b))
    d_few = _cutting_plane(xi_few, e_few, tau, radius, a_few, b_few)
    d = e.scatter(1, best.indices, d_few)
    least = best.values[:, -1]
    proven = (least == 0) | ((least < torch.inf) & (d_few[:, -1] == 0))
    rest = (~proven).nonzero().squeeze(1)
    if rest.numel():
        d[rest] = _cutting_plane(*(t[rest] for t in (xi, e, tau, radius, a, b)))
    return d


def _cutting_plane(xi: Tensor, e: Tensor, tau: Tensor, radius: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Maximize the concave, piecewise linear dual in the multiplier mu of the budget.

    For a fixed mu the step ball alone is left and its minimizer is greedy. Two supporting lines with slopes of both
    signs meet at the next mu; when the dual lies on them there, a convex combination of the two minimizers meets the
    budget with equality and is optimal.
    """
    mu_hi = 1.01 * xi.abs().amax(1) + torch.finfo(xi.dtype).tiny
    mu_lo = torch.zeros_like(mu_hi)
    out, inn = (_priced(xi, e, tau, a, b, mu) for mu in (mu_lo, mu_hi))
    for _ in range(100):
        over, under = out.abs().sum(1) - radius, inn.abs().sum(1) - radius
        value_out, value_in = (xi * out).sum(1), (xi * inn).sum(1)
        mu = (value_in - value_out) / (over - under)
        level = value_out + mu * over
        mid = _priced(xi, e, tau, a, b, mu)
        excess = mid.abs().sum(1) - radius
        improved = (xi * mid).sum(1) + mu * excess
        scale = level.abs() + (xi * e).abs().sum(1) + torch.finfo(xi.dtype).tiny
        active = improved < level - 8 * torch.finfo(xi.dtype).eps * scale
        if not bool(active.any()):
            break
        out = torch.where((active & (excess > 0))[:, None], mid, out)
        inn = torch.where((active & (excess <= 0))[:, None], mid, inn)
    over, under = out.abs().sum(1) - radius, inn.abs().sum(1) - radius
    share = torch.where(over > 0, -under / (over - under), torch.ones_like(over)).clamp(0, 1)[:, None]
    return share * out + (1 - share) * inn


def _priced(xi: Tensor, e: Tensor, tau: Tensor, a: Tensor, b: Tensor, mu: Tensor) -> Tensor:
    """Return argmin <xi, d> + mu |d|_1 over |d - e|_1 <= tau and the box: greedy over at most two pieces a coordinate.

    Towards the origin a unit of step gains mu besides what xi gives, beyond it the price is paid.
    """
    price = mu[:, None]
    inward = -e.sign()
    gain_in = torch.where(e == 0, 0.0, -xi * inward + price)
    room_in = e.abs().minimum(torch.where(inward > 0, b - e, e - a).clamp_min(0))
    # Beyond the origin (or from it, or away from it): the direction of descent.
    down = -xi.sign()
    through = (down * e <= 0) | (e == 0)
    gain_out = xi.abs() - price
    start = torch.where(through, 0.0, e)
    room_out = torch.where(down > 0, b - start, start - a).clamp_min(0)
    blocked = through & (room_in < e.abs())
    gains = torch.cat([gain_in, gain_out], 1)
    room_out = torch.where((gain_out > 0) & ~blocked, room_out, 0.0)
    rooms = torch.minimum(torch.cat([torch.where(gain_in > 0, room_in, 0.0), room_out], 1), tau[:, None])
    order = gains.argsort(dim=1, descending=True, stable=True)
    sorted_rooms = rooms.gather(1, order)
    spent = _ball.spend(tau[:, None], sorted_rooms, sorted_rooms.cumsum(1))
    moved = torch.zeros_like(rooms).scatter(1, order, spent)
    n = xi.shape[1]
    return e + inward * moved[:, :n] + down * moved[:, n:]


def _nested(
    step: Lp, ball: Lp, xi: Tensor, e: Tensor, tau: Tensor, radius: Tensor, a: Tensor, b: Tensor, *,
    iterations: int = 100,
) -> Tensor:  # fmt: skip
    """Any two finite exponents (not both 1): nested roots in the logarithms of both multipliers, in float64.

    The outer multiplier belongs to a strictly convex norm; what it multiplies then has one minimizer, continuous in
    the inner multiplier. The outer one stays above e^-15, which changes the linear value by less than 1e-6 of
    |xi|_inf radius.
    """
    if ball.p == 1:  # the two balls trade places: seen from e, the step's is centered and the other one is not
        return e + _nested(ball, step, xi, -e, radius, tau, a - e, b - e, iterations=iterations)
    unit = radius.double().clamp_min(torch.finfo(torch.float64).tiny)[:, None]
    top = xi.double().abs().amax(1, keepdim=True)
    g = xi.double() / torch.where(top > 0, top, torch.ones_like(top))
    e1, t1 = e.double() / unit, tau.double() / unit[:, 0]
    lo = torch.maximum(a.double() / unit, e1 - t1[:, None]).clamp_min(-1.0)
    hi = torch.minimum(b.double() / unit, e1 + t1[:, None]).clamp_max(1.0)

    def best(mu: Tensor) -> Tensor:
        def point(lam: Tensor) -> Tensor:
            return _coordinates(step, ball, g, e1, t1[:, None], lam.exp()[:, None], mu.exp()[:, None], lo, hi)

        wide = torch.full_like(mu, 40.0)
        return point(root(lambda s: step.norm(point(s) - e1) - t1, -wide, wide, iterations=iterations))

    low, high = torch.full_like(t1, -15.0), torch.full_like(t1, 36.0)
    mu = root(lambda s: ball.norm(best(s)) - 1, low, high, iterations=iterations)
    return (best(mu) * unit).to(xi.dtype)


def _coordinates(
    step: Lp, ball: Lp, g: Tensor, e: Tensor, tau: Tensor, lam: Tensor, mu: Tensor, lo: Tensor, hi: Tensor
) -> Tensor:
    """Return argmin g d + lam tau |(d - e) / tau|^p / p + mu |d|^r / r per coordinate in [lo, hi], where r > 1."""
    if step.p == ball.p == 2:
        return ((lam / tau * e - g) / (lam / tau + mu)).clamp(lo, hi)
    if step.p == 1:  # beyond e, before e, or at its kink
        return torch.maximum(ball.response(g + lam, mu), torch.minimum(e, ball.response(g - lam, mu))).clamp(lo, hi)

    def derivative(d: Tensor) -> Tensor:
        return g + lam * step.slope_of_power((d - e) / tau) + mu * ball.slope_of_power(d)

    low, high = derivative(lo), derivative(hi)
    return torch.where(low >= 0, lo, torch.where(high <= 0, hi, root(derivative, lo, hi, iterations=70)))
