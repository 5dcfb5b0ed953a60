"""Every setting of Restante, each with a default that works on a laptop.

The environment chooses another shape of the same program: `DATABASE_URL` moves it to
PostgreSQL, `REDIS_URL` to Redis. A variable `NAME_FILE` reads `NAME` from a file.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from hosting import environment, steps
from hosting.schedule import SCHEDULE

BASE_DIR = Path(__file__).resolve().parent.parent
RESTANTE_STATE = Path(environment.text("RESTANTE_STATE", default=str(BASE_DIR / "var"))).resolve()
SECRETS_FOLDER = RESTANTE_STATE / "secrets"

SECRET_KEY = environment.kept_secret("SECRET_KEY", folder=SECRETS_FOLDER)
DEBUG = environment.flag("DEBUG", default=False)
HOUSE_NAME = environment.text("HOUSE_NAME", default="Restante")

# The panel ------------------------------------------------------------------------------
PANEL_HOST = environment.text("PANEL_HOST", default="127.0.0.1")
PANEL_PORT = environment.port("PANEL_PORT", default=8025)
PANEL_URL = environment.text("PANEL_URL", default=f"http://localhost:{PANEL_PORT}").rstrip("/")
PANEL_IS_PUBLIC = PANEL_URL.startswith("https://")
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", default="localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = [PANEL_URL]
SIGN_UP_OPEN = environment.flag("SIGN_UP_OPEN", default=True)

# The mail server ------------------------------------------------------------------------
# What customers type into their mail programs.
MAIL_HOST = environment.text("MAIL_HOST", default="localhost")
# Where Dovecot listens, when this machine starts it: addresses with commas between them, such
# as `127.0.0.1,::1`. The checks of this installation use the first.
MAIL_ADDRESSES = environment.words("MAIL_LISTEN", default="127.0.0.1")
if not MAIL_ADDRESSES:
    message = "MAIL_LISTEN names no address; leave it out, or set for example 127.0.0.1."
    raise ImproperlyConfigured(message)
MAIL_LISTEN = MAIL_ADDRESSES[0]
IMAP_PORT = environment.port("IMAP_PORT", default=10143)
IMAPS_PORT = environment.port("IMAPS_PORT", default=10993)
POP3_PORT = environment.port("POP3_PORT", default=10110)
POP3S_PORT = environment.port("POP3S_PORT", default=10995)
LMTP_HOST = environment.text("LMTP_HOST", default="127.0.0.1")
LMTP_PORT = environment.port("LMTP_PORT", default=10024)
DOVEADM_HOST = environment.text("DOVEADM_HOST", default="127.0.0.1")
DOVEADM_PORT = environment.port("DOVEADM_PORT", default=10080)
DOVEADM_API_KEY = environment.kept_secret("DOVEADM_API_KEY", folder=SECRETS_FOLDER)
MAIL_ROOT = Path(environment.text("MAIL_ROOT", default=str(RESTANTE_STATE / "mail")))
MAIL_CERTIFICATE = Path(
    environment.text("MAIL_CERTIFICATE", default=str(RESTANTE_STATE / "tls/mail.pem")),
)
MAIL_KEY = Path(environment.text("MAIL_KEY", default=str(RESTANTE_STATE / "tls/mail.key")))
# The log that the worker reads for refusals; on another machine it is a shared volume.
DOVECOT_LOG = Path(
    environment.text("DOVECOT_LOG", default=str(RESTANTE_STATE / "dovecot/log/dovecot.log")),
)
# The engine that does the work; tests put an in-memory twin here.
MAIL_ENGINE = environment.text(
    "MAIL_ENGINE",
    default="mailstore.engine.doveadm.from_settings",
)

# Rules of the house ---------------------------------------------------------------------
# Senders retry for about five days; a mailbox that is full over a weekend loses nothing.
FULL_MAILBOX_GRACE = timedelta(
    seconds=environment.whole_number("FULL_MAILBOX_GRACE_SECONDS", default=3 * 24 * 3600),
)
# How long a closed mailbox can be opened again by a button.
CLOSING_GRACE = timedelta(
    days=environment.whole_number("CLOSING_GRACE_DAYS", default=30, highest=365),
)

# How long a change that makes mail less safe waits, and can be called off.
COOLING_OFF = timedelta(
    hours=environment.whole_number("COOLING_OFF_HOURS", default=72, highest=24 * 30),
)
# How long after its day a bill is due, where nothing else was agreed.
PAYMENT_TERM_DAYS = environment.whole_number("PAYMENT_TERM_DAYS", default=14, highest=365)
# What happens on which day after a bill was due, and how many days before it is announced.
DUNNING_STEPS = steps.parse(
    environment.text(
        "DUNNING_STEPS",
        default="0 mail 0, 3 mail 3, 7 mail 4, 14 limit 7, 21 read-only 7, 35 put-off 14, "
        "46 mail 7, 60 close 14",
    )
)
FULL_SWEEP_EVERY = timedelta(days=7)
# The hour (UTC) of the nightly recount: before the close of a month, which begins at two.
RECOUNT_HOUR = environment.whole_number("RECOUNT_HOUR", default=0, highest=23)

# Payments by card -----------------------------------------------------------------------
# Off unless both are given; the secret of the webhook is shown where its address is entered.
STRIPE_SECRET_KEY = environment.text("STRIPE_SECRET_KEY", default="")
STRIPE_WEBHOOK_SECRET = environment.text("STRIPE_WEBHOOK_SECRET", default="")
_HAS_STRIPE = bool(STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET)
# Who takes payments; tests put an in-memory twin here, and nothing stands for nobody.
PAYMENT_PROVIDER = environment.text(
    "PAYMENT_PROVIDER",
    default="hosting.paying.stripe_api.from_settings" if _HAS_STRIPE else "",
)
# Where the pages lie on which people pay: the only other place that a form may lead to.
PAYMENT_ORIGIN = "https://checkout.stripe.com" if PAYMENT_PROVIDER else ""

# Applications ---------------------------------------------------------------------------
INSTALLED_APPS = [
    "hosting",
    "mailstore",
    "accounts",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django.forms",
    "django_htmx",
    "django_otp",
    "django_otp.plugins.otp_totp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "accounts.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "accounts.middleware.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "hosting.urls"
WSGI_APPLICATION = "hosting.wsgi.application"
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "hosting.views.house",
            ],
        },
    },
]

# Data -----------------------------------------------------------------------------------


def _sqlite(path: Path) -> dict[str, Any]:
    """SQLite as a server: readers never wait, and a writer waits for its turn."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            # A transaction takes the write lock when it begins. Taken later, SQLite would
            # refuse it at once instead of waiting, because what was read may be stale.
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
        },
    }


