"""A deployment: one genome that trades a small bankroll live, bar by bar, through a gateway; and its desk's records.

`Deployment` is what people approved and is kept with its history; `DeskRun` is the machine's bookmark with the lease of
whoever drives it; cycles, orders, fills and funding payments are what happened.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse
from simple_history.models import HistoricalRecords

from fundops.core import clock
from fundops.core.permissions import AnyUser, for_user
from trading.models.cohort import INTERVAL_MINUTES

UNIT: dict[str, Any] = {"max_digits": 38, "decimal_places": 18}


class DeploymentStatus(models.TextChoices):
    DEPLOYING = "deploying", "Deploying"
    RUNNING = "running", "Running"
    STOPPING = "stopping", "Stopping"
    STOPPED = "stopped", "Stopped"
    ROLLED_BACK = "rolled_back", "Rolled back"


#: In these the desk has something to do at every bar.
WORKED_STATUSES = (DeploymentStatus.DEPLOYING, DeploymentStatus.RUNNING, DeploymentStatus.STOPPING)
ENDED_STATUSES = (DeploymentStatus.STOPPED, DeploymentStatus.ROLLED_BACK)


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    def for_user(self, user: AnyUser) -> DeploymentQuerySet:
        """The deployments ``user`` may read: all by role, or those granted one by one."""
        return for_user(self, user, "trading.view_deployment")  # type: ignore[return-value]


class Deployment(models.Model):
    """What was approved to trade: written by an executed request alone, the database sees to it."""

    name = models.CharField(max_length=120)
    fund = models.ForeignKey("treasury.Fund", on_delete=models.PROTECT, related_name="deployments")
    book = models.OneToOneField("treasury.Book", on_delete=models.PROTECT, related_name="deployment")
    source_book = models.ForeignKey(
        "treasury.Book", on_delete=models.PROTECT, related_name="+", help_text="Whose cash the bankroll is."
    )
    agent = models.ForeignKey(
        "trading.CohortAgent",
        on_delete=models.PROTECT,
        related_name="deployments",
        help_text="The paper agent that earned it.",
    )
    request = models.ForeignKey(
        "compliance.ApprovalRequest", on_delete=models.PROTECT, related_name="+", help_text="What approved it."
    )
    family = models.CharField(max_length=64, help_text="Strategy and version, name@version.")
    genome = models.JSONField()
    genome_hash = models.CharField(max_length=64, db_index=True)

    venue = models.CharField(max_length=32)
    symbols = ArrayField(models.CharField(max_length=32))
    interval = models.CharField(max_length=4, choices=[(i, i) for i in INTERVAL_MINUTES])
    quote = models.CharField(max_length=12)
    synthetic = models.BooleanField(default=False)
    gateway = models.CharField(max_length=24, default="paper")
    cost_profile = models.CharField(max_length=32)
    daily_volatility = models.JSONField(help_text="By symbol, fixed at opening: it scales the modelled impact.")

    status = models.CharField(max_length=12, choices=DeploymentStatus, default=DeploymentStatus.DEPLOYING)
    bankroll = models.DecimalField(max_digits=20, decimal_places=2, validators=[MinValueValidator(Decimal(50))])
    leverage = models.DecimalField(
        max_digits=6,
        decimal_places=3,
        default=Decimal(1),
        help_text="The most that a full target may be worth, in bankrolls: what was approved.",
    )
    start_leverage = models.DecimalField(
        max_digits=6, decimal_places=3, default=Decimal(1), help_text="What the leverage policy allowed at its opening."
    )
    leverage_ceiling = models.DecimalField(
        max_digits=6, decimal_places=3, default=Decimal(1), help_text="Orders that would pass it are cut."
    )
    limits_template = models.CharField(max_length=32, default="micro-live")
    slippage_cap_frac = models.DecimalField(
        max_digits=6,
        decimal_places=4,
        null=True,
        blank=True,
        default=Decimal("0.003"),
        help_text="Orders carry a limit price this far from the market; empty sends market orders.",
    )
    quorum_frac = models.DecimalField(
        max_digits=4,
        decimal_places=3,
        default=Decimal("0.5"),
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(1))],
        help_text="Share of the weight that its council was seated with that must have an opinion.",
    )

    start_ms = models.BigIntegerField(help_text="Opening time of the first bar it may trade, epoch ms.")
    end_ms = models.BigIntegerField(null=True, blank=True, help_text="No bar from here on is traded.")
    speed = models.FloatField(
        default=1.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(100_000.0)],
        help_text="Simulated seconds for each real one; 1 follows the market, 0 is as fast as can be.",
    )
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField(default=clock.now)
    running_since = models.DateTimeField(null=True, blank=True, help_text="When its clock started.")
    flatten = models.BooleanField(default=False, help_text="Stopping: positions are closed before it ends.")
    stop_reason = models.TextField(blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords()
    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ("-opened_at", "-pk")
        permissions = (
            ("propose_deployment", "Can ask for a deployment"),
            ("stop_deployment", "Can stop a deployment"),
            ("weigh_council", "Can ask for other weights in a deployment's council"),
        )
        constraints = (
            models.CheckConstraint(name="deployment_bankroll_at_least_50", condition=models.Q(bankroll__gte=50)),
            models.CheckConstraint(name="deployment_leverage_positive", condition=models.Q(leverage__gt=0)),
            models.CheckConstraint(
                name="deployment_status_known", condition=models.Q(status__in=[s.value for s in DeploymentStatus])
            ),
        )
        indexes = (models.Index(fields=["status"]),)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("portal:deployment", args=[self.pk])

    @property
    def topic(self) -> str:
        """The live topic that carries this deployment's news."""
        return f"deployment:{self.pk}"

    @property
    def leverage_at_opening(self) -> Decimal:
        """What it sized with at first: never more than was approved."""
        return min(self.leverage, self.start_leverage)

    @property
    def why_stopped(self) -> str:
        """Its status and the reason, which may begin with that word itself."""
        status = self.get_status_display()
        return self.stop_reason if self.stop_reason.startswith(status) else f"{status}: {self.stop_reason}"

    @property
    def account(self) -> str:
        """How the gateway calls its account."""
        return f"deployment-{self.pk}"

    @property
    def interval_ms(self) -> int:
        return INTERVAL_MINUTES[self.interval] * 60_000

    @property
    def is_worked(self) -> bool:
        return self.status in WORKED_STATUSES


