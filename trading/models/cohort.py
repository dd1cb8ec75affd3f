"""A cohort: paper agents that trade one shared bankroll over explicit days, and what each day measured.

The specification (`Cohort`) is what a person decided and is kept with its history; the run (`CohortRun`) is the
machine's own bookmark; days, fills, rejections and alerts are its results.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse
from guardian.shortcuts import get_objects_for_user
from simple_history.models import HistoricalRecords

from fundops.core import clock
from fundops.core.permissions import AnyUser, may
from treasury.models import Book, Fund

VIEW_COHORT = "trading.view_cohort"

INTERVAL_MINUTES = {"1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60}


class CohortMode(models.TextChoices):
    REPLAY = "replay", "Replay of history"
    FORWARD = "forward", "Forward, bar by bar"


class CohortStatus(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    CANCELLING = "cancelling", "Cancelling"
    CANCELLED = "cancelled", "Cancelled"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"


LIVE_STATUSES = (CohortStatus.QUEUED, CohortStatus.RUNNING, CohortStatus.CANCELLING)


class Allocation(models.TextChoices):
    EQUAL = "equal", "Equal draws"
    RISK_WEIGHTED = "risk_weighted", "Inverse to the symbol's volatility"


class GenomeSource(models.TextChoices):
    PROFILES = "profiles", "Strategy profiles"
    RANDOM = "random", "Random within bounds"
    BEST = "best", "Best of earlier cohorts"


class CohortQuerySet(models.QuerySet["Cohort"]):
    def for_user(self, user: AnyUser) -> CohortQuerySet:
        """The cohorts ``user`` may read: all by role, or those granted one by one."""
        return self if may(user, VIEW_COHORT) else self.granted_to(user)

    def granted_to(self, user: AnyUser) -> CohortQuerySet:
        """The cohorts granted one by one: themselves, their Book or one above it, or their fund."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        single = get_objects_for_user(user, VIEW_COHORT, Cohort, accept_global_perms=False)
        return self.filter(
            models.Q(pk__in=single.values("pk"))
            | models.Q(fund__in=Fund.objects.granted_to(user))
            | models.Q(book__in=Book.objects.granted_to(user))
        )


def _fraction(name: str, default: str, low: str, high: str, help_text: str) -> models.DecimalField[Any, Any]:
    return models.DecimalField(
        name,
        max_digits=8,
        decimal_places=4,
        default=Decimal(default),
        validators=[MinValueValidator(Decimal(low)), MaxValueValidator(Decimal(high))],
        help_text=help_text,
    )


