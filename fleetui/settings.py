"""Django's settings and ours, all of them, read once from the environment.

Every variable is declared here by reading it; `manage.py settings` prints the result and
docs/guide/settings.md explains each. A fresh clone runs with none of them set.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF

from fleetui.database import database, without_password
from fleetui.env import ConfigurationError, Environment
from fleetui.secret_key import derive, secret_keys

BASE_DIR = Path(__file__).resolve().parent.parent
FLEET_ENVIRONMENT = Environment(os.environ, prefix="FLEET_")
_env = FLEET_ENVIRONMENT

# --- Where it lives and how it is reached

DATA_DIR = _env.path(
    "DATA_DIR",
    # Beside the program and not below where a command is typed: there is one installation
    BASE_DIR / "data",
    help="Folder for the SQLite database, the generated key, static files and logs.",
)
PORT = _env.integer(
    "PORT", 8000, minimum=1, maximum=65535, unit="", help="TCP port of the dashboard."
)
SIM_PORT = _env.integer(
    "SIM_PORT",
    8001,
    minimum=1,
    maximum=65535,
    unit="",
    help="TCP port of the stand-in GitHub that `make demo` starts.",
)
FLEET_BIND = _env.text(
    "FLEET_BIND",
    "127.0.0.1",
    help="Address the dashboard listens on; 0.0.0.0 for every network of the machine.",
)
FLEET_BASE_URL = _env.http_url(
    "FLEET_BASE_URL",
    f"http://127.0.0.1:{PORT}",
    help="Address by which browsers, agents and GitHub reach the dashboard.",
)
FLEET_HTTPS = _env.boolean(
    "FLEET_HTTPS",
    FLEET_BASE_URL.startswith("https://"),
    help="Served over HTTPS: secure cookies, HSTS and a redirect from http. On by itself when "
    "FLEET_BASE_URL is https.",
)
FLEET_HSTS_SECONDS = _env.integer(
    "FLEET_HSTS_SECONDS",
    30 * 86400,
    minimum=0,
    maximum=2 * 366 * 86400,
    unit="seconds",
    help="How long browsers are told to use HTTPS only; 0 turns it off.",
)
FLEET_ALLOWED_HOSTS = _env.items(
    "FLEET_ALLOWED_HOSTS",
    [],
    help="Host names answered to, besides that of FLEET_BASE_URL and loopback.",
)
FLEET_TRUSTED_PROXIES = _env.items(
    "FLEET_TRUSTED_PROXIES",
    ["127.0.0.1", "::1"],
    help="Addresses of reverse proxies whose X-Forwarded-Proto is believed.",
)
FLEET_DEBUG = _env.boolean(
    "FLEET_DEBUG", False, help="Show errors in the browser. For development only."
)
FLEET_LOG_LEVEL = _env.choice(
    "FLEET_LOG_LEVEL",
    "INFO",
    choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    help="Least severe message that is logged.",
)
FLEET_LOG_FORMAT = _env.choice(
    "FLEET_LOG_FORMAT",
    "line",
    choices=("line", "json"),
    help="How a message is written: a line for people, or one JSON object a line for programs.",
)

# --- Secrets and the database

_secret_key = _env.secret(
    "FLEET_SECRET_KEY",
    help="Keys that sign sessions and encrypt credentials, comma-separated: the first is used, "
    "the others still read what they wrote. Without it a key is made once in DATA_DIR.",
)
FLEET_SECRET_KEYS = secret_keys(_secret_key, DATA_DIR / "secret.key")
_database_url = _env.secret(
    "DATABASE_URL",
    show=without_password,
    help="postgres://user:password@host/name, or sqlite:///file. Without it SQLite in DATA_DIR.",
)

# --- Processes

FLEET_WEB_WORKERS = _env.integer(
    "FLEET_WEB_WORKERS", 2, minimum=1, maximum=64, unit="processes", help="Web processes."
)
FLEET_WEB_THREADS = _env.integer(
    "FLEET_WEB_THREADS", 4, minimum=1, maximum=64, unit="threads", help="Threads a web process."
)
FLEET_WORKERS = _env.integer(
    "FLEET_WORKERS",
    2,
    minimum=1,
    maximum=64,
    unit="processes",
    help="Processes of one `fleet_worker` that run tasks.",
)
FLEET_TASK_TIMEOUT_SECONDS = _env.integer(
    "FLEET_TASK_TIMEOUT_SECONDS",
    120,
    minimum=10,
    maximum=3600,
    unit="seconds",
    help="A task that runs longer is ended and tried again.",
)
FLEET_TASK_ATTEMPTS = _env.integer(
    "FLEET_TASK_ATTEMPTS",
    3,
    minimum=1,
    maximum=20,
    unit="attempts",
    help="How often a failing task is tried before it is given up.",
)
FLEET_LOOP_SECONDS = _env.integer(
    "FLEET_LOOP_SECONDS",
    5,
    minimum=1,
    maximum=60,
    unit="seconds",
    help="Beat of `fleet_loop`, which queues the work that is due.",
)
FLEET_CANARY_SECONDS = _env.integer(
    "FLEET_CANARY_SECONDS",
    10,
    minimum=2,
    maximum=300,
    unit="seconds",
    help="How often a canary task is sent through the queue.",
)
FLEET_WORKER_SILENT_SECONDS = _env.integer(
    "FLEET_WORKER_SILENT_SECONDS",
    60,
    minimum=5,
    maximum=3600,
    unit="seconds",
    help="The worker is restarted when tasks wait and no canary came back for so long.",
)

FLEET_STOP_SECONDS = _env.integer(
    "FLEET_STOP_SECONDS",
    20,
    minimum=1,
    maximum=600,
    unit="seconds",
    help="What a process gets to finish what it does before its whole tree is killed.",
)

# --- Hosts and runners

FLEET_HEARTBEAT_SECONDS = _env.integer(
    "FLEET_HEARTBEAT_SECONDS",
    30,
    minimum=1,
    maximum=600,
    unit="seconds",
    help="How often a quiet host reports.",
)
FLEET_HEARTBEAT_ACTIVE_SECONDS = _env.integer(
    "FLEET_HEARTBEAT_ACTIVE_SECONDS",
    3,
    minimum=1,
    maximum=60,
    unit="seconds",
    help="How often a host reports while something on it starts, drains or is waited for.",
)
FLEET_HEARTBEATS_PER_SECOND = _env.integer(
    "FLEET_HEARTBEATS_PER_SECOND",
    10,
    minimum=0,
    maximum=1000,
    unit="heartbeats",
    help="What quiet hosts together may send: a small fleet reports more often; 0 for no more.",
)
FLEET_LATE_AFTER_SECONDS = _env.integer(
    "FLEET_LATE_AFTER_SECONDS",
    60,
    minimum=2,
    maximum=3600,
    unit="seconds",
    help="A host silent for so long is shown as late.",
)
FLEET_OFFLINE_AFTER_SECONDS = _env.integer(
    "FLEET_OFFLINE_AFTER_SECONDS",
    90,
    minimum=3,
    maximum=7200,
    unit="seconds",
    help="A host silent for so long is shown as offline.",
)
FLEET_HOST_LOST_SECONDS = _env.integer(
    "FLEET_HOST_LOST_SECONDS",
    300,
    minimum=5,
    maximum=86400,
    unit="seconds",
    help="Runners of a host offline for so long are replaced if GitHub has no job on them.",
)
FLEET_ONLINE_GHOST_SECONDS = _env.integer(
    "FLEET_ONLINE_GHOST_SECONDS",
    300,
    minimum=5,
    maximum=86400,
    unit="seconds",
    help="An idle ghost, a registration of ours without a runner, is deleted after so long online.",
)
FLEET_START_DEADLINE_SECONDS = _env.integer(
    "FLEET_START_DEADLINE_SECONDS",
    120,
    minimum=10,
    maximum=3600,
    unit="seconds",
    help="A runner that is not online at GitHub so long after its start has failed.",
)
FLEET_START_GRACE_SECONDS = _env.integer(
    "FLEET_START_GRACE_SECONDS",
    90,
    minimum=0,
    maximum=3600,
    unit="seconds",
    help="What GitHub gets to give a fresh runner its first job before it may count as idle.",
)
FLEET_REGISTRATIONS = _env.integer(
    "FLEET_REGISTRATIONS",
    1500,
    minimum=1,
    maximum=100000,
    unit="runners",
    help="Runners the whole fleet starts within five minutes at most; GitHub refuses more.",
)
FLEET_REGISTRATION_BURST = _env.integer(
    "FLEET_REGISTRATION_BURST",
    200,
    minimum=1,
    maximum=10000,
    unit="runners",
    help="Runners the fleet starts at once at most.",
)
FLEET_DECISION_DAYS = _env.integer(
    "FLEET_DECISION_DAYS",
    7,
    minimum=1,
    maximum=365,
    unit="days",
    help="How long the decisions of the scaler are kept.",
)
FLEET_FAILED_KEEP_MINUTES = _env.integer(
    "FLEET_FAILED_KEEP_MINUTES",
    60,
    minimum=0,
    maximum=43200,
    unit="minutes",
    help="How long a failed runner stays listed once it holds no slot and no registration.",
)
FLEET_RECONCILE_SECONDS = _env.integer(
    "FLEET_RECONCILE_SECONDS",
    30,
    minimum=5,
    maximum=3600,
    unit="seconds",
    help="How often GitHub's list of runners is compared with ours while nothing moves.",
)
FLEET_RECONCILE_ACTIVE_SECONDS = _env.integer(
    "FLEET_RECONCILE_ACTIVE_SECONDS",
    5,
    minimum=1,
    maximum=600,
    unit="seconds",
    help="The same while runners start, drain or are removed.",
)
FLEET_JOB_SOURCE = _env.choice(
    "FLEET_JOB_SOURCE",
    "both",
    choices=("both", "webhook", "polling"),
    help="How jobs are learned unless a scope says otherwise: by webhook, by asking, or by both.",
)
FLEET_JOB_POLL_SECONDS = _env.integer(
    "FLEET_JOB_POLL_SECONDS",
    10,
    minimum=5,
    maximum=3600,
    unit="seconds",
    help="How often GitHub is asked for jobs; six times as long while a webhook tells of them.",
)
FLEET_ENROLMENT_MINUTES = _env.integer(
    "FLEET_ENROLMENT_MINUTES",
    15,
    minimum=1,
    maximum=1440,
    unit="minutes",
    help="How long the one-time code that enrols a host is good for.",
)
FLEET_SAMPLE_SECONDS = _env.integer(
    "FLEET_SAMPLE_SECONDS",
    60,
    minimum=5,
    maximum=3600,
    unit="seconds",
    help="At most one stored sample of a host's load in so long.",
)

# --- Metrics, history and targets

FLEET_METRICS_TOKEN = _env.secret(
    "FLEET_METRICS_TOKEN",
    help="What a Prometheus server on another machine sends as its bearer token to /metrics. "
    "Without it only this machine may read them.",
)

FLEET_JOB_KEEP_DAYS = _env.integer(
    "FLEET_JOB_KEEP_DAYS",
    180,
    minimum=7,
    maximum=3660,
    unit="days",
    help="How long each finished job is kept; what its day added up to stays longer.",
)
FLEET_JOB_DAY_KEEP_DAYS = _env.integer(
    "FLEET_JOB_DAY_KEEP_DAYS",
    1100,
    minimum=31,
    maximum=7320,
    unit="days",
    help="How long the figures of each day are kept, which the reports are made of.",
)
FLEET_QUEUE_TARGET_SECONDS = _env.integer(
    "FLEET_QUEUE_TARGET_SECONDS",
    60,
    minimum=1,
    maximum=86400,
    unit="seconds",
    help="A job that waited longer for its runner started late.",
)

if FLEET_JOB_DAY_KEEP_DAYS < FLEET_JOB_KEEP_DAYS:
    raise ConfigurationError(
        "FLEET_JOB_DAY_KEEP_DAYS",
        f"{FLEET_JOB_DAY_KEEP_DAYS} must not be less than FLEET_JOB_KEEP_DAYS "
        f"({FLEET_JOB_KEEP_DAYS})",
    )
if FLEET_HEARTBEAT_SECONDS >= FLEET_LATE_AFTER_SECONDS:
    raise ConfigurationError(
        "FLEET_LATE_AFTER_SECONDS",
        f"{FLEET_LATE_AFTER_SECONDS} must be more than FLEET_HEARTBEAT_SECONDS "
        f"({FLEET_HEARTBEAT_SECONDS}), or every host is late",
    )
if FLEET_LATE_AFTER_SECONDS >= FLEET_OFFLINE_AFTER_SECONDS:
    raise ConfigurationError(
        "FLEET_OFFLINE_AFTER_SECONDS",
        f"{FLEET_OFFLINE_AFTER_SECONDS} must be more than FLEET_LATE_AFTER_SECONDS "
        f"({FLEET_LATE_AFTER_SECONDS})",
    )
if FLEET_RECONCILE_ACTIVE_SECONDS > FLEET_RECONCILE_SECONDS:
    raise ConfigurationError(
        "FLEET_RECONCILE_ACTIVE_SECONDS",
        f"{FLEET_RECONCILE_ACTIVE_SECONDS} must not be more than FLEET_RECONCILE_SECONDS "
        f"({FLEET_RECONCILE_SECONDS})",
    )
if FLEET_CANARY_SECONDS >= FLEET_WORKER_SILENT_SECONDS:
    raise ConfigurationError(
        "FLEET_WORKER_SILENT_SECONDS",
        f"{FLEET_WORKER_SILENT_SECONDS} must be more than FLEET_CANARY_SECONDS "
        f"({FLEET_CANARY_SECONDS})",
    )

# --- Django

SECRET_KEY, *SECRET_KEY_FALLBACKS = [derive(key, "django") for key in FLEET_SECRET_KEYS]
DEBUG = FLEET_DEBUG
_public_host = urlsplit(FLEET_BASE_URL).hostname or ""
ALLOWED_HOSTS = [
    *("localhost", "127.0.0.1", "[::1]"),
    f"[{_public_host}]" if ":" in _public_host else _public_host,
    *FLEET_ALLOWED_HOSTS,
]
ROOT_URLCONF = "fleetui.urls"
WSGI_APPLICATION = "fleetui.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": database(_database_url, DATA_DIR / "fleet.sqlite3")}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_filters",
    "django_q",
    "csp",
    "runners",
]

MIDDLEWARE = [
    "runners.request_ids.request_ids",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "runners.context.fleet",
            ],
        },
    },
]

LANGUAGE_CODE = "en"
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

# --- Static files: docs/adr/0003-static-files.md

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- People

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}"}
    for validator in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- Browsers

SESSION_COOKIE_NAME = "fleet_session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = FLEET_HTTPS
CSRF_COOKIE_NAME = "fleet_csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = FLEET_HTTPS
CSRF_TRUSTED_ORIGINS = ["{0.scheme}://{0.netloc}".format(urlsplit(FLEET_BASE_URL))]
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = FLEET_HTTPS
# Probes speak plain HTTP to the process itself, behind whatever ends TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = FLEET_HSTS_SECONDS if FLEET_HTTPS else 0
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
SILENCED_SYSTEM_CHECKS = [
    # HSTS for subdomains and the preload list speak for names that are not this dashboard's.
    "security.W005",
    "security.W021",
]

# --- The queue: docs/adr/0005-queue-and-watchdog.md says why each value is what it is

Q_CLUSTER: dict[str, Any] = {
    "name": "fleetui",
    "label": "Background tasks",
    "orm": "default",
    "workers": FLEET_WORKERS,
    "poll": 0.2,
    "bulk": 1,
    "timeout": FLEET_TASK_TIMEOUT_SECONDS,
    "retry": FLEET_TASK_TIMEOUT_SECONDS + 60,
    "max_attempts": FLEET_TASK_ATTEMPTS,
    "save_limit": -1,
    "catch_up": False,
}

# --- Logs: every line leaves through one formatter that redacts it

_log_secrets = [
    *FLEET_SECRET_KEYS,
    FLEET_METRICS_TOKEN,
    DATABASES["default"].get("PASSWORD", ""),
]
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "runners.log_redaction.RedactingFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
            "secrets": _log_secrets,
        },
        "json": {"()": "runners.log_redaction.JsonFormatter", "secrets": _log_secrets},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": FLEET_LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": FLEET_LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": FLEET_LOG_LEVEL, "propagate": True},
        # Three lines a task would be most of the log; what a task does is logged by what it calls.
        "django-q": {"level": "DEBUG" if FLEET_LOG_LEVEL == "DEBUG" else "WARNING"},
    },
}
