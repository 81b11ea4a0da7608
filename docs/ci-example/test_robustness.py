"""The test of the workflow beside it: fails unless the model is robust enough, with stated confidence."""

import maxslope as ms
from maxslope.data import default_data, default_network


def test_the_model_is_robust() -> None:
    model, (x, y) = default_network(), default_data()  # your own model, and samples it was not trained on
    evidence = ms.assert_robust(model, (x[:128], y[:128]), ms.Linf(0.3), at_least=0.7, sequential=True)
    assert evidence.confidence == 0.95