class Cohort(models.Model):
    """What was asked for. Fields carry their bounds, so that page, API and command line refuse the same things."""

    name = models.CharField(max_length=80, blank=True, help_text="Left empty, it is named after its market and day.")
    fund = models.ForeignKey("treasury.Fund", on_delete=models.PROTECT, related_name="cohorts")
    book = models.OneToOneField(
        "treasury.Book", on_delete=models.PROTECT, related_name="cohort", null=True, editable=False
    )
    mode = models.CharField(max_length=8, choices=CohortMode.choices, default=CohortMode.REPLAY)
    status = models.CharField(max_length=10, choices=CohortStatus.choices, default=CohortStatus.QUEUED, editable=False)

    agent_count = models.PositiveIntegerField(
        "agents",
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
        help_text="1 to 10,000.",
    )
    bankroll = models.DecimalField(
        max_digits=20,
        decimal_places=2,
        default=Decimal(1000),
        validators=[MinValueValidator(Decimal(50))],
        help_text="Shared by all agents, in the quote currency of its markets; at least 50.",
    )
    allocation = models.CharField(max_length=16, choices=Allocation.choices, default=Allocation.EQUAL)

    venue = models.CharField(max_length=32)
    symbols = ArrayField(models.CharField(max_length=32), help_text="As the catalog names them.")
    interval = models.CharField(max_length=4, choices=[(i, i) for i in INTERVAL_MINUTES], default="1m")
    start = models.DateField("first day (UTC)")
    days = models.PositiveSmallIntegerField(default=3, validators=[MinValueValidator(1), MaxValueValidator(366)])

    genome_source = models.CharField(max_length=8, choices=GenomeSource.choices, default=GenomeSource.PROFILES)
    profiles = ArrayField(
        models.CharField(max_length=64), default=list, blank=True, help_text="Empty means every profile."
    )
    parents = models.ManyToManyField("self", symmetrical=False, blank=True, related_name="offspring")

    cost_profile = models.CharField(max_length=32, default="binance")
    gross_ceiling = _fraction(
        "gross ceiling", "1.0", "0.01", "10", "Gross exposure of all agents over the parent's equity."
    )
    net_ceiling = _fraction("net ceiling", "1.0", "0.01", "10", "Net exposure of all agents over the parent's equity.")
    leverage_ceiling = _fraction("leverage ceiling", "2.0", "0.1", "10", "Exposure of one agent over its own equity.")
    market_cap_frac = _fraction(
        "ceiling for one market", "0.5", "0.01", "10", "Exposure to one market over the parent's equity."
    )
    drawdown_alert_frac = _fraction("drawdown alert", "0.05", "0.001", "1", "Parent drawdown that raises an alert.")
    drawdown_stop_frac = models.DecimalField(
        "drawdown stop",
        max_digits=8,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("0.001")), MaxValueValidator(Decimal(1))],
        help_text="Parent drawdown at which the machine ends the cohort; left empty, nothing but its days ends it.",
    )
    utilisation_alert_frac = _fraction(
        "utilisation alert", "0.95", "0.01", "10", "Bankroll utilisation that raises an alert."
    )

    speed = models.FloatField(
        default=1.0,
        validators=[MinValueValidator(1.0), MaxValueValidator(100_000.0)],
        help_text="Forward only: simulated seconds for each real second; 1 follows the market.",
    )
    seed = models.PositiveBigIntegerField(default=0, help_text="The same seed gives the same cohort.")
    quote = models.CharField(max_length=12, editable=False, help_text="The one currency its markets are quoted in.")
    synthetic = models.BooleanField(default=False, editable=False)
    launched_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, editable=False
    )
    launched_at = models.DateTimeField(default=clock.now, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)
    failure = models.TextField(blank=True, editable=False, help_text="Why it failed, or was ended before its time.")
    waiting_for = models.TextField(
        blank=True, editable=False, help_text="What its run waits for and tries again, in words; empty while it goes."
    )

    history = HistoricalRecords(m2m_fields=[parents], excluded_fields=["waiting_for"])
    objects = CohortQuerySet.as_manager()

    class Meta:
        ordering = ("-launched_at", "-pk")
        permissions = (
            ("launch_cohort", "Can launch a cohort"),
            ("cancel_cohort", "Can cancel a cohort"),
            ("resume_cohort", "Can resume a failed cohort"),
        )
        constraints = (
            models.CheckConstraint(
                name="cohort_agent_count_in_range", condition=models.Q(agent_count__range=(1, 10_000))
            ),
            models.CheckConstraint(name="cohort_bankroll_at_least_50", condition=models.Q(bankroll__gte=50)),
            models.CheckConstraint(name="cohort_has_a_day", condition=models.Q(days__gte=1)),
            models.CheckConstraint(name="cohort_at_most_a_year", condition=models.Q(days__lte=366)),
            models.CheckConstraint(name="cohort_has_a_market", condition=models.Q(symbols__len__gte=1)),
            models.CheckConstraint(name="cohort_speed_positive", condition=models.Q(speed__gt=0)),
            models.CheckConstraint(
                name="cohort_ceilings_positive",
                condition=models.Q(
                    gross_ceiling__gt=0, net_ceiling__gt=0, leverage_ceiling__gt=0, market_cap_frac__gt=0
                ),
            ),
            models.CheckConstraint(
                name="cohort_net_within_gross", condition=models.Q(net_ceiling__lte=models.F("gross_ceiling"))
            ),
            models.CheckConstraint(name="cohort_mode_known", condition=models.Q(mode__in=CohortMode.values)),
            models.CheckConstraint(name="cohort_status_known", condition=models.Q(status__in=CohortStatus.values)),
            models.CheckConstraint(
                name="cohort_allocation_known", condition=models.Q(allocation__in=Allocation.values)
            ),
            models.CheckConstraint(
                name="cohort_genome_source_known", condition=models.Q(genome_source__in=GenomeSource.values)
            ),
        )
        indexes = (models.Index(fields=["status"]), models.Index(fields=["start", "bankroll"]))

    def __str__(self) -> str:
        return self.name or f"Cohort {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("portal:cohort", args=[self.pk])

    def clean(self) -> None:
        errors: dict[str, list[str]] = {}
        if not self.symbols:
            errors["symbols"] = ["Choose at least one market."]
        elif len(set(self.symbols)) != len(self.symbols):
            errors["symbols"] = ["A market is named twice."]
        if self.net_ceiling is not None and self.gross_ceiling is not None and self.net_ceiling > self.gross_ceiling:
            errors["net_ceiling"] = ["The net ceiling cannot lie above the gross ceiling."]
        if self.mode == CohortMode.REPLAY and self.speed != 1.0:
            errors["speed"] = ["A replay goes as fast as the machine; only a forward cohort has a speed."]
        if self.start is not None and self.days is not None:
            try:
                end = self.start + timedelta(days=self.days)
            except OverflowError:
                end = None
                errors["start"] = ["That window runs past the calendar."]
            if end and self.mode == CohortMode.REPLAY and end > clock.now().date() + timedelta(days=1):
                errors["start"] = [f"History ends today; this window runs to {end:%Y-%m-%d}."]
        if errors:
            raise ValidationError(errors)

    @property
    def topic(self) -> str:
        """The live topic that carries this cohort's news."""
        return f"cohort:{self.pk}"

    @property
    def interval_ms(self) -> int:
        return INTERVAL_MINUTES[self.interval] * 60_000

    @property
    def start_ms(self) -> int:
        return clock.to_ms(datetime.combine(self.start, datetime.min.time(), tzinfo=UTC))

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.days * 86_400_000

    @property
    def is_live(self) -> bool:
        return self.status in LIVE_STATUSES


