"""What every test run shares: one thread a worker, and the same examples each time."""

import os

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

# Two workers share two cores; a second thread in each only makes them wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("fixed", derandomize=True, **_common)  # the default: the same examples in every run
settings.register_profile("search", max_examples=1000, **_common)  # HYPOTHESIS_PROFILE=search looks for new ones
_found = set(Phase) - {Phase.shrink, Phase.explain}  # benchmarks/mutation.py: the first failing example is enough
settings.register_profile("mutation", derandomize=True, phases=_found, max_examples=30, **_common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# Plots are drawn without a screen.
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    """Seed torch's global generator for the tests' own use; the library must neither need nor touch it."""
    torch.manual_seed(0)
