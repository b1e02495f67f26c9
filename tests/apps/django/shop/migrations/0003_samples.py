"""Data."""

from django.db import migrations


def add_products(apps, schema_editor):
    product = apps.get_model("shop", "Product")
    product.objects.bulk_create(product(name=f"sample {n}", tags=["sample"]) for n in range(20))


def remove_products(apps, schema_editor):
    apps.get_model("shop", "Product").objects.filter(tags__contains=["sample"]).delete()


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_prices")]
    operations = [migrations.RunPython(add_products, remove_products)]
