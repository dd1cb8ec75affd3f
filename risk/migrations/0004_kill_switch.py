"""The kill switch: switches, their history, triggers, signs of life, and the rules that guard them."""

from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

RULES = (Path(__file__).parent / "sql" / "switch_rules.sql").read_text()
UNDO = """
DROP TRIGGER raise_board ON risk_limitbreach;
DROP TRIGGER raise_board_on_change ON risk_limitbreach;
DROP FUNCTION risk_check_switch, risk_raise_board, risk_check_board, risk_keep_switch_change, risk_check_switch_change,
    risk_check_trigger_policy, risk_switch_severity CASCADE;
"""
# From here on a scenario past its tolerance reduces the Book. The two that a fund cannot help (all its money at one venue,
# all of it in USDT) get what ships with that rule, where nobody has set them otherwise.
TOLERANCES = """
UPDATE risk_stressscenario SET max_loss_frac = 0.85 WHERE code = 'largest-venue-lost' AND max_loss_frac = 0.5;
UPDATE risk_stressscenario SET max_loss_frac = 0.12 WHERE code = 'usdt-depeg-10' AND max_loss_frac = 0.1;
"""


class Migration(migrations.Migration):

    dependencies = [
        ("risk", "0003_breach_actions"),
        ("compliance", "0002_approvals"),
        ("treasury", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='KillSwitch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('venue', models.CharField(blank=True, max_length=40)),
                ('mode', models.CharField(choices=[('ACTIVE', 'Active'), ('REDUCING', 'Reducing: only closing orders'), ('HALTED', 'Halted: no orders')], max_length=8)),
                ('cause', models.CharField(choices=[('person', 'A person'), ('console', "The machine's console"), ('drawdown', 'Drawdown'), ('daily_loss', 'Daily loss'), ('heartbeat', 'Missed heartbeat'), ('stale_data', 'Stale market data'), ('reconciliation', 'Reconciliation break'), ('error_burst', 'Error burst'), ('stress', 'Stress breach'), ('restored', 'Restored by approval')], max_length=16)),
                ('reason', models.CharField(max_length=400)),
                ('detail', models.JSONField(default=dict)),
                ('changed_at', models.DateTimeField()),
                ('version', models.PositiveIntegerField(default=1)),
                ('book', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='kill_switches', to='treasury.book')),
                ('changed_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('request', models.ForeignKey(blank=True, help_text='The approved request that loosened it; empty for a stop.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='compliance.approvalrequest')),
            ],
            options={
                'ordering': ('book__path', 'venue'),
                'permissions': [('stop_trading', 'Can stop trading, and bring nothing back'), ('propose_restore', 'Can ask for trading to be restored')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='RiskSignal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('heartbeat', 'Heartbeat'), ('market_data', 'Market data'), ('reconciliation', 'Reconciliation')], max_length=16)),
                ('source', models.CharField(help_text='Who speaks: a desk, a feed, a reconciliation.', max_length=80)),
                ('venue', models.CharField(blank=True, max_length=40)),
                ('at', models.DateTimeField(help_text='Of the heartbeat, of the newest data, of the count of breaks.')),
                ('value', models.FloatField(blank=True, help_text='Open breaks; empty for the others.', null=True)),
                ('book', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='risk_signals', to='treasury.book')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='SwitchBoard',
            fields=[
                ('id', models.SmallIntegerField(primary_key=True, serialize=False)),
                ('version', models.BigIntegerField()),
                ('changed_xid', models.BigIntegerField()),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='risk_switchboard_one_row')],
            },
        ),
        migrations.CreateModel(
            name='SwitchChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField()),
                ('mode_before', models.CharField(choices=[('ACTIVE', 'Active'), ('REDUCING', 'Reducing: only closing orders'), ('HALTED', 'Halted: no orders')], max_length=8)),
                ('mode', models.CharField(choices=[('ACTIVE', 'Active'), ('REDUCING', 'Reducing: only closing orders'), ('HALTED', 'Halted: no orders')], max_length=8)),
                ('cause', models.CharField(choices=[('person', 'A person'), ('console', "The machine's console"), ('drawdown', 'Drawdown'), ('daily_loss', 'Daily loss'), ('heartbeat', 'Missed heartbeat'), ('stale_data', 'Stale market data'), ('reconciliation', 'Reconciliation break'), ('error_burst', 'Error burst'), ('stress', 'Stress breach'), ('restored', 'Restored by approval')], max_length=16)),
                ('reason', models.CharField(max_length=400)),
                ('detail', models.JSONField(default=dict)),
                ('changed_at', models.DateTimeField()),
                ('changed_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('request', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='compliance.approvalrequest')),
                ('switch', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='changes', to='risk.killswitch')),
            ],
            options={
                'ordering': ('-changed_at', '-pk'),
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='TriggerPolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('cause', models.CharField(choices=[('drawdown', 'Drawdown'), ('daily_loss', 'Daily loss'), ('heartbeat', 'Missed heartbeat'), ('stale_data', 'Stale market data'), ('reconciliation', 'Reconciliation break'), ('error_burst', 'Error burst'), ('stress', 'Stress breach')], max_length=16)),
                ('version', models.PositiveIntegerField()),
                ('threshold', models.DecimalField(decimal_places=8, help_text='In the unit of the cause.', max_digits=20)),
                ('window_s', models.PositiveIntegerField(blank=True, help_text='Seconds looked back, where one counts.', null=True)),
                ('mode', models.CharField(choices=[('ACTIVE', 'Active'), ('REDUCING', 'Reducing: only closing orders'), ('HALTED', 'Halted: no orders')], max_length=8)),
                ('enabled', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField()),
                ('book', models.ForeignKey(blank=True, help_text='Empty: the rule where a Book has none of its own.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='trigger_policies', to='treasury.book')),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='compliance.approvalrequest')),
            ],
            options={
                'ordering': ('cause', 'book__path', '-version'),
                'permissions': [('set_trigger_policy', 'Can ask for another trigger policy')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='ErrorReport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(max_length=80)),
                ('venue', models.CharField(blank=True, max_length=40)),
                ('at', models.DateTimeField()),
                ('count', models.PositiveIntegerField(default=1)),
                ('detail', models.CharField(blank=True, max_length=240)),
                ('book', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='treasury.book')),
            ],
            options={
                'default_permissions': (),
                'indexes': [models.Index(fields=['at'], name='risk_error_at')],
            },
        ),
        migrations.AddConstraint(
            model_name='killswitch',
            constraint=models.UniqueConstraint(fields=('book', 'venue'), name='risk_switch_one_a_scope', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='killswitch',
            constraint=models.CheckConstraint(condition=models.Q(('mode__in', ['ACTIVE', 'REDUCING', 'HALTED'])), name='risk_switch_mode_known'),
        ),
        migrations.AddConstraint(
            model_name='killswitch',
            constraint=models.CheckConstraint(condition=models.Q(('cause__in', ['person', 'console', 'drawdown', 'daily_loss', 'heartbeat', 'stale_data', 'reconciliation', 'error_burst', 'stress', 'restored'])), name='risk_switch_cause_known'),
        ),
        migrations.AddConstraint(
            model_name='killswitch',
            constraint=models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='risk_switch_has_reason'),
        ),
        migrations.AddConstraint(
            model_name='killswitch',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('cause', 'person'), _negated=True), ('changed_by__isnull', False), _connector='OR'), name='risk_switch_person_named'),
        ),
        migrations.AddConstraint(
            model_name='killswitch',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('cause', 'restored'), ('request__isnull', False)), models.Q(models.Q(('cause', 'restored'), _negated=True), ('request__isnull', True)), _connector='OR'), name='risk_switch_restored_by_request'),
        ),
        migrations.AddConstraint(
            model_name='risksignal',
            constraint=models.UniqueConstraint(fields=('kind', 'source', 'book', 'venue'), name='risk_signal_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='risksignal',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['heartbeat', 'market_data', 'reconciliation'])), name='risk_signal_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='switchchange',
            constraint=models.UniqueConstraint(fields=('switch', 'version'), name='risk_switchchange_version_once'),
        ),
        migrations.AddConstraint(
            model_name='triggerpolicy',
            constraint=models.UniqueConstraint(fields=('cause', 'book', 'version'), name='risk_trigger_version_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='triggerpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('cause__in', ['drawdown', 'daily_loss', 'heartbeat', 'stale_data', 'reconciliation', 'error_burst', 'stress'])), name='risk_trigger_cause_known'),
        ),
        migrations.AddConstraint(
            model_name='triggerpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('threshold__gte', 0)), name='risk_trigger_threshold_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='triggerpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('mode__in', ['REDUCING', 'HALTED'])), name='risk_trigger_stops'),
        ),
        migrations.RunSQL(RULES, UNDO),
        migrations.RunSQL(TOLERANCES, migrations.RunSQL.noop),
    ]
