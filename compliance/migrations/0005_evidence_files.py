"""What the gate needs to cover everything: guards for other tables, several policies by one request."""

from __future__ import annotations

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

GUARDS = (Path(__file__).parent / "sql" / "gate_guards.sql").read_text()
UNDO = """
DROP FUNCTION compliance_gate_guard() CASCADE;
DROP FUNCTION compliance_founded(text) CASCADE;
DROP FUNCTION compliance_executing_any(text[]) CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("compliance", "0004_screening")]
    operations = [
        migrations.AlterField(
            model_name="approvalpolicy",
            name="request",
            field=models.ForeignKey(
                help_text="The approved request that made it; empty only for the founding policy.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="policies_made",
                to="compliance.approvalrequest",
            ),
        ),
        migrations.RunSQL([GUARDS], [UNDO]),
    ]
