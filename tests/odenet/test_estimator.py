"""Estimators, alone and inside scikit-learn."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_iris, make_moons
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import maxslope as ms
from maxslope import odenet
from maxslope.odenet import OdeNetClassifier, OdeNetCV, OdeNetRegressor

LINE = np.linspace(-2, 2, 40)[:, None]
SMALL = {"layers": 2, "particles": 8, "slope": 0.05}


def moons(samples: int = 80) -> tuple[np.ndarray, np.ndarray]:
    return make_moons(samples, noise=0.1, random_state=0)


def test_two_classes() -> None:
    x, y = moons()
    names = np.array(["left", "right"])[y]
    model = OdeNetClassifier(layers=2, particles=12, penalty=1e-3, slope=0.03).fit(x, names)
    assert model.score(x, names) > 0.9
    assert set(model.predict(x)) <= {"left", "right"}
    p = model.predict_proba(x)
    assert p.shape == (80, 2)
    assert np.allclose(p.sum(1), 1)
    assert np.array_equal(model.decision_function(x) > 0, p[:, 1] > 0.5)
    assert model.run_.monotone
    assert model.n_iter_ == len(model.run_.time) - 1 > 0
    again = OdeNetClassifier(layers=2, particles=12, penalty=1e-3, slope=0.03).fit(x, names)
    assert np.array_equal(again.predict_proba(x), p)


def test_many_classes_in_a_pipeline() -> None:
    x, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), OdeNetClassifier(**SMALL))
    assert cross_val_score(model, x, y, cv=3).mean() > 0.9
    copy = clone(model).fit(x, y)
    assert copy.predict_proba(x).shape == (150, 3)
    assert copy[-1].decision_function(x).shape == (150, 3)
    assert is_classifier(model)


def test_regression_and_grid_search() -> None:
    rng = np.random.default_rng(0)
    y = 5 + 3 * np.tanh(2 * LINE[:, 0])
    search = GridSearchCV(OdeNetRegressor(layers=2, slope=0.3), {"particles": [2, 8]}, cv=2)
    search.fit(LINE[rng.permutation(40)], y)
    model = OdeNetRegressor(layers=2, particles=8, penalty=1e-3).fit(LINE, y)
    assert model.score(LINE, y) > 0.99
    assert is_regressor(model)
    flat = OdeNetRegressor(layers=1, particles=2).fit(LINE, np.full(40, 0.1))
    assert np.allclose(flat.predict(LINE), 0.1, atol=0.2)


def test_a_constant_feature_that_is_no_binary_number_is_not_scaled_up() -> None:
    """The mean of equal numbers is not always that number, and their deviation is then rounding, not 0."""
    x = np.c_[LINE, np.full(40, 0.1)]
    model = OdeNetRegressor(**SMALL).fit(x, LINE[:, 0])
    assert model.network_.design.lift.matrix[1, 1] == 1


def test_a_weight_counts_rows() -> None:
    rng = np.random.default_rng(0)
    y = np.sin(LINE[:, 0])
    weight = rng.integers(0, 3, 40)
    rows = np.repeat(np.arange(40), weight)
    one = OdeNetRegressor(**SMALL).fit(LINE, y, sample_weight=weight).predict(LINE)
    other = OdeNetRegressor(**SMALL).fit(LINE[rows], y[rows]).predict(LINE)
    plain = OdeNetRegressor(**SMALL).fit(LINE, y).predict(LINE)
    assert np.abs(one - other).max() < 1e-9
    assert np.abs(one - plain).max() > 1e-3
    for wrong in (np.zeros(40), -np.ones(40)):
        with pytest.raises(ValueError, match="zero"):
            OdeNetRegressor(**SMALL).fit(LINE, y, sample_weight=wrong)


def test_weights_of_a_risk() -> None:
    design = odenet.Design(2, 1, 1)
    x, y = torch.ones(3, 1).double(), torch.ones(3).double()
    theta = odenet.sobol(design, 2, 4)
    for weights, match in (([1.0, 2.0], r"\[3\]"), ([0.0] * 3, "sum 0"), ([1.0, -1.0, 2.0], "1 of them negative")):
        with pytest.raises(ValueError, match=match):
            odenet.Risk(design, x, y, odenet.Squared(), weights=torch.tensor(weights))
    spread = torch.tensor([[1.0], [2.0], [3.0]]).double()
    weighted = odenet.Risk(design, spread, y, odenet.Squared(), 0.1, torch.tensor([2.0, 0.0, 2.0]))
    picked = odenet.Risk(design, spread[[0, 2]], y[:2], odenet.Squared(), 0.1)
    for a, b in ((weighted.evaluate(theta), picked.evaluate(theta)), (weighted.look(theta), picked.look(theta))):
        assert torch.allclose(a.value, b.value, rtol=1e-14)
        assert torch.allclose(a.gradient, b.gradient, rtol=1e-12, atol=1e-14)
    robust = [odenet.RobustRisk(risk, ms.L2(0.1, box=None)).evaluate(theta).gradient for risk in (weighted, picked)]
    assert torch.allclose(*robust, rtol=1e-10, atol=1e-12)


def test_class_weights_are_sample_weights() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 1))
    y = np.where(x[:, 0] + 0.8 * rng.normal(size=60) > 0.9, "rare", "usual")
    count = (y == "rare").sum()
    balanced = OdeNetClassifier(**SMALL, class_weight="balanced").fit(x, y)
    by_hand = {"rare": 30 / count, "usual": 30 / (60 - count)}
    same = OdeNetClassifier(**SMALL, class_weight=by_hand).fit(x, y)
    also = OdeNetClassifier(**SMALL).fit(x, y, sample_weight=[by_hand[name] for name in y])
    plain = OdeNetClassifier(**SMALL).fit(x, y)
    for other in (same, also):
        assert np.abs(balanced.decision_function(x) - other.decision_function(x)).max() < 1e-9
    assert (balanced.predict(x) == "rare").sum() > (plain.predict(x) == "rare").sum()
    for wrong in ({"other": 1.0}, {"rare": -1.0}, "even"):
        with pytest.raises(ValueError, match="class_weight"):
            OdeNetClassifier(**SMALL, class_weight=wrong).fit(x, y)


def test_several_outputs_and_names_of_features() -> None:
    y = np.c_[10 * LINE[:, 0], 3 + 10 * LINE[:, 0] ** 2]
    table = pd.DataFrame({"length": LINE[:, 0]})
    model = OdeNetRegressor(layers=2, particles=8, penalty=1e-3, gradients=1000).fit(table, y)
    assert model.predict(table).shape == (40, 2)
    assert model.score(table, y) > 0.95
    assert model.feature_names_in_.tolist() == ["length"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table.rename(columns={"length": "width"}))
    with pytest.warns(DataConversionWarning, match="column"):
        assert OdeNetRegressor(**SMALL).fit(LINE, y[:, :1]).predict(LINE).shape == (40,)
    both = MultiOutputClassifier(OdeNetClassifier(layers=1, particles=4, slope=0.2)).fit(LINE, y > 5)
    assert both.predict(LINE).shape == (40, 2)


def test_a_warm_start_goes_on() -> None:
    x, y = moons()
    model = OdeNetClassifier(layers=2, particles=8, gradients=60, warm_start=True)
    with pytest.warns(ConvergenceWarning):
        model.fit(x, y)
    end, energy = model.network_.theta.clone(), float(model.run_.energy[-1])
    with pytest.warns(ConvergenceWarning):
        model.fit(x, y)
    assert torch.equal(model.run_.start, end)
    assert float(model.run_.energy[0]) == energy > float(model.run_.energy[-1])
    with pytest.raises(ValueError, match="warm_start goes on with the network"):
        clone(model).set_params(warm_start=False, slope=1.0).fit(x, y).set_params(warm_start=True, layers=3).fit(x, y)
    with pytest.raises(ValueError, match="warm_start goes on with classes"):
        model.fit(x, y + 1)


def test_early_stopping_keeps_the_best_network_on_rows_held_out() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    y = x[:, 0] + rng.normal(size=60)
    model = OdeNetRegressor(
        penalty=0.0, gradients=2000, early_stopping=True, validation_fraction=0.25, patience=20, seed=3
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # ended as was asked: nothing to warn of
        model.fit(x, y)
    losses = model.held_out_losses_
    assert model.run_.status == ms.Status.STOPPED
    assert len(losses) == model.n_iter_ + 1 == model.best_step_ + 21
    assert model.best_step_ == int(np.argmin(losses))
    assert min(losses) < 0.95 * losses[-1]
    assert not torch.equal(model.network_.theta, model.run_.end)
    full = OdeNetRegressor(penalty=0.0, gradients=60, slope=0.0)
    with pytest.warns(ConvergenceWarning):
        full.fit(x, y)
    assert "held_out_losses_" not in vars(full)


def test_the_rows_held_out_are_not_learned_from() -> None:
    """Lift and scale of the targets come from the others; a wrong target in a row held out changes no curve."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    settings = {**SMALL, "early_stopping": True, "patience": 100}
    one = OdeNetRegressor(**settings).fit(x, y)
    energies = []
    for row in range(40):
        wrong = y.copy()
        wrong[row] += 100
        at_once = OdeNetRegressor(**{**settings, "slope": 1000.0}).fit(x, wrong)
        energies.append(float(at_once.run_.energy[0]))
    assert energies.count(float(one.run_.energy[0])) == 4


