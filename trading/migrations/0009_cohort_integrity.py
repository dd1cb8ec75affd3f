"""What was launched and what a closed day measured stay; the feed's bookmarks; what a run waits for."""

from pathlib import Path

from django.conf import settings
from django.db import migrations, models

SQL = Path(__file__).resolve().parent / "sql"
RULES = (SQL / "cohort_integrity.sql").read_text()
UNDO = (SQL / "drop_cohort_integrity.sql").read_text()


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0001_audit_stream'),
        ('trading', '0008_tactics'),
        ('treasury', '0004_bankroll_pool'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='CandleFeed',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('venue', models.CharField(max_length=40)),
                ('symbol', models.CharField(max_length=40)),
                ('interval_ms', models.PositiveBigIntegerField()),
                ('answered_until', models.DateTimeField(help_text='The venue was asked for every bar that opens before this and gave what it has.', null=True)),
                ('asked_at', models.DateTimeField(help_text='When it was last asked, whatever came of it.')),
                ('failing_since', models.DateTimeField(help_text='The first of the failures without an answer since.', null=True)),
                ('failure', models.CharField(blank=True, max_length=400)),
            ],
            options={
                'ordering': ('venue', 'symbol', 'interval_ms'),
                'default_permissions': ('view',),
            },
        ),
        migrations.AlterModelOptions(
            name='cohort',
            options={'ordering': ('-launched_at', '-pk'), 'permissions': (('launch_cohort', 'Can launch a cohort'), ('cancel_cohort', 'Can cancel a cohort'), ('resume_cohort', 'Can resume a failed cohort'))},
        ),
        migrations.AddField(
            model_name='cohort',
            name='waiting_for',
            field=models.TextField(blank=True, editable=False, help_text='What its run waits for and tries again, in words; empty while it goes.'),
        ),
        migrations.AddConstraint(
            model_name='agentday',
            constraint=models.CheckConstraint(condition=models.Q(('day__gte', 1)), name='agent_day_from_1'),
        ),
        migrations.AddConstraint(
            model_name='cohort',
            constraint=models.CheckConstraint(condition=models.Q(('days__lte', 366)), name='cohort_at_most_a_year'),
        ),
        migrations.AddConstraint(
            model_name='cohort',
            constraint=models.CheckConstraint(condition=models.Q(('symbols__len__gte', 1)), name='cohort_has_a_market'),
        ),
        migrations.AddConstraint(
            model_name='cohort',
            constraint=models.CheckConstraint(condition=models.Q(('speed__gt', 0)), name='cohort_speed_positive'),
        ),
        migrations.AddConstraint(
            model_name='cohort',
            constraint=models.CheckConstraint(condition=models.Q(('gross_ceiling__gt', 0), ('leverage_ceiling__gt', 0), ('market_cap_frac__gt', 0), ('net_ceiling__gt', 0)), name='cohort_ceilings_positive'),
        ),
        migrations.AddConstraint(
            model_name='cohort',
            constraint=models.CheckConstraint(condition=models.Q(('net_ceiling__lte', models.F('gross_ceiling'))), name='cohort_net_within_gross'),
        ),
        migrations.AddConstraint(
            model_name='cohort',
            constraint=models.CheckConstraint(condition=models.Q(('mode__in', ['replay', 'forward'])), name='cohort_mode_known'),
        ),
        migrations.AddConstraint(
            model_name='cohort',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['queued', 'running', 'cancelling', 'cancelled', 'completed', 'failed'])), name='cohort_status_known'),
        ),
        migrations.AddConstraint(
            model_name='cohort',
            constraint=models.CheckConstraint(condition=models.Q(('allocation__in', ['equal', 'risk_weighted'])), name='cohort_allocation_known'),
        ),
        migrations.AddConstraint(
            model_name='cohort',
            constraint=models.CheckConstraint(condition=models.Q(('genome_source__in', ['profiles', 'random', 'best'])), name='cohort_genome_source_known'),
        ),
        migrations.AddConstraint(
            model_name='cohortagent',
            constraint=models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='cohort_agent_number_from_1'),
        ),
        migrations.AddConstraint(
            model_name='cohortagent',
            constraint=models.CheckConstraint(condition=models.Q(('draw__gt', 0)), name='cohort_agent_draw_positive'),
        ),
        migrations.AddConstraint(
            model_name='cohortday',
            constraint=models.CheckConstraint(condition=models.Q(('day__gte', 1)), name='cohort_day_from_1'),
        ),
        migrations.AddConstraint(
            model_name='candlefeed',
            constraint=models.UniqueConstraint(fields=('venue', 'symbol', 'interval_ms'), name='candle_feed_unique'),
        ),
        migrations.RunSQL([RULES], [UNDO]),
    ]
