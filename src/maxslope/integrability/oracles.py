"""The closed form of the linear network's gradient flow."""

from __future__ import annotations

from typing import Any

import mpmath


def linear_closed_form(samples: tuple[tuple[Any, Any], ...], start: tuple[Any, ...], time: Any) -> tuple[Any, ...]:
    r"""The gradient flow of the linear network sum_j a_j w_j x in closed form.

    With S = sum x^2, T = sum x y, u = a + w, v = a - w, U = sum u^2, V = sum v^2 at time 0 and
    q = Z^2: $q' = -(SU/2) q^2 + 2 T q + S V/2$, u(t) = u Z, v(t) = v/Z.

    Args:
        samples: the pairs (x, y).
        start: (a1, w1, a2, w2, ...), not all u equal to zero.
        time: end time.

    Raises:
        ValueError: if all a_j + w_j vanish (exchange the roles of u and v by a sign change).

    >>> mpmath.nstr(linear_closed_form(((1, 1),), (1, 1), 50)[0], 8)
    '1.0'
    """
    s = sum((mpmath.mpf(x) ** 2 for x, _ in samples), mpmath.mpf(0))
    t = sum((mpmath.mpf(x) * mpmath.mpf(y) for x, y in samples), mpmath.mpf(0))
    a, w = ([mpmath.mpf(v) for v in start[i::2]] for i in (0, 1))
    u = [p + q for p, q in zip(a, w, strict=True)]
    v = [p - q for p, q in zip(a, w, strict=True)]
    big_u, big_v = sum(e**2 for e in u), sum(e**2 for e in v)
    if s * big_u == 0:
        raise ValueError("the closed form needs some x_i and some a_j + w_j to be non-zero.")
    root = mpmath.sqrt(4 * t**2 + s**2 * big_u * big_v)
    if root == 0:
        z = 1 / mpmath.sqrt(1 + s * big_u * mpmath.mpf(time) / 2)
    else:
        plus, minus = (2 * t + root) / (s * big_u), (2 * t - root) / (s * big_u)
        decay = (1 - plus) / (1 - minus) * mpmath.exp(-root * mpmath.mpf(time))
        z = mpmath.sqrt((plus - minus * decay) / (1 - decay))
    pairs = ((p * z, q / z) for p, q in zip(u, v, strict=True))
    return tuple(e for p, q in pairs for e in ((p + q) / 2, (p - q) / 2))
