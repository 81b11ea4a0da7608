"""Which way a curve leaves a point: the velocities that the l_inf inclusion admits where gradients vanish."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from maxslope.reference.base import ROUNDING, SAME, Array

_ENUMERATED = 6  # coordinates for which all 3^n faces are gone through: 729 small systems


@dataclass(frozen=True)
class Mode:
    """What every coordinate does until the next event.

    Attributes:
        fixed: velocities of the coordinates that do not slide, ``[d]``; 0 for those a face holds.
        slides: which coordinates slide along { xi_i = 0 }, ``[d]`` bool.
        lower: least admissible velocities of sliding coordinates, ``[d]`` (-1, or 0 at a lower face).
        upper: largest admissible velocities.
        unique: whether the velocity is the only admissible one.
    """

    fixed: Array
    slides: Array
    lower: Array
    upper: Array
    unique: bool


def choose_mode(
    g: Array, zero: Array, at_lo: Array, at_hi: Array, hessian: Array, drift: Array, floor: float = 0.0
) -> Mode:
    """Solve for the velocities where the gradient vanishes.

    With Z the coordinates of zero gradient, v_Z must satisfy, for w = H_ZZ v_Z + c and bounds l <= v <= u,

        w_i = 0 if l_i < v_i < u_i,   w_i >= 0 if v_i = l_i,   w_i <= 0 if v_i = u_i :

    the first-order conditions of min <v, H v> / 2 + <c, v> over a box: one solution if H_ZZ is positive definite. Of
    several the one of least size is taken: v = 0 where it is admissible.

    ``zero`` marks Z, ``hessian`` is H_ZZ, and ``drift`` is c, the rows Z of H v for the velocities of :func:`descent`.
    Curvatures up to ``floor`` count as none: then the energy is flat, and the way on not the only one.
    """
    free = descent(g, zero, at_lo, at_hi)
    lower, upper = np.where(at_lo, 0.0, -1.0), np.where(at_hi, 0.0, 1.0)
    Z = np.flatnonzero(zero)
    if not len(Z):
        return Mode(free, np.zeros_like(zero), lower, upper, True)
    v, unique = _admissible(hessian, drift, lower[Z], upper[Z], floor)
    inside = (v > lower[Z] + ROUNDING) & (v < upper[Z] - ROUNDING)
    slides = np.zeros_like(zero)
    slides[Z[inside]] = True
    fixed = free.copy()
    fixed[Z[~inside]] = v[~inside]
    return Mode(fixed, slides, lower, upper, unique)


def descent(g: Array, zero: Array, at_lo: Array, at_hi: Array) -> Array:
    """The velocities -sign(g_i) where the gradient does not vanish, 0 where it does or a face forbids it, ``[d]``."""
    free = np.where(zero, 0.0, -np.sign(g))
    blocked = (at_lo & (free < 0)) | (at_hi & (free > 0))
    return np.where(blocked, 0.0, free)


def _admissible(H: Array, c: Array, lower: Array, upper: Array, floor: float) -> tuple[Array, bool]:
    """The least admissible velocity and whether it is the only one."""
    curvatures = np.linalg.eigvalsh(H)
    level = max(SAME * float(np.abs(H).max()), floor)
    definite = bool(curvatures[0] > level)
    if definite or len(c) > _ENUMERATED:
        return _active_set(H, c, lower, upper), definite
    found = _all(H, c, lower, upper)
    if not found:
        return np.clip(np.zeros_like(c), lower, upper), False
    best = min(found, key=lambda v: float(np.abs(v).sum()))
    regular = float(np.abs(curvatures).min()) > level
    return best, regular and all(np.abs(v - best).max() < SAME for v in found)


def _all(H: Array, c: Array, lower: Array, upper: Array) -> list[Array]:
    """Every solution of the conditions, face by face."""
    found = []
    slack = SAME * (np.abs(H).max() + np.abs(c).max())
    for face in itertools.product((0, -1, 1), repeat=len(c)):
        held = np.array(face)
        v = np.where(held < 0, lower, np.where(held > 0, upper, 0.0))
        S = np.flatnonzero(held == 0)
        if len(S):
            v[S], *_ = np.linalg.lstsq(H[np.ix_(S, S)], -(H @ v + c)[S], rcond=ROUNDING)
        w = H @ v + c
        inside = bool(((v >= lower - ROUNDING) & (v <= upper + ROUNDING)).all())
        signs = np.where(held == 0, np.abs(w), np.where(held < 0, -w, w))
        if inside and bool((signs <= slack).all()):
            found.append(np.clip(v, lower, upper))
    return found


def _active_set(H: Array, c: Array, lower: Array, upper: Array) -> Array:
    """Primal-dual active sets, in 12 rounds at most; where they cycle (1 case in 500), projected coordinate descent."""
    v = np.zeros_like(c)
    w = c.copy()
    scale = max(float(np.abs(H).max()), 1e-300)
    for _ in range(20):
        low, high = v - w / scale < lower, v - w / scale > upper
        new = np.where(low, lower, np.where(high, upper, 0.0))
        S = np.flatnonzero(~low & ~high)
        if len(S):
            new[S] = np.linalg.lstsq(H[np.ix_(S, S)], -(H @ new + c)[S], rcond=ROUNDING)[0]
        w_new = np.where(low | high, H @ new + c, 0.0)
        if np.array_equal(new, v):
            return v
        v, w = new, w_new
    v = np.asarray(np.clip(v, lower, upper))
    for _ in range(2000):
        for i in range(len(c)):
            v[i] = np.clip(v[i] - (H[i] @ v + c[i]) / max(H[i, i], 1e-300), lower[i], upper[i])
    return v
