"""Memory that one step frees serves the next, and does not go back to the system in between."""

from __future__ import annotations

from functools import cache

import torch

_MOST = (32 << 20) - (1 << 14)  # just below the largest block by which glibc adapts


@cache
def keep_freed_memory() -> None:
    """Let the C library keep what is freed, up to 64 MiB, for the rest of the process; once, and at no cost.

    glibc gives the free end of its heap back to the system as soon as it exceeds twice the largest mapped block that
    was ever freed, 32 MiB at most (mallopt(3), ``M_MMAP_THRESHOLD``). A loop whose steps allocate a few megabytes then
    faults every page in again at every step: 6 to 15 % of the time of a small network, in attacks and in plain passes.
    Freeing one block that was never touched sets both limits. Other C libraries see one allocation.
    """
    torch.empty(_MOST, dtype=torch.uint8)
