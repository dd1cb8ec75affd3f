"""The example of a strategy: asked for once, drawn outside the request, labelled synthetic."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from fundops.core.models import User
from portal import examples
from portal.templatetags.prose import inline_markdown
from trading.cohorts.installed import installed_strategies

KEY = "sma_crossover@1"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was queued, with nothing drawn yet."""
    names: list[str] = []
    places = [examples._place(installed_strategies(), key) for key in installed_strategies().families]
    cache.delete_many([*places, "strategy-example:asked"])
    monkeypatch.setattr(examples, "enqueue_on_commit", names.append)
    yield names
    cache.delete_many([*places, "strategy-example:asked"])


def test_request_asks_once_and_shows_what_the_worker_drew(asked: list[str], manager: User) -> None:
    client = Client()
    client.force_login(manager)
    path = reverse("portal:strategy-chart", args=[KEY])
    waiting = client.get(path).json()
    client.get(path)
    assert asked == [examples.TASK]
    assert waiting["series"] == []
    assert waiting["retry_ms"] > 0

    assert examples.draw_strategy_examples() == len(installed_strategies().families)
    assert examples.draw_strategy_examples() == 0
    drawn = client.get(path).json()
    assert drawn["synthetic"] is True
    assert drawn["retry_ms"] == 0
    assert [series["style"] for series in drawn["series"]] == ["dashed", "primary"]
    assert all(len(series["data"]) > 30 for series in drawn["series"])
    assert drawn["series"][1]["data"][0][1] == 1000.0


def test_unknown_family_has_no_example(manager: User) -> None:
    client = Client()
    client.force_login(manager)
    assert client.get(reverse("portal:strategy-chart", args=["nothing@1"])).status_code == 404


def test_prose_knows_three_marks_and_no_markup() -> None:
    assert inline_markdown("**Idea.** The *fast* one of `x`") == (
        "<strong>Idea.</strong> The <em>fast</em> one of <code>x</code>"
    )
    assert inline_markdown("<b>2 * 3 * 4</b>") == "&lt;b&gt;2 * 3 * 4&lt;/b&gt;"
