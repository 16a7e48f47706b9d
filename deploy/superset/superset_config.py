"""Superset's configuration: everything that differs comes from the environment.

Loaded through ``SUPERSET_CONFIG_PATH``, by ``weekahead up --with superset`` and in a container
alike.

==========================  ==========================================================
SUPERSET_SECRET_KEY         required; signs sessions and encrypts the stored passwords
SUPERSET_DATABASE_URI       required; where Superset keeps its own state
SUPERSET_PUBLIC             1 lets people without an account read the dashboards
SUPERSET_LANGUAGE           en or ru, of Superset's own pages; bootstrap.py does the dashboards
SUPERSET_HTTPS              1 when Superset is reached over https only
SUPERSET_HOSTS              names that it answers to besides localhost, separated by commas
SUPERSET_REDIS_URL          a Redis for Celery: turns alerts and scheduled reports on
SUPERSET_SMTP_HOST, …       the mail server of those (docs/dashboards.md)
==========================  ==========================================================
"""

import os
import sqlite3
from collections.abc import Callable, Iterable
from copy import deepcopy
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

# From Superset's own code, examples and images: anybody can sign a session with these.
_KNOWN_SECRETS = {
    "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET",
    "TEST_NON_DEV_SECRET",
    "thisISaSECRET_1234",
    "YOUR_OWN_RANDOM_GENERATED_SECRET_KEY",
    "\\2\\1thisismyscretkey\\1\\2\\e\\y\\y\\h",
}
_SHORTEST_SECRET = 32


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true", "yes"}


SECRET_KEY = os.environ.get("SUPERSET_SECRET_KEY", "")
# Before the slow imports, so that the refusal comes at once.
if SECRET_KEY in _KNOWN_SECRETS or len(SECRET_KEY) < _SHORTEST_SECRET:
    raise SystemExit(
        "Refusing to start: SUPERSET_SECRET_KEY is missing, publicly known or shorter than "
        f"{_SHORTEST_SECRET} characters. Make one with: openssl rand -base64 42"
    )

from sqlalchemy import event  # noqa: E402
from sqlalchemy.engine import Engine  # noqa: E402
from sqlalchemy.pool import QueuePool  # noqa: E402
from superset.config import TALISMAN_CONFIG as _DEFAULT_TALISMAN  # noqa: E402

SQLALCHEMY_DATABASE_URI = os.environ["SUPERSET_DATABASE_URI"]

if SQLALCHEMY_DATABASE_URI.startswith("sqlite"):
    # A new connection reads the whole schema: that is a good part of a small request.
    SQLALCHEMY_ENGINE_OPTIONS = {
        "poolclass": QueuePool,
        "pool_size": 16,
        "connect_args": {"check_same_thread": False},
    }


