"""A small shop: the kinds of fields and constraints for which Django uses what is PostgreSQL's own."""

from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models


class Product(models.Model):
    name = models.CharField(max_length=100, unique=True)
    tags = ArrayField(models.CharField(max_length=30), default=list)
    attributes = models.JSONField(default=dict)
    stock = models.IntegerField(default=0)
    added = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        indexes = [GinIndex(fields=["tags"], name="product_tags")]
        constraints = [models.CheckConstraint(condition=models.Q(stock__gte=0), name="stock_is_not_negative")]


class Order(models.Model):
    customer = models.ForeignKey(User, models.CASCADE)
    product = models.ForeignKey(Product, models.PROTECT)
    number = models.PositiveIntegerField()
    total = models.DecimalField(max_digits=10, decimal_places=2, default=0)
