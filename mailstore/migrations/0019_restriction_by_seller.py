"""A seller stops its customers for a cause of its own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailstore", "0018_references_of_integrators"),
    ]

    operations = [
        migrations.AlterField(
            model_name="restriction",
            name="cause",
            field=models.CharField(
                choices=[
                    ("debt", "An unpaid bill"),
                    ("abuse", "Stopped by staff"),
                    ("above", "Stopped by its seller"),
                    ("wish", "Its own wish"),
                ],
                max_length=5,
                verbose_name="cause",
            ),
        ),
    ]
