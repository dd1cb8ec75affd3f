"""What pages show but no request may take the time to compute."""

from __future__ import annotations

from celery import shared_task

from portal import examples


@shared_task(name=examples.TASK, ignore_result=True, expires=examples.ASKED_S)
def draw_strategy_examples() -> None:
    """Every missing picture of a strategy at work; doing it twice changes nothing."""
    examples.draw_strategy_examples()