class CohortRun(models.Model):
    """Where the machine stands: everything needed to go on at the exact bar, written with the postings of that bar."""

    cohort = models.OneToOneField(Cohort, on_delete=models.PROTECT, related_name="run")
    next_bar_ms = models.BigIntegerField(help_text="Opening time of the first bar not yet traded, epoch ms.")
    last_closes = models.JSONField(default=dict, help_text="Last close by symbol: what positions are marked at.")
    engine_state = models.BinaryField(null=True, help_text="The engine's fixed-size state after the last bar.")
    fills_done = models.PositiveBigIntegerField(default=0)
    rejections_done = models.PositiveBigIntegerField(default=0)
    provenance = models.JSONField(
        default=dict,
        help_text="Strategy versions, data hashes, cost model, seed and engine version of this run.",
    )
    clock_started_at = models.DateTimeField(null=True, help_text="Forward: the instant its simulated clock started.")
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"run of cohort {self.cohort_id}"


class CohortAgent(models.Model):
    """One paper agent: a genome, a draw on the bankroll and a Book of its own."""

    append_only = True

    cohort = models.ForeignKey(Cohort, on_delete=models.PROTECT, related_name="agents")
    number = models.PositiveIntegerField()
    book = models.OneToOneField("treasury.Book", on_delete=models.PROTECT, related_name="cohort_agent")
    profile = models.CharField(max_length=64, blank=True)
    family = models.CharField(max_length=64)
    symbol = models.CharField(max_length=32, blank=True, help_text="Empty for an agent that trades all markets.")
    genome = models.JSONField()
    genome_hash = models.CharField(max_length=64, db_index=True)
    draw = models.DecimalField(max_digits=20, decimal_places=2)

    class Meta:
        ordering = ("cohort", "number")
        constraints = (
            models.UniqueConstraint(fields=["cohort", "number"], name="cohort_agent_number_unique"),
            models.CheckConstraint(name="cohort_agent_number_from_1", condition=models.Q(number__gte=1)),
            models.CheckConstraint(name="cohort_agent_draw_positive", condition=models.Q(draw__gt=0)),
        )

    def __str__(self) -> str:
        return f"Agent {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("portal:cohort-agent", args=[self.cohort_id, self.number])


