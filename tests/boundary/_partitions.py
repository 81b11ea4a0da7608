"""Several classes a second time, by other methods: closed form, threshold dynamics, a linear program, all labelings."""

import itertools
import math

import numpy as np
import scipy.fft
import scipy.optimize
import scipy.sparse


def herring(rho: tuple[float, float, float]) -> float:
    """The angle of the third class where three meet, the first two being alike: forces of tensions rho_i + rho_j."""
    return 2 * math.acos(rho[0] / (rho[0] + rho[2]))


def wave(rho: tuple[float, float, float], x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The speed and the three distances (or so) of the traveling wave in the strip 0 < y < 1.

    Two classes share the strip, their boundary y = 1/2 ends at the third class, x < f(y), which moves by V = -kappa:
    x_t = x_yy / (1 + x_y^2), so f = -log(cos(c y)) / c up to the middle. At a wall f' = 0, in the
    middle f' = tan(c / 2) is the cotangent of half of the third angle.
    """
    speed = math.pi - herring(rho)
    front = -np.log(np.cos(speed * np.minimum(y, 1 - y))) / speed
    ahead, half = x + 0.4 - front, 0.5 - y
    return speed, np.stack([np.minimum(ahead, half), np.minimum(ahead, -half), -ahead])


def threshold_dynamics(labels: np.ndarray, tensions: np.ndarray, sides: tuple[float, float], tau: float, steps: int):
    """Esedoglu and Otto's scheme: indicators diffuse for the time tau, and the least sum of tensions takes the cell.

    The mobility of a pair is one over its tension, so that V = -kappa. Reflection at the edge: cosines diagonalize.

    Returns:
        The labels, and the differences of sums whose sign tells each class from the others, ``[classes, n, m]``.
    """
    waves = [(math.pi * np.arange(n) / side) ** 2 for n, side in zip(labels.shape, sides, strict=True)]
    decay = np.exp(-tau * (waves[0][:, None] + waves[1]))
    classes = np.arange(len(tensions))[:, None, None]
    tensions = tensions - np.diag(np.diag(tensions))
    for _ in range(steps):
        heat = scipy.fft.idctn(decay * scipy.fft.dctn((labels == classes).astype(float), axes=(1, 2)), axes=(1, 2))
        sums = np.tensordot(tensions, heat, 1)
        labels = sums.argmin(0)
    two = np.partition(sums, 1, axis=0)
    return labels, np.where(labels == classes, two[1] - sums, two[0] - sums)


def least_robust_risk(rho: np.ndarray, offsets: list[tuple[int, int]]) -> tuple[float, np.ndarray]:
    """A lower bound of the robust risk of all partitions of the cells, and the shares at which it is reached.

    The linear program max sum_k <rho_k, m_k>, m_k(i) <= x_k(i + o), sum_k x_k = 1, x >= 0: where every x is 0 or 1, it
    is the least robust risk itself.
    """
    classes, *shape = rho.shape
    size, total = math.prod(shape), rho.size
    number = np.arange(size).reshape(shape)
    rows, columns = [], []
    for o in offsets:
        here = tuple(slice(max(-k, 0), n - max(k, 0)) for k, n in zip(o, shape, strict=True))
        there = tuple(slice(max(k, 0), n + min(k, 0)) for k, n in zip(o, shape, strict=True))
        rows.append(number[here].ravel())
        columns.append(number[there].ravel())
    least, reached = (np.concatenate([np.concatenate(v) + k * size for k in range(classes)]) for v in (rows, columns))
    line, one = np.arange(len(least)), np.ones(len(least))
    below = scipy.sparse.csr_array((one, (line, total + least)), (len(line), 2 * total))
    below = below - scipy.sparse.csr_array((one, (line, reached)), below.shape)
    every = scipy.sparse.hstack([scipy.sparse.eye_array(size)] * classes + [scipy.sparse.csr_array((size, total))])
    price = np.concatenate([np.zeros(total), -rho.ravel() / rho.max()])  # its tolerances are absolute
    found = scipy.optimize.linprog(price, below, np.zeros(len(line)), every, np.ones(size), method="highs")
    return float(rho.sum() + rho.max() * found.fun), found.x[:total].reshape(rho.shape)


def all_labelings(rho: np.ndarray, offsets: list[tuple[int, int]]) -> float:
    """The least robust risk of all partitions of a few cells, one by one."""
    classes, *shape = rho.shape
    cells = list(itertools.product(*map(range, shape)))
    near = [[(i + a, j + b) for a, b in offsets if (i + a, j + b) in set(cells)] for i, j in cells]
    every = np.array(list(itertools.product(range(classes), repeat=len(cells))))
    right = np.zeros(len(every))
    for k, (i, group) in itertools.product(range(classes), zip(cells, near, strict=True)):
        right += rho[(k, *i)] * (every[:, [cells.index(j) for j in group]] == k).all(1)
    return float(rho.sum() - right.max())
