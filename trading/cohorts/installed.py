"""The strategies and profiles of this installation: the built-in ones and those of USER_STRATEGIES_DIR."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from trading.strategies.profiles import StrategyProfile, load_profiles
from trading.strategies.registry import Registry, load_registry, user_files
from trading.strategies.spec import StrategyFamily


def installed_strategies() -> Registry:
    """All strategies that pass their checks; read again when a user's file changes."""
    folder = Path(settings.USER_STRATEGIES_DIR)
    stamp = tuple((path, path.stat().st_mtime_ns) for path in user_files(folder))
    return _registry(folder, stamp)


@lru_cache(maxsize=2)
def _registry(folder: Path, _stamp: tuple[tuple[Path, int], ...]) -> Registry:
    return load_registry(folder, cache_dir=Path(settings.STRATEGY_CHECKS_DIR))


def installed_families() -> Mapping[str, StrategyFamily]:
    """The families by key (name@version)."""
    return installed_strategies().families


@lru_cache(maxsize=1)
def installed_profiles() -> Mapping[str, StrategyProfile]:
    """The profiles by name."""
    return {profile.name: profile for profile in load_profiles()}