class DayMeasures(models.Model):
    """What a day measures of an agent and of the parent wallet alike. Money in the cohort's quote currency.

    The hourly arrays have one slot for every UTC hour of the day, oldest first, null where the hour has not ended.
    """

    day = models.PositiveSmallIntegerField(help_text="1, 2, 3: days of the cohort's life.")
    date = models.DateField()
    complete = models.BooleanField(default=False, help_text="False while the day is still trading.")

    opening_equity = models.DecimalField(max_digits=38, decimal_places=18)
    equity = models.DecimalField(max_digits=38, decimal_places=18)
    roi_frac = models.FloatField()
    realised = models.DecimalField(max_digits=38, decimal_places=18)
    unrealised = models.DecimalField(max_digits=38, decimal_places=18)
    variance = models.FloatField(null=True, help_text="Of the day's hourly returns, ddof 1; null below two hours.")
    drawdown_frac = models.FloatField(
        help_text="Deepest fall since the start from the running peak of equity, at bar resolution."
    )
    utilisation_frac = models.FloatField(help_text="Mean gross exposure over capital at the hours' ends.")
    leverage_breaches = models.PositiveIntegerField()
    trades = models.PositiveIntegerField()
    rejections = models.PositiveIntegerField()
    fees = models.DecimalField(max_digits=38, decimal_places=18)
    spread_cost = models.DecimalField(max_digits=38, decimal_places=18)
    impact_cost = models.DecimalField(max_digits=38, decimal_places=18)
    funding = models.DecimalField(max_digits=38, decimal_places=18, help_text="Received positive, paid negative.")
    confidence = models.FloatField(
        null=True, help_text="Probability that the true Sharpe ratio is above zero, from all hours so far."
    )
    sample_size = models.PositiveIntegerField(help_text="Hourly returns behind the confidence.")
    hourly_equity = ArrayField(models.FloatField(null=True), size=24)
    hourly_roi = ArrayField(models.FloatField(null=True), size=24)
    hourly_utilisation = ArrayField(models.FloatField(null=True), size=24)

    # Who is behind the rejections, on rows of `trading.cohorts.refusals.with_refusals`.
    rejected: int
    denied: int
    waiting: int

    class Meta:
        abstract = True


class AgentDay(DayMeasures):
    """One day of one agent."""

    agent = models.ForeignKey(CohortAgent, on_delete=models.PROTECT, related_name="agent_days")
    rank = models.PositiveIntegerField(help_text="By return on the day, 1 is best; ties by number.")
    parent_drawdown_frac = models.FloatField(help_text="The agent's deepest fall of the day over the parent's equity.")

    class Meta(DayMeasures.Meta):
        ordering = ("day", "rank")
        constraints = (
            models.UniqueConstraint(fields=["agent", "day"], name="agent_day_unique"),
            models.CheckConstraint(name="agent_day_from_1", condition=models.Q(day__gte=1)),
        )

    def __str__(self) -> str:
        return f"day {self.day} of agent {self.agent_id}"


class CohortDay(DayMeasures):
    """One day of the parent wallet, with the proof that engine and books agree."""

    cohort = models.ForeignKey(Cohort, on_delete=models.PROTECT, related_name="cohort_days")
    ledger_equity = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    largest_difference = models.DecimalField(
        max_digits=38, decimal_places=18, null=True, help_text="Worst agent, engine against ledger."
    )

    class Meta(DayMeasures.Meta):
        ordering = ("day",)
        constraints = (
            models.UniqueConstraint(fields=["cohort", "day"], name="cohort_day_unique"),
            models.CheckConstraint(name="cohort_day_from_1", condition=models.Q(day__gte=1)),
        )

    def __str__(self) -> str:
        return f"day {self.day} of cohort {self.cohort_id}"


