"""The problems of the acceptance tests."""

from __future__ import annotations

import math

import torch
from sklearn.datasets import load_digits, make_moons
from torch import Tensor

from maxslope.energies import Function, Quadratic
from maxslope.odenet import Depth, Design, Logistic, Misfit, Risk, Softmax, Squared, Tanh


def moons(samples: int, *, seed: int = 0, penalty: float = 1e-2, misfit: Misfit | None = None) -> Risk:
    """Two standardized moons, three channels."""
    x, y = make_moons(samples, noise=0.1, random_state=seed)
    x = torch.as_tensor(x)
    x = (x - x.mean(0)) / x.std(0)
    return Risk(Design(3, 2, 1), x, torch.as_tensor(2.0 * y - 1), misfit or Squared(), penalty)


def digits(samples: int, *, penalty: float = 1e-2) -> Risk:
    """Eight principal components of the digits and ten outputs."""
    x, y = load_digits(return_X_y=True)
    x = torch.as_tensor(x[:samples])
    x = x - x.mean(0)
    _, _, basis = torch.linalg.svd(x, full_matrices=False)
    parts = x @ basis[:8].T
    return Risk(Design(18, 8, 10), parts / parts.std(0), torch.as_tensor(y[:samples]), Softmax(), penalty)


def pitchfork(share: float, depth: Depth | None = None) -> Risk:
    """N = 1, x = 1, y = 3/2, lambda = share times its critical value sqrt(2) (y - 1)."""
    design = Design(1, 1, 1, Tanh(), depth or Depth.euler())
    one = torch.ones(1, 1, dtype=torch.float64)
    return Risk(design, one, 1.5 * one[0], Squared(), share * math.sqrt(2) * 0.5)


def separable(samples: int = 60) -> Risk:
    """Well separated moons, logistic, no penalty: no minimizer."""
    return moons(samples, penalty=0.0, misfit=Logistic())


def row(*values: float) -> Tensor:
    """One point."""
    return torch.tensor([values], dtype=torch.float64)


def _f(f) -> Function:
    return Function(f)


CLOSED = {
    "quadratic": (Quadratic(torch.diag(row(1, 3, 10)[0])), row(1, 1, 1), 1 / 2),
    "20 modes": (Quadratic(torch.diag(torch.logspace(-2, 1, 20, dtype=torch.float64))), row(*[1.0] * 20), 1 / 2),
    "Rosenbrock": (_f(lambda x: (1 - x[:, 0]) ** 2 + 100 * (x[:, 1] - x[:, 0] ** 2) ** 2), row(-1.2, 1), 1 / 2),
    "circle": (_f(lambda x: (x.square().sum(1) - 1) ** 2), row(0.3, 0.4), 1 / 2),
    "1e-3 x^2 + x^4": (_f(lambda x: 1e-3 * x[:, 0] ** 2 + x[:, 0] ** 4), row(1), 1 / 2),
    "1e-6 x^2 + x^4": (_f(lambda x: 1e-6 * x[:, 0] ** 2 + x[:, 0] ** 4), row(1), 1 / 2),
    "x^3": (_f(lambda x: x[:, 0].abs() ** 3), row(1), 2 / 3),
    "x^4": (_f(lambda x: x[:, 0] ** 4), row(1), 3 / 4),
    "x^6": (_f(lambda x: x[:, 0] ** 6), row(1), 5 / 6),
    "x^2 + y^4": (_f(lambda x: x[:, 0] ** 2 + x[:, 1] ** 4), row(1, 1), 3 / 4),
    "x^4 + y^6": (_f(lambda x: x[:, 0] ** 4 + x[:, 1] ** 6), row(1, 1), 5 / 6),
    "x^2 y^2": (_f(lambda x: x[:, 0] ** 2 * x[:, 1] ** 2), row(1, 1), 3 / 4),
    "softplus": (_f(lambda x: torch.nn.functional.softplus(-x[:, 0])), row(0), 1.0),
}
