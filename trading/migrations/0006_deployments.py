"""Reserved place in the chain of migrations."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("trading", "0005_cohort_labels")]
    operations = []
