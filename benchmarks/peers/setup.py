"""Create the environment of the benchmark peers from requirements/bench.txt; does nothing when it is up to
date.

Run as ``python -m benchmarks.peers.setup``. The environment is the folder ``.bench-venv`` of the project.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".bench-venv"
LOCK = ROOT / "requirements" / "bench.txt"


def ensure() -> Path:
    """The peers' python, installed exactly as locked."""
    python = VENV / "bin" / "python"
    stamp = VENV / ".lock-sha256"
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == digest:
        return python
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    install = ["install", "--quiet", "--require-hashes", "-r", str(LOCK)]
    uv = Path(sys.executable).with_name("uv")
    if uv.exists():
        subprocess.run([str(uv), "pip", *install, "--python", str(python)], check=True)
    else:
        subprocess.run([str(python), "-m", "pip", *install], check=True)
    stamp.write_text(digest)
    return python


if __name__ == "__main__":
    print(ensure())
