"""What the shop does for a request."""

from django.contrib.auth import authenticate, login
from django.db import connection, transaction
from django.http import JsonResponse
from django.urls import path

from shop.models import Order, Product


def sign_in(request, name):
    login(request, authenticate(request, username=name, password="secret"))
    return JsonResponse({"user": request.user.username})


def buy(request, product):
    with transaction.atomic():
        row = Product.objects.select_for_update().get(name=product)
        row.stock -= 1
        row.save(update_fields=["stock"])
        Order.objects.create(customer_id=request.session["_auth_user_id"], product=row, number=1)
    bought = request.session["bought"] = request.session.get("bought", 0) + 1
    return JsonResponse({"bought": bought})


def zone(request):
    with connection.cursor() as cursor:
        cursor.execute("show timezone")
        return JsonResponse({"zone": cursor.fetchone()[0]})


urlpatterns = [
    path("sign-in/<name>", sign_in),
    path("buy/<product>", buy),
    path("zone", zone),
]
