"""Leverage policies and the decisions made by them."""

from decimal import Decimal
from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

RULES = (Path(__file__).parent / 'sql' / 'leverage_rules.sql').read_text()
UNDO = '''
DROP FUNCTION risk_check_leverage_decision CASCADE;
DROP FUNCTION risk_check_leverage_policy CASCADE;
DROP TRIGGER append_only ON risk_leveragepolicy;
DROP TRIGGER append_only ON risk_leveragedecision;
'''


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0002_approvals'),
        ('risk', '0004_kill_switch'),
        ('treasury', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='LeveragePolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField(unique=True)),
                ('document', models.JSONField(help_text='The rules, as risk.quant.leverage.LeverageRules reads them.')),
                ('sha256', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField()),
                ('request', models.OneToOneField(help_text='The approved request that made it.', on_delete=django.db.models.deletion.PROTECT, related_name='leverage_policy_made', to='compliance.approvalrequest')),
            ],
            options={
                'ordering': ('-version',),
                'permissions': [('set_leverage_policy', 'Can propose a leverage policy')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='LeverageDecision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField(help_text='Counted by Book, from 1.')),
                ('at', models.DateTimeField()),
                ('rule', models.CharField(choices=[('start', 'Start'), ('step_up', 'Step up'), ('step_down', 'Step down'), ('cap', 'Down to the cap'), ('hold', 'Hold'), ('by_hand', 'Lowered by hand')], max_length=12)),
                ('from_leverage', models.DecimalField(decimal_places=2, help_text='Empty at the start.', max_digits=6, null=True)),
                ('to_leverage', models.DecimalField(decimal_places=2, max_digits=6)),
                ('changed', models.BooleanField(help_text='Whether the leverage is another one than before.')),
                ('sample_size', models.PositiveIntegerField(help_text='Known returns that were judged.')),
                ('sharpe', models.FloatField(help_text='Annualised; null where it is not known.', null=True)),
                ('drawdown_frac', models.FloatField(help_text='The deepest of the window; null where not known.', null=True)),
                ('through', models.DateTimeField(help_text='The end of the last whole observation.', null=True)),
                ('reason', models.CharField(max_length=1000)),
                ('inputs', models.JSONField(default=dict, help_text='The figures it rests on, the returns included.')),
                ('conditions', models.JSONField(default=list, help_text='What a step up wants, each with where it stood.')),
                ('triggers', models.JSONField(default=list, help_text='What lowers, each with where it stood.')),
                ('answered', models.JSONField(default=dict, help_text='Rules that have lowered it, and since when they are spent.')),
                ('actor', models.ForeignKey(help_text='Empty: the policy itself.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('book', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='leverage_decisions', to='treasury.book')),
                ('policy', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='risk.leveragepolicy')),
            ],
            options={
                'ordering': ('-at', '-pk'),
                'permissions': [('lower_leverage', "Can lower a book's leverage at once")],
                'default_permissions': ('view',),
            },
        ),
        migrations.AddConstraint(
            model_name='leveragepolicy',
            constraint=models.CheckConstraint(condition=models.Q(('version__gte', 1)), name='risk_leverage_policy_from_one'),
        ),
        migrations.AddIndex(
            model_name='leveragedecision',
            index=models.Index(fields=['book', '-at'], name='risk_leverage_book_at'),
        ),
        migrations.AddConstraint(
            model_name='leveragedecision',
            constraint=models.UniqueConstraint(fields=('book', 'number'), name='risk_leverage_one_a_number'),
        ),
        migrations.AddConstraint(
            model_name='leveragedecision',
            constraint=models.CheckConstraint(condition=models.Q(('to_leverage__gt', 0), ('to_leverage__lte', Decimal('10'))), name='risk_leverage_within_all_caps'),
        ),
        migrations.AddConstraint(
            model_name='leveragedecision',
            constraint=models.CheckConstraint(condition=models.Q(('rule__in', ['start', 'step_up', 'step_down', 'cap', 'hold', 'by_hand'])), name='risk_leverage_rule_known'),
        ),
        migrations.AddConstraint(
            model_name='leveragedecision',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('from_leverage__isnull', True), ('number', 1), ('rule', 'start')), models.Q(models.Q(('rule', 'start'), _negated=True), ('from_leverage__isnull', False), ('number__gt', 1)), _connector='OR'), name='risk_leverage_start_comes_from_nothing'),
        ),
        migrations.RunSQL(RULES, UNDO),
    ]
