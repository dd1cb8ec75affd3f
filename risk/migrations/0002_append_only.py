"""Snapshots and stress results are evidence: nobody changes or removes them, the schema's owner included."""

from django.db import migrations

TABLES = ("risk_stressresult", "risk_risksnapshot")

FORWARD = "\n".join(
    f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();"
    for table in TABLES
)
BACKWARD = "\n".join(f"DROP TRIGGER append_only ON {table};" for table in TABLES)


class Migration(migrations.Migration):
    dependencies = [("risk", "0001_initial"), ("compliance", "0001_audit_stream")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
