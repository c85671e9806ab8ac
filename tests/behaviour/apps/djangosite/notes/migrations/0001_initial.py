# SPDX-License-Identifier: MIT OR Apache-2.0
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Note",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("title", models.CharField(max_length=50)),
                ("attachment", models.FileField(upload_to="attachments", blank=True)),
            ],
        )
    ]
