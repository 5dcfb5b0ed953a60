"""Every setting of Restante, each with a default that works on a laptop.

The environment chooses another shape of the same program: `DATABASE_URL` moves it to
PostgreSQL, `REDIS_URL` to Redis. A variable `NAME_FILE` reads `NAME` from a file.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from hosting import databases, environment, log_lines, steps
from hosting.schedule import SCHEDULE

BASE_DIR = Path(__file__).resolve().parent.parent
RESTANTE_STATE = Path(environment.text("RESTANTE_STATE", default=str(BASE_DIR / "var"))).resolve()
SECRETS_FOLDER = RESTANTE_STATE / "secrets"

SECRET_KEY = environment.kept_secret("SECRET_KEY", folder=SECRETS_FOLDER)
# Former ones, while what they have sealed and signed is still about.
SECRET_KEY_FALLBACKS = environment.words("SECRET_KEY_FALLBACKS", default="")
DEBUG = environment.flag("DEBUG", default=False)
HOUSE_NAME = environment.text("HOUSE_NAME", default="Restante")

# The panel ------------------------------------------------------------------------------
PANEL_HOST = environment.text("PANEL_HOST", default="127.0.0.1")
PANEL_PORT = environment.port("PANEL_PORT", default=8025)
PANEL_URL = environment.text("PANEL_URL", default=f"http://localhost:{PANEL_PORT}").rstrip("/")
PANEL_IS_PUBLIC = PANEL_URL.startswith("https://")
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", default="localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = [PANEL_URL]
# By this a TLS proxy on another machine proves itself when it asks for which names it may get
# certificates; without it only a proxy on this machine may ask.
TLS_ASK_SECRET = environment.text("TLS_ASK_SECRET", default="")
SIGN_UP_OPEN = environment.flag("SIGN_UP_OPEN", default=True)
# To whom somebody writes who has found a hole: e-mail addresses or pages, with commas between
# them. Without any, that is where the panel's letters come from (`DEFAULT_FROM_EMAIL`).
SECURITY_CONTACTS = environment.words("SECURITY_CONTACT", default="")
# The page that says what is promised to whoever reports one.
SECURITY_POLICY_URL = environment.text("SECURITY_POLICY_URL", default="")

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
# Where the guard listens, whom Dovecot asks before it looks at a password.
GUARD_HOST = environment.text("GUARD_HOST", default="127.0.0.1")
GUARD_PORT = environment.port("GUARD_PORT", default=10081)
MAIL_ROOT = Path(environment.text("MAIL_ROOT", default=str(RESTANTE_STATE / "mail")))
_TLS = RESTANTE_STATE / "tls"
MAIL_CERTIFICATE = Path(environment.text("MAIL_CERTIFICATE", default=str(_TLS / "mail.pem")))
MAIL_KEY = Path(environment.text("MAIL_KEY", default=str(_TLS / "mail.key")))
# The log that the worker reads for refusals; on another machine it is a shared volume.
DOVECOT_LOG = Path(
    environment.text("DOVECOT_LOG", default=str(RESTANTE_STATE / "dovecot/log/dovecot.log")),
)
# The engine that does the work; tests put an in-memory twin here.
MAIL_ENGINE = environment.text("MAIL_ENGINE", default="mailstore.engine.doveadm.from_settings")

# The domain name system -----------------------------------------------------------------
# Addresses of the name servers to ask; those that this machine uses unless given.
DNS_SERVERS = environment.words("DNS_SERVERS", default="")
# Who asks them; tests put an in-memory twin here.
RESOLVER = environment.text("RESOLVER", default="mailstore.resolver.dns_client.from_settings")
# The host names that MX records of customers' domains should lead to: those of the machines that
# take mail from outside and pass it on to the mail server.
MX_HOSTS = environment.words("MX_HOSTS", default="") or [MAIL_HOST]
# A domain fails once so many looks in a row, over so long, did not find them.
DNS_FAILING_LOOKS = environment.whole_number("DNS_FAILING_LOOKS", default=3, lowest=2)
DNS_FAILING_AFTER = timedelta(
    minutes=environment.whole_number("DNS_FAILING_MINUTES", default=60, lowest=1)
)
# So long a domain may be on its way here, before its mail has ever come here.
DNS_FIRST_PATIENCE = environment.days("DNS_FIRST_DAYS", default=3, highest=90)

# Rules of the house ---------------------------------------------------------------------
# Senders retry for about five days; a mailbox that is full over a weekend loses nothing.
FULL_MAILBOX_GRACE = timedelta(
    seconds=environment.whole_number("FULL_MAILBOX_GRACE_SECONDS", default=3 * 24 * 3600),
)
# How long a closed mailbox can be opened again by a button.
CLOSING_GRACE = environment.days("CLOSING_GRACE_DAYS", default=30, highest=365)

# How long the history of sign-ins is kept, which has people's addresses.
SIGN_IN_HISTORY = environment.days("SIGN_IN_HISTORY_DAYS", default=30, lowest=1, highest=400)
# How long a change that makes mail less safe waits, and can be called off.
COOLING_OFF = timedelta(
    hours=environment.whole_number("COOLING_OFF_HOURS", default=72, highest=24 * 30),
)
_SMALL_AMOUNTS = "EUR 5, USD 5, GBP 5, CHF 5, JPY 800, BHD 2"
# How long after its day a bill is due, where nothing else was agreed.
PAYMENT_TERM_DAYS = environment.whole_number("PAYMENT_TERM_DAYS", default=14, highest=365)
# Debts below these are asked for by letters only, and stop nothing.
DUNNING_SMALL = environment.amounts("DUNNING_SMALL", default=_SMALL_AMOUNTS)
# Overage of at least so much waits for a look where it is more than twice the usual.
OVERAGE_REVIEW_FROM = environment.amounts("OVERAGE_REVIEW_FROM", default=_SMALL_AMOUNTS)
# What happens on which day after a bill was due, and how many days before it is announced.
DUNNING_STEPS = steps.parse(
    environment.text(
        "DUNNING_STEPS",
        default="0 mail 0, 3 mail 3, 7 mail 4, 14 limit 7, 21 read-only 7, 35 put-off 14, "
        "46 mail 7, 60 close 14",
    )
)
# Staff do something to more rows than these at once only if a second person confirms it.
BULK_ALONE_AT_MOST = environment.whole_number("BULK_ALONE_AT_MOST", default=50, lowest=1)
FULL_SWEEP_EVERY = timedelta(days=7)
# The hour (UTC) of the nightly recount: before the close of a month, which begins at two.
RECOUNT_HOUR = environment.whole_number("RECOUNT_HOUR", default=0, highest=23)
# When it is forgotten from where somebody acted; what keeps the chain of events in mind elsewhere.
ACTIVITY_ADDRESS_DAYS = environment.whole_number("ACTIVITY_ADDRESS_DAYS", default=365, lowest=1)
# Files that programs asked for, each for a week; web and worker need the same folder.
EXPORT_FOLDER = environment.text("EXPORT_FOLDER", default=f"{RESTANTE_STATE}/exports")
CHECKPOINT_FILE = environment.text("CHECKPOINT_FILE", default=f"{RESTANTE_STATE}/checkpoints/list")
# How often programs may ask, in requests a minute: one key, all keys of an organisation, and keys
# that open nothing from one address.
RATE_LIMIT_KEY_PER_MINUTE = environment.whole_number(
    "RATE_LIMIT_KEY_PER_MINUTE", default=600, lowest=1
)
RATE_LIMIT_ORGANISATION_PER_MINUTE = environment.whole_number(
    "RATE_LIMIT_ORGANISATION_PER_MINUTE", default=3000, lowest=1
)
RATE_LIMIT_FAILED_KEYS_PER_MINUTE = environment.whole_number(
    "RATE_LIMIT_FAILED_KEYS_PER_MINUTE", default=30, lowest=1
)
# How many pages a person may ask for in a minute, and an address from which nobody is signed in.
RATE_LIMIT_PAGES_PER_MINUTE = environment.whole_number(
    "RATE_LIMIT_PAGES_PER_MINUTE", default=600, lowest=1
)

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
    "hosting.staff_app.StaffPages",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django.forms",
    "django_htmx",
    "django_otp",
    "django_otp_webauthn",
    "rest_framework",
]
MIDDLEWARE = [
    # These come first so that they hold for every refusal of those below.
    "hosting.safe_answers.SafeAnswersMiddleware",
    "hosting.api.middleware.ApiMiddleware",
    "hosting.request_limits.RequestLimitsMiddleware",
    "accounts.middleware.ClientAddressMiddleware",
    "hosting.middleware.OwnHostMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "hosting.compressing.CompressingMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "accounts.middleware.SessionClientMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "accounts.middleware.PlainQueryMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "hosting.middleware.OwnTreeMiddleware",
    "accounts.middleware.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "accounts.middleware.VisitMiddleware",
    "hosting.throttling.ThrottlingMiddleware",
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
DATABASE_URL = environment.text("DATABASE_URL", default="")
# How long one statement may take before PostgreSQL gives it up; without end for workers and
# commands. Pages and programs wait for an answer, so the panel sets it (`hosting/wsgi.py`).
STATEMENT_SECONDS = environment.whole_number("STATEMENT_SECONDS", default=0, highest=3600)
# Dovecot waits one second for a locked SQLite file. What it writes lies in a file of its
# own, so that work in the panel never holds up a delivery.
REPORTS_DATABASE = "default" if DATABASE_URL else "reports"
DATABASES: dict[str, Any] = (
    {"default": databases.postgresql(DATABASE_URL, statement_seconds=STATEMENT_SECONDS)}
    if DATABASE_URL
    else {
        "default": databases.sqlite(RESTANTE_STATE / "panel.sqlite3"),
        "reports": databases.sqlite(RESTANTE_STATE / "reports.sqlite3"),
    }
)
DATABASE_ROUTERS = ["mailstore.routing.ReportsRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# How the mail server signs in to PostgreSQL; on SQLite it opens the files themselves.
DOVECOT_DATABASE_URL = environment.text(
    "DOVECOT_DATABASE_URL",
    default=databases.for_mail_server(
        DATABASE_URL,
        password=environment.kept_secret("DOVECOT_DATABASE_PASSWORD", folder=SECRETS_FOLDER),
    )
    if DATABASE_URL
    else "",
)

REDIS_URL = environment.text("REDIS_URL", default="")
CACHES: dict[str, Any] = databases.caches(REDIS_URL, folder=RESTANTE_STATE)

# The API --------------------------------------------------------------------------------
REST_FRAMEWORK = {
    # Answers are JSON, whatever the query says; it may ask for what an operation promises.
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.0",
    "TITLE": "Restante",
    "VERSION": "1",
    "DESCRIPTION": (
        "Mailboxes, their mail and their bills, for programs. Send an API key as "
        "`Authorization: Bearer rst_…`. Sizes are in bytes, money in the smallest unit of its "
        "currency, moments in UTC. Failures are problem documents (RFC 9457). Send an "
        "`Idempotency-Key` with each POST, and it is done once however often it arrives. What GET "
        "answers, HEAD answers without the body."
    ),
    # An empty text is refused wherever it is not allowed by name.
    "ENFORCE_NON_BLANK_FIELDS": True,
    "POSTPROCESSING_HOOKS": [],
}

# Webhooks -------------------------------------------------------------------------------
# On a laptop a webhook may lead to the laptop itself. Elsewhere it would let customers knock at
# the doors of the house's own network.
ALLOW_PRIVATE_WEBHOOKS = environment.flag("ALLOW_PRIVATE_WEBHOOKS", default=False)

# Work in the background -----------------------------------------------------------------
CELERY_FOLDER = RESTANTE_STATE / "celery"
CELERY_BROKER_URL = REDIS_URL or "filesystem://localhost"
CELERY_BROKER_TRANSPORT_OPTIONS = databases.broker(REDIS_URL, folder=CELERY_FOLDER)
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
AUTHENTICATION_BACKENDS = ["hosting.backends.PanelBackend"]
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
    {"NAME": "accounts.password_rules.NotTooLong"},
    {"NAME": "accounts.password_rules.HardToGuess"},
]
OTP_WEBAUTHN_RP_NAME = HOUSE_NAME
OTP_WEBAUTHN_RP_ID, OTP_WEBAUTHN_ALLOWED_ORIGINS = urlsplit(PANEL_URL).hostname, [PANEL_URL]
# How long everybody may object before a second factor that somebody lost is removed.
LOST_FACTOR_WAIT_DAYS = environment.whole_number("LOST_FACTOR_WAIT_DAYS", default=3, lowest=2)
# A link to a new password works this long, once.
PASSWORD_RESET_TIMEOUT = 3600
# Whether somebody orders mailboxes only after a letter to them was read.
VERIFIED_TO_ORDER = environment.flag("VERIFIED_TO_ORDER", default=False)
# A session ends this long after its browser came last, and this long after signing in at most.
SESSION_IDLE = timedelta(
    hours=environment.whole_number("SESSION_IDLE_HOURS", default=7 * 24, lowest=1)
)
SESSION_LONGEST = timedelta(
    hours=environment.whole_number("SESSION_LONGEST_HOURS", default=30 * 24, lowest=1)
)
SESSION_ENGINE = "accounts.session_store"
SESSION_COOKIE_AGE = int(SESSION_LONGEST.total_seconds())

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
# In whose name letters are written.
LETTERHEAD = "hosting.branding.letterhead"

# Words and files ------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
FORMAT_MODULE_PATH = "hosting.formats"
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Pages name their files as they are in the tree, and WhiteNoise serves them from there:
# no collect step stands between a clone and its first page.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# Safety ---------------------------------------------------------------------------------
# By this beginning browsers take a cookie over TLS alone, for this host alone and for all of it,
# so no other host of the same domain can plant one. Without TLS they would not take it at all.
_COOKIE_PREFIX = "__Host-" if PANEL_IS_PUBLIC else ""
SESSION_COOKIE_NAME = f"{_COOKIE_PREFIX}session"
SESSION_COOKIE_SECURE = PANEL_IS_PUBLIC
SESSION_COOKIE_HTTPONLY = True
# Not `Strict`: people come by links in letters, and back from the page where they paid.
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = f"{_COOKIE_PREFIX}csrf"
CSRF_COOKIE_SECURE = PANEL_IS_PUBLIC
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "hosting.views.errors.csrf_failure"
SECURE_SSL_REDIRECT = PANEL_IS_PUBLIC
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PANEL_IS_PUBLIC else None
# A public panel is reached through a proxy alone, which says from where each request comes.
IS_BEHIND_PROXY = PANEL_IS_PUBLIC
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^tls/allowed$"]
SECURE_HSTS_SECONDS = 31_536_000 if PANEL_IS_PUBLIC else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PANEL_IS_PUBLIC
SECURE_HSTS_PRELOAD = PANEL_IS_PUBLIC
X_FRAME_OPTIONS = "DENY"
# How long a body may be is decided for each route before it is read (`hosting.request_limits`);
# this is the most that a form without files takes in memory, and how many fields it may have.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_100_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 4

DEFAULT_EXCEPTION_REPORTER_FILTER = "hosting.discretion.ErrorReport"
LOGGING = log_lines.LOGGING
