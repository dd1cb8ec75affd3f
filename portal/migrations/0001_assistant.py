import django.db.models.deletion
import fundops.core.clock
from django.conf import settings
from django.db import migrations, models


TABLES = ("portal_assistantmessage", "portal_knowledgeentry")
FORWARD = "\n".join(
    f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();"
    for table in TABLES
)
BACKWARD = "\n".join(f"DROP TRIGGER append_only ON {table};" for table in TABLES)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ("compliance", "0001_audit_stream"),
        ('trading', '0008_tactics'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AssistantMessage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=fundops.core.clock.now)),
                ('speaker', models.CharField(choices=[('person', 'Person'), ('assistant', 'Assistant')], max_length=10)),
                ('outcome', models.CharField(choices=[('said', 'Said'), ('question', 'Asked back'), ('answer', 'Answered'), ('proposal', 'Proposed'), ('refused', 'Refused'), ('confirmed', 'Started'), ('report', 'Reported')], max_length=10)),
                ('text', models.CharField(max_length=2000)),
                ('intent', models.CharField(blank=True, max_length=24)),
                ('content', models.JSONField(default=dict, help_text="The intent's terms, the plan, or the answer's figures.")),
                ('cohort', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='trading.cohort')),
                ('key', models.CharField(help_text='The event a report tells of; told once.', max_length=120, null=True, unique=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='assistant_messages', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ('pk',),
                'permissions': [('use_assistant', 'Can talk to the assistant')],
                'default_permissions': (),
                'indexes': [models.Index(fields=['user', '-at'], name='portal_messages_of_user')],
                'constraints': [models.CheckConstraint(condition=models.Q(('key', ''), _negated=True), name='portal_message_key_not_empty')],
            },
        ),
        migrations.CreateModel(
            name='KnowledgeEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(help_text='The event it tells of; told once.', max_length=120, unique=True)),
                ('at', models.DateTimeField()),
                ('kind', models.CharField(choices=[('cohort', 'Cohorts'), ('decision', 'Decisions'), ('bankroll', 'Bankroll'), ('leverage', 'Leverage'), ('recommendation', 'Recommendations')], max_length=16)),
                ('title', models.CharField(max_length=200)),
                ('words', models.TextField()),
                ('figures', models.JSONField(default=dict)),
                ('cohort', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='knowledge', to='trading.cohort')),
                ('deployment', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='knowledge', to='trading.deployment')),
                ('review', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='knowledge', to='trading.promotionreview')),
            ],
            options={
                'ordering': ('-at', '-pk'),
                'permissions': [('view_knowledge', 'Can read the knowledge history')],
                'default_permissions': (),
                'indexes': [models.Index(fields=['kind', '-at'], name='portal_knowledge_by_kind')],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
