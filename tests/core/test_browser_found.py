"""A browser that does not start is none: Playwright fetches its own, and `make test` never skips without one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from fundops.embedded.layout import PROJECT_ROOT
from tests.browser.chromium import do_without, find_chromium
from tests.core.test_bootstrap import bootstrap

__all__ = ["bootstrap"]


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def ubuntu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose chromium-browser only says that it wants a snap; returns the folder of its programs."""
    programs = tmp_path / "programs"
    program(programs / "chromium-browser", "echo requires the chromium snap >&2; exit 1")
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/sbin")
    for name in ("chromium", "google-chrome", "google-chrome-stable"):
        program(programs / name, "exit 1")
    return programs


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A stand-in whose Playwright fetches a browser that starts, and notes what it was asked."""
    own = tmp_path / "own" / "chrome"
    script = f"""case "$*" in
  *executable_path*) echo {own};;
  *"install chromium") echo "$@" >> {tmp_path}/calls; mkdir -p {own.parent}
    printf '#!/bin/sh\nexit 0\n' > {own}; chmod 755 {own};;
  *) echo "$@" >> {tmp_path}/calls;;
esac"""
    program(tmp_path / "venv" / "bin" / "python", script)
    return tmp_path / "venv"


def test_a_browser_that_does_not_start_is_not_installed_again(bootstrap: ModuleType, ubuntu: Path, venv: Path) -> None:
    assert bootstrap.missing_packages(venv, browser=True) == bootstrap.missing_packages(venv, browser=False)


def test_playwright_fetches_its_own_once(
    bootstrap: ModuleType, ubuntu: Path, venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "as_root", lambda: None)
    assert bootstrap.ensure_browser(venv)
    assert bootstrap.ensure_browser(venv)
    assert (tmp_path / "calls").read_text() == "-m playwright install chromium\n"
    assert find_chromium(str(tmp_path / "own" / "chrome")) == str(tmp_path / "own" / "chrome")


def test_a_browser_of_the_system_that_starts_is_taken(
    bootstrap: ModuleType, ubuntu: Path, venv: Path, tmp_path: Path
) -> None:
    program(ubuntu / "google-chrome", "exit 0")
    assert bootstrap.ensure_browser(venv)
    assert not (tmp_path / "calls").exists()
    assert find_chromium("/nowhere") == str(ubuntu / "google-chrome")


def test_where_none_can_be_had_it_is_said(
    bootstrap: ModuleType, ubuntu: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    program(tmp_path / "offline" / "bin" / "python", "exit 1")
    monkeypatch.setattr(bootstrap, "as_root", lambda: None)
    assert not bootstrap.ensure_browser(tmp_path / "offline")
    assert "the browser tests will fail" in capsys.readouterr().err
    assert find_chromium(str(tmp_path / "nowhere")) is None


def test_the_tests_skip_without_a_browser_unless_one_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUNDOPS_BROWSER_REQUIRED", raising=False)
    with pytest.raises(pytest.skip.Exception):
        do_without()
    monkeypatch.setenv("FUNDOPS_BROWSER_REQUIRED", "1")
    with pytest.raises(pytest.fail.Exception, match="must not skip"):
        do_without()


def test_make_test_requires_a_browser() -> None:
    shown = subprocess.run(["make", "-n", "test"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    assert "FUNDOPS_BROWSER_REQUIRED=1 .venv/bin/python -m pytest" in shown
