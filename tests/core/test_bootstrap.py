"""The way from a bare machine: which packages are missing, and what a person without root is told."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fundops.embedded.layout import PROJECT_ROOT


@pytest.fixture
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", PROJECT_ROOT / "scripts" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_root_the_exact_packages_are_named_and_nothing_is_tried(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "as_root", lambda: None)
    monkeypatch.setattr(bootstrap.subprocess, "run", lambda *_, **__: pytest.fail("nothing may be run"))
    assert bootstrap.install_packages(["chromium", "python3.11-venv"]) is False
    assert capsys.readouterr().err == (
        "System packages are missing: chromium python3.11-venv\n"
        "Installing them takes root. Run this as root, then the same command again:\n"
        "\n"
        "    apt-get update && apt-get install --yes --no-install-recommends chromium python3.11-venv\n"
        "\n"
    )


def test_missing_browser_and_venv_module_are_found(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bootstrap, "distribution", lambda: "debian")
    assert bootstrap.missing_packages(tmp_path / "none", browser=False) == []
    assert bootstrap.missing_packages(tmp_path / "none", browser=True) == ["chromium"]
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda _name: None)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    assert bootstrap.missing_packages(tmp_path / "none", browser=True) == [version, "chromium"]


def test_environment_that_does_not_run_is_made_anew(bootstrap: ModuleType, tmp_path: Path) -> None:
    assert bootstrap.works(Path(sys.prefix))
    broken = tmp_path / "venv"
    (broken / "bin").mkdir(parents=True)
    (broken / "bin" / "python").symlink_to("/nowhere/python3")
    assert not bootstrap.works(broken)


def test_unchanged_requirements_are_not_installed_again(bootstrap: ModuleType, tmp_path: Path) -> None:
    """The stand-in interpreter notes each call: at the first time and after a change only."""
    calls = tmp_path / "calls"
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    python.chmod(0o755)
    locked = tmp_path / "base.txt"
    locked.write_text("django==5.2\n")
    for _ in range(2):
        bootstrap.install_requirements(tmp_path, [locked])
    assert calls.read_text().count("--require-hashes") == 1
    locked.write_text("django==5.3\n")
    bootstrap.install_requirements(tmp_path, [locked])
    assert calls.read_text().count("--require-hashes") == 2


def test_failed_installation_is_tried_again(bootstrap: ModuleType, tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    (tmp_path / "base.txt").write_text("django==5.2\n")
    for _ in range(2):
        with pytest.raises(SystemExit, match="could not be installed"):
            bootstrap.install_requirements(tmp_path, [tmp_path / "base.txt"])


def test_what_is_installed_is_compiled_whatever_one_module_is_like(bootstrap: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "broken.py").write_text("print 'of another age'\n")
    (tmp_path / "lib" / "good.py").write_text("answer = 42\n")
    bootstrap.compile_bytecode(tmp_path)
    assert [path.name.split(".")[0] for path in (tmp_path / "lib" / "__pycache__").iterdir()] == ["good"]


def test_named_interpreter_that_is_none_is_refused() -> None:
    done = subprocess.run(
        ["sh", "scripts/bootstrap.sh", "run"],
        env={"PATH": os.environ["PATH"], "PYTHON": "/bin/false"},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "PYTHON=/bin/false is not a Python 3.11, 3.12 or 3.13.\n"


def test_make_help_names_every_chore() -> None:
    shown = subprocess.run(["make", "help"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    chores = {line.split()[0] for line in shown.splitlines()}
    assert {"demo", "test", "lint", "bench", "up", "migrate", "lock", "clean", "help"} <= chores
    assert os.access(PROJECT_ROOT / ".ci" / "run", os.X_OK)
