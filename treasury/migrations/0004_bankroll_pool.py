from pathlib import Path

import django.core.validators
import django.db.models.deletion
import fundops.core.clock
import simple_history.models
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models


RULES = (Path(__file__).resolve().parent.parent / "sql" / "bankroll.sql").read_text()
UNDO = """
DROP FUNCTION treasury_check_slice() CASCADE;
DROP TRIGGER gate_guard ON treasury_bankrollpool;
CREATE OR REPLACE FUNCTION public.treasury_is_home(own bigint, own_path text, home bigint, home_path text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT starts_with(own_path, home_path || '/') $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('treasury', '0003_gate_guards'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='BankrollPool',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('capacity', models.DecimalField(decimal_places=2, help_text='What the pool is, handed out or not.', max_digits=20)),
                ('slice_frac', models.DecimalField(decimal_places=4, default=Decimal('0.05'), help_text="A slice, of the pool's capacity.", max_digits=6, validators=[django.core.validators.MinValueValidator(Decimal('0.0001')), django.core.validators.MaxValueValidator(Decimal('1'))])),
                ('slice_minimum', models.DecimalField(decimal_places=2, default=Decimal('50'), help_text='No slice is smaller.', max_digits=20)),
                ('source_cap_frac', models.DecimalField(decimal_places=4, default=Decimal('0.25'), help_text='All slices of one source (a cohort) together, of the capacity.', max_digits=6, validators=[django.core.validators.MinValueValidator(Decimal('0.0001')), django.core.validators.MaxValueValidator(Decimal('1'))])),
                ('market_cap_frac', models.DecimalField(decimal_places=4, default=Decimal('0.50'), help_text='Exposure in one market over all slices, of the capacity.', max_digits=6, validators=[django.core.validators.MinValueValidator(Decimal('0.0001')), django.core.validators.MaxValueValidator(Decimal('1'))])),
                ('created_at', models.DateTimeField(default=fundops.core.clock.now)),
                ('asset', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='treasury.asset')),
                ('book', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='pool', to='treasury.book')),
                ('fund', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='pools', to='treasury.fund')),
            ],
            options={
                'permissions': [('set_pool', 'Can ask for bankroll pools to be set up and resized')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='BankrollSlice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(help_text='What it came out of, for the cap: cohort:12.', max_length=80)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=20)),
                ('target', models.DecimalField(decimal_places=2, max_digits=20)),
                ('leverage', models.DecimalField(decimal_places=3, help_text='Exposure is amount times this.', max_digits=6)),
                ('markets', models.JSONField(help_text='Symbols it may hold; each counts with the whole exposure.')),
                ('most_frac', models.DecimalField(decimal_places=6, default=Decimal('1'), help_text='It grows to no more than this share of the pool, whatever its rule says.', max_digits=7, validators=[django.core.validators.MinValueValidator(Decimal('0')), django.core.validators.MaxValueValidator(Decimal('1'))])),
                ('taken_at', models.DateTimeField(default=fundops.core.clock.now)),
                ('released_at', models.DateTimeField(blank=True, null=True)),
                ('book', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='slice', to='treasury.book')),
                ('pool', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='slices', to='treasury.bankrollpool')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='HistoricalBankrollPool',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('capacity', models.DecimalField(decimal_places=2, help_text='What the pool is, handed out or not.', max_digits=20)),
                ('slice_frac', models.DecimalField(decimal_places=4, default=Decimal('0.05'), help_text="A slice, of the pool's capacity.", max_digits=6, validators=[django.core.validators.MinValueValidator(Decimal('0.0001')), django.core.validators.MaxValueValidator(Decimal('1'))])),
                ('slice_minimum', models.DecimalField(decimal_places=2, default=Decimal('50'), help_text='No slice is smaller.', max_digits=20)),
                ('source_cap_frac', models.DecimalField(decimal_places=4, default=Decimal('0.25'), help_text='All slices of one source (a cohort) together, of the capacity.', max_digits=6, validators=[django.core.validators.MinValueValidator(Decimal('0.0001')), django.core.validators.MaxValueValidator(Decimal('1'))])),
                ('market_cap_frac', models.DecimalField(decimal_places=4, default=Decimal('0.50'), help_text='Exposure in one market over all slices, of the capacity.', max_digits=6, validators=[django.core.validators.MinValueValidator(Decimal('0.0001')), django.core.validators.MaxValueValidator(Decimal('1'))])),
                ('created_at', models.DateTimeField(default=fundops.core.clock.now)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('asset', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='treasury.asset')),
                ('book', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='treasury.book')),
                ('fund', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='treasury.fund')),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical bankroll pool',
                'verbose_name_plural': 'historical bankroll pools',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalBankrollSlice',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('source', models.CharField(help_text='What it came out of, for the cap: cohort:12.', max_length=80)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=20)),
                ('target', models.DecimalField(decimal_places=2, max_digits=20)),
                ('leverage', models.DecimalField(decimal_places=3, help_text='Exposure is amount times this.', max_digits=6)),
                ('markets', models.JSONField(help_text='Symbols it may hold; each counts with the whole exposure.')),
                ('most_frac', models.DecimalField(decimal_places=6, default=Decimal('1'), help_text='It grows to no more than this share of the pool, whatever its rule says.', max_digits=7, validators=[django.core.validators.MinValueValidator(Decimal('0')), django.core.validators.MaxValueValidator(Decimal('1'))])),
                ('taken_at', models.DateTimeField(default=fundops.core.clock.now)),
                ('released_at', models.DateTimeField(blank=True, null=True)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('book', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='treasury.book')),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('pool', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='treasury.bankrollpool')),
            ],
            options={
                'verbose_name': 'historical bankroll slice',
                'verbose_name_plural': 'historical bankroll slices',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.AddConstraint(
            model_name='bankrollpool',
            constraint=models.UniqueConstraint(fields=('fund', 'asset'), name='treasury_one_pool'),
        ),
        migrations.AddConstraint(
            model_name='bankrollpool',
            constraint=models.CheckConstraint(condition=models.Q(('capacity__gte', 0)), name='treasury_pool_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='bankrollpool',
            constraint=models.CheckConstraint(condition=models.Q(('slice_minimum__gt', 0)), name='treasury_slice_minimum_positive'),
        ),
        migrations.AddIndex(
            model_name='bankrollslice',
            index=models.Index(condition=models.Q(('released_at', None)), fields=['pool'], name='treasury_slices_open'),
        ),
        migrations.AddConstraint(
            model_name='bankrollslice',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0), ('leverage__gt', 0), ('target__gte', 0)), name='treasury_slice_positive'),
        ),
        migrations.AddConstraint(
            model_name='bankrollslice',
            constraint=models.CheckConstraint(condition=models.Q(('released_at', None), ('released_at__gte', models.F('taken_at')), _connector='OR'), name='treasury_slice_ordered'),
        ),
        migrations.RunSQL([RULES], [UNDO]),
    ]
