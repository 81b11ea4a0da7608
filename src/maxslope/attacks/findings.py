"""What may be wrong with a robust accuracy: kinds of findings, each with a weight, a meaning and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any


class Severity(IntEnum):
    """How much a finding weighs.

    >>> Severity.WARNING > Severity.NOTE
    True
    """

    NOTE = 1  # know this when you read the numbers
    WARNING = 2  # do not trust the numbers


class Kind(Enum):
    """What may be wrong with a robust accuracy; the value is its name, two or three words.

    >>> Kind("open gap") is Kind.OPEN_GAP
    True
    """

    severity: Severity
    meaning: str
    advice: str

    def __new__(cls, label: str, severity: Severity, meaning: str, advice: str) -> Kind:
        member = object.__new__(cls)
        member._value_ = label
        member.severity, member.meaning, member.advice = severity, meaning, advice
        return member

    RANDOM = (
        "random output", Severity.WARNING,
        "The model answers the same input differently from call to call, so one attack proves little.",
        "Evaluate ms.Randomized(model, draws=8, votes=64): its gradients are averages over draws, its verdicts votes.",
    )  # fmt: skip
    UNSEEN_CLASS = (
        "unseen class", Severity.WARNING,
        "A class nobody has takes the attacked points: perhaps they are rejected, not misclassified.",
        "If rejected points are not errors, the robust accuracy is understated: evaluate with "
        "goal=goals.Undetected(reject=k), k the class of rejects.",
    )  # fmt: skip
    VANISHING = (
        "vanishing gradients", Severity.WARNING,
        "The slope the attack follows is zero or nearly so: the search may have stood still.",
        "Use random search (recipes.square), attack a smoothed copy, or give the step that has no derivative a "
        "backward approximation.",
    )  # fmt: skip
    SATURATED = (
        "saturated loss", Severity.WARNING,
        "One loss has no slope left at these points; only runs with another loss really searched.",
        "Let runs with Margin() be part of the effort.",
    )  # fmt: skip
    DISAGREES = (
        "gradient disagrees", Severity.WARNING,
        "The model's gradient is not that of its outputs, so following it may lead nowhere.",
        "Let random search (recipes.square) follow the gradient runs.",
    )  # fmt: skip
    OPEN_GAP = (
        "open gap", Severity.WARNING,
        "The slope promises much more than all steps found: the surface is too rough for it.",
        "Use random search (recipes.square), or attack a smoothed copy: ms.Randomized(model, draws=8, votes=64) of a "
        "model that adds noise to its input.",
    )  # fmt: skip
    RANDOM_STEPS = (
        "random steps win", Severity.WARNING,
        "Blind search beats the gradient: the gradient hides something.",
        "Use random search (recipes.square), more effort, or other losses.",
    )  # fmt: skip
    TRANSFER = (
        "transfer wins", Severity.WARNING,
        "Changes made for other samples or a smoothed copy work better: the gradient hides something.",
        "Use random search (recipes.square), a smoothed copy, more effort, or other losses.",
    )  # fmt: skip
    OUTSIDE = (
        "outside wins", Severity.WARNING,
        "A search that comes from beyond the budget finds errors that the attack inside it missed: the attack was too "
        "weak or was led astray.",
        "Use minimal, or Effort.pursued(), which goes that way.",
    )  # fmt: skip
    PROBABILITIES = (
        "probabilities", Severity.WARNING,
        "The model seems to return probabilities, which flatten the slope that the attack follows.",
        "Remove the final softmax, or wrap the model as lambda x: model(x).clamp_min(1e-30).log().",
    )  # fmt: skip
    MODEL = ("about the model", Severity.WARNING, "The model is not what the search takes it for.", "")
    STATIONARY = (
        "no gradient", Severity.WARNING,
        "The search had nothing to follow: a robust verdict there says that nobody could look.",
        "Use random search (recipes.square) beside the gradient runs.",
    )  # fmt: skip
    GUESSING = (
        "guessing", Severity.WARNING,
        "The clean accuracy cannot be told from that of guessing: what is robust of it says little of a trained model.",
        "Were its weights loaded (--weights)? Are the labels in the order of the model's classes? Does it get inputs "
        "of the range and with the normalization it was trained on (which belongs into the model)?",
    )  # fmt: skip
    ORDER = (
        "order of classes", Severity.WARNING,
        "Labels and outputs of the model number the classes in two ways: right answers count as errors.",
        "Give labels in the order of the model's outputs; folders are numbered in the order of their names.",
    )  # fmt: skip
    MISSED = (
        "missed errors", Severity.WARNING,
        "Another search found more errors than the evaluation: its effort was too small.",
        "Evaluate with more effort.",
    )  # fmt: skip
    UNFINISHED = (
        "unfinished run", Severity.NOTE,
        "The numbers are those of the samples that are done.",
        "Go on with --resume, or with ms.resume (of smallest perturbations: maxslope.evaluation.resume_smallest).",
    )  # fmt: skip
    FIRST = (
        "first samples", Severity.NOTE,
        "The samples are the first of their data, not drawn: intervals hold only if their order is by chance.",
        "Give data that are read by number (files, tensors, a Dataset with a length), or shuffle the stream.",
    )  # fmt: skip
    NOTHING_ALLOWED = (
        "nothing allowed", Severity.WARNING,
        "No point that could be tried has lain in ball and box, so that their verdict says nothing about the model.",
        "Give a budget that realized points can lie in (one step of the grid, one change of a category), or another "
        "realization; where a class has no rival (all others have the logit -inf), nothing is wrong.",
    )  # fmt: skip
    UNVERIFIED = (
        "not verified", Severity.NOTE,
        "What the folder of the run holds cannot be told from what somebody may have written into it since.",
        "Trust it as far as you trust where it came from.",
    )  # fmt: skip
    NON_FINITE = ("not finite", Severity.NOTE, "The model answered NaN or infinity: neither robust nor broken.", "")
    PEER = ("second opinion", Severity.NOTE, "Attacks of other packages tried the samples that stood.", "")
    OTHER = ("note", Severity.WARNING, "", "")  # a sentence of a run that an earlier version wrote


@dataclass(frozen=True)
class Finding:
    """One reason to doubt a robust accuracy: what it is, what was seen, on whom.

    ``str()`` of it is one line: name, what was seen, what to do.

    Attributes:
        kind: what it is, with its meaning and what to do.
        seen: what was seen, on how many samples.
        samples: the ids of the samples it was seen on, as far as they are known.
        weight: how much it weighs where that is not as the kind says.

    >>> print(Finding(Kind.SATURATED, "Seen on 2 of 8 samples."))
    saturated loss: Seen on 2 of 8 samples. Let runs with Margin() be part of the effort.
    """

    kind: Kind
    seen: str
    samples: tuple[int, ...] = ()
    weight: Severity | None = None

    @property
    def name(self) -> str:
        """Two or three words."""
        return str(self.kind.value)

    @property
    def severity(self) -> Severity:
        """Whether to know it, or not to trust the numbers."""
        return self.kind.severity if self.weight is None else self.weight

    @property
    def meaning(self) -> str:
        """What it means, in plain words."""
        return self.kind.meaning

    @property
    def sentence(self) -> str:
        """What was seen, and what to do."""
        return f"{self.seen} {self.kind.advice}".rstrip()

    def __str__(self) -> str:
        return self.sentence if self.kind is Kind.OTHER else f"{self.name}: {self.sentence}"

    def __contains__(self, words: str) -> bool:
        return words in str(self)

    def data(self) -> dict[str, Any]:
        """Return it as JSON data, which :meth:`of` reads."""
        return {
            "kind": self.name,
            "severity": self.severity.name.lower(),
            "seen": self.seen,
            "meaning": self.meaning,
            "advice": self.kind.advice,
            "sentence": str(self),
            "samples": list(self.samples),
        }

    @classmethod
    def of(cls, stored: Any) -> Finding:
        """Return what :meth:`data` wrote; a plain string, as runs of earlier versions hold, is a finding of no kind.

        >>> Finding.of(Finding(Kind.OUTSIDE, "Seen.", (3,)).data()).samples, Finding.of("look out").name
        ((3,), 'note')
        """
        if not isinstance(stored, dict):
            return cls(Kind.OTHER, str(stored))
        known = {kind.value: kind for kind in Kind}
        weight = {s.name.lower(): s for s in Severity}.get(str(stored.get("severity")))
        kind = known.get(stored.get("kind"), Kind.OTHER)
        own = None if weight == kind.severity else weight
        return cls(kind, str(stored.get("seen", "")), tuple(map(int, stored.get("samples", ()))), own)
