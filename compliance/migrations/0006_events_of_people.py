"""The index of who did what leaves out what machines did: nobody looks for those by their actor, and they are most."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0005_evidence_files'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='auditevent',
            name='audit_event_actor_at',
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(
                condition=models.Q(('actor__isnull', False)), fields=['actor', '-at'], name='audit_event_actor_at'
            ),
        ),
    ]