class CouncilVoice(models.Model):
    """One strategy with a vote in a deployment's council; the deployment's own genome is the first.

    Its weight never passes the one that it was seated with; the quorum is counted against what all were seated with.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="voices")
    number = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=80)
    agent = models.ForeignKey(
        "trading.CohortAgent", on_delete=models.PROTECT, related_name="+", help_text="The paper agent that plays it."
    )
    family = models.CharField(max_length=64)
    genome = models.JSONField()
    genome_hash = models.CharField(max_length=64, db_index=True)
    seated_weight = models.DecimalField(
        max_digits=8, decimal_places=5, default=Decimal(1), help_text="What was signed, times what live results left."
    )
    weight = models.DecimalField(
        max_digits=8, decimal_places=5, default=Decimal(1), validators=[MinValueValidator(Decimal(0))]
    )

    history = HistoricalRecords()

    class Meta:
        ordering = ("deployment", "number")
        constraints = (
            models.UniqueConstraint(fields=["deployment", "number"], name="council_voice_number_unique"),
            models.CheckConstraint(name="council_voice_weight_not_negative", condition=models.Q(weight__gte=0)),
            models.CheckConstraint(
                name="council_voice_weight_within_seat", condition=models.Q(weight__lte=models.F("seated_weight"))
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.weight.normalize():f})"


class DeskRun(models.Model):
    """Where a deployment's desk stands, and who drives it.

    ``token`` is the fence: it rises with each change of owner, and every write of a desk holds this row with the
    token it was given, so that an owner who lost the lease writes nothing any more.
    """

    machine_state = "the progress of a desk, rewritten bar by bar; what happened is in cycles, orders and fills"

    deployment = models.OneToOneField(Deployment, on_delete=models.PROTECT, related_name="run")
    owner = models.CharField(max_length=120, blank=True)
    token = models.BigIntegerField(default=0)
    leased_until = models.DateTimeField(null=True)

    next_bar_ms = models.BigIntegerField(help_text="Opening time of the first bar not yet worked, epoch ms.")
    bars = models.PositiveIntegerField(default=0, help_text="Bars worked since the first.")
    history_bars = models.PositiveIntegerField(default=0, help_text="Bars its strategies saw before the first.")
    voices_state = models.BinaryField(null=True, help_text="Each strategy's memory after the last bar.")
    standing = models.JSONField(default=dict, help_text="The council's last target by symbol.")
    leverage = models.DecimalField(
        max_digits=6, decimal_places=3, default=Decimal(1), help_text="What its targets are sized with now."
    )
    reports_seen = models.PositiveBigIntegerField(default=0, help_text="The gateway's reports taken in so far.")
    last_closes = models.JSONField(default=dict)

    cycles = models.PositiveIntegerField(default=0)
    fills = models.PositiveIntegerField(default=0)
    cash = models.DecimalField(**UNIT, default=Decimal(0))
    equity = models.DecimalField(**UNIT, default=Decimal(0))
    day_open_equity = models.DecimalField(**UNIT, default=Decimal(0))
    peak_equity = models.DecimalField(**UNIT, default=Decimal(0))
    drawdown_frac = models.FloatField(default=0.0, help_text="Now, from the peak.")
    max_drawdown_frac = models.FloatField(default=0.0)
    gross = models.DecimalField(**UNIT, default=Decimal(0), help_text="Gross exposure at the last closes.")
    fees = models.DecimalField(**UNIT, default=Decimal(0))
    slippage = models.DecimalField(**UNIT, default=Decimal(0), help_text="Spread and impact as realised.")
    funding = models.DecimalField(**UNIT, default=Decimal(0), help_text="Received positive, paid negative.")
    turnover = models.DecimalField(**UNIT, default=Decimal(0))
    wanted_notional = models.DecimalField(**UNIT, default=Decimal(0), help_text="What the council asked for.")
    sent_notional = models.DecimalField(**UNIT, default=Decimal(0), help_text="What risk and compliance let through.")
    last_loss_ms = models.BigIntegerField(null=True, help_text="Close of the bar of the last losing trade.")
    last_order_ms = models.BigIntegerField(null=True)
    books_checked_on = models.DateField(null=True, help_text="The last UTC day whose books equal the gateway's.")
    heartbeat_at = models.DateTimeField(null=True)
    next_action = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"desk of deployment {self.deployment_id}"


class CyclePhase(models.TextChoices):
    """Decided: written, with the orders to send. Done: every order has been answered for."""

    DECIDED = "decided", "Decided"
    DONE = "done", "Done"


class TradingCycle(models.Model):
    """One bar close at one desk: who said what, what was decided, how long it took."""

    machine_state = "written when decided and once more when its orders are answered; the database keeps it one a bar"

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="cycles", db_index=False)
    bar_ms = models.BigIntegerField(help_text="Opening time of the bar that closed, epoch ms.")
    number = models.PositiveIntegerField(help_text="Counts the deployment's cycles from 1.")
    phase = models.CharField(max_length=8, choices=CyclePhase, default=CyclePhase.DECIDED)
    token = models.BigIntegerField(help_text="The fence it was written under.")
    decision = models.CharField(max_length=24)
    messages = models.JSONField(help_text="Every agent's message in order.")
    timings = models.JSONField(default=dict, help_text="Milliseconds of each step.")
    equity = models.DecimalField(**UNIT)
    decided_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-bar_ms",)
        constraints = (
            models.UniqueConstraint(fields=["deployment", "bar_ms"], name="trading_cycle_one_a_bar"),
            models.UniqueConstraint(fields=["deployment", "number"], name="trading_cycle_number_unique"),
        )

    def __str__(self) -> str:
        return f"cycle {self.number} of deployment {self.deployment_id}"

    @property
    def at(self) -> datetime:
        """The bar's opening time."""
        return clock.from_ms(self.bar_ms)


