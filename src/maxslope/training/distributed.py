"""Several processes, one training: who am I, and what do the others know."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist


class World(NamedTuple):
    """The processes that train together.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
    """

    rank: int
    size: int


def world() -> World:
    """Return the place of this process; alone, rank 0 of 1.

    >>> world()
    World(rank=0, size=1)
    """
    if not (dist.is_available() and dist.is_initialized()):
        return World(0, 1)
    return World(dist.get_rank(), dist.get_world_size())


@contextmanager
def processes() -> Iterator[World]:
    """Join the processes that torchrun started (gloo, or nccl where there is a GPU), and leave them at the end.

    Without torchrun, or inside a group that already exists, nothing happens.
    """
    started = "RANK" in os.environ and not dist.is_initialized()
    if started:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield world()
        if started:
            dist.barrier()  # nobody leaves while another still needs the group
    finally:
        if started:
            dist.destroy_process_group()


@contextmanager
def first_before_others() -> Iterator[None]:
    """Let the first process do what is inside, files that it writes for all included, before the others do."""
    here = world()
    if here.size > 1 and here.rank:
        dist.barrier()
    yield
    if here.size > 1 and not here.rank:
        dist.barrier()


def gathered(part: Tensor) -> Tensor:
    """Return the rows of all processes, in the order of their ranks; every process has equally many."""
    size = world().size
    if size == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(size)]
    dist.all_gather(parts, part.contiguous())
    return torch.cat(parts)


def summed(part: Tensor) -> Tensor:
    """Return the sum over all processes."""
    if world().size == 1:
        return part
    whole = part.clone()
    dist.all_reduce(whole)
    return whole
