"""Deployments, their desks and the paper venue."""

from decimal import Decimal
from pathlib import Path

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

import fundops.core.clock

SQL = Path(__file__).parent / "sql"
RULES = (SQL / "desk_rules.sql").read_text()
UNDO = (SQL / "drop_desk_rules.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [
        ("compliance", "0002_approvals"),
        ("trading", "0005_cohort_labels"),
        ("risk", "0007_gate_guards"),
        ("treasury", "0002_ledger_rules"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PaperAccount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=64, unique=True)),
                ("rules", models.JSONField(help_text="Market, instruments, costs, protection and leverage.")),
                ("state", models.BinaryField()),
                (
                    "last_bar_ms",
                    models.BigIntegerField(help_text="Opening time of the last bar that was traded, epoch ms."),
                ),
                ("reports", models.PositiveBigIntegerField(default=0, help_text="Reports made so far.")),
                ("equity", models.DecimalField(decimal_places=18, default=Decimal("0"), max_digits=38)),
            ],
        ),
        migrations.CreateModel(
            name="Deployment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=120)),
                ("family", models.CharField(help_text="Strategy and version, name@version.", max_length=64)),
                ("genome", models.JSONField()),
                ("genome_hash", models.CharField(db_index=True, max_length=64)),
                ("venue", models.CharField(max_length=32)),
                (
                    "symbols",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None),
                ),
                (
                    "interval",
                    models.CharField(
                        choices=[
                            ("1m", "1m"),
                            ("3m", "3m"),
                            ("5m", "5m"),
                            ("15m", "15m"),
                            ("30m", "30m"),
                            ("1h", "1h"),
                        ],
                        max_length=4,
                    ),
                ),
                ("quote", models.CharField(max_length=12)),
                ("synthetic", models.BooleanField(default=False)),
                ("gateway", models.CharField(default="paper", max_length=24)),
                ("cost_profile", models.CharField(max_length=32)),
                (
                    "daily_volatility",
                    models.JSONField(help_text="By symbol, fixed at opening: it scales the modelled impact."),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("deploying", "Deploying"),
                            ("running", "Running"),
                            ("stopping", "Stopping"),
                            ("stopped", "Stopped"),
                            ("rolled_back", "Rolled back"),
                        ],
                        default="deploying",
                        max_length=12,
                    ),
                ),
                (
                    "bankroll",
                    models.DecimalField(
                        decimal_places=2,
                        max_digits=20,
                        validators=[django.core.validators.MinValueValidator(Decimal("50"))],
                    ),
                ),
                (
                    "leverage",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal("1"),
                        help_text="The most that a full target may be worth, in bankrolls: what was approved.",
                        max_digits=6,
                    ),
                ),
                (
                    "start_leverage",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal("1"),
                        help_text="What the leverage policy allowed at its opening.",
                        max_digits=6,
                    ),
                ),
                (
                    "leverage_ceiling",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal("1"),
                        help_text="Orders that would pass it are cut.",
                        max_digits=6,
                    ),
                ),
                ("limits_template", models.CharField(default="micro-live", max_length=32)),
                (
                    "slippage_cap_frac",
                    models.DecimalField(
                        blank=True,
                        decimal_places=4,
                        default=Decimal("0.003"),
                        help_text="Orders carry a limit price this far from the market; empty sends market orders.",
                        max_digits=6,
                        null=True,
                    ),
                ),
                (
                    "quorum_frac",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal("0.5"),
                        help_text="Share of the weight that its council was seated with that must have an opinion.",
                        max_digits=4,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal("0")),
                            django.core.validators.MaxValueValidator(Decimal("1")),
                        ],
                    ),
                ),
                ("start_ms", models.BigIntegerField(help_text="Opening time of the first bar it may trade, epoch ms.")),
                ("end_ms", models.BigIntegerField(blank=True, help_text="No bar from here on is traded.", null=True)),
                (
                    "speed",
                    models.FloatField(
                        default=1.0,
                        help_text="Simulated seconds for each real one; 1 follows the market, 0 is as fast as can be.",
                        validators=[
                            django.core.validators.MinValueValidator(0.0),
                            django.core.validators.MaxValueValidator(100000.0),
                        ],
                    ),
                ),
                ("opened_at", models.DateTimeField(default=fundops.core.clock.now)),
                ("running_since", models.DateTimeField(blank=True, help_text="When its clock started.", null=True)),
                (
                    "flatten",
                    models.BooleanField(default=False, help_text="Stopping: positions are closed before it ends."),
                ),
                ("stop_reason", models.TextField(blank=True)),
                ("stopped_at", models.DateTimeField(blank=True, null=True)),
                (
                    "agent",
                    models.ForeignKey(
                        help_text="The paper agent that earned it.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deployments",
                        to="trading.cohortagent",
                    ),
                ),
                (
                    "book",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="deployment", to="treasury.book"
                    ),
                ),
                (
                    "fund",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="deployments", to="treasury.fund"
                    ),
                ),
                (
                    "opened_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "request",
                    models.ForeignKey(
                        help_text="What approved it.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="compliance.approvalrequest",
                    ),
                ),
                (
                    "source_book",
                    models.ForeignKey(
                        help_text="Whose cash the bankroll is.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="treasury.book",
                    ),
                ),
            ],
            options={
                "ordering": ("-opened_at", "-pk"),
                "permissions": (
                    ("propose_deployment", "Can ask for a deployment"),
                    ("stop_deployment", "Can stop a deployment"),
                    ("weigh_council", "Can ask for other weights in a deployment's council"),
                ),
            },
        ),
        migrations.CreateModel(
            name="CouncilVoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveSmallIntegerField()),
                ("name", models.CharField(max_length=80)),
                ("family", models.CharField(max_length=64)),
                ("genome", models.JSONField()),
                ("genome_hash", models.CharField(db_index=True, max_length=64)),
                (
                    "seated_weight",
                    models.DecimalField(
                        decimal_places=5,
                        default=Decimal("1"),
                        help_text="What was signed, times what live results left.",
                        max_digits=8,
                    ),
                ),
                (
                    "weight",
                    models.DecimalField(
                        decimal_places=5,
                        default=Decimal("1"),
                        max_digits=8,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "agent",
                    models.ForeignKey(
                        help_text="The paper agent that plays it.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="trading.cohortagent",
                    ),
                ),
                (
                    "deployment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="voices", to="trading.deployment"
                    ),
                ),
            ],
            options={
                "ordering": ("deployment", "number"),
            },
        ),
        migrations.CreateModel(
            name="DeskRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("owner", models.CharField(blank=True, max_length=120)),
                ("token", models.BigIntegerField(default=0)),
                ("leased_until", models.DateTimeField(null=True)),
                (
                    "next_bar_ms",
                    models.BigIntegerField(help_text="Opening time of the first bar not yet worked, epoch ms."),
                ),
                (
                    "history_bars",
                    models.PositiveIntegerField(default=0, help_text="Bars its strategies saw before the first."),
                ),
                ("bars", models.PositiveIntegerField(default=0, help_text="Bars worked since the first.")),
                ("voices_state", models.BinaryField(help_text="Each strategy's memory after the last bar.", null=True)),
                ("standing", models.JSONField(default=dict, help_text="The council's last target by symbol.")),
                (
                    "leverage",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal("1"),
                        help_text="What its targets are sized with now.",
                        max_digits=6,
                    ),
                ),
                (
                    "reports_seen",
                    models.PositiveBigIntegerField(default=0, help_text="The gateway's reports taken in so far."),
                ),
                ("last_closes", models.JSONField(default=dict)),
                ("cycles", models.PositiveIntegerField(default=0)),
                ("fills", models.PositiveIntegerField(default=0)),
                ("cash", models.DecimalField(decimal_places=18, default=Decimal("0"), max_digits=38)),
                ("equity", models.DecimalField(decimal_places=18, default=Decimal("0"), max_digits=38)),
                ("day_open_equity", models.DecimalField(decimal_places=18, default=Decimal("0"), max_digits=38)),
                ("peak_equity", models.DecimalField(decimal_places=18, default=Decimal("0"), max_digits=38)),
                ("drawdown_frac", models.FloatField(default=0.0, help_text="Now, from the peak.")),
                ("max_drawdown_frac", models.FloatField(default=0.0)),
                (
                    "gross",
                    models.DecimalField(
                        decimal_places=18,
                        default=Decimal("0"),
                        help_text="Gross exposure at the last closes.",
                        max_digits=38,
                    ),
                ),
                ("fees", models.DecimalField(decimal_places=18, default=Decimal("0"), max_digits=38)),
                (
                    "slippage",
                    models.DecimalField(
                        decimal_places=18,
                        default=Decimal("0"),
                        help_text="Spread and impact as realised.",
                        max_digits=38,
                    ),
                ),
                (
                    "funding",
                    models.DecimalField(
                        decimal_places=18,
                        default=Decimal("0"),
                        help_text="Received positive, paid negative.",
                        max_digits=38,
                    ),
                ),
                ("turnover", models.DecimalField(decimal_places=18, default=Decimal("0"), max_digits=38)),
                (
                    "wanted_notional",
                    models.DecimalField(
                        decimal_places=18, default=Decimal("0"), help_text="What the council asked for.", max_digits=38
                    ),
                ),
                (
                    "sent_notional",
                    models.DecimalField(
                        decimal_places=18,
                        default=Decimal("0"),
                        help_text="What risk and compliance let through.",
                        max_digits=38,
                    ),
                ),
                (
                    "last_loss_ms",
                    models.BigIntegerField(help_text="Close of the bar of the last losing trade.", null=True),
                ),
                ("last_order_ms", models.BigIntegerField(null=True)),
                (
                    "books_checked_on",
                    models.DateField(help_text="The last UTC day whose books equal the gateway's.", null=True),
                ),
                ("heartbeat_at", models.DateTimeField(null=True)),
                ("next_action", models.CharField(blank=True, max_length=200)),
                (
                    "deployment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="run", to="trading.deployment"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="CapitalFlow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "at_ms",
                    models.BigIntegerField(help_text="Close of the last bar worked before it, epoch ms."),
                ),
                (
                    "amount",
                    models.DecimalField(decimal_places=18, help_text="Positive came in.", max_digits=38),
                ),
                ("at", models.DateTimeField(default=fundops.core.clock.now)),
                (
                    "deployment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="capital_flows",
                        to="trading.deployment",
                    ),
                ),
            ],
            options={
                "ordering": ("deployment", "pk"),
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="FundingPayment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("report", models.PositiveBigIntegerField(help_text="The gateway's number of it.")),
                ("at", models.DateTimeField()),
                ("symbol", models.CharField(max_length=32)),
                ("quantity", models.DecimalField(decimal_places=18, max_digits=38)),
                ("price", models.DecimalField(decimal_places=18, max_digits=38)),
                ("rate", models.FloatField()),
                ("amount", models.DecimalField(decimal_places=18, max_digits=38)),
                (
                    "deployment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="funding_payments",
                        to="trading.deployment",
                    ),
                ),
            ],
            options={
                "ordering": ("deployment", "report"),
            },
        ),
        migrations.CreateModel(
            name="HistoricalCouncilVoice",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("number", models.PositiveSmallIntegerField()),
                ("name", models.CharField(max_length=80)),
                ("family", models.CharField(max_length=64)),
                ("genome", models.JSONField()),
                ("genome_hash", models.CharField(db_index=True, max_length=64)),
                (
                    "seated_weight",
                    models.DecimalField(
                        decimal_places=5,
                        default=Decimal("1"),
                        help_text="What was signed, times what live results left.",
                        max_digits=8,
                    ),
                ),
                (
                    "weight",
                    models.DecimalField(
                        decimal_places=5,
                        default=Decimal("1"),
                        max_digits=8,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "agent",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="The paper agent that plays it.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="trading.cohortagent",
                    ),
                ),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
                (
                    "deployment",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="trading.deployment",
                    ),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "historical council voice",
                "verbose_name_plural": "historical council voices",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalDeployment",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("name", models.CharField(max_length=120)),
                ("family", models.CharField(help_text="Strategy and version, name@version.", max_length=64)),
                ("genome", models.JSONField()),
                ("genome_hash", models.CharField(db_index=True, max_length=64)),
                ("venue", models.CharField(max_length=32)),
                (
                    "symbols",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None),
                ),
                (
                    "interval",
                    models.CharField(
                        choices=[
                            ("1m", "1m"),
                            ("3m", "3m"),
                            ("5m", "5m"),
                            ("15m", "15m"),
                            ("30m", "30m"),
                            ("1h", "1h"),
                        ],
                        max_length=4,
                    ),
                ),
                ("quote", models.CharField(max_length=12)),
                ("synthetic", models.BooleanField(default=False)),
                ("gateway", models.CharField(default="paper", max_length=24)),
                ("cost_profile", models.CharField(max_length=32)),
                (
                    "daily_volatility",
                    models.JSONField(help_text="By symbol, fixed at opening: it scales the modelled impact."),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("deploying", "Deploying"),
                            ("running", "Running"),
                            ("stopping", "Stopping"),
                            ("stopped", "Stopped"),
                            ("rolled_back", "Rolled back"),
                        ],
                        default="deploying",
                        max_length=12,
                    ),
                ),
                (
                    "bankroll",
                    models.DecimalField(
                        decimal_places=2,
                        max_digits=20,
                        validators=[django.core.validators.MinValueValidator(Decimal("50"))],
                    ),
                ),
                (
                    "leverage",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal("1"),
                        help_text="The most that a full target may be worth, in bankrolls: what was approved.",
                        max_digits=6,
                    ),
                ),
                (
                    "start_leverage",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal("1"),
                        help_text="What the leverage policy allowed at its opening.",
                        max_digits=6,
                    ),
                ),
                (
                    "leverage_ceiling",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal("1"),
                        help_text="Orders that would pass it are cut.",
                        max_digits=6,
                    ),
                ),
                ("limits_template", models.CharField(default="micro-live", max_length=32)),
                (
                    "slippage_cap_frac",
                    models.DecimalField(
                        blank=True,
                        decimal_places=4,
                        default=Decimal("0.003"),
                        help_text="Orders carry a limit price this far from the market; empty sends market orders.",
                        max_digits=6,
                        null=True,
                    ),
                ),
                (
                    "quorum_frac",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal("0.5"),
                        help_text="Share of the weight that its council was seated with that must have an opinion.",
                        max_digits=4,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal("0")),
                            django.core.validators.MaxValueValidator(Decimal("1")),
                        ],
                    ),
                ),
                ("start_ms", models.BigIntegerField(help_text="Opening time of the first bar it may trade, epoch ms.")),
                ("end_ms", models.BigIntegerField(blank=True, help_text="No bar from here on is traded.", null=True)),
                (
                    "speed",
                    models.FloatField(
                        default=1.0,
                        help_text="Simulated seconds for each real one; 1 follows the market, 0 is as fast as can be.",
                        validators=[
                            django.core.validators.MinValueValidator(0.0),
                            django.core.validators.MaxValueValidator(100000.0),
                        ],
                    ),
                ),
                ("opened_at", models.DateTimeField(default=fundops.core.clock.now)),
                ("running_since", models.DateTimeField(blank=True, help_text="When its clock started.", null=True)),
                (
                    "flatten",
                    models.BooleanField(default=False, help_text="Stopping: positions are closed before it ends."),
                ),
                ("stop_reason", models.TextField(blank=True)),
                ("stopped_at", models.DateTimeField(blank=True, null=True)),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
                (
                    "agent",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="The paper agent that earned it.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="trading.cohortagent",
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="treasury.book",
                    ),
                ),
                (
                    "fund",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="treasury.fund",
                    ),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "opened_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "request",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="What approved it.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="compliance.approvalrequest",
                    ),
                ),
                (
                    "source_book",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="Whose cash the bankroll is.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="treasury.book",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical deployment",
                "verbose_name_plural": "historical deployments",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("client_order_id", models.CharField(max_length=64, unique=True)),
                ("venue_order_id", models.CharField(blank=True, max_length=64)),
                ("symbol", models.CharField(max_length=32)),
                ("side", models.CharField(choices=[("buy", "Buy"), ("sell", "Sell")], max_length=4)),
                ("quantity", models.DecimalField(decimal_places=18, max_digits=38)),
                ("limit_price", models.DecimalField(decimal_places=18, max_digits=38, null=True)),
                ("reduce_only", models.BooleanField(default=False)),
                (
                    "reason",
                    models.CharField(help_text="signal, leverage, time_limit, flatten, or the protective rule.", max_length=24),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("denied", "Denied here"),
                            ("pending", "To be sent"),
                            ("in_flight", "Sent, not answered"),
                            ("working", "Working"),
                            ("filled", "Filled"),
                            ("cancelled", "Cancelled"),
                            ("rejected", "Rejected by the venue"),
                        ],
                        max_length=10,
                    ),
                ),
                ("status_reason", models.CharField(blank=True, max_length=400)),
                ("filled", models.DecimalField(decimal_places=18, default=Decimal("0"), max_digits=38)),
                ("cancel_asked", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField()),
                ("submitted_at", models.DateTimeField(null=True)),
                ("acknowledged_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "deployment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="orders", to="trading.deployment"
                    ),
                ),
            ],
            options={
                "ordering": ("-pk",),
            },
        ),
        migrations.CreateModel(
            name="Fill",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(help_text="Counts the deployment's fills from 1.")),
                ("venue_fill_id", models.CharField(max_length=80)),
                ("at", models.DateTimeField()),
                ("symbol", models.CharField(max_length=32)),
                ("side", models.CharField(choices=[("buy", "Buy"), ("sell", "Sell")], max_length=4)),
                ("quantity", models.DecimalField(decimal_places=18, max_digits=38)),
                ("price", models.DecimalField(decimal_places=18, max_digits=38)),
                (
                    "reference_price",
                    models.DecimalField(decimal_places=18, help_text="Before spread and impact.", max_digits=38),
                ),
                (
                    "notional",
                    models.DecimalField(
                        decimal_places=18, help_text="What was paid or received, before the fee.", max_digits=38
                    ),
                ),
                ("fee", models.DecimalField(decimal_places=18, max_digits=38)),
                ("spread_cost", models.DecimalField(decimal_places=18, max_digits=38)),
                ("impact_cost", models.DecimalField(decimal_places=18, max_digits=38)),
                ("realised", models.DecimalField(decimal_places=18, max_digits=38)),
                ("reason", models.CharField(max_length=24)),
                (
                    "deployment",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="fill_rows",
                        to="trading.deployment",
                    ),
                ),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="fills", to="trading.order"
                    ),
                ),
            ],
            options={
                "ordering": ("deployment", "number"),
            },
        ),
        migrations.CreateModel(
            name="PaperOrder",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("client_order_id", models.CharField(max_length=64)),
                ("symbol", models.CharField(max_length=32)),
                ("side", models.SmallIntegerField(help_text="1 buys, -1 sells.")),
                ("quantity", models.DecimalField(decimal_places=18, max_digits=38)),
                ("filled", models.DecimalField(decimal_places=18, default=Decimal("0"), max_digits=38)),
                ("limit_price", models.DecimalField(decimal_places=18, max_digits=38, null=True)),
                ("reduce_only", models.BooleanField(default=False)),
                ("tag", models.CharField(max_length=24)),
                (
                    "protective",
                    models.BooleanField(default=False, help_text="Made by the venue from the account's protection."),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("working", "Working"),
                            ("filled", "Filled"),
                            ("cancelled", "Cancelled"),
                            ("rejected", "Rejected"),
                        ],
                        default="working",
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("accepted_ms", models.BigIntegerField()),
                ("noted", models.BooleanField(default=False, help_text="A shortage of volume has been reported.")),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="orders",
                        to="trading.paperaccount",
                    ),
                ),
            ],
            options={
                "ordering": ("account", "pk"),
            },
        ),
        migrations.CreateModel(
            name="PaperReport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveBigIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[("order", "Order"), ("fill", "Fill"), ("funding", "Funding")], max_length=8
                    ),
                ),
                ("at_ms", models.BigIntegerField()),
                ("content", models.JSONField()),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="stream",
                        to="trading.paperaccount",
                    ),
                ),
            ],
            options={
                "ordering": ("account", "number"),
            },
        ),
        migrations.CreateModel(
            name="Position",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("symbol", models.CharField(max_length=32)),
                (
                    "quantity",
                    models.DecimalField(decimal_places=18, default=Decimal("0"), help_text="Signed.", max_digits=38),
                ),
                (
                    "cost",
                    models.DecimalField(
                        decimal_places=18,
                        default=Decimal("0"),
                        help_text="Signed notional at average cost.",
                        max_digits=38,
                    ),
                ),
                ("realised", models.DecimalField(decimal_places=18, default=Decimal("0"), max_digits=38)),
                (
                    "entry_bar",
                    models.IntegerField(default=-1, help_text="The deployment's bar at which it was opened."),
                ),
                ("cooldown_until", models.IntegerField(default=-1, help_text="No opening is decided before this bar.")),
                (
                    "deployment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="positions", to="trading.deployment"
                    ),
                ),
            ],
            options={
                "ordering": ("deployment", "symbol"),
            },
        ),
        migrations.CreateModel(
            name="TradingCycle",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("bar_ms", models.BigIntegerField(help_text="Opening time of the bar that closed, epoch ms.")),
                ("number", models.PositiveIntegerField(help_text="Counts the deployment's cycles from 1.")),
                (
                    "phase",
                    models.CharField(
                        choices=[("decided", "Decided"), ("done", "Done")], default="decided", max_length=8
                    ),
                ),
                ("token", models.BigIntegerField(help_text="The fence it was written under.")),
                ("decision", models.CharField(max_length=24)),
                ("messages", models.JSONField(help_text="Every agent's message in order.")),
                ("timings", models.JSONField(default=dict, help_text="Milliseconds of each step.")),
                ("equity", models.DecimalField(decimal_places=18, max_digits=38)),
                ("decided_at", models.DateTimeField()),
                ("done_at", models.DateTimeField(null=True)),
                (
                    "deployment",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cycles",
                        to="trading.deployment",
                    ),
                ),
            ],
            options={
                "ordering": ("-bar_ms",),
            },
        ),
        migrations.AddField(
            model_name="order",
            name="cycle",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="orders", to="trading.tradingcycle"
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(fields=["status"], name="trading_dep_status_07ee75_idx"),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.CheckConstraint(
                condition=models.Q(("bankroll__gte", 50)), name="deployment_bankroll_at_least_50"
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.CheckConstraint(
                condition=models.Q(("leverage__gt", 0)), name="deployment_leverage_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["deploying", "running", "stopping", "stopped", "rolled_back"])),
                name="deployment_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="councilvoice",
            constraint=models.UniqueConstraint(fields=("deployment", "number"), name="council_voice_number_unique"),
        ),
        migrations.AddConstraint(
            model_name="councilvoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("weight__gte", 0)), name="council_voice_weight_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="councilvoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("weight__lte", models.F("seated_weight"))), name="council_voice_weight_within_seat"
            ),
        ),
        migrations.AddConstraint(
            model_name="fundingpayment",
            constraint=models.UniqueConstraint(fields=("deployment", "report"), name="desk_funding_once"),
        ),
        migrations.AddConstraint(
            model_name="fill",
            constraint=models.UniqueConstraint(fields=("deployment", "number"), name="desk_fill_number_unique"),
        ),
        migrations.AddConstraint(
            model_name="fill",
            constraint=models.UniqueConstraint(
                fields=("deployment", "venue_fill_id"), name="desk_fill_venue_id_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="fill",
            constraint=models.CheckConstraint(
                condition=models.Q(("quantity__gt", 0)), name="desk_fill_quantity_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="fill",
            constraint=models.CheckConstraint(condition=models.Q(("price__gt", 0)), name="desk_fill_price_positive"),
        ),
        migrations.AddIndex(
            model_name="paperorder",
            index=models.Index(
                condition=models.Q(("state", "working")), fields=["account"], name="paper_order_working"
            ),
        ),
        migrations.AddConstraint(
            model_name="paperorder",
            constraint=models.UniqueConstraint(
                fields=("account", "client_order_id"), name="paper_order_client_id_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="paperreport",
            constraint=models.UniqueConstraint(fields=("account", "number"), name="paper_report_number_unique"),
        ),
        migrations.AddConstraint(
            model_name="position",
            constraint=models.UniqueConstraint(fields=("deployment", "symbol"), name="desk_position_unique"),
        ),
        migrations.AddIndex(
            model_name="tradingcycle",
            index=models.Index(
                condition=models.Q(("phase", "decided")), fields=["deployment"], name="trading_cycle_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="tradingcycle",
            constraint=models.UniqueConstraint(fields=("deployment", "bar_ms"), name="trading_cycle_one_a_bar"),
        ),
        migrations.AddConstraint(
            model_name="tradingcycle",
            constraint=models.UniqueConstraint(fields=("deployment", "number"), name="trading_cycle_number_unique"),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(("status__in", ["pending", "in_flight", "working"])),
                fields=["deployment"],
                name="order_live",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(condition=models.Q(("quantity__gt", 0)), name="order_quantity_positive"),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(("filled__lte", models.F("quantity"))), name="order_filled_within"
            ),
        ),
        migrations.RunSQL([RULES], [UNDO]),
    ]
