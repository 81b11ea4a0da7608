"""Names that have changed go on for one release, and say what they are called now."""

import importlib
import re
from pathlib import Path

import pytest

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"
FORMER = {
    "adapters": {"Function": "FunctionPeer"},
    "evaluation": {"Here": "LocalCrew"},
    "integrability": {"Network": "NarrowNetwork"},
    "loop": {"Feed": "Driver"},
    "odenet": {
        "Custom": "CustomField",
        "Descent": "DescentResult",
        "Movement": "ParticleMovement",
        "Verdict": "FlowVerdict",
    },
    "schemes": {"Inner": "InnerSolver", "Problem": "InnerProblem"},
    "training": {"Risk": "WeightRisk"},
    "transport": {"Adversary": "AdversaryResult"},
}
CASES = [(room, old, new) for room, names in FORMER.items() for old, new in names.items()]


@pytest.mark.parametrize(("room", "old", "new"), CASES)
def test_a_former_name_is_the_new_one_and_says_so(room: str, old: str, new: str) -> None:
    module = importlib.import_module(f"maxslope.{room}")
    with pytest.warns(DeprecationWarning, match=rf"{room}\.{old} is now maxslope\.{room}\.{new}"):
        assert getattr(module, old) is getattr(module, new)
    assert old not in module.__all__
    assert re.search(rf"{old}` \*.*\b{new}`", CHANGELOG.read_text(encoding="utf-8"))


def test_what_never_was_is_no_attribute() -> None:
    for room in FORMER:
        with pytest.raises(AttributeError, match=f"maxslope.{room}.*no attribute 'Nothing'"):
            importlib.import_module(f"maxslope.{room}").Nothing  # noqa: B018