def test_a_warning_says_what_was_reached() -> None:
    x, y = moons()
    with pytest.warns(ConvergenceWarning) as caught:
        model = OdeNetClassifier(layers=2, particles=8, gradients=50, slope=1e-4).fit(x, y)
    text = str(caught[0].message)
    run = model.run_
    assert run.status == ms.Status.FINISHED
    assert f"ended after {run.gradients} gradients (bound 50)" in text
    assert f"slope |dJ| = {float(run.slope[-1]):.2g}, above the 0.0001 asked for" in text
    assert f"from {float(run.energy[0]):.4g} to {float(run.energy[-1]):.4g}" in text
    assert caught[0].filename == __file__
    done = OdeNetClassifier(layers=2, particles=8, slope=0.1).fit(x, y).run_
    assert done.status == ms.Status.REACHED
    assert float(done.slope[-1]) <= 0.1


def test_the_penalty_is_chosen_by_held_out_folds() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 5))
    y = x[:, 0] + 1.5 * rng.normal(size=50)
    search = OdeNetCV(OdeNetRegressor(**SMALL), penalties=(1e-4, 0.1), cv=3).fit(x, y)
    scores = [cross_val_score(OdeNetRegressor(**SMALL, penalty=p), x, y, cv=3).mean() for p in (1e-4, 0.1)]
    assert search.cv_results_["mean_test_score"].tolist() == scores
    assert search.penalty_ == (1e-4, 0.1)[int(np.argmax(scores))] == 0.1
    assert search.best_estimator_.penalty == 0.1
    assert np.array_equal(search.predict(x), OdeNetRegressor(**SMALL, penalty=0.1).fit(x, y).predict(x))
    assert clone(search).get_params(deep=False)["penalties"] == (1e-4, 0.1)
    assert is_regressor(search)
    with pytest.raises(ValueError, match="penalties to try"):
        OdeNetCV(OdeNetRegressor(), penalties=()).fit(x, y)


