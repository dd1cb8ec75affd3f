"""A row in quarantine is evidence of what a source said: nobody changes or removes it."""

from django.db import migrations

FORWARD = (
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_dataquarantine"
    " FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();"
)
BACKWARD = "DROP TRIGGER append_only ON trading_dataquarantine;"


class Migration(migrations.Migration):
    dependencies = [("trading", "0003_append_only"), ("compliance", "0001_audit_stream")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