@event.listens_for(Engine, "connect")
def _let_sqlite_read_while_it_writes(connection: object, _record: object) -> None:
    """Every request writes a line to Superset's log, and all charts of a page ask at once."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")


# --- what a browser may do -------------------------------------------------------------------
# Nothing from outside: the front end would otherwise ask for a tracking pixel, fonts and maps.
TALISMAN_ENABLED = True
TALISMAN_CONFIG = deepcopy(_DEFAULT_TALISMAN)
TALISMAN_CONFIG["content_security_policy"] |= {
    "img-src": ["'self'", "blob:", "data:"],
    "connect-src": ["'self'"],
    "style-src": ["'self'", "'unsafe-inline'"],
    "font-src": ["'self'", "data:"],
    "frame-ancestors": ["'self'"],
}
WTF_CSRF_ENABLED = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = _flag("SUPERSET_HTTPS")
ENABLE_PROXY_FIX = _flag("SUPERSET_HTTPS")

_OWN_NAMES = {
    "localhost",
    *(name.strip().lower() for name in os.environ.get("SUPERSET_HOSTS", "").split(",") if name),
}


def _is_own(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in _OWN_NAMES or ip_address(name).is_loopback
    except ValueError:
        return False


class _OwnNames:
    """Refuses what was meant for another name (DNS rebinding) or sent by another site's page."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "")
        _, _, origin = environ.get("HTTP_ORIGIN", f"http://{host}").partition("://")
        if _is_own(host) and origin.lower() == host.lower():
            return self._app(environ, start)
        start("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"Superset does not answer to this name, or to other sites: see SUPERSET_HOSTS."]


ADDITIONAL_MIDDLEWARE = [_OwnNames]

# Off by default: bootstrap.py gives the role its rights, and takes them away again.
PUBLIC_ROLE_LIKE = "Public" if _flag("SUPERSET_PUBLIC") else None

# --- what a chart may ask for ----------------------------------------------------------------
ROW_LIMIT = 10_000
SQL_MAX_ROW = 100_000
DISPLAY_MAX_ROW = 10_000
SAMPLES_ROW_LIMIT = 1_000
SQLLAB_ASYNC_TIME_LIMIT_SEC = 60
SUPERSET_WEBSERVER_TIMEOUT = 60
PREVENT_UNSAFE_DB_CONNECTIONS = True

# --- how it looks ----------------------------------------------------------------------------
APP_NAME = "weekahead"
# Each needs its flag here, or the pages stay blank; with two, people can choose their own.
LANGUAGES = {
    "en": {"flag": "us", "name": "English"},
    "ru": {"flag": "ru", "name": "Русский"},
}
BABEL_DEFAULT_LOCALE = os.environ.get("SUPERSET_LANGUAGE") or "en"
if BABEL_DEFAULT_LOCALE == "ru":
    # Numbers, and the names of days and months on the axes.
    D3_FORMAT = {
        "decimal": ",",
        "thousands": "\u00a0",
        "grouping": [3],
        "currency": ["", "\u00a0₽"],
    }
    _DAYS = ["воскресенье", "понедельник", "вторник", "среда", "четверг", "пятница", "суббота"]
    # Short ones on their own too: an axis has little room.
    _MONTHS = ["янв", "фев", "мар", "апр", "май", "июн", "июл", "авг", "сен", "окт", "ноя", "дек"]
    D3_TIME_FORMAT = {
        "dateTime": "%A, %e %B %Y, %X",
        "date": "%d.%m.%Y",
        "time": "%H:%M:%S",
        "periods": ["AM", "PM"],
        "days": _DAYS,
        "shortDays": ["вс", "пн", "вт", "ср", "чт", "пт", "сб"],
        "months": _MONTHS,
        "shortMonths": _MONTHS,
    }
_OKABE_ITO = [
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#009E73",  # bluish green
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
    "#CC79A7",  # reddish purple
    "#000000",
    "#F0E442",  # yellow
]
EXTRA_CATEGORICAL_COLOR_SCHEMES = [
    {
        "id": "okabe_ito",
        "label": "Okabe-Ito (readable with any colour vision)",
        "description": "Okabe and Ito, Color Universal Design, 2008",
        "isDefault": True,
        "colors": _OKABE_ITO,
    }
]

# --- caches: in this process, because the marts are fast and there may be no Redis --------------
_REDIS_URL = os.environ.get("SUPERSET_REDIS_URL")
_CACHE = (
    {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": _REDIS_URL}
    if _REDIS_URL
    else {"CACHE_TYPE": "SimpleCache", "CACHE_THRESHOLD": 500}
)
CACHE_CONFIG = {**_CACHE, "CACHE_KEY_PREFIX": "superset_", "CACHE_DEFAULT_TIMEOUT": 300}
# A chart shows what the marts hold, at most a minute late.
DATA_CACHE_CONFIG = {**_CACHE, "CACHE_KEY_PREFIX": "superset_data_", "CACHE_DEFAULT_TIMEOUT": 60}

# --- alerts and reports ------------------------------------------------------------------------
# They need Celery and a broker, which the local stack does not start.
FEATURE_FLAGS = {
    "ALERT_REPORTS": bool(_REDIS_URL),
    # All charts load at once: printing a dashboard, or a tall screen, shows no empty boxes.
    "DASHBOARD_VIRTUALIZATION": False,
    "DRILL_BY": True,
    "DRILL_TO_DETAIL": True,
}
if _REDIS_URL:
    CELERY_CONFIG = {
        "broker_url": _REDIS_URL,
        "result_backend": _REDIS_URL,
        "imports": ("superset.tasks.scheduler",),
        "beat_schedule": {
            "reports.scheduler": {"task": "reports.scheduler", "schedule": 60.0},
            "reports.prune_log": {"task": "reports.prune_log", "schedule": 86_400.0},
        },
    }
    # A trial run writes what would be sent into the log.
    ALERT_REPORTS_NOTIFICATION_DRY_RUN = not os.environ.get("SUPERSET_SMTP_HOST")
    SMTP_HOST = os.environ.get("SUPERSET_SMTP_HOST", "localhost")
    SMTP_PORT = int(os.environ.get("SUPERSET_SMTP_PORT", "587"))
    SMTP_STARTTLS = True
    SMTP_SSL_SERVER_AUTH = True
    SMTP_USER = os.environ.get("SUPERSET_SMTP_USER", "")
    SMTP_PASSWORD = os.environ.get("SUPERSET_SMTP_PASSWORD", "")
    SMTP_MAIL_FROM = os.environ.get("SUPERSET_SMTP_FROM", "weekahead@localhost")
