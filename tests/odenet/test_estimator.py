"""Estimators, alone and inside scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_iris, make_moons
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import maxslope as ms
from maxslope.odenet import OdeNetClassifier, OdeNetRegressor


def test_two_classes() -> None:
    x, y = make_moons(80, noise=0.1, random_state=0)
    names = np.array(["left", "right"])[y]
    model = OdeNetClassifier(layers=2, particles=12, gradients=300).fit(x, names)
    assert model.score(x, names) > 0.9
    assert set(model.predict(x)) <= {"left", "right"}
    p = model.predict_proba(x)
    assert p.shape == (80, 2)
    assert np.allclose(p.sum(1), 1)
    assert np.array_equal(model.decision_function(x) > 0, p[:, 1] > 0.5)
    assert model.run_.monotone
    again = OdeNetClassifier(layers=2, particles=12, gradients=300).fit(x, names)
    assert np.array_equal(again.predict_proba(x), p)


def test_many_classes_in_a_pipeline() -> None:
    x, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), OdeNetClassifier(layers=2, particles=8, gradients=150))
    assert cross_val_score(model, x, y, cv=3).mean() > 0.9
    copy = clone(model).fit(x, y)
    assert copy.predict_proba(x).shape == (150, 3)
    assert copy[-1].decision_function(x).shape == (150, 3)
    assert is_classifier(model)


def test_regression_and_grid_search() -> None:
    x = np.linspace(-2, 2, 40)[:, None]
    y = 5 + 3 * np.tanh(2 * x[:, 0])
    search = GridSearchCV(OdeNetRegressor(layers=2, gradients=100), {"particles": [2, 8]}, cv=2)
    search.fit(np.random.default_rng(0).permutation(np.c_[x, y])[:, :1], y)
    model = OdeNetRegressor(layers=2, particles=8).fit(x, y)
    assert model.score(x, y) > 0.99
    assert is_regressor(model)
    assert model.score(x[:1], y[:1]) == 0.0
    flat = OdeNetRegressor(layers=1, particles=2, gradients=200).fit(x, np.full(40, 3.0))
    assert np.allclose(flat.predict(x), 3, atol=0.2)


def test_robust_training_by_a_budget() -> None:
    x, y = make_moons(40, noise=0.1, random_state=0)
    plain = OdeNetClassifier(layers=2, particles=8, gradients=60).fit(x, y)
    robust = clone(plain).set_params(budget=ms.L2(0.1, box=None)).fit(x, y)
    assert float(robust.run_.energy[-1]) > float(plain.run_.energy[-1])
    assert "budget" in repr(robust)


def test_parameters_and_misuse() -> None:
    model = OdeNetClassifier(layers=3)
    assert model.get_params()["layers"] == 3
    assert model.set_params(seed=4).seed == 4
    with pytest.raises(ValueError, match="no parameter 'width'"):
        model.set_params(width=3)
    with pytest.raises(ValueError, match="not fitted"):
        model.predict(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="two kinds"):
        model.fit(np.zeros((2, 2)), [1, 1])
    with pytest.raises(ValueError, match="one target per row"):
        model.fit(np.zeros((2, 2)), [1, 2, 3])
    with pytest.raises(ValueError, match="finite numbers"):
        model.fit(np.full((2, 2), np.nan), [0, 1])
    with pytest.raises(ValueError, match=r"Targets are numbers \[n\]"):
        OdeNetRegressor().fit(np.zeros((2, 2)), np.zeros((2, 2)))
    fitted = OdeNetClassifier(layers=1, particles=2, gradients=10).fit([[0.0], [1.0]], [0, 1])
    assert fitted.__sklearn_is_fitted__()
    with pytest.raises(ValueError, match="1 features, got 2"):
        fitted.predict(np.zeros((2, 2)))


def test_it_needs_no_scikit_learn() -> None:
    code = (
        "import sys; from maxslope.odenet import OdeNetRegressor as R; import numpy as np; x = np.eye(4)\n"
        "R(layers=1, particles=2, gradients=10).fit(x, x[:, 0]).predict(x)\n"
        "assert not any(m.split('.')[0] in ('sklearn', 'scipy', 'ot', 'matplotlib') for m in sys.modules), 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
