"""What an application does in a day; prints what it sees."""

import io
import itertools
import threading
import time

from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import BaseCommand, call_command
from django.db import DatabaseError, connection, connections, models, transaction
from django.db.models import F, Sum
from django.test import RequestFactory
from django.utils import timezone

from shop.models import Order, Product

STORY = []


def chapter(run):
    STORY.append(run)
    return run


def value(text, arguments=()):
    with connection.cursor() as cursor:
        cursor.execute(text, arguments)
        return cursor.fetchone()[0]


def complains(run):
    """The class and words of an error that has to come."""
    try:
        run()
    except DatabaseError as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("no error")


def in_threads(run, arguments):
    """One thread for each; what they return, in order. Each has a connection of its own, and closes it as Django does
    at the end of a request."""
    results = {}

    def work(argument):
        try:
            results[argument] = run(argument)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=[argument]) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[argument] for argument in arguments]


@chapter
def a_connection():
    for name in ("timezone", "transaction_isolation", "client_encoding"):
        yield name, value(f"show {name}")
    yield value("select current_user"), value("select session_user")
    connection.close()
    yield "again", value("show timezone"), connection.is_usable()


@chapter
def bulk_inserts():
    products = [
        Product(name=f"product {n}", tags=[f"tag {n % 5}", "all"], attributes={"n": n, "odd": n % 2 == 1}, stock=n,
                added=timezone.datetime(2024, 2, 29, 12, tzinfo=timezone.get_fixed_timezone(0)))
        for n in range(2000)
    ]
    made = Product.objects.bulk_create(products, batch_size=300)
    yield "keys", len({product.pk for product in made})
    again = [Product(name=f"product {n}", stock=0) for n in range(10)]
    yield complains(lambda: Product.objects.bulk_create(again))
    Product.objects.bulk_create(again, ignore_conflicts=True)
    for product in again:
        product.stock = 7
    Product.objects.bulk_create(again, update_conflicts=True, unique_fields=["name"], update_fields=["stock"])
    yield Product.objects.filter(name__startswith="product").aggregate(Sum("stock"))
    found = list(Product.objects.filter(name__in=["product 20", "product 21"]))
    for product in found:
        product.stock = F("stock") + 1
    yield Product.objects.bulk_update(found, ["stock"])
    yield Product.objects.filter(stock__in=[21, 22], name__startswith="product").values_list("name", "stock")


@chapter
def json_and_arrays():
    yield Product.objects.filter(attributes__n__gt=1990, attributes__odd=True).values_list("name", "attributes")
    yield Product.objects.filter(tags__contains=["tag 3"]).count(), Product.objects.filter(tags__overlap=["sample"]).count()
    yield Product.objects.filter(tags__0="tag 1").values_list("tags__1", flat=True).order_by("tags__1").distinct()
    yield Product.objects.annotate(n=models.F("attributes__n")).filter(n=5).values_list("n", "added")


@chapter
def iterators():
    """Server-side cursors: WITH HOLD outside a transaction."""
    total = 0
    for product in Product.objects.filter(name__startswith="product").iterator(chunk_size=100):
        total += product.attributes["n"]
        if product.attributes["n"] % 500 == 0:
            Product.objects.filter(pk=product.pk).update(stock=F("stock") + 1)
    yield "outside", total
    with transaction.atomic():
        yield "inside", sum(1 for _ in Product.objects.iterator(chunk_size=70))
    one, two = (Product.objects.filter(stock__gt=10).iterator(chunk_size=3) for _ in range(2))
    yield "two", [(a.stock, b.stock) for a, b in itertools.islice(zip(one, two), 7)]
    one.close()
    yield "one goes on", [product.stock for product in itertools.islice(two, 4)]
    two.close()
    yield "held", value("select count(*) from pg_cursors where is_holdable")
    related = Product.objects.prefetch_related("order_set").iterator(chunk_size=50)
    yield "prefetched", sum(product.order_set.count() for product in itertools.islice(related, 60))
    del related
    yield in_threads(lambda n: sum(p.stock for p in Product.objects.filter(name__endswith=n).iterator(chunk_size=9)), range(6))


@chapter
def savepoints():
    seen = []
    with transaction.atomic():
        transaction.on_commit(lambda: seen.append("outer"))
        Product.objects.create(name="outer")
        try:
            with transaction.atomic():
                transaction.on_commit(lambda: seen.append("inner"))
                Product.objects.create(name="inner")
                with transaction.atomic():
                    Product.objects.create(name="outer")
        except DatabaseError as error:
            yield type(error).__name__
        yield "not yet", seen
    yield "now", seen, Product.objects.filter(name__in=["outer", "inner"]).values_list("name", flat=True)

    def broken():
        with transaction.atomic():
            complains(lambda: Product.objects.create(name="outer"))
            Product.objects.count()
    yield complains(broken)
    sid = transaction.savepoint()
    yield "autocommit has none", sid is None
    transaction.set_autocommit(False)
    Product.objects.create(name="by hand")
    transaction.rollback()
    transaction.set_autocommit(True)
    yield Product.objects.filter(name="by hand").exists()


