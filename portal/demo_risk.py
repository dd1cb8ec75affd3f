"""The demo's risk: limits that watch its fund, the standard scenarios run once, a first snapshot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO

from django.core.management import call_command

from portal import demo, demo_gate
from risk.actions.breaches import evaluate_limits
from risk.actions.snapshots import snapshot_risk
from risk.actions.stress import ensure_standard_scenarios, run_stress
from risk.models import RiskLimit, RiskSnapshot, StressResult
from trading.actions.instruments import ensure_instruments
from trading.cohorts.catalog import open_catalog
from trading.marketdata.loader import load_candles
from trading.models.marketdata import CandleSet
from treasury.models import Book, Fund

TEMPLATE = "watch"
#: Days that the scenarios replay, where they lie beside the project.
PAST_WINDOWS = (
    ("candles/binance_spot_5m_2024-07-25_2024-08-24.parquet", "binance"),
    ("multivenue/usdc_depeg_2023-03/binanceus_btcusdt_1m.parquet", "binanceus"),
)

Say = Callable[[str], None]


def make_risk(fund: Fund, *, say: Say) -> None:
    """Run twice it adds nothing."""
    if not RiskLimit.objects.filter(book__fund=fund, template=TEMPLATE).exists():
        demo_gate.sign(
            "risk.apply_template",
            {"book": fund.code, "template": TEMPLATE},
            reason="Nothing on paper is refused, but everything is reported.",
        )
    root = Book.objects.filter(fund=fund, parent=None)
    if not RiskSnapshot.objects.filter(book__in=root).exists():
        snapshot_risk(actor=None)
    ensure_standard_scenarios(actor=None)
    _import_the_past()
    if not StressResult.objects.filter(book__in=root).exists():
        made = run_stress(actor=None, books=list(root))
        priced = [r for r in made if r.loss is not None]
        say(f"Stress: {len(priced)} of {len(made)} scenarios could be priced on the fund's positions of now.")
    evaluate_limits(actor=None)


def _import_the_past() -> None:
    """The days that historical scenarios replay and the markets they are of, where files of them lie beside us."""
    for name, venue in PAST_WINDOWS:
        path = demo.SAMPLE_DATA / name
        if not path.exists() or CandleSet.objects.filter(venue=venue).exists():
            continue
        call_command("import_candles", str(path), venue=venue, stdout=StringIO())
        for found in CandleSet.objects.filter(venue=venue, kind="trade", rows__gt=0):
            assert found.last_at is not None  # noqa: S101 - it has rows
            since = found.last_at - timedelta(hours=6)
            frame = load_candles(open_catalog(), venue, [found.symbol], found.interval_ms, since, found.last_at)
            ensure_instruments(frame=frame, actor=None)
