"""Columns and a constraint, in one transaction."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.RunSQL("set local lock_timeout = '30s'", migrations.RunSQL.noop),
        migrations.AddField(
            "order", "total", models.DecimalField(decimal_places=2, default=0, max_digits=10)),
        migrations.AddField("product", "added", models.DateTimeField(null=True)),
        migrations.AddConstraint(
            "product",
            models.CheckConstraint(condition=models.Q(stock__gte=0), name="stock_is_not_negative")),
    ]
