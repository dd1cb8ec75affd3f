from decimal import Decimal

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import fundops.core.clock

FORWARD = (
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_dayscreening"
    " FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();"
)
BACKWARD = "DROP TRIGGER append_only ON trading_dayscreening;"


class Migration(migrations.Migration):
    dependencies = [("trading", "0007_promotion"), ("compliance", "0001_audit_stream")]

    operations = [
        migrations.CreateModel(
            name="DayScreening",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(default=fundops.core.clock.now)),
                ("policy_version", models.PositiveIntegerField(help_text="0: the rules as shipped.")),
                (
                    "notional",
                    models.DecimalField(
                        decimal_places=18,
                        help_text="Bought and sold by agents, each netted with itself in a bar.",
                        max_digits=38,
                    ),
                ),
                (
                    "crossed_notional",
                    models.DecimalField(
                        decimal_places=18, help_text="Of it, by agents on both sides of one bar.", max_digits=38
                    ),
                ),
                (
                    "crossed_bars",
                    models.PositiveIntegerField(help_text="Bars of a market with agents on both sides."),
                ),
                (
                    "bursts",
                    models.PositiveIntegerField(
                        default=0, help_text="Bars of a market whose move the agents' own orders of one side made."
                    ),
                ),
                ("flagged", models.BooleanField()),
                (
                    "cohort_day",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="screening",
                        to="trading.cohortday",
                    ),
                ),
            ],
            options={"default_permissions": ("view",)},
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
        *(
            migrations.AddField(
                model_name=name,
                name="drawdown_stop_frac",
                field=models.DecimalField(
                    blank=True,
                    decimal_places=4,
                    help_text=(
                        "Parent drawdown at which the machine ends the cohort; left empty, nothing but its days ends"
                        " it."
                    ),
                    max_digits=8,
                    null=True,
                    validators=[
                        django.core.validators.MinValueValidator(Decimal("0.001")),
                        django.core.validators.MaxValueValidator(Decimal(1)),
                    ],
                    verbose_name="drawdown stop",
                ),
            )
            for name in ("cohort", "historicalcohort")
        ),
        *(
            migrations.AlterField(
                model_name=name,
                name="failure",
                field=models.TextField(
                    blank=True, editable=False, help_text="Why it failed, or was ended before its time."
                ),
            )
            for name in ("cohort", "historicalcohort")
        ),
    ]
