"""What an evaluation is about, in the words of whoever asked for it; it travels from command to table and page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class About:
    """Where the numbers of a report come from; empty where nobody said.

    Attributes:
        model: its name.
        data: their name.
        date: of the evaluation, ISO 8601.
        budget: as it was typed: 0.25/255 stays 0.25/255.
        samples: how the samples were chosen.
        first: whether they are the first of a stream, not drawn.
        classes: names by class number.
        goal: what counts as an error.
        plain: whether it is any error at any allowed point: no other goal, mask, context or realization.

    >>> About.of({"about": {"model": "net", "classes": ["cat", "dog"]}}).classes
    ('cat', 'dog')
    """

    model: str = ""
    data: str = ""
    date: str = ""
    budget: str = ""
    samples: str = ""
    first: bool = False
    classes: tuple[str, ...] = ()
    goal: str = ""
    plain: bool = True

    @property
    def error(self) -> str:
        """What counts as an error, in words; empty where any error at any allowed point does."""
        return "" if self.plain else f"{self.goal}; not every point or every answer counts as usual"

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> About:
        """Return what the header of a run says; runs of earlier versions say less."""
        found = header.get("about")
        kept = found if isinstance(found, dict) else {"date": str(header.get("created", ""))}
        kinds = {field.name: type(getattr(cls(), field.name)) for field in fields(cls)}
        return cls(**{name: kinds[name](value) for name, value in kept.items() if name in kinds})

    def name(self, label: Any) -> str:
        """Return the name of a class, or its number; what is no class number as it is.

        >>> About(classes=("cat",)).name(0), About().name(7)
        ('cat', '7')
        """
        return self.classes[label] if isinstance(label, int) and 0 <= label < len(self.classes) else str(label)
