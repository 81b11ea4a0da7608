"""When to stop trying: a statement about a sample's own margins over its own runs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_SCALE = 0.2  # fitted once, on five networks that are not shipped; its calibration is measured in benchmarks/
_LEAST, _MOST = 0.05, 4.0  # how far the spread of the runs may change the chance


@dataclass(frozen=True)
class Rule:
    """Gives a sample up when the estimated chance that one more run would break it falls to ``risk``.

    That is a threshold, not the chance that the verdict is wrong: many more runs, each with a small chance, break more.
    What they may break of a data set is estimated by :class:`maxslope.evaluation.remains.Remains`.

    After k runs and g gradients without success, with m_0 the margin at the clean point and m the least margin seen,
    the way that is left in units of the way made is r = m / (m_0 - m). The chance that one more run succeeds is taken
    to be

        P = min( 1 / (k + 1), 0.2 f / (r g^(3/2)) ),   f = 10 z between 0.05 and 4,

    Laplace's rule of succession where the margins say nothing (no run gained anything, or r is tiny), and a power law
    in r, which is what the share of later successes follows over networks; the factor g^(-3/2) makes the sum over all
    later runs of order g^(-1/2). z is the spread of the better half of the independent runs, (median - least) / m: runs
    from different starts that end at one margin have most likely found the least one, runs that scatter have not
    (f = 1 before three of them are made). It uses this sample's numbers alone, never its rank among others.

    Args:
        risk: in [0, 1]; 0 never gives up.

    Raises:
        ValueError: if the risk is not in [0, 1].

    >>> clean, history = torch.tensor([10.0]), torch.tensor([[8.0, 5.0]])
    >>> Rule(0.001).chance(clean, history, torch.tensor([2]), torch.tensor([25]), torch.ones(2, dtype=torch.bool))
    tensor([0.0016], dtype=torch.float64)
    """

    risk: float

    def __post_init__(self) -> None:
        if not 0 <= self.risk <= 1:
            raise ValueError(f"A risk is in [0, 1], got risk={self.risk!r}.")

    def goes_on(self, chance: Tensor) -> Tensor:
        """Return who gets another run, ``[rows]``: everyone where the risk is 0."""
        return torch.ones_like(chance, dtype=torch.bool) if self.risk == 0 else chance > self.risk

    def chance(self, clean: Tensor, history: Tensor, runs: Tensor, gradients: Tensor, independent: Tensor) -> Tensor:
        """Return the estimated chance that another run succeeds, ``[rows]`` float64.

        Args:
            clean: margins at the clean points, ``[rows]``.
            history: least margin of each run, ``[rows, runs]``, inf where not made.
            runs: runs made, ``[rows]``.
            gradients: backward passes made, ``[rows]``.
            independent: which runs do not start from what earlier ones found, ``[runs]`` bool.
        """
        law, none = _law(clean, history, gradients, independent), 1 / (runs + 1.0)
        return torch.where(law.isnan(), none.double(), torch.minimum(law, none))

    def reach(self, clean: Tensor, history: Tensor, gradients: Tensor, independent: Tensor) -> Tensor:
        """Return how many more gradients a row gets if its margins stay as they are, ``[rows]`` float64.

        The power law falls to the risk at g (P / risk)^(2/3) gradients; inf where the margins say nothing.

        Args:
            clean: see :meth:`chance`.
            history: likewise.
            gradients: likewise.
            independent: likewise.
        """
        law = _law(clean, history, gradients, independent)
        return (gradients * ((law / self.risk) ** (2 / 3) - 1)).clamp_min(0).nan_to_num(torch.inf, torch.inf)


def _law(clean: Tensor, history: Tensor, gradients: Tensor, independent: Tensor) -> Tensor:
    """The power law of :class:`Rule`; NaN where nothing was gained, or the clean margin is unknown."""
    clean, best = clean.double(), history.double().amin(1)
    left = best.clamp_min(0) / (clean - best)
    made = gradients.clamp_min(1).double()
    # Square roots are rounded correctly; a vectorized power may round by how many rows stand beside a row.
    law = _SCALE * _scatter(history[:, independent].double(), best) / (left * made * made.sqrt())
    return torch.where(best < clean, law, torch.nan)


def _scatter(history: Tensor, best: Tensor) -> Tensor:
    """The factor f of :class:`Rule`, ``[rows]``."""
    ordered, made = history.sort(1).values, history.isfinite().sum(1)
    if not ordered.shape[1]:
        return torch.ones_like(best)
    middle = ((made + 1) // 2).clamp_min(2) - 1
    middle = ordered.gather(1, middle.clamp_max(ordered.shape[1] - 1)[:, None]).squeeze(1)
    spread = (middle - ordered[:, 0]) / best.clamp_min(torch.finfo(best.dtype).tiny)
    return torch.where(made < 3, 1.0, (10 * spread).clamp(_LEAST, _MOST))
