"""An index made while others work: no transaction may be open around it."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.contrib.postgres.indexes import GinIndex
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shop", "0003_samples")]
    operations = [AddIndexConcurrently("product", GinIndex(fields=["tags"], name="product_tags"))]
