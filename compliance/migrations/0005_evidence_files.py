"""What the gate needs to cover everything: guards for other tables and for access, several policies by one request,
people declared to be one."""

from __future__ import annotations

from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = Path(__file__).parent / "sql"
RULES = [
    (SQL / name).read_text()
    for name in ("gate_guards.sql", "access_guards.sql", "people_merged.sql", "evidence_rules.sql")
]
FORMER = (SQL / "approval_rules.sql").read_text()


def _former(name: str) -> str:
    """The function as it was before."""
    start = FORMER.index(f"CREATE FUNCTION {name}(")
    return FORMER[start : FORMER.index("$$;", start) + 3].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


UNDO = f"""
{_former("compliance_quorum_met")}
{_former("compliance_check_policy")}
DROP FUNCTION compliance_check_humans_of_review() CASCADE;
DROP FUNCTION compliance_check_humans_of_request() CASCADE;
DROP FUNCTION compliance_check_humans_of_decision() CASCADE;
DROP FUNCTION compliance_acts_for(bigint, bigint, timestamptz, timestamptz) CASCADE;
DROP FUNCTION compliance_check_merge() CASCADE;
DROP FUNCTION compliance_human(bigint) CASCADE;
DROP FUNCTION compliance_guard_accounts() CASCADE;
DROP FUNCTION compliance_guard_grants() CASCADE;
DROP FUNCTION compliance_guard_objects() CASCADE;
DROP FUNCTION compliance_guard_roles() CASCADE;
DROP FUNCTION compliance_refuse_access(text) CASCADE;
DROP FUNCTION compliance_access_changes(text, bigint, text, text) CASCADE;
DROP FUNCTION compliance_access_founded() CASCADE;
DROP FUNCTION compliance_gate_guard() CASCADE;
DROP FUNCTION compliance_founded(text) CASCADE;
DROP FUNCTION compliance_executing_any(text[]) CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("compliance", "0004_screening"),
        ("core", "0002_no_superusers"),
        ("guardian", "0003_remove_groupobjectpermission_guardian_gr_content_ae6aec_idx_and_more"),
    ]
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
        migrations.AlterModelOptions(
            name="approvalpolicy",
            options={
                "default_permissions": ("view",),
                "permissions": [("propose_policy", "Can ask for the rules of a kind of action to be changed")],
            },
        ),
        migrations.AlterModelOptions(
            name="person",
            options={
                "default_permissions": ("view",),
                "permissions": [
                    ("link_account", "Can say which person an account belongs to"),
                    ("merge_people", "Can ask for two records to be declared one person"),
                    ("propose_access", "Can ask for roles and other access of accounts"),
                ],
            },
        ),
        migrations.CreateModel(
            name="PersonMerge",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("merged_at", models.DateTimeField()),
                (
                    "person",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="merge", to="compliance.person"
                    ),
                ),
                (
                    "same_as",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="merged", to="compliance.person"
                    ),
                ),
                (
                    "request",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="merge_made",
                        to="compliance.approvalrequest",
                    ),
                ),
            ],
            options={
                "default_permissions": ("view",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("person", models.F("same_as")), _negated=True),
                        name="compliance_merge_of_two",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="EvidenceFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sha256", models.CharField(max_length=64, unique=True)),
                ("content", models.BinaryField()),
                ("size", models.PositiveIntegerField()),
                ("media_type", models.CharField(max_length=60)),
                ("uploaded_at", models.DateTimeField()),
                (
                    "uploaded_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(fields=["uploaded_by", "uploaded_at"], name="compliance_evidence_by")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("size__gt", 0), ("size__lte", 10485760)), name="compliance_evidence_size"
                    )
                ],
            },
        ),
        migrations.RunSQL(RULES, [UNDO]),
    ]
