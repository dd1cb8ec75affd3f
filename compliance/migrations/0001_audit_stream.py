from pathlib import Path

import compliance.models.audit
import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


RULES = (Path(__file__).parent / 'sql' / 'audit_rules.sql').read_text()
UNDO = '''
DROP FUNCTION compliance_check_seals() CASCADE;
DROP FUNCTION compliance_stamp_transaction() CASCADE;
DROP FUNCTION compliance_refuse_change() CASCADE;
'''


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditAnchor',
            fields=[
                ('seq', models.BigIntegerField(primary_key=True, serialize=False)),
                ('hash', models.CharField(max_length=64)),
                ('at', models.DateTimeField()),
                ('mac', models.CharField(help_text='HMAC-SHA256 under a key derived from SECRET_KEY.', max_length=64)),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='EventCursor',
            fields=[
                ('consumer', models.CharField(max_length=80, primary_key=True, serialize=False)),
                ('seq', models.BigIntegerField(default=0)),
                ('updated_at', models.DateTimeField()),
                ('last_error', models.TextField(blank=True, default='')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='AuditEvent',
            fields=[
                ('id', models.UUIDField(db_default=compliance.models.audit.UuidV7(), editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField(help_text="When the act happened, by the product's clock, in UTC.")),
                ('kind', models.CharField(help_text='app.subject.verb_past', max_length=120)),
                ('actor_label', models.CharField(help_text='Who it was, as they were called at that moment.', max_length=200)),
                ('object_type', models.CharField(blank=True, max_length=100)),
                ('object_id', models.CharField(blank=True, max_length=100)),
                ('object_label', models.CharField(blank=True, max_length=200)),
                ('payload', models.JSONField(default=dict)),
                ('topics', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=120), blank=True, default=list, size=None)),
                ('created_xid', models.BigIntegerField(db_default=compliance.models.audit.CurrentTransaction(), editable=False, help_text='The transaction that wrote the event; set by the database.')),
                ('actor', models.ForeignKey(db_index=False, help_text='Empty: the system itself.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='AuditSeal',
            fields=[
                ('seq', models.BigIntegerField(primary_key=True, serialize=False)),
                ('prev_hash', models.CharField(max_length=64)),
                ('hash', models.CharField(max_length=64)),
                ('event', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='seal', to='compliance.auditevent')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='RelayState',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('holder', models.CharField(max_length=200)),
                ('beat_at', models.DateTimeField()),
                ('sealed_seq', models.BigIntegerField(default=0)),
                ('sealed_hash', models.CharField(max_length=64)),
                ('snapshot', models.TextField(help_text='pg_snapshot of the last complete sealing pass.')),
                ('cluster', models.CharField(help_text='The cluster and database the snapshot belongs to.', max_length=100)),
            ],
            options={
                'default_permissions': ('view',),
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='relay_state_single_row')],
            },
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['created_xid'], name='audit_event_xid'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['kind', '-at'], name='audit_event_kind_at'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['actor', '-at'], name='audit_event_actor_at'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['object_type', 'object_id', '-at'], name='audit_event_object_at'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['-at'], name='audit_event_at'),
        ),
        migrations.AddConstraint(
            model_name='auditseal',
            constraint=models.CheckConstraint(condition=models.Q(('seq__gte', 1)), name='audit_seal_seq_from_one'),
        ),
        migrations.RunSQL(RULES, UNDO),
    ]
