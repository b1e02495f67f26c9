"""Tests of the project's own, for `manage.py test`: it makes a database, migrates it, and drops it behind them."""

import threading

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import TestCase, TransactionTestCase

from shop.models import Order, Product


class InTransactions(TestCase):
    """Each class in a transaction, each test in a savepoint."""

    @classmethod
    def setUpTestData(cls):
        cls.user = User.objects.create_user("tester", password="secret")
        cls.product = Product.objects.create(name="thing", stock=3, attributes={"size": [1, 2]})

    def test_the_migrations_data(self):
        self.assertEqual(Product.objects.filter(tags__contains=["sample"]).count(), 20)

    def test_buying(self):
        self.client.get("/sign-in/tester")
        self.assertEqual(self.client.get("/buy/thing").json(), {"bought": 1})
        self.assertEqual(self.client.get("/buy/thing").json(), {"bought": 2})
        self.product.refresh_from_db()
        self.assertEqual(self.product.stock, 1)

    def test_an_error_inside(self):
        with self.assertRaises(IntegrityError), transaction.atomic():
            Product.objects.create(name="thing")
        self.assertEqual(Product.objects.filter(name="thing").count(), 1)

    def test_iterators(self):
        names = [product.name for product in Product.objects.iterator(chunk_size=5)]
        self.assertEqual(len(names), 21)

    def test_callbacks(self):
        called = []
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: called.append(1))
        self.assertEqual(called, [1])


class WithCommits(TransactionTestCase):
    """Tables are truncated behind each test, and the migrations' data put back in before the next."""

    serialized_rollback = True

    def test_threads(self):
        product = Product.objects.create(name="thing", stock=40)
        user = User.objects.create_user("tester")

        def buy():
            for _ in range(10):
                with transaction.atomic():
                    Product.objects.select_for_update().get(pk=product.pk)
                    Order.objects.create(customer=user, product=product, number=1)
            connection.close()

        threads = [threading.Thread(target=buy) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(Order.objects.count(), 40)

    def test_rollback(self):
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            Product.objects.create(name="thing")
            1 / 0
        self.assertFalse(Product.objects.filter(name="thing").exists())


class WithSequences(TransactionTestCase):
    reset_sequences = True

    def test_primary_keys_begin_again(self):
        self.assertEqual(User.objects.create_user("tester").pk, 1)
