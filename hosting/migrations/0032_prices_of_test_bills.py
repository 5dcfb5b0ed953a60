"""By which prices a test organisation was billed, though others may follow for the same days."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hosting", "0031_price_of_lists")]

    operations = [
        migrations.AddField(
            model_name="invoice",
            name="newest_price",
            field=models.BigIntegerField(editable=False, null=True),
        ),
    ]
