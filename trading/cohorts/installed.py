"""The strategies and profiles of this installation: the built-in ones and those of USER_STRATEGIES_DIR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from trading.strategies.profiles import Profile, load_profiles, load_user_profiles, user_profile_files
from trading.strategies.registry import Refusal, Registry, load_registry, user_files
from trading.strategies.spec import StrategyFamily


def installed_strategies() -> Registry:
    """All strategies that pass their checks, and what was refused, profiles included."""
    return _installed()[0]


def installed_families() -> Mapping[str, StrategyFamily]:
    """The families by key (name@version)."""
    return _installed()[0].families


def installed_profiles() -> Mapping[str, Profile]:
    """The profiles by name."""
    return _installed()[1]


def _installed() -> tuple[Registry, Mapping[str, Profile]]:
    """Read once a process, and again when a user's file comes, goes or changes."""
    folder = Path(settings.USER_STRATEGIES_DIR)
    files = [*user_files(folder), *user_profile_files(folder)]
    return _read(folder, tuple((path, path.stat().st_mtime_ns) for path in files))


@lru_cache(maxsize=2)
def _read(folder: Path, stamp: tuple[tuple[Path, int], ...]) -> tuple[Registry, Mapping[str, Profile]]:
    # The built-in families are checked by the test suite; only what came from outside is checked here.
    outside = any(path.suffix == ".py" for path, _ in stamp)
    registry = load_registry(folder, cache_dir=Path(settings.STRATEGY_CHECKS_DIR), check=outside)
    profiles = load_profiles(registry.family)
    own, findings = load_user_profiles(registry.family, folder=folder, taken=profiles)
    refused = tuple(Refusal(finding.path, finding.line, finding.reason) for finding in findings)
    return replace(registry, refused=(*registry.refused, *refused)), {**profiles, **own}
