"""Which strategies exist: the built-in families and a folder of the user's own, each proven before it may
be used.

A broken user file is refused with file, line and reason; all others work. What a check found is remembered
under the hash of the file and of everything the check depends on, so an unchanged strategy is proven once.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import json
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numba
import numpy as np

from trading.quant.jit import kernel_digest
from trading.quant.lookahead import CHECK_VERSION, CheckReport, check_family, check_frame
from trading.strategies import families as builtin_package
from trading.strategies.errors import StrategyCheckError, UnknownStrategyError
from trading.strategies.frames import FrameStrategy
from trading.strategies.spec import StrategyFamily

Strategy = StrategyFamily | FrameStrategy
S = TypeVar("S", StrategyFamily, FrameStrategy)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A user's file that cannot be used, or one strategy in it. ``line`` is None where no single line is
    to blame.
    """

    path: Path
    line: int | None
    reason: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Registry:
    """Strategies by key (name@version), where each came from, and what was refused."""

    families: Mapping[str, StrategyFamily]
    frames: Mapping[str, FrameStrategy]
    origins: Mapping[str, Path]
    refused: tuple[Refusal, ...] = ()

    def family(self, key: str) -> StrategyFamily:
        """By key, or by bare name for its highest version; raises UnknownStrategyError that suggests
        what was meant.
        """
        return _find(self.families, key, "strategy family")

    def frame(self, key: str) -> FrameStrategy:
        return _find(self.frames, key, "DataFrame strategy")


def _find(known: Mapping[str, S], key: str, what: str) -> S:
    if key in known:
        return known[key]
    versions = [s for s in known.values() if s.name == key]
    if versions:
        return max(versions, key=lambda s: s.version)
    close = difflib.get_close_matches(key, [*known, *(s.name for s in known.values())], n=1)
    hint = f" Did you mean {close[0]}?" if close else f" There are: {', '.join(sorted(known)) or 'none'}."
    raise UnknownStrategyError(f"There is no {what} '{key}'.{hint}", key=key)