class CohortFill(models.Model):
    """One fill as the engine made it; its journal entry carries the same key."""

    append_only = True

    cohort = models.ForeignKey(Cohort, on_delete=models.PROTECT, related_name="fills", db_index=False)
    number = models.PositiveBigIntegerField(help_text="Counts the cohort's fills from 1, in order of execution.")
    agent = models.ForeignKey(CohortAgent, on_delete=models.PROTECT, related_name="fills")
    at = models.DateTimeField()
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4, choices=[("buy", "Buy"), ("sell", "Sell")])
    quantity = models.DecimalField(max_digits=38, decimal_places=18)
    price = models.DecimalField(max_digits=38, decimal_places=18)
    reference_price = models.DecimalField(max_digits=38, decimal_places=18, help_text="Before spread and impact.")
    fee = models.DecimalField(max_digits=38, decimal_places=18)
    spread_cost = models.DecimalField(max_digits=38, decimal_places=18)
    impact_cost = models.DecimalField(max_digits=38, decimal_places=18)
    realised = models.DecimalField(max_digits=38, decimal_places=18)
    reason = models.CharField(max_length=24)

    class Meta:
        ordering = ("cohort", "number")
        constraints = (
            models.UniqueConstraint(fields=["cohort", "number"], name="cohort_fill_number_unique"),
            models.CheckConstraint(name="cohort_fill_quantity_positive", condition=models.Q(quantity__gt=0)),
            models.CheckConstraint(name="cohort_fill_price_positive", condition=models.Q(price__gt=0)),
        )

    def __str__(self) -> str:
        return f"fill {self.number} of cohort {self.cohort_id}"

    @property
    def source_id(self) -> str:
        """The source that the journal entry of this fill names."""
        return fill_source_id(self.cohort_id, self.number)


def fill_source_id(cohort_id: int, number: int) -> str:
    return f"{cohort_id}:fill:{number}"


class CohortRejection(models.Model):
    """An order that the rules refused or cut, and why."""

    append_only = True

    cohort = models.ForeignKey(Cohort, on_delete=models.PROTECT, related_name="rejected_orders", db_index=False)
    number = models.PositiveBigIntegerField()
    agent = models.ForeignKey(CohortAgent, on_delete=models.PROTECT, related_name="rejected_orders")
    at = models.DateTimeField()
    symbol = models.CharField(max_length=32)
    reason = models.CharField(max_length=24)
    wanted = models.DecimalField(max_digits=38, decimal_places=18, help_text="Signed quantity asked for.")
    permitted = models.DecimalField(max_digits=38, decimal_places=18, help_text="Signed quantity allowed.")

    class Meta:
        ordering = ("cohort", "number")
        constraints = (models.UniqueConstraint(fields=["cohort", "number"], name="cohort_rejection_number_unique"),)

    def __str__(self) -> str:
        return f"rejection {self.number} of cohort {self.cohort_id}"


class CohortAlert(models.Model):
    """Something a person should look at, raised by the run."""

    append_only = True

    class Kind(models.TextChoices):
        PARENT_DRAWDOWN = "parent_drawdown", "Parent drawdown"
        LEVERAGE_BREACH = "leverage_breach", "Agent leverage breach"
        UTILISATION = "utilisation", "Bankroll utilisation"
        LIQUIDATION = "liquidation", "Agent liquidated"
        BANKRUPT = "bankrupt", "Agent without equity"

    cohort = models.ForeignKey(Cohort, on_delete=models.PROTECT, related_name="alerts")
    agent = models.ForeignKey(CohortAgent, on_delete=models.PROTECT, related_name="alerts", null=True)
    day = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    value = models.FloatField()
    threshold = models.FloatField(null=True)
    message = models.CharField(max_length=200)

    class Meta:
        ordering = ("-at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=["cohort", "day", "kind", "agent"],
                nulls_distinct=False,
                name="cohort_alert_once_a_day",
            ),
        )

    def __str__(self) -> str:
        return self.message
