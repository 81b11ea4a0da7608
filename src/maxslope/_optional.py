"""Packages that only some users have: imported where they are needed, missed in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def optional(what: str, extra: str) -> Iterator[None]:
    """Import inside; if a package is missing, say what needs it and how to get it.

    Args:
        what: the sentence's beginning, such as "Images need Pillow".
        extra: the extra of maxslope that holds the package, in brackets, or the package's own name.

    Raises:
        ImportError: if an import inside fails.

    >>> with optional("Roots need scipy", "[flows]"):
    ...     from scipy.optimize import brentq
    >>> with optional("Poems need verses", "[demo]"):
    ...     import verses
    Traceback (most recent call last):
    ImportError: Poems need verses: pip install "maxslope[demo]".
    """
    try:
        yield
    except ImportError as error:
        package = f'"maxslope{extra}"' if extra.startswith("[") else extra
        raise ImportError(f"{what}: pip install {package}.") from error