@pytest.mark.parametrize("names", [["a", "b", "c"], [1, 5, 7], [1.0, 5.0, 7.0]])
def test_a_classifier_in_a_file(names: list, tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    table = pd.DataFrame(x, columns=list("wxyz"))
    budget = ms.Budget(ms.Lp(np.inf), 0.0, box=(0.0, np.inf))
    model = OdeNetClassifier(2, 4, slope=0.3, budget=budget, class_weight={names[0]: 2.0}, early_stopping=True)
    model.fit(table, np.array(names)[y])
    path = tmp_path / "model.safetensors"
    model.save(path)
    again = OdeNetClassifier.load(path)
    assert np.array_equal(again.predict_proba(table), model.predict_proba(table))
    assert again.predict(table).dtype == model.predict(table).dtype
    assert np.array_equal(again.predict(table), model.predict(table))
    settings, kept = model.get_params(), again.get_params()
    assert (kept.pop("budget").norm.p, settings.pop("budget").norm.p) == (np.inf, np.inf)
    assert kept == settings
    assert again.feature_names_in_.tolist() == list("wxyz")
    assert (again.n_iter_, again.held_out_losses_) == (model.n_iter_, model.held_out_losses_)
    assert torch.equal(again.run_.energy, model.run_.energy)
    assert again.run_.status is model.run_.status
    assert torch.equal(odenet.load(path).theta, model.network_.theta)
    with pytest.raises(ValueError, match="holds OdeNetClassifier, not a OdeNetRegressor"):
        OdeNetRegressor.load(path)


def test_a_regressor_and_a_network_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for y in (LINE[:, 0], np.c_[LINE, LINE**2]):
        model = OdeNetRegressor(**SMALL).fit(LINE, y)
        model.save(path)
        again = OdeNetRegressor.load(path)
        assert np.array_equal(again.predict(LINE), model.predict(LINE))
        assert np.array_equal(again.set_params(warm_start=True).fit(LINE, y).run_.start, model.run_.end)
    design = odenet.Design(2, 1, 1, odenet.BoundedTanh(), odenet.Depth.midpoint(2))
    network = odenet.OdeNet(design, odenet.iid(design, 2, 3)[0])
    odenet.save(network, path)
    x = torch.from_numpy(LINE)
    assert torch.equal(odenet.load(path)(x), network(x))
    with pytest.raises(ValueError, match="without an estimator"):
        OdeNetRegressor.load(path)


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match="file that exists"):
        odenet.load(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="no safetensors file"):
        odenet.load(path)
    import safetensors.torch

    safetensors.torch.save_file({"theta": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="format 1 in its header, got None"):
        odenet.load(path)
    with pytest.raises(NotFittedError):
        OdeNetRegressor().save(path)
    design = odenet.Design(1, 1, 1, odenet.CustomField(lambda x, theta: theta * x, lambda d: 1))
    with pytest.raises(ValueError, match="holds no code"):
        odenet.save(odenet.OdeNet(design, torch.zeros(1, 1, 1)), path)
    budget = ms.Budget(ms.Weighted(ms.Lp(2), torch.ones(1)), 0.0, box=None)
    model = OdeNetRegressor(1, 2, slope=2.0, budget=budget).fit(LINE, LINE[:, 0])
    with pytest.raises(ValueError, match="norm is an Lp"):
        model.save(path)
    when = OdeNetClassifier(1, 2, slope=2.0).fit(LINE, np.where(LINE[:, 0] > 0, "b", "a"))
    when.classes_ = np.array([b"a", b"b"])
    with pytest.raises(ValueError, match="strings, numbers or booleans"):
        when.save(path)


def test_robust_training_by_a_budget() -> None:
    x, y = moons(40)
    plain = OdeNetClassifier(layers=2, particles=8, slope=0.2).fit(x, y)
    robust = clone(plain).set_params(budget=ms.L2(0.1, box=None)).fit(x, y)
    assert float(robust.run_.energy[-1]) > float(plain.run_.energy[-1])
    assert "budget" in repr(robust)


def test_parameters_and_misuse() -> None:
    model = OdeNetClassifier(layers=3)
    assert model.get_params()["layers"] == 3
    assert model.set_params(seed=4).seed == 4
    with pytest.raises(ValueError, match="'width'"):
        model.set_params(width=3)
    with pytest.raises(NotFittedError):
        model.predict(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="two classes"):
        model.fit(np.zeros((2, 2)), [1, 1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(np.zeros((2, 2)), [1, 2, 3])
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(np.full((2, 2), np.nan), [0, 1])
    fitted = OdeNetClassifier(layers=1, particles=2, slope=2.0).fit([[0.0], [1.0]], [0, 1])
    assert fitted.__sklearn_is_fitted__()
    with pytest.raises(ValueError, match="2 features"):
        fitted.predict(np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"layers": 2.5}, r"layers is a whole number from 1 on, got layers=2\.5"),
        ({"particles": 0}, "particles is a whole number"),
        ({"gradients": 10.0}, "gradients is a whole number"),
        ({"patience": True}, "patience is a whole number"),
        ({"seed": None}, "seed is a whole number from 0 on, got seed=None"),
        ({"penalty": -1}, "penalty is a finite number"),
        ({"slope": "small"}, "slope is a finite number"),
        ({"validation_fraction": 1.0}, "validation_fraction is in"),
        ({"budget": 0.1}, "budget is a Budget"),
    ],
)
def test_settings_out_of_range(setting: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        OdeNetRegressor(**setting).fit(LINE, LINE[:, 0])


def test_starts_and_bounds_take_whole_numbers() -> None:
    design = odenet.Design(2, 1, 1)
    for make in (odenet.iid, odenet.sobol):
        with pytest.raises(ValueError, match=r"layers=2\.5"):
            make(design, 2.5, 4)
        with pytest.raises(ValueError, match="seed=None"):
            make(design, 2, 4, seed=None)
    with pytest.raises(ValueError, match="whole numbers"):
        odenet.Until(gradients=10.5)


@pytest.mark.slow
def test_the_flow_needs_no_scikit_learn_and_the_estimators_say_that_they_do() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import torch; from maxslope import odenet; x = torch.eye(4).double()\n"
        "from maxslope.odenet import Design, Risk, Squared, Until, descend, iid\n"
        "risk = Risk(Design(5, 4, 1), x, x[:, 0], Squared()); descend(risk, iid(risk.design, 1, 2), until=Until(1.0))\n"
        "assert not any(m.split('.')[0] in ('scipy', 'ot', 'matplotlib') for m in sys.modules), 1\n"
        "for name in ('OdeNetRegressor', 'OdeNetCV'):\n"
        "    try: getattr(odenet, name)\n"
        "    except ImportError as error: assert 'pip install \"maxslope[flows]\"' in str(error), error\n"
        "    else: raise AssertionError(name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("features", "square"), [(1, 1.0), (2, 2.0), (50, 2.0)])
def test_many_features_do_not_saturate_the_start(features: int, square: float) -> None:
    x = 7 * np.random.default_rng(0).standard_normal((200, features)) + 3
    model = OdeNetRegressor(layers=1, particles=2, gradients=1, slope=1e9).fit(x, x[:, 0])
    entered = model.network_.design.enter(torch.from_numpy(x))[:, :features]
    assert float(entered.square().sum(1).mean()) == pytest.approx(square)
