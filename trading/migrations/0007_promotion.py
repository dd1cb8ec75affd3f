from pathlib import Path

import django.db.models.deletion
import fundops.core.clock
import simple_history.models
from django.conf import settings
from django.db import migrations, models


RULES = (Path(__file__).resolve().parent / "sql" / "promotion_rules.sql").read_text()
UNDO = """
DROP FUNCTION trading_check_review() CASCADE;
DROP TRIGGER gate_guard ON trading_gatepolicyversion;
DROP TRIGGER append_only ON trading_gatepolicyversion;
DROP TRIGGER append_only ON trading_reviewstep;
DROP TRIGGER append_only ON trading_liverecord;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0005_evidence_files'),
        ('trading', '0006_deployments'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='GatePolicyVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField(unique=True)),
                ('document', models.JSONField()),
                ('created_at', models.DateTimeField(default=fundops.core.clock.now)),
                ('request', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='compliance.approvalrequest')),
            ],
            options={
                'permissions': [('propose_gate_policy', 'Can ask for other rules of the Day-3 gate')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='HistoricalPromotionReview',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('state', models.CharField(choices=[('compiled', 'Compiled'), ('screened', 'Screened'), ('awaiting_approval', 'Awaiting approval'), ('approved', 'Approved'), ('deployed', 'Deployed'), ('monitoring', 'Monitoring'), ('graduated', 'Graduated'), ('rolled_back', 'Rolled back'), ('rejected', 'Rejected'), ('expired', 'Expired')], default='compiled', max_length=20)),
                ('policy_version', models.PositiveIntegerField(help_text='0: the rules as shipped.')),
                ('evidence_sha256', models.CharField(max_length=64)),
                ('verdict', models.JSONField()),
                ('passed', models.BooleanField(help_text='What the gate said; people may have said otherwise.')),
                ('compiled_at', models.DateTimeField(default=fundops.core.clock.now)),
                ('override_reason', models.CharField(blank=True, default='', max_length=1000)),
                ('waits_for', models.CharField(blank=True, default='', help_text='What keeps it from going on.', max_length=400)),
                ('watch_until_ms', models.BigIntegerField(blank=True, help_text='End of the watch, in market time.', null=True)),
                ('end_cause', models.CharField(blank=True, default='', max_length=40)),
                ('end_words', models.CharField(blank=True, default='', max_length=1000)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('settled_at', models.DateTimeField(blank=True, help_text='Flat, and the bankroll is back.', null=True)),
                ('post_mortem', models.TextField(blank=True, default='', help_text='Markdown; a draft that people complete.')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('agent', models.ForeignKey(blank=True, db_constraint=False, help_text='The candidate; none when every agent was excluded.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='trading.cohortagent')),
                ('cohort', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='trading.cohort')),
                ('deployment', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='trading.deployment')),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('overridden_by', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('request', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='compliance.approvalrequest')),
            ],
            options={
                'verbose_name': 'historical promotion review',
                'verbose_name_plural': 'historical promotion reviews',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='PromotionReview',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('compiled', 'Compiled'), ('screened', 'Screened'), ('awaiting_approval', 'Awaiting approval'), ('approved', 'Approved'), ('deployed', 'Deployed'), ('monitoring', 'Monitoring'), ('graduated', 'Graduated'), ('rolled_back', 'Rolled back'), ('rejected', 'Rejected'), ('expired', 'Expired')], default='compiled', max_length=20)),
                ('policy_version', models.PositiveIntegerField(help_text='0: the rules as shipped.')),
                ('evidence', models.JSONField()),
                ('evidence_sha256', models.CharField(max_length=64)),
                ('verdict', models.JSONField()),
                ('passed', models.BooleanField(help_text='What the gate said; people may have said otherwise.')),
                ('compiled_at', models.DateTimeField(default=fundops.core.clock.now)),
                ('override_reason', models.CharField(blank=True, default='', max_length=1000)),
                ('waits_for', models.CharField(blank=True, default='', help_text='What keeps it from going on.', max_length=400)),
                ('watch_until_ms', models.BigIntegerField(blank=True, help_text='End of the watch, in market time.', null=True)),
                ('meters', models.JSONField(default=list, help_text='The rollback meters as last read.')),
                ('metered_at', models.DateTimeField(blank=True, null=True)),
                ('watched_since', models.DateTimeField(blank=True, help_text="Since when it is watched without a gap; silence before it is nobody's.", null=True)),
                ('end_cause', models.CharField(blank=True, default='', max_length=40)),
                ('end_words', models.CharField(blank=True, default='', max_length=1000)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('settled_at', models.DateTimeField(blank=True, help_text='Flat, and the bankroll is back.', null=True)),
                ('post_mortem', models.TextField(blank=True, default='', help_text='Markdown; a draft that people complete.')),
                ('agent', models.ForeignKey(help_text='The candidate; none when every agent was excluded.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='reviews', to='trading.cohortagent')),
                ('cohort', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='review', to='trading.cohort')),
                ('deployment', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='review', to='trading.deployment')),
                ('overridden_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('request', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='compliance.approvalrequest')),
            ],
            options={
                'ordering': ('-compiled_at', '-pk'),
                'permissions': [('promote', "Can ask for a candidate's promotion"), ('override_review', 'Can send a candidate on that the gate refused'), ('roll_back', 'Can roll a promotion back'), ('write_post_mortem', 'Can complete a post-mortem')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='ReviewStep',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=fundops.core.clock.now)),
                ('before', models.CharField(blank=True, max_length=20)),
                ('after', models.CharField(choices=[('compiled', 'Compiled'), ('screened', 'Screened'), ('awaiting_approval', 'Awaiting approval'), ('approved', 'Approved'), ('deployed', 'Deployed'), ('monitoring', 'Monitoring'), ('graduated', 'Graduated'), ('rolled_back', 'Rolled back'), ('rejected', 'Rejected'), ('expired', 'Expired')], max_length=20)),
                ('words', models.CharField(max_length=1000)),
                ('actor', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('review', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='steps', to='trading.promotionreview')),
            ],
            options={
                'ordering': ('pk',),
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='LiveRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('genome_hash', models.CharField(db_index=True, max_length=64)),
                ('family', models.CharField(db_index=True, max_length=64)),
                ('outcome', models.CharField(max_length=20)),
                ('cause', models.CharField(blank=True, max_length=40)),
                ('bankroll', models.DecimalField(decimal_places=2, max_digits=20)),
                ('profit', models.DecimalField(decimal_places=18, max_digits=38)),
                ('roi_frac', models.FloatField()),
                ('max_drawdown_frac', models.FloatField()),
                ('fills', models.PositiveIntegerField()),
                ('hours', models.PositiveIntegerField()),
                ('mean_hourly', models.FloatField(null=True)),
                ('sd_hourly', models.FloatField(null=True)),
                ('weight', models.FloatField(help_text="What this result leaves of a genome's weight: 1 is all.")),
                ('at', models.DateTimeField(default=fundops.core.clock.now)),
                ('deployment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='records', to='trading.deployment')),
            ],
            options={
                'ordering': ('-at', '-pk'),
                'default_permissions': ('view',),
                'constraints': [models.CheckConstraint(condition=models.Q(('weight__gte', 0), ('weight__lte', 1)), name='live_record_weight'), models.UniqueConstraint(fields=('deployment', 'outcome'), name='live_record_once')],
            },
        ),
        migrations.AddIndex(
            model_name='promotionreview',
            index=models.Index(fields=['state'], name='trading_pro_state_343b81_idx'),
        ),
        migrations.AddConstraint(
            model_name='promotionreview',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['compiled', 'screened', 'awaiting_approval', 'approved', 'deployed', 'monitoring', 'graduated', 'rolled_back', 'rejected', 'expired'])), name='review_state_known'),
        ),
        migrations.AddConstraint(
            model_name='promotionreview',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['deployed', 'monitoring', 'graduated', 'rolled_back']), _negated=True), ('deployment__isnull', False), _connector='OR'), name='review_deployed_has_deployment'),
        ),
        migrations.AddConstraint(
            model_name='promotionreview',
            constraint=models.CheckConstraint(condition=models.Q(('overridden_by', None), models.Q(('override_reason', ''), _negated=True), _connector='OR'), name='review_override_has_reason'),
        ),
        migrations.RunSQL([RULES], [UNDO]),
    ]
