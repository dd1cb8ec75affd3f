"""The form that launches a cohort: a market, who trades it, with what, and under which ceilings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.db.models import QuerySet

from trading.cohorts.installed import installed_profiles
from trading.marketdata.symbols import split_symbol
from trading.models.cohort import INTERVAL_MINUTES, Cohort, CohortMode, CohortStatus, GenomeSource
from trading.models.marketdata import CandleSet
from trading.quant.engine import list_cost_profiles
from trading.selectors.cohort import default_fund, latest_window
from treasury.models import Fund

if TYPE_CHECKING:
    _CohortModelForm = forms.ModelForm[Cohort]
else:
    _CohortModelForm = forms.ModelForm

MODEL_FIELDS = [
    "name",
    "fund",
    "start",
    "days",
    "agent_count",
    "bankroll",
    "allocation",
    "genome_source",
    "profiles",
    "mode",
    "speed",
    "cost_profile",
    "gross_ceiling",
    "net_ceiling",
    "leverage_ceiling",
    "market_cap_frac",
    "drawdown_alert_frac",
    "drawdown_stop_frac",
    "utilisation_alert_frac",
    "seed",
]


def _traded_sets() -> QuerySet[CandleSet]:
    return CandleSet.objects.filter(kind="trade", interval__in=list(INTERVAL_MINUTES), rows__gt=0)


def market_choices() -> list[tuple[str, str]]:
    """Markets to choose from: a venue, a quote currency and an interval that the catalog has candles of."""
    found: dict[str, int] = {}
    for row in _traded_sets():
        pair = split_symbol(row.symbol)
        if pair:
            key = f"{row.venue}|{pair[1]}|{row.interval}"
            found[key] = found.get(key, 0) + 1
    return [
        (key, f"{venue.replace('_', ' ')}, in {quote}, {interval} candles ({count} markets)")
        for key, count in sorted(found.items())
        for venue, quote, interval in [key.split("|")]
    ]


def symbols_of(market: str) -> list[str]:
    """The symbols of one market choice, sorted."""
    venue, quote, interval = (*market.split("|"), "", "")[:3]
    rows = (
        _traded_sets().filter(venue=venue, interval=interval, symbol__endswith=quote).values_list("symbol", flat=True)
    )
    return sorted(symbol for symbol in rows if (pair := split_symbol(symbol)) and pair[1] == quote)


class CohortForm(_CohortModelForm):
    """Its answers become an unsaved Cohort; what is possible is decided by `launch_cohort` alone."""

    market = forms.ChoiceField(label="Market")
    symbols = forms.MultipleChoiceField(
        label="Symbols",
        widget=forms.CheckboxSelectMultiple,
        help_text="Every agent trades one of them, or all at once.",
    )
    profiles = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen means all of them, in turn.",
    )
    parents = forms.ModelMultipleChoiceField(
        queryset=Cohort.objects.none(),
        required=False,
        label="Earlier cohorts",
        widget=forms.CheckboxSelectMultiple,
        help_text="Their best genomes trade again.",
    )
    cost_profile = forms.ChoiceField(label="Costs as on")

    class Meta:
        model = Cohort
        fields = MODEL_FIELDS
        widgets = {"start": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")}

    #: What a number counts, written beside it; ceilings and alerts are multiples, 1 is the whole.
    UNITS: ClassVar[dict[str, str]] = {
        "days": "days",
        "agent_count": "agents",
        "speed": "× market",
        "gross_ceiling": "× equity",
        "net_ceiling": "× equity",
        "leverage_ceiling": "× equity",
        "market_cap_frac": "× equity",
        "drawdown_alert_frac": "of equity",
        "drawdown_stop_frac": "of equity",
        "utilisation_alert_frac": "of bankroll",
    }
    #: The fields as the page groups them.
    GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("Market and days", ("mode", "market", "symbols", "start", "days", "speed")),
        (
            "Agents and capital",
            ("agent_count", "bankroll", "allocation", "genome_source", "profiles", "parents"),
        ),
        (
            "Ceilings, alerts and stop",
            (
                "gross_ceiling",
                "net_ceiling",
                "leverage_ceiling",
                "market_cap_frac",
                "drawdown_alert_frac",
                "drawdown_stop_frac",
                "utilisation_alert_frac",
            ),
        ),
        ("Costs, name, seed", ("cost_profile", "name", "fund", "seed")),
    )

    def __init__(self, *args: Any, readable: QuerySet[Cohort], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        markets = market_choices()
        window = None if self.is_bound else latest_window(interval="1m", days=3)
        chosen = self.data.get("market") if self.is_bound else (f"{window.venue}|{window.quote}|1m" if window else "")
        symbols = symbols_of(chosen or "")
        self._choose("market", markets)
        self._choose("symbols", [(symbol, symbol) for symbol in symbols])
        self._choose("profiles", [(p.name, p.title) for p in installed_profiles().values()])
        self._choose("cost_profile", [(name, name.capitalize()) for name in list_cost_profiles()])
        parents = self.fields["parents"]
        assert isinstance(parents, forms.ModelMultipleChoiceField)  # noqa: S101
        parents.queryset = readable.filter(status=CohortStatus.COMPLETED)
        self.fields["fund"].initial = default_fund()
        if window is not None:
            self.initial.update(
                market=chosen,
                symbols=list(window.symbols),
                start=window.start,
                cost_profile="bybit" if window.venue.startswith("bybit") else "binance",
            )

        quote = (*(chosen or "").split("|"), "", "")[1]
        for name, unit in (self.UNITS | {"bankroll": quote}).items():
            self.fields[name].unit = unit  # type: ignore[attr-defined] # read by components/field.html
        self.fields["market"].wide = True  # type: ignore[attr-defined]

    def _choose(self, name: str, choices: Iterable[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101
        field.choices = list(choices)

    def _left_out(self) -> set[str]:
        """Fields that do not apply to what is chosen."""
        out = {"speed"} if self["mode"].value() != CohortMode.FORWARD else set()
        source = self["genome_source"].value()
        out |= {"profiles"} if source != GenomeSource.PROFILES else set()
        out |= {"parents"} if source != GenomeSource.BEST else set()
        return out | ({"fund"} if Fund.objects.count() == 1 else set())

    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """(title, fields) in the page's order."""
        left_out = self._left_out()
        return [(title, [self[name] for name in names if name not in left_out]) for title, names in self.GROUPS]

    def carried(self) -> list[forms.BoundField]:
        """Single answers that are not asked for now but go along with the others."""
        return [self[name] for name in ("speed", "fund") if name in self._left_out()]

    def _post_clean(self) -> None:
        """The model's own checks are left to `check_cohort`, which knows the candles as well."""

    def cohort(self) -> Cohort:
        """The unsaved cohort of valid answers."""
        answers = dict(self.cleaned_data)
        venue, _quote, interval = answers.pop("market").split("|")
        answers.pop("parents")
        if answers["mode"] == CohortMode.REPLAY:
            answers["speed"] = 1.0
        return Cohort(venue=venue, interval=interval, **answers)

    def add_refusal(self, fields: dict[str, list[str]]) -> None:
        """Puts what `check_cohort` refused beside the fields it is about."""
        places = {"venue": "market", "interval": "market"}
        for name, texts in fields.items():
            place = places.get(name, name)
            for text in texts:
                self.add_error(place if place in self.fields else None, text)


def last_day(start: Any, days: Any) -> Any:
    """The window's last day, or None while the answers do not make one."""
    try:
        return start + timedelta(days=days - 1)
    except (TypeError, OverflowError):
        return None
