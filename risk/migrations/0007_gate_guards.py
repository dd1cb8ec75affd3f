"""Limits and budgets are written by approved requests alone, scenarios are changed by them alone."""

from __future__ import annotations

from django.db import migrations

GUARDS = """
CREATE TRIGGER gate_guard AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON risk_risklimit
    FOR EACH STATEMENT EXECUTE FUNCTION
    compliance_gate_guard('risk.set_limit', 'risk.retire_limit', 'risk.apply_template');
CREATE TRIGGER gate_guard AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON risk_capitalbudget
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_gate_guard('risk.set_budget', 'risk.allocate_capital');
-- The standard set comes with the product and is added by it; what is there is changed by the gate.
CREATE TRIGGER gate_guard AFTER UPDATE OR DELETE OR TRUNCATE ON risk_stressscenario
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_gate_guard('risk.save_scenario');
"""
UNDO = """
DROP TRIGGER gate_guard ON risk_stressscenario;
DROP TRIGGER gate_guard ON risk_capitalbudget;
DROP TRIGGER gate_guard ON risk_risklimit;
"""


class Migration(migrations.Migration):
    dependencies = [("risk", "0006_overrides"), ("compliance", "0005_evidence_files")]
    operations = [
        migrations.AlterModelOptions(
            name="stressscenario",
            options={
                "ordering": ("code",),
                "permissions": [
                    ("run_stress", "Can run stress scenarios"),
                    ("save_scenario", "Can ask for stress scenarios to be added or changed"),
                ],
            },
        ),
        migrations.RunSQL([GUARDS], [UNDO]),
    ]
