"""The penalty by cross-validation, with scikit-learn's own search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from maxslope._optional import optional

with optional("The search needs scikit-learn", "[flows]"):
    from sklearn.model_selection import ParameterGrid
    from sklearn.model_selection._search import BaseSearchCV


class OdeNetCV(BaseSearchCV):  # type: ignore[misc]
    """An estimator with the penalty lambda that predicts held-out folds best, fitted again to all data with it.

    Everything else is that of scikit-learn's searches: ``cv_results_``, ``best_score_``, ``best_estimator_``,
    ``predict`` and ``score``, several processes by ``n_jobs``.

    Args:
        estimator: an :class:`OdeNetClassifier` or :class:`OdeNetRegressor`.
        penalties: to try.
        cv: a number of folds, or a splitter; stratified by class for a classifier.
        scoring: see scikit-learn; by default the estimator's ``score``.
        n_jobs: processes.

    Raises:
        ValueError: by ``fit``, if there are no penalties.

    >>> import numpy as np
    >>> from maxslope.odenet import OdeNetRegressor
    >>> x = np.linspace(-1, 1, 30)[:, None]
    >>> y = np.random.default_rng(0).permutation(x[:, 0])  # noise: the more penalty the better
    >>> OdeNetCV(OdeNetRegressor(2, 4), penalties=(1e-2, 1.0), cv=3).fit(x, y).penalty_
    1.0
    """

    def __init__(
        self,
        estimator: Any,
        penalties: Sequence[float] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
        *,
        cv: Any = 5,
        scoring: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        BaseSearchCV.__init__(self, estimator, cv=cv, scoring=scoring, n_jobs=n_jobs)
        self.penalties = penalties

    def _run_search(self, evaluate_candidates: Callable[[Any], Any]) -> None:
        if not len(self.penalties):
            raise ValueError(f"A search needs penalties to try, got penalties={self.penalties!r}.")
        evaluate_candidates(ParameterGrid({"penalty": list(self.penalties)}))

    @property
    def penalty_(self) -> float:
        """The penalty chosen."""
        found: float = self.best_params_["penalty"]
        return found
