"""The tables of the risk layer."""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import risk.models.common
import simple_history.models
from django.conf import settings
from django.contrib.postgres.operations import BtreeGistExtension
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('treasury', '0002_ledger_rules'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        BtreeGistExtension(),
        migrations.CreateModel(
            name='HistoricalCapitalBudget',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('capital', models.DecimalField(decimal_places=18, max_digits=38)),
                ('risk_share_frac', models.FloatField(blank=True, help_text="Of the parent's ES; empty: no budget.", null=True)),
                ('effective_from', models.DateTimeField()),
                ('effective_to', models.DateTimeField(blank=True, null=True)),
                ('reason', models.CharField(blank=True, max_length=240)),
                ('created_at', models.DateTimeField(blank=True, editable=False)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('book', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='treasury.book')),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical capital budget',
                'verbose_name_plural': 'historical capital budgets',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalRiskLimit',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('metric', models.CharField(choices=[('gross_exposure', 'Gross exposure'), ('net_exposure', 'Net exposure'), ('net_exposure_frac', 'Net exposure over equity'), ('leverage', 'Leverage'), ('position_notional', 'Notional of a position'), ('open_positions', 'Open positions'), ('symbol_concentration_frac', 'Concentration in a symbol'), ('venue_concentration_frac', 'Concentration at a venue'), ('var', 'Value at risk'), ('var_frac', 'Value at risk over equity'), ('es', 'Expected shortfall'), ('es_frac', 'Expected shortfall over equity'), ('daily_loss', 'Loss of the day'), ('daily_loss_frac', "Loss of the day over the day's opening equity"), ('drawdown_frac', 'Drawdown from the peak'), ('stop_loss_frac', 'Loss of a position over its cost'), ('cooldown_s', 'Seconds since the last loss'), ('order_notional', 'Notional of an order'), ('order_notional_frac', 'Notional of an order over equity'), ('participation_frac', "Share of the market's volume"), ('order_rate', 'Orders in the last minute'), ('price_collar_frac', 'Distance of the price from the market')], max_length=32)),
                ('soft', models.DecimalField(blank=True, decimal_places=18, help_text='Passing it warns.', max_digits=38, null=True)),
                ('hard', models.DecimalField(blank=True, decimal_places=18, help_text='Passing it is refused before the trade, and acted upon after it.', max_digits=38, null=True)),
                ('symbol', models.CharField(blank=True, help_text='Only this symbol; empty for all.', max_length=40)),
                ('venue', models.CharField(blank=True, help_text='Only this venue; empty for all.', max_length=40)),
                ('action', models.CharField(choices=[('alert', 'Alert'), ('reduce', 'Reduce: only closing orders'), ('halt', 'Halt: no orders'), ('flatten', 'Flatten: close all positions')], default='alert', max_length=8)),
                ('effective_from', models.DateTimeField()),
                ('effective_to', models.DateTimeField(blank=True, help_text='Empty while it is in force.', null=True)),
                ('template', models.CharField(blank=True, help_text='The template set it came from.', max_length=40)),
                ('reason', models.CharField(blank=True, max_length=240)),
                ('created_at', models.DateTimeField(blank=True, editable=False)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('book', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='treasury.book')),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical risk limit',
                'verbose_name_plural': 'historical risk limits',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalStressScenario',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('code', models.SlugField(max_length=60)),
                ('name', models.CharField(max_length=120)),
                ('kind', models.CharField(choices=[('parametric', 'Parametric shock'), ('historical', 'Historical replay'), ('volatility', 'Volatility spike'), ('correlation', 'Correlation to one'), ('venue_loss', 'Loss of a venue'), ('depeg', 'Stablecoin de-peg'), ('reverse', 'Reverse stress: what loses this much')], max_length=12)),
                ('parameters', models.JSONField(default=dict)),
                ('max_loss_frac', models.FloatField(blank=True, help_text='A loss above this share of equity is a breach; empty never is.', null=True)),
                ('is_active', models.BooleanField(default=True)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical stress scenario',
                'verbose_name_plural': 'historical stress scenarios',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='RiskLimit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('metric', models.CharField(choices=[('gross_exposure', 'Gross exposure'), ('net_exposure', 'Net exposure'), ('net_exposure_frac', 'Net exposure over equity'), ('leverage', 'Leverage'), ('position_notional', 'Notional of a position'), ('open_positions', 'Open positions'), ('symbol_concentration_frac', 'Concentration in a symbol'), ('venue_concentration_frac', 'Concentration at a venue'), ('var', 'Value at risk'), ('var_frac', 'Value at risk over equity'), ('es', 'Expected shortfall'), ('es_frac', 'Expected shortfall over equity'), ('daily_loss', 'Loss of the day'), ('daily_loss_frac', "Loss of the day over the day's opening equity"), ('drawdown_frac', 'Drawdown from the peak'), ('stop_loss_frac', 'Loss of a position over its cost'), ('cooldown_s', 'Seconds since the last loss'), ('order_notional', 'Notional of an order'), ('order_notional_frac', 'Notional of an order over equity'), ('participation_frac', "Share of the market's volume"), ('order_rate', 'Orders in the last minute'), ('price_collar_frac', 'Distance of the price from the market')], max_length=32)),
                ('soft', models.DecimalField(blank=True, decimal_places=18, help_text='Passing it warns.', max_digits=38, null=True)),
                ('hard', models.DecimalField(blank=True, decimal_places=18, help_text='Passing it is refused before the trade, and acted upon after it.', max_digits=38, null=True)),
                ('symbol', models.CharField(blank=True, help_text='Only this symbol; empty for all.', max_length=40)),
                ('venue', models.CharField(blank=True, help_text='Only this venue; empty for all.', max_length=40)),
                ('action', models.CharField(choices=[('alert', 'Alert'), ('reduce', 'Reduce: only closing orders'), ('halt', 'Halt: no orders'), ('flatten', 'Flatten: close all positions')], default='alert', max_length=8)),
                ('effective_from', models.DateTimeField()),
                ('effective_to', models.DateTimeField(blank=True, help_text='Empty while it is in force.', null=True)),
                ('template', models.CharField(blank=True, help_text='The template set it came from.', max_length=40)),
                ('reason', models.CharField(blank=True, max_length=240)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('book', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='risk_limits', to='treasury.book')),
            ],
            options={
                'ordering': ('book__path', 'metric', 'symbol', 'venue', '-effective_from'),
                'permissions': [('set_limit', 'Can set and retire risk limits')],
            },
        ),
        migrations.CreateModel(
            name='LimitBreach',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('metric', models.CharField(choices=[('gross_exposure', 'Gross exposure'), ('net_exposure', 'Net exposure'), ('net_exposure_frac', 'Net exposure over equity'), ('leverage', 'Leverage'), ('position_notional', 'Notional of a position'), ('open_positions', 'Open positions'), ('symbol_concentration_frac', 'Concentration in a symbol'), ('venue_concentration_frac', 'Concentration at a venue'), ('var', 'Value at risk'), ('var_frac', 'Value at risk over equity'), ('es', 'Expected shortfall'), ('es_frac', 'Expected shortfall over equity'), ('daily_loss', 'Loss of the day'), ('daily_loss_frac', "Loss of the day over the day's opening equity"), ('drawdown_frac', 'Drawdown from the peak'), ('stop_loss_frac', 'Loss of a position over its cost'), ('cooldown_s', 'Seconds since the last loss'), ('order_notional', 'Notional of an order'), ('order_notional_frac', 'Notional of an order over equity'), ('participation_frac', "Share of the market's volume"), ('order_rate', 'Orders in the last minute'), ('price_collar_frac', 'Distance of the price from the market')], max_length=32)),
                ('symbol', models.CharField(blank=True, max_length=40)),
                ('venue', models.CharField(blank=True, max_length=40)),
                ('level', models.CharField(choices=[('soft', 'Soft'), ('hard', 'Hard')], max_length=4)),
                ('status', models.CharField(choices=[('open', 'Open'), ('acknowledged', 'Acknowledged'), ('closed', 'Closed')], default='open', max_length=12)),
                ('opened_at', models.DateTimeField()),
                ('escalated_at', models.DateTimeField(blank=True, help_text='When it passed the hard level.', null=True)),
                ('last_seen_at', models.DateTimeField()),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('first_value', models.FloatField(help_text='In the unit of the metric; null where no equity is left to divide by.', null=True)),
                ('worst_value', models.FloatField(null=True)),
                ('last_value', models.FloatField(null=True)),
                ('acknowledged_at', models.DateTimeField(blank=True, null=True)),
                ('note', models.CharField(blank=True, max_length=400)),
                ('acknowledged_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='acknowledged_breaches', to=settings.AUTH_USER_MODEL)),
                ('book', models.ForeignKey(help_text="The Book that is past it: the limit's own, or one below it.", on_delete=django.db.models.deletion.PROTECT, related_name='limit_breaches', to='treasury.book')),
                ('limit', models.ForeignKey(help_text='The limit that speaks now: of those that bind the Book, the tightest at this level.', on_delete=django.db.models.deletion.PROTECT, related_name='breaches', to='risk.risklimit')),
            ],
            options={
                'ordering': ('-opened_at', '-pk'),
                'permissions': [('acknowledge_breach', 'Can acknowledge limit breaches')],
            },
        ),
        migrations.CreateModel(
            name='HistoricalLimitBreach',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('metric', models.CharField(choices=[('gross_exposure', 'Gross exposure'), ('net_exposure', 'Net exposure'), ('net_exposure_frac', 'Net exposure over equity'), ('leverage', 'Leverage'), ('position_notional', 'Notional of a position'), ('open_positions', 'Open positions'), ('symbol_concentration_frac', 'Concentration in a symbol'), ('venue_concentration_frac', 'Concentration at a venue'), ('var', 'Value at risk'), ('var_frac', 'Value at risk over equity'), ('es', 'Expected shortfall'), ('es_frac', 'Expected shortfall over equity'), ('daily_loss', 'Loss of the day'), ('daily_loss_frac', "Loss of the day over the day's opening equity"), ('drawdown_frac', 'Drawdown from the peak'), ('stop_loss_frac', 'Loss of a position over its cost'), ('cooldown_s', 'Seconds since the last loss'), ('order_notional', 'Notional of an order'), ('order_notional_frac', 'Notional of an order over equity'), ('participation_frac', "Share of the market's volume"), ('order_rate', 'Orders in the last minute'), ('price_collar_frac', 'Distance of the price from the market')], max_length=32)),
                ('symbol', models.CharField(blank=True, max_length=40)),
                ('venue', models.CharField(blank=True, max_length=40)),
                ('level', models.CharField(choices=[('soft', 'Soft'), ('hard', 'Hard')], max_length=4)),
                ('status', models.CharField(choices=[('open', 'Open'), ('acknowledged', 'Acknowledged'), ('closed', 'Closed')], default='open', max_length=12)),
                ('opened_at', models.DateTimeField()),
                ('escalated_at', models.DateTimeField(blank=True, help_text='When it passed the hard level.', null=True)),
                ('last_seen_at', models.DateTimeField()),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('first_value', models.FloatField(help_text='In the unit of the metric; null where no equity is left to divide by.', null=True)),
                ('worst_value', models.FloatField(null=True)),
                ('last_value', models.FloatField(null=True)),
                ('acknowledged_at', models.DateTimeField(blank=True, null=True)),
                ('note', models.CharField(blank=True, max_length=400)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('acknowledged_by', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('book', models.ForeignKey(blank=True, db_constraint=False, help_text="The Book that is past it: the limit's own, or one below it.", null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='treasury.book')),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('limit', models.ForeignKey(blank=True, db_constraint=False, help_text='The limit that speaks now: of those that bind the Book, the tightest at this level.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='risk.risklimit')),
            ],
            options={
                'verbose_name': 'historical limit breach',
                'verbose_name_plural': 'historical limit breachs',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='RiskSnapshot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('equity', models.FloatField(null=True)),
                ('day_open_equity', models.FloatField(null=True)),
                ('peak_equity', models.FloatField(null=True)),
                ('gross_exposure', models.FloatField(null=True)),
                ('net_exposure', models.FloatField(null=True)),
                ('leverage', models.FloatField(null=True)),
                ('drawdown_frac', models.FloatField(null=True)),
                ('volatility', models.FloatField(help_text="Annualised, of today's positions, over 365 days.", null=True)),
                ('alpha', models.FloatField(help_text='Confidence level of VaR and ES.')),
                ('method', models.CharField(max_length=24)),
                ('var', models.FloatField(help_text='One day, positive when it loses.', null=True)),
                ('es', models.FloatField(null=True)),
                ('sample_size', models.PositiveIntegerField(help_text='Days of history behind VaR, ES and volatility.')),
                ('contributions', models.JSONField(default=list, help_text='By symbol: exposure, component VaR and ES, marginal VaR and ES.')),
                ('missing', models.JSONField(default=list, help_text='What was not known, in words.')),
                ('book', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='risk_snapshots', to='treasury.book')),
            ],
            options={
                'ordering': ('-at', '-pk'),
                'permissions': [('snapshot_risk', 'Can take risk snapshots')],
            },
        ),
        migrations.CreateModel(
            name='StressScenario',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.SlugField(max_length=60, unique=True)),
                ('name', models.CharField(max_length=120)),
                ('kind', models.CharField(choices=[('parametric', 'Parametric shock'), ('historical', 'Historical replay'), ('volatility', 'Volatility spike'), ('correlation', 'Correlation to one'), ('venue_loss', 'Loss of a venue'), ('depeg', 'Stablecoin de-peg'), ('reverse', 'Reverse stress: what loses this much')], max_length=12)),
                ('parameters', models.JSONField(default=dict)),
                ('max_loss_frac', models.FloatField(blank=True, help_text='A loss above this share of equity is a breach; empty never is.', null=True)),
                ('is_active', models.BooleanField(default=True)),
            ],
            options={
                'ordering': ('code',),
                'permissions': [('run_stress', 'Can run stress scenarios')],
                'constraints': [models.CheckConstraint(condition=models.Q(('kind__in', ['parametric', 'historical', 'volatility', 'correlation', 'venue_loss', 'depeg', 'reverse'])), name='risk_scenario_kind_known'), models.CheckConstraint(condition=models.Q(('max_loss_frac__isnull', True), models.Q(('max_loss_frac__gt', 0), ('max_loss_frac__lte', 1)), _connector='OR'), name='risk_scenario_max_loss_share')],
            },
        ),
        migrations.CreateModel(
            name='StressResult',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('parameters', models.JSONField(help_text='As they were when it ran.')),
                ('equity', models.FloatField(null=True)),
                ('loss', models.FloatField(help_text='Positive when money is lost, in the base asset.', null=True)),
                ('loss_frac', models.FloatField(help_text='Of equity.', null=True)),
                ('severity', models.FloatField(help_text='Reverse stress: the fall of everything that loses it.', null=True)),
                ('by_symbol', models.JSONField(default=dict, help_text='P&L by symbol, gains positive.')),
                ('missing', models.JSONField(default=list, help_text='What the scenario could not price, in words.')),
                ('breached', models.BooleanField(help_text='Null where the loss is not known.', null=True)),
                ('book', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='stress_results', to='treasury.book')),
                ('scenario', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='results', to='risk.stressscenario')),
            ],
            options={
                'ordering': ('-at', '-pk'),
            },
        ),
        migrations.CreateModel(
            name='CapitalBudget',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('capital', models.DecimalField(decimal_places=18, max_digits=38)),
                ('risk_share_frac', models.FloatField(blank=True, help_text="Of the parent's ES; empty: no budget.", null=True)),
                ('effective_from', models.DateTimeField()),
                ('effective_to', models.DateTimeField(blank=True, null=True)),
                ('reason', models.CharField(blank=True, max_length=240)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('book', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='capital_budgets', to='treasury.book')),
            ],
            options={
                'ordering': ('book__path', '-effective_from'),
                'permissions': [('set_budget', 'Can set capital budgets')],
                'constraints': [models.CheckConstraint(condition=models.Q(('capital__gte', 0), ('capital__lt', 100000000000000000000)), name='risk_budget_capital_is_a_number'), models.CheckConstraint(condition=models.Q(('risk_share_frac__isnull', True), models.Q(('risk_share_frac__gte', 0), ('risk_share_frac__lte', 1)), _connector='OR'), name='risk_budget_share_is_a_share'), models.CheckConstraint(condition=models.Q(('effective_to__isnull', True), ('effective_to__gte', models.F('effective_from')), _connector='OR'), name='risk_budget_period_ordered'), django.contrib.postgres.constraints.ExclusionConstraint(expressions=[(risk.models.common.Period('effective_from', 'effective_to', django.contrib.postgres.fields.ranges.RangeBoundary()), '&&'), ('book', '=')], name='risk_budget_no_overlap')],
            },
        ),
        migrations.AddConstraint(
            model_name='risklimit',
            constraint=models.CheckConstraint(condition=models.Q(('metric__in', ['gross_exposure', 'net_exposure', 'net_exposure_frac', 'leverage', 'position_notional', 'open_positions', 'symbol_concentration_frac', 'venue_concentration_frac', 'var', 'var_frac', 'es', 'es_frac', 'daily_loss', 'daily_loss_frac', 'drawdown_frac', 'stop_loss_frac', 'cooldown_s', 'order_notional', 'order_notional_frac', 'participation_frac', 'order_rate', 'price_collar_frac'])), name='risk_limit_metric_known'),
        ),
        migrations.AddConstraint(
            model_name='risklimit',
            constraint=models.CheckConstraint(condition=models.Q(('action__in', ['alert', 'reduce', 'halt', 'flatten'])), name='risk_limit_action_known'),
        ),
        migrations.AddConstraint(
            model_name='risklimit',
            constraint=models.CheckConstraint(condition=models.Q(('soft__isnull', False), ('hard__isnull', False), _connector='OR'), name='risk_limit_has_level'),
        ),
        migrations.AddConstraint(
            model_name='risklimit',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('soft__isnull', True), models.Q(('soft__gte', 0), ('soft__lt', 100000000000000000000)), _connector='OR'), models.Q(('hard__isnull', True), models.Q(('hard__gte', 0), ('hard__lt', 100000000000000000000)), _connector='OR')), name='risk_limit_levels_are_numbers'),
        ),
        migrations.AddConstraint(
            model_name='risklimit',
            constraint=models.CheckConstraint(condition=models.Q(('soft__isnull', True), ('hard__isnull', True), models.Q(('metric__in', ['cooldown_s']), ('soft__gte', models.F('hard'))), models.Q(models.Q(('metric__in', ['cooldown_s']), _negated=True), ('soft__lte', models.F('hard'))), _connector='OR'), name='risk_limit_soft_before_hard'),
        ),
        migrations.AddConstraint(
            model_name='risklimit',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('symbol', ''), ('metric__in', ['order_notional', 'order_notional_frac', 'participation_frac', 'position_notional', 'price_collar_frac', 'stop_loss_frac', 'symbol_concentration_frac']), _connector='OR'), models.Q(('venue', ''), ('metric__in', ['order_notional', 'order_notional_frac', 'participation_frac', 'price_collar_frac', 'venue_concentration_frac']), _connector='OR')), name='risk_limit_scope_fits'),
        ),
        migrations.AddConstraint(
            model_name='risklimit',
            constraint=models.CheckConstraint(condition=models.Q(('effective_to__isnull', True), ('effective_to__gte', models.F('effective_from')), _connector='OR'), name='risk_limit_period_ordered'),
        ),
        migrations.AddConstraint(
            model_name='risklimit',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(expressions=[(risk.models.common.Period('effective_from', 'effective_to', django.contrib.postgres.fields.ranges.RangeBoundary()), '&&'), ('book', '='), ('metric', '='), ('symbol', '='), ('venue', '=')], name='risk_limit_no_overlap'),
        ),
        migrations.AddConstraint(
            model_name='limitbreach',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'closed'), _negated=True), fields=('limit', 'book'), name='risk_breach_one_open'),
        ),
        migrations.AddConstraint(
            model_name='limitbreach',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('closed_at__isnull', False), ('status', 'closed')), models.Q(models.Q(('status', 'closed'), _negated=True), ('closed_at__isnull', True)), _connector='OR'), name='risk_breach_closed_has_end'),
        ),
        migrations.AddConstraint(
            model_name='limitbreach',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'acknowledged'), _negated=True), ('acknowledged_by__isnull', False), _connector='OR'), name='risk_breach_acknowledged_by_someone'),
        ),
        migrations.AddIndex(
            model_name='risksnapshot',
            index=models.Index(fields=['book', '-at'], name='risk_snapshot_book_at'),
        ),
        migrations.AddIndex(
            model_name='stressresult',
            index=models.Index(fields=['book', '-at'], name='risk_stress_book_at'),
        ),
    ]