class OrderStatus(models.TextChoices):
    """DENIED is said here, REJECTED by the venue. IN_FLIGHT was sent and not answered: it is asked after."""

    DENIED = "denied", "Denied here"
    PENDING = "pending", "To be sent"
    IN_FLIGHT = "in_flight", "Sent, not answered"
    WORKING = "working", "Working"
    FILLED = "filled", "Filled"
    CANCELLED = "cancelled", "Cancelled"
    REJECTED = "rejected", "Rejected by the venue"


UNSETTLED = (OrderStatus.PENDING, OrderStatus.IN_FLIGHT)
LIVE_ORDERS = (*UNSETTLED, OrderStatus.WORKING)
_LIVE = [status.value for status in LIVE_ORDERS]


class Order(models.Model):
    """One order; its id towards the venue is a function of its cycle, so it cannot be sent twice."""

    machine_state = "an order's way is told by the gateway's reports; fills are append-only"

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="orders")
    cycle = models.ForeignKey(TradingCycle, on_delete=models.PROTECT, related_name="orders")
    client_order_id = models.CharField(max_length=64)
    venue_order_id = models.CharField(max_length=64, blank=True)
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4, choices=[("buy", "Buy"), ("sell", "Sell")])
    quantity = models.DecimalField(**UNIT)
    limit_price = models.DecimalField(**UNIT, null=True)
    reduce_only = models.BooleanField(default=False)
    reason = models.CharField(max_length=24, help_text="signal, leverage, time_limit, flatten, or the protective rule.")
    status = models.CharField(max_length=10, choices=OrderStatus)
    status_reason = models.CharField(max_length=400, blank=True)
    filled = models.DecimalField(**UNIT, default=Decimal(0))
    cancel_asked = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-pk",)
        constraints = (
            models.UniqueConstraint(fields=["client_order_id"], name="order_client_id_unique"),
            models.CheckConstraint(
                name="order_ended_unless_live",
                condition=models.Q(ended_at=None, status__in=_LIVE)
                | (models.Q(ended_at__isnull=False) & ~models.Q(status__in=_LIVE)),
            ),
            models.CheckConstraint(name="order_quantity_positive", condition=models.Q(quantity__gt=0)),
            models.CheckConstraint(name="order_filled_within", condition=models.Q(filled__lte=models.F("quantity"))),
        )
        # By the time of its end, not by its status: an order that is answered and works on changes no index.
        indexes = (models.Index(name="order_live", fields=["deployment"], condition=models.Q(ended_at=None)),)

    def __str__(self) -> str:
        return self.client_order_id

    @property
    def sign(self) -> int:
        return 1 if self.side == "buy" else -1