DATABASE_URL = environment.text("DATABASE_URL", default="")
# Dovecot waits one second for a locked SQLite file. What it writes lies in a file of its
# own, so that work in the panel never holds up a delivery.
REPORTS_DATABASE = "default" if DATABASE_URL else "reports"
DATABASES: dict[str, Any]
if DATABASE_URL:
    try:
        DATABASES = {"default": dj_database_url.parse(DATABASE_URL, conn_max_age=60)}
    except (ValueError, KeyError) as error:
        message = "DATABASE_URL is not an address such as postgres://user:password@host:5432/name."
        raise ImproperlyConfigured(message) from error
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
else:
    DATABASES = {
        "default": _sqlite(RESTANTE_STATE / "panel.sqlite3"),
        "reports": _sqlite(RESTANTE_STATE / "reports.sqlite3"),
    }
DATABASE_ROUTERS = ["mailstore.routing.ReportsRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _mail_role_url() -> str:
    """The panel's own database, entered by a role that is made for the mail server."""
    parts = urlsplit(DATABASE_URL)
    password = environment.kept_secret("DOVECOT_DATABASE_PASSWORD", folder=SECRETS_FOLDER)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"restante_dovecot:{password}@{host}").geturl()


# How the mail server signs in to PostgreSQL; on SQLite it opens the files themselves.
DOVECOT_DATABASE_URL = environment.text(
    "DOVECOT_DATABASE_URL",
    default=_mail_role_url() if DATABASE_URL else "",
)

REDIS_URL = environment.text("REDIS_URL", default="")
CACHES: dict[str, Any] = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
        if REDIS_URL
        else {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": RESTANTE_STATE / "cache",
        }
    ),
}

# Work in the background -----------------------------------------------------------------
CELERY_FOLDER = RESTANTE_STATE / "celery"
CELERY_BROKER_URL = REDIS_URL or "filesystem://localhost"
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    # A task is lost for at most ten minutes when a worker is killed; the sweeps look
    # sooner than that.
    {"visibility_timeout": 600}
    if REDIS_URL
    else {
        # Both point to one folder: what the panel puts out is what the worker takes in.
        "data_folder_in": str(CELERY_FOLDER / "queue"),
        "data_folder_out": str(CELERY_FOLDER / "queue"),
        "control_folder": str(CELERY_FOLDER / "control"),
    }
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "restante"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A page must not wait for a broker that is away: the sweep does the work anyway.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(CELERY_FOLDER / "beat")
CELERY_BEAT_SCHEDULE = SCHEDULE

# People ---------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "dashboard:overview"
LOGOUT_REDIRECT_URL = "public:choice"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
OTP_TOTP_ISSUER = HOUSE_NAME

# E-mail to people -----------------------------------------------------------------------
EMAIL_HOST = environment.text("EMAIL_HOST", default="")
EMAIL_PORT = environment.port("EMAIL_PORT", default=25)
EMAIL_HOST_USER = environment.text("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = environment.text("EMAIL_HOST_PASSWORD", default="")
EMAIL_USE_TLS = environment.flag("EMAIL_USE_TLS", default=False)
EMAIL_TIMEOUT = 20
# Without a mail relay, what would go out is kept as files that a person can read.
EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend"
    if EMAIL_HOST
    else "django.core.mail.backends.filebased.EmailBackend"
)
EMAIL_FILE_PATH = RESTANTE_STATE / "sent"
DEFAULT_FROM_EMAIL = environment.text("DEFAULT_FROM_EMAIL", default="panel@restante.test")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

# Words and files ------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Pages name their files as they are in the tree, and WhiteNoise serves them from there:
# no collect step stands between a clone and its first page.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# Safety ---------------------------------------------------------------------------------
SESSION_COOKIE_SECURE = PANEL_IS_PUBLIC
CSRF_COOKIE_SECURE = PANEL_IS_PUBLIC
CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = PANEL_IS_PUBLIC
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PANEL_IS_PUBLIC else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_HSTS_SECONDS = 31_536_000 if PANEL_IS_PUBLIC else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PANEL_IS_PUBLIC
SECURE_HSTS_PRELOAD = PANEL_IS_PUBLIC
X_FRAME_OPTIONS = "DENY"
# The largest thing a person uploads is a list of mailboxes.
DATA_UPLOAD_MAX_MEMORY_SIZE = 5_000_000

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    # A line for each call to the mail server, or each step of a PDF, would bury everything else.
    "loggers": {"httpx": {"level": "WARNING"}, "weasyprint": {"level": "WARNING"}},
}
