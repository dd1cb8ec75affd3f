"""What the hard limits passed ask for is kept with the breach."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('risk', '0002_append_only'),
    ]

    operations = [
        migrations.AddField(
            model_name='historicallimitbreach',
            name='actions',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('alert', 'Alert'), ('reduce', 'Reduce: only closing orders'), ('halt', 'Halt: no orders'), ('flatten', 'Flatten: close all positions')], max_length=8), blank=True, default=list, help_text='What the hard limits passed ask for, own and inherited; none while it is soft.', size=None),
        ),
        migrations.AddField(
            model_name='limitbreach',
            name='actions',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('alert', 'Alert'), ('reduce', 'Reduce: only closing orders'), ('halt', 'Halt: no orders'), ('flatten', 'Flatten: close all positions')], max_length=8), blank=True, default=list, help_text='What the hard limits passed ask for, own and inherited; none while it is soft.', size=None),
        ),
    ]
