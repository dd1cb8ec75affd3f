"""Rows that a desk changes at every bar get room beside them and fewer indexes to change with them.

An order's end is when it works no more; the index of those that work goes by it. A desk's open cycle is its last one
and needs no index of its own. Identifiers are looked up whole, so they lose the indexes for beginnings of texts.
"""

from django.db import migrations, models

LIVE = ['pending', 'in_flight', 'working']

#: What the constraint below asks for; every writer has kept to it.
ENDS = """
UPDATE trading_order SET ended_at = coalesce(acknowledged_at, submitted_at, created_at)
 WHERE ended_at IS NULL AND status NOT IN ('pending', 'in_flight', 'working');
UPDATE trading_order SET ended_at = NULL
 WHERE ended_at IS NOT NULL AND status IN ('pending', 'in_flight', 'working');
"""

#: A version of a row that finds room on its page needs no entry in any index. Few rows, rewritten three times a bar,
#: get a page each; orders are many, and each changes once before it ends.
ROOM = """
ALTER TABLE trading_deskrun SET (fillfactor = 25);
ALTER TABLE trading_paperaccount SET (fillfactor = 40);
ALTER TABLE trading_position SET (fillfactor = 50);
ALTER TABLE trading_order SET (fillfactor = 60);
"""
NO_ROOM = """
ALTER TABLE trading_deskrun RESET (fillfactor);
ALTER TABLE trading_paperaccount RESET (fillfactor);
ALTER TABLE trading_position RESET (fillfactor);
ALTER TABLE trading_order RESET (fillfactor);
"""


class Migration(migrations.Migration):

    dependencies = [
        ('trading', '0010_trials'),
    ]

    operations = [
        migrations.RunSQL(ENDS, migrations.RunSQL.noop),
        migrations.RemoveIndex(
            model_name='order',
            name='order_live',
        ),
        migrations.RemoveIndex(
            model_name='tradingcycle',
            name='trading_cycle_open',
        ),
        migrations.AlterField(
            model_name='order',
            name='client_order_id',
            field=models.CharField(max_length=64),
        ),
        migrations.AlterField(
            model_name='paperaccount',
            name='key',
            field=models.CharField(max_length=64),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('ended_at', None)), fields=['deployment'], name='order_live'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.UniqueConstraint(fields=('client_order_id',), name='order_client_id_unique'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(('ended_at', None), ('status__in', LIVE)),
                    models.Q(('ended_at__isnull', False), models.Q(('status__in', LIVE), _negated=True)),
                    _connector='OR',
                ),
                name='order_ended_unless_live',
            ),
        ),
        migrations.AddConstraint(
            model_name='paperaccount',
            constraint=models.UniqueConstraint(fields=('key',), name='paper_account_key_unique'),
        ),
        migrations.RunSQL(ROOM, NO_ROOM),
    ]
