"""Which Chromium the browser tests drive: one of the system that starts, else Playwright's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from typing import NoReturn

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium(own: str, *, names: Iterable[str] = NAMES) -> str | None:
    """The program to start; ``own`` is where Playwright would keep one. None where nothing starts."""
    return next((path for path in (*map(shutil.which, names), shutil.which(own)) if path and _starts(path)), None)


def _starts(path: str) -> bool:
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def do_without() -> NoReturn:
    """Skips the test, or fails it where a browser was promised (`make test` does)."""
    if os.environ.get("FUNDOPS_BROWSER_REQUIRED"):
        pytest.fail("No Chromium that starts was found, and this run must not skip the browser tests.")
    pytest.skip("No Chromium here: apt-get install chromium, or python -m playwright install chromium")
