"""Who does the work: this process, or others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from maxslope.evaluation.part import Job, Orders, Part, Work

Team = Callable[[Orders, Iterator[Job]], Iterator[Part]]


class Crew(ABC):
    """Evaluates jobs. What a part holds depends on work, orders and job alone, not on who does it, nor when."""

    @abstractmethod
    def team(self, work: Work) -> AbstractContextManager[Team]:
        """Return, for a while, what turns jobs into parts, in any order, taking jobs no faster than they are done."""

    @abstractmethod
    def words(self) -> str:
        """Return who this is, in words."""


@dataclass(frozen=True)
class LocalCrew(Crew):
    """This process, one job after the other.

    >>> LocalCrew().words()
    'this process'
    """

    @contextmanager
    def team(self, work: Work) -> Iterator[Team]:
        search = work.choice.search(work.model)

        def parts(orders: Orders, jobs: Iterator[Job]) -> Iterator[Part]:
            for job in jobs:
                with work.choice.set_threads():
                    part = work.task(work, search, orders, job)
                yield part

        yield parts

    def words(self) -> str:
        return "this process"
