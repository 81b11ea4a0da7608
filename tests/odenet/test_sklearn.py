"""Every check that scikit-learn has for estimators; none is listed as an expected failure."""

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from maxslope.odenet import OdeNetClassifier, OdeNetRegressor

SMALL = {"layers": 2, "particles": 8, "gradients": 80}
CHECKS = parametrize_with_checks([OdeNetClassifier(**SMALL), OdeNetRegressor(**SMALL)])
names, pairs = CHECKS.args
EACH = pytest.mark.parametrize(names, list(pairs), **CHECKS.kwargs)  # before 1.7 the pairs are a generator


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the checks fit to data of their own, and filter warnings as they need
@EACH
def test_check_estimator(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
