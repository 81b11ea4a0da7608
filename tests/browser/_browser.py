"""A headless Chromium for the tests of pages, wherever the machine keeps one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_QUIET += ("--disable-component-update", "--disable-sync")


def executable() -> str | None:
    """Where Chromium is: CHROMIUM, or the first of the usual names."""
    return os.environ.get("CHROMIUM") or next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Any]:
    """A browser, or a skipped test that says what is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install 'maxslope[browser]'")
    path = executable()
    if path is None:
        pytest.skip(f"no Chromium: none of {', '.join(_NAMES)} is on the path and CHROMIUM is not set")
    with sync_api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=path, args=list(_QUIET))
        yield started
        started.close()