@chapter
def row_locks():
    counter = Product.objects.create(name="counter")

    def count(_):
        for _ in range(10):
            with transaction.atomic():
                row = Product.objects.select_for_update().get(pk=counter.pk)
                row.stock += 1
                row.save()

    in_threads(count, range(8))
    counter.refresh_from_db()
    yield "counted", counter.stock
    with transaction.atomic():
        Product.objects.select_for_update(of=("self",)).get(pk=counter.pk)

        def other(_):
            rows = Product.objects.filter(name__in=["counter", "outer"])
            with transaction.atomic():
                free = list(rows.select_for_update(skip_locked=True).values_list("name", flat=True))
            with transaction.atomic():
                return free, complains(lambda: list(rows.select_for_update(nowait=True)))
        yield in_threads(other, ["other"])
    yield complains(lambda: list(Product.objects.select_for_update()))


@chapter
def advisory_locks():
    yield value("select pg_try_advisory_lock(1, 2)"), in_threads(lambda _: value("select pg_try_advisory_lock(1, 2)"), ["other"])
    with transaction.atomic():
        Product.objects.count()
    yield in_threads(lambda _: value("select pg_try_advisory_lock(1, 2)"), ["another"])
    yield value("select pg_advisory_unlock(1, 2)"), value("select pg_advisory_unlock(1, 2)")
    in_threads(lambda _: (value("select pg_advisory_lock(5)"), connection.connection.close()), ["one that leaves"])
    while not value("select pg_try_advisory_lock(5)"):
        time.sleep(0.01)  # PostgreSQL, too, notices after a while that it has left
    yield "free again", value("select pg_advisory_unlock(5)")


@chapter
def temporary_tables():
    with connection.cursor() as cursor:
        cursor.execute("create temp table basket (n int)")
        cursor.executemany("insert into basket values (%s)", [(n,) for n in range(20)])
        yield Product.objects.count() > 0, value("select sum(n) from basket")
        yield in_threads(lambda _: complains(lambda: value("select count(*) from basket")), ["other"])
        yield value("select count(*) from basket")
        cursor.execute("drop table basket")


@chapter
def copies():
    with connection.cursor() as cursor:
        with cursor.copy("copy shop_product (name, tags, attributes, stock) from stdin") as copy:
            for n in range(300):
                copy.write_row((f"copied {n}", ["copied"], "{}", n))
        with cursor.copy("copy (select name, stock from shop_product where tags = '{copied}' order by id limit 3) to stdout") as copy:
            yield [bytes(block) for block in copy]
    yield Product.objects.filter(tags=["copied"]).count()


@chapter
def requests():
    """As a web server runs them: threads, and Django's signals at the beginning and the end of each request."""
    Product.objects.create(name="bestseller", stock=200)
    for n in range(8):
        User.objects.create_user(f"user {n}", password="secret")
    handler = WSGIHandler()

    def browse(n):
        seen, cookies = [], {}
        for path in [f"/sign-in/user {n}", *["/buy/bestseller"] * 5, "/zone"]:
            environ = RequestFactory().get(path).environ
            environ["HTTP_COOKIE"] = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
            response = handler(environ, lambda status, headers: seen.append(status))
            cookies.update(response.cookies)
            seen.append(b"".join(response))
            response.close()
        return seen

    yield from in_threads(browse, range(8))
    yield Product.objects.get(name="bestseller").stock, Order.objects.count()


@chapter
def cached_values():
    call_command("createcachetable")
    cache.set_many({f"key-{n}": n for n in range(30)})
    yield cache.get("key-7"), cache.incr("key-8"), cache.add("key-9", 0), cache.get("key-99")
    in_threads(lambda n: cache.set(f"of-{n}", n), range(6))
    yield sorted(cache.get_many([f"of-{n}" for n in range(6)]).values())
    cache.clear()
    with connection.cursor() as cursor:
        cursor.execute("drop table cache_of_the_shop")


@chapter
def migrations_back_and_forth():
    for target in ("0001", "0004"):
        call_command("migrate", "shop", target, verbosity=0)
        yield target, sorted(c.name for c in connection.introspection.get_table_description(connection.cursor(), "shop_product"))
    yield "sample", Product.objects.filter(tags=["sample"]).count()


@chapter
def commands():
    out = io.StringIO()
    call_command("inspectdb", "shop_order", stdout=out)
    yield out.getvalue()
    out = io.StringIO()
    call_command("showmigrations", "shop", "--no-color", stdout=out)
    yield out.getvalue()
    call_command("flush", "--no-input", verbosity=0)
    yield "flushed", Product.objects.count(), Product.objects.create(name="the first").pk
    call_command("flush", "--no-input", verbosity=0)


class Command(BaseCommand):
    def handle(self, *args, **options):
        for run in STORY:
            self.stdout.write(f"== {run.__name__}")
            for seen in run():
                seen = list(seen) if isinstance(seen, models.QuerySet) else seen
                self.stdout.write(repr([list(s) if isinstance(s, models.QuerySet) else s for s in seen])
                                  if isinstance(seen, tuple) else str(seen))
