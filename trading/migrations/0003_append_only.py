"""Results of cohorts are evidence: nobody changes or removes them, the schema's owner included."""

from django.db import migrations

TABLES = ("trading_cohortagent", "trading_cohortfill", "trading_cohortrejection", "trading_cohortalert")

FORWARD = "\n".join(
    f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();"
    for table in TABLES
)
BACKWARD = "\n".join(f"DROP TRIGGER append_only ON {table};" for table in TABLES)


class Migration(migrations.Migration):
    dependencies = [("trading", "0002_cohorts"), ("compliance", "0001_audit_stream")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
