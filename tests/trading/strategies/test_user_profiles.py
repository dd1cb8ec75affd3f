"""Profiles kept beside the user's own strategies: usable as the shipped ones are, each refused by itself."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from fundops.core.roles import Role
from tests.factories import user_with
from tests.trading.strategies.test_registry import GOOD as STRATEGY
from trading.actions.cohort import launch_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.cohorts.installed import installed_profiles, installed_strategies
from trading.models.cohort import Cohort, GenomeSource

SLOPES = """\
slope_fast:
  title: Fast slope
  family: ema_slope
  interval: 5m
  parameters:
    window: {low: 5, high: 20}

slope_wrong:
  title: Wrong slope
  family: ema_slope
  interval: 5m
  parameters:
    windov: 20
"""


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    place = tmp_path / "mine"
    place.mkdir()
    (place / "slope.py").write_text(STRATEGY)
    settings.USER_STRATEGIES_DIR = str(place)
    settings.STRATEGY_CHECKS_DIR = str(tmp_path / "checks")
    return place


def test_a_broken_profile_is_refused_alone_with_file_and_line(folder: Path) -> None:
    (folder / "slopes.yaml").write_text(SLOPES)
    (folder / "torn.yaml").write_text("a: [\n")
    (folder / "_notes.yaml").write_text("not a profile")
    shipped = len(installed_profiles())
    assert "slope_fast" in installed_profiles()
    assert "slope_wrong" not in installed_profiles()
    assert shipped > 5
    refused = [str(refusal) for refusal in installed_strategies().refused]
    assert len(refused) == 2
    assert refused[0].startswith(f"{folder / 'slopes.yaml'}:13: ")
    assert "windov" in refused[0]
    assert refused[1].startswith(f"{folder / 'torn.yaml'}:2: not YAML")


def test_a_name_that_ships_stays_what_it_is(folder: Path) -> None:
    name, shipped = next(iter(installed_profiles().items()))
    (folder / "mine.yaml").write_text(SLOPES.partition("\n\n")[0].replace("slope_fast", name))
    assert installed_profiles()[name].path == shipped.path
    (refusal,) = installed_strategies().refused
    assert f"{name} is already defined in {shipped.path.name}:{shipped.line}" in refusal.reason


def test_a_changed_file_is_read_again(folder: Path) -> None:
    assert "slope_fast" not in installed_profiles()
    (folder / "slopes.yaml").write_text(SLOPES)
    assert installed_profiles()["slope_fast"].family == "ema_slope@1"


def test_commands_list_what_is_right_and_name_what_is_wrong(folder: Path) -> None:
    (folder / "slopes.yaml").write_text(SLOPES)
    out = StringIO()
    call_command("list_profiles", family="ema_slope", stdout=out)
    assert "slope_fast" in out.getvalue()
    assert "slopes.yaml:13" in out.getvalue()
    with pytest.raises(CommandError, match=r"1 of \d+ strategies and profiles may not be used"):
        call_command("check_strategies", stdout=StringIO(), stderr=StringIO())


def test_the_page_shows_the_profile_and_the_refusal(db: None, folder: Path) -> None:
    (folder / "slopes.yaml").write_text(SLOPES)
    client = Client()
    client.force_login(user_with(Role.PORTFOLIO_MANAGER))
    html = client.get(reverse("portal:strategies")).content.decode()
    assert "Fast slope" in html
    assert "slopes.yaml:13" in html


def test_a_cohort_trades_the_users_profile(specification: Callable[..., Cohort], folder: Path) -> None:
    (folder / "slopes.yaml").write_text(SLOPES)
    cohort = specification(genome_source=GenomeSource.PROFILES, profiles=["slope_fast"], agent_count=2, days=1)
    launch_cohort(cohort=cohort, actor=user_with(Role.PORTFOLIO_MANAGER), queued=False)
    drive_cohort(cohort_id=cohort.pk)
    assert set(cohort.agents.values_list("family", "profile")) == {("ema_slope@1", "slope_fast")}
    assert cohort.fills.exists()
