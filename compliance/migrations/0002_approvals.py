from pathlib import Path

import django.db.models.deletion
import simple_history.models
import uuid
from django.conf import settings
from django.db import migrations, models


RULES = (Path(__file__).parent / 'sql' / 'approval_rules.sql').read_text()
UNDO = '''
DROP FUNCTION compliance_check_policy CASCADE;
DROP FUNCTION compliance_executing CASCADE;
DROP FUNCTION compliance_check_review CASCADE;
DROP FUNCTION compliance_check_execution CASCADE;
DROP FUNCTION compliance_check_decision CASCADE;
DROP FUNCTION compliance_check_statement CASCADE;
DROP FUNCTION compliance_check_request CASCADE;
DROP FUNCTION compliance_check_new_request CASCADE;
DROP FUNCTION compliance_approval_step CASCADE;
DROP FUNCTION compliance_quorum_met CASCADE;
DROP FUNCTION compliance_holds_role CASCADE;
DROP FUNCTION compliance_is_account_of CASCADE;
DROP TRIGGER append_only ON compliance_personaccount;
DROP TRIGGER append_only ON compliance_approvalpolicy;
DROP TRIGGER append_only ON compliance_approvalstatement;
DROP TRIGGER append_only ON compliance_approvaldecision;
DROP TRIGGER append_only ON compliance_approvalexecution;
DROP TRIGGER append_only ON compliance_approvalreview;
DROP TRIGGER never_deleted ON compliance_approvalrequest;
DROP TRIGGER never_deleted ON compliance_delegation;
DROP TRIGGER never_deleted ON compliance_person;
'''


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0001_audit_stream'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ApprovalRequest',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(max_length=120)),
                ('object_type', models.CharField(blank=True, max_length=100)),
                ('object_id', models.CharField(blank=True, max_length=100)),
                ('object_label', models.CharField(blank=True, max_length=200)),
                ('payload', models.JSONField()),
                ('version', models.PositiveIntegerField(default=1)),
                ('amount', models.DecimalField(blank=True, decimal_places=18, max_digits=38, null=True)),
                ('evidence', models.JSONField(default=list, help_text='Names and SHA-256 of what supports it.')),
                ('reason', models.CharField(max_length=400)),
                ('state', models.CharField(choices=[('draft', 'Draft'), ('submitted', 'Submitted'), ('partially_approved', 'Partially approved'), ('approved', 'Approved'), ('executing', 'Executing'), ('executed', 'Executed'), ('failed', 'Failed'), ('rejected', 'Rejected'), ('withdrawn', 'Withdrawn'), ('expired', 'Expired'), ('superseded', 'Superseded')], default='draft', max_length=20)),
                ('created_at', models.DateTimeField()),
                ('submitted_at', models.DateTimeField(blank=True, null=True)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('approved_at', models.DateTimeField(blank=True, null=True)),
                ('break_glass', models.BooleanField(default=False)),
                ('review_due_at', models.DateTimeField(blank=True, null=True)),
                ('released_at', models.DateTimeField(blank=True, null=True)),
                ('executing_xid', models.BigIntegerField(blank=True, editable=False, help_text='The transaction that executes it, inside it alone.', null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('closing_note', models.CharField(blank=True, max_length=400)),
                ('maker', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='approval_requests', to=settings.AUTH_USER_MODEL)),
                ('released_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('supersedes', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='superseded_by', to='compliance.approvalrequest')),
            ],
            options={
                'ordering': ('-created_at',),
                'permissions': [('propose_request', 'Can draft and submit approval requests'), ('decide_request', 'Can approve and reject requests'), ('release_request', 'Can release approved requests for execution'), ('review_request', 'Can review what was done behind broken glass')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='ApprovalPolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(help_text='The kind of action these rules are for.', max_length=120)),
                ('version', models.PositiveIntegerField()),
                ('document', models.JSONField(help_text='The bands, as compliance.approvals.policy reads them.')),
                ('sha256', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField()),
                ('request', models.OneToOneField(help_text='The approved request that made it; empty only for the founding policy.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='policy_made', to='compliance.approvalrequest')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='ApprovalStatement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField()),
                ('canonical', models.TextField(help_text='RFC 8785 JSON.')),
                ('sha256', models.CharField(max_length=64)),
                ('quorum', models.JSONField(help_text='How many people of which role.')),
                ('break_glass_roles', models.JSONField(default=list)),
                ('releaser_roles', models.JSONField()),
                ('expires_at', models.DateTimeField()),
                ('created_at', models.DateTimeField()),
                ('policy', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='statements', to='compliance.approvalpolicy')),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='statements', to='compliance.approvalrequest')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='ApprovalExecution',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('outcome', models.CharField(help_text='executed or failed', max_length=20)),
                ('result', models.JSONField(default=dict)),
                ('error_code', models.CharField(blank=True, max_length=80)),
                ('error', models.CharField(blank=True, max_length=400)),
                ('at', models.DateTimeField()),
                ('request', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='execution', to='compliance.approvalrequest')),
                ('statement', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='compliance.approvalstatement')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='HistoricalPerson',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('reference', models.CharField(db_index=True, max_length=80)),
                ('full_name', models.CharField(max_length=160)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical person',
                'verbose_name_plural': 'historical persons',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='Person',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reference', models.CharField(max_length=80, unique=True)),
                ('full_name', models.CharField(max_length=160)),
            ],
            options={
                'permissions': [('link_account', 'Can say which person an account belongs to')],
                'default_permissions': ('view',),
                'constraints': [models.CheckConstraint(condition=models.Q(('reference', ''), _negated=True), name='compliance_person_has_reference')],
            },
        ),
        migrations.CreateModel(
            name='HistoricalDelegation',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField(blank=True, null=True)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('delegate', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='compliance.person')),
                ('principal', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='compliance.person')),
            ],
            options={
                'verbose_name': 'historical delegation',
                'verbose_name_plural': 'historical delegations',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalApprovalRequest',
            fields=[
                ('id', models.UUIDField(db_index=True, default=uuid.uuid4, editable=False)),
                ('kind', models.CharField(max_length=120)),
                ('object_type', models.CharField(blank=True, max_length=100)),
                ('object_id', models.CharField(blank=True, max_length=100)),
                ('object_label', models.CharField(blank=True, max_length=200)),
                ('payload', models.JSONField()),
                ('version', models.PositiveIntegerField(default=1)),
                ('amount', models.DecimalField(blank=True, decimal_places=18, max_digits=38, null=True)),
                ('evidence', models.JSONField(default=list, help_text='Names and SHA-256 of what supports it.')),
                ('reason', models.CharField(max_length=400)),
                ('state', models.CharField(choices=[('draft', 'Draft'), ('submitted', 'Submitted'), ('partially_approved', 'Partially approved'), ('approved', 'Approved'), ('executing', 'Executing'), ('executed', 'Executed'), ('failed', 'Failed'), ('rejected', 'Rejected'), ('withdrawn', 'Withdrawn'), ('expired', 'Expired'), ('superseded', 'Superseded')], default='draft', max_length=20)),
                ('created_at', models.DateTimeField()),
                ('submitted_at', models.DateTimeField(blank=True, null=True)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('approved_at', models.DateTimeField(blank=True, null=True)),
                ('break_glass', models.BooleanField(default=False)),
                ('review_due_at', models.DateTimeField(blank=True, null=True)),
                ('released_at', models.DateTimeField(blank=True, null=True)),
                ('executing_xid', models.BigIntegerField(blank=True, editable=False, help_text='The transaction that executes it, inside it alone.', null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('closing_note', models.CharField(blank=True, max_length=400)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('maker', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('released_by', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('supersedes', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='compliance.approvalrequest')),
                ('maker_person', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='compliance.person')),
                ('released_person', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='compliance.person')),
            ],
            options={
                'verbose_name': 'historical approval request',
                'verbose_name_plural': 'historical approval requests',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='Delegation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField(blank=True, null=True)),
                ('delegate', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='delegated', to='compliance.person')),
                ('principal', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='delegations', to='compliance.person')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='ApprovalReview',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('justified', models.BooleanField()),
                ('comment', models.CharField(max_length=1000)),
                ('at', models.DateTimeField()),
                ('request', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='review', to='compliance.approvalrequest')),
                ('reviewer', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='approval_reviews', to=settings.AUTH_USER_MODEL)),
                ('person', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='approval_reviews', to='compliance.person')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.AddField(
            model_name='approvalrequest',
            name='maker_person',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='approval_requests', to='compliance.person'),
        ),
        migrations.AddField(
            model_name='approvalrequest',
            name='released_person',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='compliance.person'),
        ),
        migrations.CreateModel(
            name='ApprovalDecision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('decision', models.CharField(choices=[('approve', 'Approve'), ('reject', 'Reject'), ('break_glass', 'Break glass')], max_length=12)),
                ('role', models.CharField(help_text='The role the vote counts for.', max_length=60)),
                ('comment', models.CharField(blank=True, max_length=400)),
                ('at', models.DateTimeField()),
                ('signed_sha256', models.CharField(help_text='Of the statement with the decision in it.', max_length=64)),
                ('proof_kind', models.CharField(max_length=12)),
                ('proof', models.JSONField(help_text='What proved the person; for a passkey its whole assertion.')),
                ('signature', models.CharField(help_text="HMAC-SHA256 of hash, proof and time under the product's key.", max_length=64, unique=True)),
                ('actor', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='approval_decisions', to=settings.AUTH_USER_MODEL)),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='compliance.approvalrequest')),
                ('statement', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='compliance.approvalstatement')),
                ('person', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='approval_decisions', to='compliance.person')),
            ],
            options={
                'ordering': ('at', 'pk'),
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='PersonAccount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('linked_at', models.DateTimeField()),
                ('account', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='person_link', to=settings.AUTH_USER_MODEL)),
                ('linked_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('person', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='accounts', to='compliance.person')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.AddConstraint(
            model_name='approvalpolicy',
            constraint=models.UniqueConstraint(fields=('kind', 'version'), name='compliance_policy_version_once'),
        ),
        migrations.AddConstraint(
            model_name='approvalpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('version__gte', 1)), name='compliance_policy_from_one'),
        ),
        migrations.AddConstraint(
            model_name='approvalstatement',
            constraint=models.UniqueConstraint(fields=('request', 'version'), name='compliance_statement_version_once'),
        ),
        migrations.AddConstraint(
            model_name='approvalexecution',
            constraint=models.CheckConstraint(condition=models.Q(('outcome__in', ['executed', 'failed'])), name='compliance_execution_outcome_known'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.CheckConstraint(condition=models.Q(('principal', models.F('delegate')), _negated=True), name='compliance_delegation_to_another'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at', None), ('ends_at__gte', models.F('starts_at')), _connector='OR'), name='compliance_delegation_ordered'),
        ),
        migrations.AddIndex(
            model_name='approvalrequest',
            index=models.Index(fields=['state', 'expires_at'], name='compliance_request_due'),
        ),
        migrations.AddIndex(
            model_name='approvalrequest',
            index=models.Index(fields=['kind', '-created_at'], name='compliance_request_kind'),
        ),
        migrations.AddIndex(
            model_name='approvalrequest',
            index=models.Index(fields=['object_type', 'object_id'], name='compliance_request_object'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['draft', 'submitted', 'partially_approved', 'approved', 'executing', 'executed', 'failed', 'rejected', 'withdrawn', 'expired', 'superseded'])), name='compliance_request_state_known'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.CheckConstraint(condition=models.Q(('released_person', None), models.Q(('released_person', models.F('maker_person')), _negated=True), _connector='OR'), name='compliance_request_releaser_not_maker'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.CheckConstraint(condition=models.Q(('amount', None), ('amount__gte', 0), _connector='OR'), name='compliance_request_amount_positive'),
        ),
        migrations.AddConstraint(
            model_name='approvaldecision',
            constraint=models.UniqueConstraint(fields=('statement', 'person'), name='compliance_decision_person_once'),
        ),
        migrations.AddConstraint(
            model_name='approvaldecision',
            constraint=models.UniqueConstraint(fields=('signed_sha256',), name='compliance_decision_signed_once'),
        ),
        migrations.AddConstraint(
            model_name='approvaldecision',
            constraint=models.CheckConstraint(condition=models.Q(('decision__in', ['approve', 'reject', 'break_glass'])), name='compliance_decision_known'),
        ),
        migrations.RunSQL([RULES], [UNDO]),
    ]
