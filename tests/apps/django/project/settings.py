"""Django's defaults, as `startproject` writes them. Nothing is set for the sake of a pooler.

DJANGO_CONNECTIONS chooses among what Django documents: how long connections are kept, and what is done with each.
"""

import os
from urllib.parse import urlsplit

url = urlsplit(os.environ["DATABASE_URL"])

CONNECTIONS = {
    "default": {},
    "persistent": {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
    "pool": {"OPTIONS": {"pool": True}},
    "prepared": {"CONN_MAX_AGE": 600, "OPTIONS": {"server_side_binding": True, "prepare_threshold": 0}},
    "role": {"CONN_MAX_AGE": 600, "OPTIONS": {"assume_role": "app_owner"}},
}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path.removeprefix("/"),
        "USER": url.username,
        "PASSWORD": url.password,
        "HOST": url.hostname,
        "PORT": url.port,
        "TIME_ZONE": "America/Sao_Paulo",
        **CONNECTIONS[os.environ.get("DJANGO_CONNECTIONS", "default")],
    }
}

SECRET_KEY = "of a test"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # takes no second each
LOGGING = {"version": 1, "loggers": {"psycopg.pool": {"level": "ERROR"}}}
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.views"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.postgres",
    "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache_of_the_shop"}}
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
