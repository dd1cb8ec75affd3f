"""A record of every backtest and sweep: nobody changes or removes it, the schema's owner included."""

import django.contrib.postgres.fields
import django.db.models.deletion
import fundops.core.clock
from django.conf import settings
from django.db import migrations, models

FORWARD = (
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_trialset"
    " FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();"
)
BACKWARD = "DROP TRIGGER append_only ON trading_trialset;"


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0001_audit_stream'),
        ('trading', '0009_cohort_integrity'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='TrialSet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('content_hash', models.CharField(help_text='SHA-256 of all that decides the run.', max_length=64, unique=True)),
                ('kind', models.CharField(choices=[('backtest', 'Backtest'), ('sweep', 'Sweep')], max_length=8)),
                ('family', models.CharField(help_text='The strategy, name@version.', max_length=80)),
                ('profile', models.CharField(blank=True, max_length=64)),
                ('venue', models.CharField(max_length=40)),
                ('symbols', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), help_text='The markets it traded.', size=None)),
                ('interval', models.CharField(max_length=8)),
                ('start', models.DateTimeField(help_text='Opening of the first bar.')),
                ('end', models.DateTimeField(help_text='Close of the last bar.')),
                ('sets', models.PositiveIntegerField(help_text='Distinct genomes: each is a trial.')),
                ('genomes', models.BinaryField(help_text="The first 16 bytes of each genome's SHA-256, sorted.")),
                ('costs', models.CharField(help_text='Cost profile.', max_length=64)),
                ('leverage', models.FloatField()),
                ('synthetic', models.BooleanField()),
                ('data_sha256', models.CharField(max_length=64)),
                ('measured', models.PositiveIntegerField(help_text='Trials that moved long enough for a Sharpe ratio.')),
                ('hours', models.FloatField(help_text='Length of the returns behind each ratio.')),
                ('sharpe_best', models.FloatField(help_text='Sharpe ratios are per hour, after costs.', null=True)),
                ('sharpe_mean', models.FloatField(null=True)),
                ('sharpe_variance', models.FloatField(help_text='Across the trials, ddof 1.', null=True)),
                ('at', models.DateTimeField(default=fundops.core.clock.now)),
                ('run_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ('-at', '-pk'),
                'permissions': (('run_trials', 'Can run backtests and sweeps'),),
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['venue', 'start', 'end'], name='trading_tri_venue_3320ef_idx')],
                'constraints': [models.CheckConstraint(condition=models.Q(('kind__in', ['backtest', 'sweep'])), name='trial_set_kind_known'), models.CheckConstraint(condition=models.Q(('sets__gte', 1)), name='trial_set_has_a_trial'), models.CheckConstraint(condition=models.Q(('symbols__len__gte', 1)), name='trial_set_has_a_market'), models.CheckConstraint(condition=models.Q(('end__gt', models.F('start'))), name='trial_set_has_a_window'), models.CheckConstraint(condition=models.Q(('measured__lte', models.F('sets'))), name='trial_set_measured_of_them')],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