@cache
def builtin_families() -> Mapping[str, StrategyFamily]:
    """The families of this package by key, sorted by name. Compiling happens on first use of a step."""
    found: dict[str, StrategyFamily] = {}
    for info in sorted(pkgutil.iter_modules(builtin_package.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"{builtin_package.__name__}.{info.name}")
        for strategy in _own_strategies(module):
            if isinstance(strategy, StrategyFamily):
                found[strategy.key] = strategy
    return found


def load_registry(user_dir: Path | None = None, *, cache_dir: Path | None = None, check: bool = True) -> Registry:
    """Built-in strategies plus those of ``user_dir``/*.py (files beginning with _ are skipped; the folder
    may be absent).

    Every strategy must pass the lookahead, warm-up and memory checks; ``cache_dir`` (default: the user's
    cache folder) remembers passes and failures by content. ``check=False`` is for tools that only read
    titles. A built-in that fails raises StrategyCheckError; a user's is refused.
    """
    families = dict(builtin_families())
    origins = {key: Path(str(sys.modules[_code_of(f).__module__].__file__)) for key, f in families.items()}
    memory = CheckMemory(cache_dir or default_cache_dir())
    if check:
        for key, family in families.items():
            report = memory.report(family, origins[key])
            if not report.passed:
                raise StrategyCheckError(f"{key} fails its checks: {report.problems[0]}", key=key)
    frames: dict[str, FrameStrategy] = {}
    refused: list[Refusal] = []
    for path in user_files(user_dir):
        module, refusal = _load_module(path)
        if module is None:
            refused += [refusal] if refusal else []
            continue
        strategies = _own_strategies(module)
        if not strategies:
            refused.append(
                Refusal(path, None, "it defines no strategy; decorate a step with @strategy or @frame_strategy.")
            )
        for strategy in strategies:
            taken = strategy.key in families or strategy.key in frames
            problem = f"{strategy.key} exists already; choose another name or a higher version." if taken else None
            if problem is None and check:
                report = memory.report(strategy, path)
                problem = None if report.passed else f"{strategy.key} fails its checks: {report.problems[0]}"
            if problem is not None:
                refused.append(Refusal(path, _line_in(problem, path) or _first_line(strategy), problem))
                continue
            origins[strategy.key] = path
            if isinstance(strategy, StrategyFamily):
                families[strategy.key] = strategy
            else:
                frames[strategy.key] = strategy
    return Registry(families, frames, origins, tuple(refused))


def user_files(user_dir: Path | None) -> list[Path]:
    if user_dir is None or not user_dir.is_dir():
        return []
    return sorted(p for p in user_dir.glob("*.py") if not p.name.startswith("_"))


def _load_module(path: Path) -> tuple[ModuleType | None, Refusal | None]:
    """Execute one user file as a module of its own, named after its content so that no stale machine
    code is met.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        return None, Refusal(path, None, f"it cannot be read: {error.strerror}.")
    name = f"user_strategy_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name], None
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        return None, Refusal(path, None, "it is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # numba finds the module of cached code by name
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[name]
        return None, Refusal(path, error.lineno, f"syntax error: {error.msg}.")
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
        return None, Refusal(path, lines[-1] if lines else None, f"{type(error).__name__}: {error}")
    return module, None


def _code_of(strategy: Strategy) -> object:
    return strategy.step if isinstance(strategy, StrategyFamily) else strategy.signals


def _own_strategies(module: ModuleType) -> list[Strategy]:
    """Strategies defined in this module, not merely imported into it (unless as STRATEGY), in order."""
    out: list[Strategy] = []
    for name, value in vars(module).items():
        if isinstance(value, StrategyFamily | FrameStrategy) and value not in out:
            home = getattr(_code_of(value), "__module__", None)
            if name == "STRATEGY" or home == module.__name__:
                out.append(value)
    return out


def _first_line(strategy: Strategy) -> int | None:
    function = _code_of(strategy)
    code = getattr(getattr(function, "py_func", function), "__code__", None)
    return code.co_firstlineno if code is not None else None


def _line_in(text: str, path: Path) -> int | None:
    """The last line of ``path`` that an error message points at."""
    found = re.findall(rf'File "[^"]*{re.escape(path.name)}", line (\d+)', text)
    return int(found[-1]) if found else None


# --- remembered checks --------------------------------------------------------------------------------------


def default_cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fundops" / "strategy-checks"


@dataclass(frozen=True, slots=True)
class CheckMemory:
    """Check reports in ``folder``, one small JSON file per strategy and content."""

    folder: Path

    def report(self, strategy: Strategy, source: Path) -> CheckReport:
        """The remembered report when nothing it depends on has changed, else a new one (remembered where
        possible).
        """
        place = self.folder / f"{strategy.name}-{strategy.version}-{self.digest(strategy, source)}.json"
        try:
            known = json.loads(place.read_text())
            return CheckReport(known["key"], tuple(known["problems"]), known["bars"], known["points"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        report = run_check(strategy)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = place.with_suffix(f".{os.getpid()}.tmp")
            draft.write_text(
                json.dumps(
                    {
                        "key": report.key,
                        "problems": list(report.problems),
                        "bars": report.bars,
                        "points": report.points,
                    }
                )
            )
            draft.replace(place)
        except OSError:
            pass  # a read-only cache only costs the time of checking again
        return report

    @staticmethod
    def digest(strategy: Strategy, source: Path) -> str:
        versions = f"{numba.__version__} {np.__version__} {metadata.version('pandas')}"
        parts = (
            source.read_bytes(),
            kernel_digest().encode(),
            f"{strategy.key} {CHECK_VERSION} {versions}".encode(),
        )
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def run_check(strategy: Strategy) -> CheckReport:
    """Check now, whatever is remembered. A step that does not compile is reported with numba's reason."""
    try:
        return check_family(strategy) if isinstance(strategy, StrategyFamily) else check_frame(strategy)
    except numba.core.errors.NumbaError as error:
        text = "\n".join(line for line in str(error).splitlines() if line.strip())
        return CheckReport(strategy.key, (f"numba cannot compile it: {text}",), 0, 0)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f'{type(error).__name__}: {error} (File "{where.filename}", line {where.lineno})'
        return CheckReport(strategy.key, (text,), 0, 0)


def check_all(registry: Registry, keys: Iterable[str] = ()) -> list[CheckReport]:
    """Fresh reports of the named strategies, or of all."""
    strategies: dict[str, Strategy] = {**registry.families, **registry.frames}
    wanted = set(keys) or set(strategies)
    return [run_check(s) for k, s in strategies.items() if k in wanted or s.name in wanted]
