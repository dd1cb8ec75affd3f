from pathlib import Path

from django.db import migrations

RULES = (Path(__file__).parent / 'sql' / 'people_rules.sql').read_text()
UNDO = '''
DROP FUNCTION compliance_check_delegation() CASCADE;
DROP FUNCTION compliance_check_person() CASCADE;
'''


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0002_approvals'),
    ]

    operations = [
        migrations.RunSQL(RULES, UNDO),
    ]