FILL_SOURCE = "trading.desk.fill"


class Fill(models.Model):
    """One fill as the gateway reported it; its journal entry names it as its source."""

    append_only = True

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="fill_rows", db_index=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="fills")
    number = models.PositiveIntegerField(help_text="Counts the deployment's fills from 1.")
    venue_fill_id = models.CharField(max_length=80)
    at = models.DateTimeField()
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4, choices=[("buy", "Buy"), ("sell", "Sell")])
    quantity = models.DecimalField(**UNIT)
    price = models.DecimalField(**UNIT)
    reference_price = models.DecimalField(**UNIT, help_text="Before spread and impact.")
    notional = models.DecimalField(**UNIT, help_text="What was paid or received, before the fee.")
    fee = models.DecimalField(**UNIT)
    spread_cost = models.DecimalField(**UNIT)
    impact_cost = models.DecimalField(**UNIT)
    realised = models.DecimalField(**UNIT)
    reason = models.CharField(max_length=24)

    class Meta:
        ordering = ("deployment", "number")
        constraints = (
            models.UniqueConstraint(fields=["deployment", "number"], name="desk_fill_number_unique"),
            models.UniqueConstraint(fields=["deployment", "venue_fill_id"], name="desk_fill_venue_id_unique"),
            models.CheckConstraint(name="desk_fill_quantity_positive", condition=models.Q(quantity__gt=0)),
            models.CheckConstraint(name="desk_fill_price_positive", condition=models.Q(price__gt=0)),
        )

    def __str__(self) -> str:
        return f"fill {self.number} of deployment {self.deployment_id}"

    @property
    def source_id(self) -> str:
        """The source that the journal entry of this fill names."""
        return f"{self.deployment_id}:fill:{self.number}"


class FundingPayment(models.Model):
    """Funding paid (negative) or received on a perpetual position."""

    append_only = True

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="funding_payments")
    report = models.PositiveBigIntegerField(help_text="The gateway's number of it.")
    at = models.DateTimeField()
    symbol = models.CharField(max_length=32)
    quantity = models.DecimalField(**UNIT)
    price = models.DecimalField(**UNIT)
    rate = models.FloatField()
    amount = models.DecimalField(**UNIT)

    class Meta:
        ordering = ("deployment", "report")
        constraints = (models.UniqueConstraint(fields=["deployment", "report"], name="desk_funding_once"),)

    def __str__(self) -> str:
        return f"funding {self.report} of deployment {self.deployment_id}"


class CapitalFlow(models.Model):
    """Cash that came into a running deployment or went out of it: its slice was resized. The first bankroll is none."""

    append_only = True

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="capital_flows")
    at_ms = models.BigIntegerField(help_text="Close of the last bar worked before it, epoch ms.")
    amount = models.DecimalField(**UNIT, help_text="Positive came in.")
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ("deployment", "pk")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.amount.normalize():+f} for deployment {self.deployment_id}"


class Position(models.Model):
    """What a deployment holds in one market, as its fills say."""

    machine_state = "the running sum of append-only fills"

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="positions")
    symbol = models.CharField(max_length=32)
    quantity = models.DecimalField(**UNIT, default=Decimal(0), help_text="Signed.")
    cost = models.DecimalField(**UNIT, default=Decimal(0), help_text="Signed notional at average cost.")
    realised = models.DecimalField(**UNIT, default=Decimal(0))
    entry_bar = models.IntegerField(default=-1, help_text="The deployment's bar at which it was opened.")
    cooldown_until = models.IntegerField(default=-1, help_text="No opening is decided before this bar.")

    class Meta:
        ordering = ("deployment", "symbol")
        constraints = (models.UniqueConstraint(fields=["deployment", "symbol"], name="desk_position_unique"),)

    def __str__(self) -> str:
        return f"{self.quantity.normalize():f} {self.symbol}"
