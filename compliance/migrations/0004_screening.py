from pathlib import Path

import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models


RULES = (Path(__file__).parent / 'sql' / 'screening_rules.sql').read_text()
UNDO = '''
DROP FUNCTION compliance_check_restriction() CASCADE;
DROP FUNCTION compliance_check_screening_policy() CASCADE;
DROP FUNCTION compliance_check_flag() CASCADE;
DROP TRIGGER append_only ON compliance_screeningpolicy;
'''


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0003_people_rules'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='HistoricalRestrictedInstrument',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('symbol', models.CharField(help_text='As the books and candles name it, for example BTC/USDT.', max_length=40)),
                ('venue', models.CharField(blank=True, default='', help_text='Empty: at every venue.', max_length=40)),
                ('level', models.CharField(choices=[('no_trading', 'No trading at all'), ('close_only', 'Positions may only be closed'), ('watch', 'Allowed, and reported')], max_length=12)),
                ('reason', models.CharField(max_length=400)),
                ('reference', models.CharField(blank=True, default='', help_text='Order, list or file it rests on.', max_length=120)),
                ('effective_from', models.DateTimeField()),
                ('lifted_at', models.DateTimeField(blank=True, null=True)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('lifted_by_request', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='compliance.approvalrequest')),
                ('restricted_by', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical restricted instrument',
                'verbose_name_plural': 'historical restricted instruments',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalScreeningFlag',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('key', models.CharField(db_index=True, help_text='What it is about; the same finding is kept once.', max_length=160)),
                ('rule', models.CharField(choices=[('restricted', 'Restricted instrument'), ('self_crossing', "Crossing the fund's own orders"), ('layering', 'Layering or spoofing'), ('momentum_ignition', 'Momentum ignition')], max_length=20)),
                ('severity', models.CharField(choices=[('note', 'Noted'), ('denied', 'Order denied')], max_length=8)),
                ('subject', models.CharField(help_text='Whose doing, in words.', max_length=200)),
                ('book_path', models.CharField(blank=True, default='', max_length=400)),
                ('symbol', models.CharField(blank=True, default='', max_length=40)),
                ('venue', models.CharField(blank=True, default='', max_length=40)),
                ('finding', models.CharField(max_length=400)),
                ('evidence', models.JSONField()),
                ('opened_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('open', 'Open'), ('cleared', 'Cleared'), ('escalated', 'Escalated')], default='open', max_length=10)),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('note', models.CharField(blank=True, default='', max_length=1000)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('decided_by', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical screening flag',
                'verbose_name_plural': 'historical screening flags',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='ScreeningPolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField(unique=True)),
                ('document', models.JSONField()),
                ('created_at', models.DateTimeField()),
                ('request', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='compliance.approvalrequest')),
            ],
            options={
                'permissions': [('propose_screening_policy', 'Can ask for other rules against prohibited tactics')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='RestrictedInstrument',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('symbol', models.CharField(help_text='As the books and candles name it, for example BTC/USDT.', max_length=40)),
                ('venue', models.CharField(blank=True, default='', help_text='Empty: at every venue.', max_length=40)),
                ('level', models.CharField(choices=[('no_trading', 'No trading at all'), ('close_only', 'Positions may only be closed'), ('watch', 'Allowed, and reported')], max_length=12)),
                ('reason', models.CharField(max_length=400)),
                ('reference', models.CharField(blank=True, default='', help_text='Order, list or file it rests on.', max_length=120)),
                ('effective_from', models.DateTimeField()),
                ('lifted_at', models.DateTimeField(blank=True, null=True)),
                ('lifted_by_request', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='compliance.approvalrequest')),
                ('restricted_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'permissions': [('restrict_instrument', 'Can put an instrument on the restricted list'), ('lift_restriction', 'Can ask for an instrument to be taken off the restricted list')],
                'default_permissions': ('view',),
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('symbol', ''), _negated=True), models.Q(('reason', ''), _negated=True)), name='compliance_restriction_said'), models.CheckConstraint(condition=models.Q(models.Q(('level', 'close_only'), _negated=True), ('venue', ''), _connector='OR'), name='compliance_close_only_everywhere'), models.CheckConstraint(condition=models.Q(models.Q(('lifted_at', None), ('lifted_by_request', None)), models.Q(('lifted_at__isnull', False), ('lifted_by_request__isnull', False)), _connector='OR'), name='compliance_lifted_by_request'), models.UniqueConstraint(condition=models.Q(('lifted_at', None)), fields=('symbol', 'venue', 'level'), name='compliance_one_restriction', violation_error_message='This instrument is on the list at this level already.')],
            },
        ),
        migrations.CreateModel(
            name='ScreeningFlag',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(help_text='What it is about; the same finding is kept once.', max_length=160, unique=True)),
                ('rule', models.CharField(choices=[('restricted', 'Restricted instrument'), ('self_crossing', "Crossing the fund's own orders"), ('layering', 'Layering or spoofing'), ('momentum_ignition', 'Momentum ignition')], max_length=20)),
                ('severity', models.CharField(choices=[('note', 'Noted'), ('denied', 'Order denied')], max_length=8)),
                ('subject', models.CharField(help_text='Whose doing, in words.', max_length=200)),
                ('book_path', models.CharField(blank=True, default='', max_length=400)),
                ('symbol', models.CharField(blank=True, default='', max_length=40)),
                ('venue', models.CharField(blank=True, default='', max_length=40)),
                ('finding', models.CharField(max_length=400)),
                ('evidence', models.JSONField()),
                ('opened_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('open', 'Open'), ('cleared', 'Cleared'), ('escalated', 'Escalated')], default='open', max_length=10)),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('note', models.CharField(blank=True, default='', max_length=1000)),
                ('decided_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'permissions': [('decide_flag', 'Can clear or escalate what screening found')],
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['state', '-opened_at'], name='compliance_flags_open')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('decided_at', None), ('decided_by', None), ('state', 'open')), models.Q(models.Q(('state', 'open'), _negated=True), ('decided_at__gte', models.F('opened_at')), models.Q(('note', ''), _negated=True)), _connector='OR'), name='compliance_flag_decided_with_note')],
            },
        ),
        migrations.RunSQL(RULES, UNDO),
    ]
