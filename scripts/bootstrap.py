"""Makes a bare Debian or Ubuntu machine ready: system packages, virtual environment, locked dependencies.

Run through bootstrap.sh, with nothing but the standard library. Harmless to repeat: what is there is left
alone, and the second run takes a fraction of a second. Without root it says exactly which system packages to
install, and stops.
"""

from __future__ import annotations

import argparse
import ctypes.util
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What each purpose needs: requirements files, and whether browser tests run.
PURPOSES: dict[str, tuple[list[str], bool]] = {
    "run": (["base", "embedded"], False),
    "test": (["base", "embedded", "dev"], True),
    "lint": (["base", "embedded", "dev"], False),
}
#: What draws text in PDFs: the library's name, and the Debian package that has it.
LIBRARIES = {
    "pango-1.0": "libpango-1.0-0",
    "pangoft2-1.0": "libpangoft2-1.0-0",
    "harfbuzz-subset": "libharfbuzz-subset0",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("purpose", choices=sorted(PURPOSES))
    purpose = parser.parse_args().purpose
    names, browser = PURPOSES[purpose]
    venv = ROOT / ".venv"
    requirements = [ROOT / "requirements" / f"{name}.txt" for name in names]

    (ROOT / "var").mkdir(exist_ok=True)
    with (ROOT / "var" / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = missing_packages(venv, browser=browser)
        if missing and not install_packages(missing):
            return 1
        make_venv(venv)
        install_requirements(venv, requirements)
        if browser:
            ensure_browser(venv)
    return 0


def missing_packages(venv: Path, *, browser: bool) -> list[str]:
    """Debian packages that have to be there before anything else works."""
    missing = []
    if not works(venv) and importlib.util.find_spec("ensurepip") is None:
        missing.append(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")
    # What is there and does not start (Ubuntu's package only points to a snap) starts no better a second time.
    if browser and not any(shutil.which(name) for name in BROWSERS):
        missing.append("chromium-browser" if distribution() == "ubuntu" else "chromium")
    missing += [package for name, package in LIBRARIES.items() if ctypes.util.find_library(name) is None]
    return missing


def ensure_browser(venv: Path) -> bool:
    """Has Playwright fetch a Chromium of its own where none of the system's starts; says so when that fails too."""
    if any(starts(name) for name in BROWSERS) or starts(own_browser(venv)):
        return True
    print("No Chromium of this system starts: fetching Playwright's own ...", flush=True)
    python = str(venv / "bin" / "python")
    prefix = as_root()
    if prefix is not None:
        subprocess.run([*prefix, python, "-m", "playwright", "install-deps", "chromium"], check=False)
    subprocess.run([python, "-m", "playwright", "install", "chromium"], check=False)
    if starts(own_browser(venv)):
        return True
    print("No Chromium could be had: the browser tests will fail. Install one that starts.", file=sys.stderr)
    return False


def starts(program: str) -> bool:
    """Whether a browser is there and says its version."""
    if shutil.which(program) is None:
        return False
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def own_browser(venv: Path) -> str:
    """Where Playwright keeps its own Chromium, there or not; empty without Playwright."""
    ask = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
    done = subprocess.run([str(venv / "bin" / "python"), "-c", ask], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("ID", "")
    except OSError:
        return ""


def install_packages(packages: list[str]) -> bool:
    """Installs them where that is possible without asking; otherwise says what to do."""
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    prefix = as_root()
    if prefix is None or shutil.which("apt-get") is None:
        print(
            f"System packages are missing: {' '.join(packages)}\n"
            "Installing them takes root. Run this as root, then the same command again:\n\n"
            f"    apt-get update && {' '.join(install)}\n",
            file=sys.stderr,
        )
        return False
    print(f"Installing the system packages {' '.join(packages)} ...", flush=True)
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    for command in (["apt-get", "update", "-qq"], install):
        done = subprocess.run([*prefix, *environment, *command], stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            print(f"'{' '.join(command)}' failed; see above.", file=sys.stderr)
            return False
    return True


def as_root() -> list[str] | None:
    """How to become root: not at all, by sudo without a password, or None where neither works."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


def works(venv: Path) -> bool:
    """Whether the environment's interpreter runs and has pip; a moved or half-made one does not."""
    python = venv / "bin" / "python"
    if not python.exists():
        return False
    probe = [str(python), "-c", "import pip, sys; sys.exit(sys.version_info[:2] < (3, 11))"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def make_venv(venv: Path) -> None:
    if works(venv):
        return
    print(f"Making {venv.name} with {sys.executable} ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)


def install_requirements(venv: Path, files: list[Path]) -> None:
    """Installs the locked files that changed since the last time, every package checked by its hash."""
    stamp = venv / ".installed.json"
    installed = json.loads(stamp.read_text()) if stamp.exists() else {}
    wanted = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    if all(installed.get(name) == digest for name, digest in wanted.items()):
        return
    print(f"Installing the locked requirements ({', '.join(wanted)}) ...", flush=True)
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "--no-compile"]
    for path in files:
        command += ["--requirement", str(path)]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("The requirements could not be installed; pip says above why.")
    compile_bytecode(venv)
    stamp.write_text(json.dumps({**installed, **wanted}))


def compile_bytecode(venv: Path) -> None:
    """Compiles what was installed on every core, where pip would on one; a module that cannot be stays as it is."""
    command = [str(venv / "bin" / "python"), "-m", "compileall", "-qq", "-j", "0", str(venv / "lib")]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    sys.exit(main())
