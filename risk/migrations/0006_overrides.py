"""Overrides of guardrails, their policy and their ends."""

from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

RULES = (Path(__file__).parent / 'sql' / 'override_rules.sql').read_text()
UNDO = '''
DROP FUNCTION risk_check_override_end CASCADE;
DROP FUNCTION risk_check_override CASCADE;
DROP FUNCTION risk_check_override_policy CASCADE;
DROP TRIGGER append_only ON risk_overridepolicy;
DROP TRIGGER append_only ON risk_guardrailoverride;
DROP TRIGGER append_only ON risk_overrideend;
'''


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0002_approvals'),
        ('risk', '0005_leverage'),
        ('treasury', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='GuardrailOverride',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('metric', models.CharField(blank=True, choices=[('gross_exposure', 'Gross exposure'), ('net_exposure', 'Net exposure'), ('net_exposure_frac', 'Net exposure over equity'), ('leverage', 'Leverage'), ('position_notional', 'Notional of a position'), ('open_positions', 'Open positions'), ('symbol_concentration_frac', 'Concentration in a symbol'), ('venue_concentration_frac', 'Concentration at a venue'), ('var', 'Value at risk'), ('var_frac', 'Value at risk over equity'), ('es', 'Expected shortfall'), ('es_frac', 'Expected shortfall over equity'), ('daily_loss', 'Loss of the day'), ('daily_loss_frac', "Loss of the day over the day's opening equity"), ('drawdown_frac', 'Drawdown from the peak'), ('stop_loss_frac', 'Loss of a position over its cost'), ('cooldown_s', 'Seconds since the last loss'), ('order_notional', 'Notional of an order'), ('order_notional_frac', 'Notional of an order over equity'), ('participation_frac', "Share of the market's volume"), ('order_rate', 'Orders in the last minute'), ('price_collar_frac', 'Distance of the price from the market')], max_length=32)),
                ('symbol', models.CharField(blank=True, max_length=40)),
                ('venue', models.CharField(blank=True, max_length=40)),
                ('level', models.DecimalField(blank=True, decimal_places=18, help_text='The hard level while it is in force.', max_digits=38, null=True)),
                ('trigger', models.CharField(blank=True, help_text='The cause that trips no switch meanwhile.', max_length=40)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField(help_text='It is over at this instant, whatever else happens.')),
                ('reason', models.CharField(max_length=400)),
                ('created_at', models.DateTimeField()),
                ('book', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='guardrail_overrides', to='treasury.book')),
                ('limit', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='overrides', to='risk.risklimit')),
                ('request', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='guardrail_override', to='compliance.approvalrequest')),
            ],
            options={
                'ordering': ('-starts_at', '-pk'),
                'permissions': [('override_guardrail', 'Can ask for the override of a guardrail'), ('end_override', 'Can end an override of a guardrail early')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='OverrideEnd',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('cause', models.CharField(choices=[('expired', 'Its time was over'), ('ended', 'Ended early')], max_length=8)),
                ('reason', models.CharField(blank=True, max_length=400)),
                ('by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('override', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='end', to='risk.guardrailoverride')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='OverridePolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField(unique=True)),
                ('document', models.JSONField(help_text='The rules, as risk.overrides.OverrideRules reads them.')),
                ('sha256', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField()),
                ('request', models.OneToOneField(help_text='The approved request that made it.', on_delete=django.db.models.deletion.PROTECT, related_name='override_policy_made', to='compliance.approvalrequest')),
            ],
            options={
                'ordering': ('-version',),
                'permissions': [('set_override_policy', 'Can propose a policy for overrides')],
                'default_permissions': ('view',),
            },
        ),
        migrations.AddField(
            model_name='guardrailoverride',
            name='policy',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='overrides', to='risk.overridepolicy'),
        ),
        migrations.AddConstraint(
            model_name='overrideend',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('by__isnull', True), ('cause', 'expired')), models.Q(('by__isnull', False), ('cause', 'ended')), _connector='OR'), name='risk_override_ended_by_someone'),
        ),
        migrations.AddConstraint(
            model_name='overridepolicy',
            constraint=models.CheckConstraint(condition=models.Q(('version__gte', 1)), name='risk_override_policy_from_one'),
        ),
        migrations.AddIndex(
            model_name='guardrailoverride',
            index=models.Index(fields=['ends_at', 'starts_at'], name='risk_override_ends'),
        ),
        migrations.AddConstraint(
            model_name='guardrailoverride',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at'))), name='risk_override_has_an_end'),
        ),
        migrations.AddConstraint(
            model_name='guardrailoverride',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('level__isnull', False), ('limit__isnull', False), ('trigger', ''), models.Q(('metric', ''), _negated=True)), models.Q(('level__isnull', True), ('limit__isnull', True), ('metric', ''), ('symbol', ''), ('venue', ''), models.Q(('trigger', ''), _negated=True)), _connector='OR'), name='risk_override_limit_or_trigger'),
        ),
        migrations.AddConstraint(
            model_name='guardrailoverride',
            constraint=models.CheckConstraint(condition=models.Q(('level__isnull', True), models.Q(('level__gte', 0), ('level__lt', 100000000000000000000)), _connector='OR'), name='risk_override_level_is_a_number'),
        ),
        migrations.RunSQL(RULES, UNDO),
    ]
