"""Django's settings, all of them derived from the typed environment in fundops.core.env."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF
from django.templatetags.static import static

from fundops.core.env import BEAT_EVERY_S, export_storage, load_env_or_exit

BASE_DIR = Path(__file__).resolve().parent.parent
ENV = load_env_or_exit()
export_storage(ENV)
export_storage(ENV)

PRODUCTION = ENV.fundops_env == "production"
DEMO = ENV.fundops_env == "demo"
DEBUG = False
SECRET_KEY = ENV.secret_key.get_secret_value()
ALLOWED_HOSTS = [host.strip() for host in ENV.allowed_hosts.split(",") if host.strip()]

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "fundops.core.admin_app.FundopsAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "axes",
    "channels",
    "csp",
    "django_celery_beat",
    "django_filters",
    "django_htmx",
    "django_tables2",
    "drf_spectacular",
    "guardian",
    "rest_framework",
    "simple_history",
    "fundops.core",
    "compliance",
    "treasury",
    "risk",
    "trading",
    "reporting",
    "portal",
]

MIDDLEWARE = [
    "fundops.core.probes.ProbeMiddleware",
    "fundops.core.request_log.RequestLogMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "fundops.core.middleware.SecondFactorMiddleware",
    "fundops.core.middleware.RefusalMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "axes.middleware.AxesMiddleware",
]

# Logging is configured once, before Django loads (fundops.core.boot).
LOGGING_CONFIG = None

ROOT_URLCONF = "fundops.urls"
ASGI_APPLICATION = "fundops.asgi.application"
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
                "csp.context_processors.nonce",
                "portal.navigation.shell",
            ],
        },
    },
]

# --- Database: every process but a migration connects as the role that owns nothing ---------------
DATABASE_APP_ROLE = "fundops_app"


def _database(url: str) -> dict[str, Any]:
    config: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    config.setdefault("OPTIONS", {})
    return config


_app_url = ENV.database_url.get_secret_value() if ENV.database_url else ""
_owner_url = ENV.database_owner_url.get_secret_value() if ENV.database_owner_url else _app_url
DATABASES: dict[str, Any] = (
    {"default": _database(_owner_url if ENV.fundops_db_role == "owner" else _app_url)} if _app_url else {}
)
DATABASE_OWNER = _database(_owner_url) if _owner_url else None
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: broker, cache, channel layer ----------------------------------------------------------
REDIS_URL = ENV.redis_url.get_secret_value() if ENV.redis_url else ""
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
    }
}
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
}
# Of a socket, redis-py calls the number of the database `db`, Celery's transport `virtual_host`.
CELERY_BROKER_URL = (
    REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
    if REDIS_URL.startswith("unix://")
    else REDIS_URL
)
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
# Celery would else end the database's session with every task; a new one has not a single statement prepared.
CELERY_DB_REUSE_MAX = 100_000
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {"trading.tasks.*": {"queue": "trading"}, "reporting.tasks.*": {"queue": "reports"}}
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = {
    "beat heartbeat": {
        "task": "core.beat_heartbeat",
        "schedule": BEAT_EVERY_S,
        "options": {"expires": BEAT_EVERY_S},
    },
}
CELERY_BEAT_SCHEDULE |= {
    "live cohorts": {"task": "trading.tasks.drive_live_cohorts", "schedule": 1.0, "options": {"expires": 2.0}},
    "candles of forward cohorts": {
        "task": "trading.tasks.feed_forward_cohorts",
        "schedule": 15.0,
        "options": {"expires": 15.0},
    },
}
CELERY_BEAT_SCHEDULE |= {
    "risk limits": {"task": "risk.tasks.evaluate_limits", "schedule": 30.0, "options": {"expires": 30.0}},
    # On the hour, so that the first of a day follows midnight: it is that day's opening equity.
    "risk snapshots": {"task": "risk.tasks.snapshot_risk", "schedule": crontab(minute="0")},
    "stress scenarios": {"task": "risk.tasks.run_stress", "schedule": crontab(minute="10")},
    "stress runs asked for": {"task": "risk.tasks.tick_stress_runs", "schedule": 30.0, "options": {"expires": 30.0}},
}
CELERY_BEAT_SCHEDULE |= {
    "approvals": {"task": "compliance.tasks.tick_approvals", "schedule": 15.0, "options": {"expires": 15.0}},
    "audit chain": {"task": "compliance.tasks.verify_chain", "schedule": crontab(hour="3", minute="20")},
}
CELERY_BEAT_SCHEDULE |= {
    "leverage policy": {"task": "risk.tasks.evaluate_leverage", "schedule": 60.0, "options": {"expires": 60.0}},
    "overrides": {"task": "risk.tasks.revert_overrides", "schedule": 15.0, "options": {"expires": 15.0}},
}
CELERY_BEAT_SCHEDULE |= {
    "screening": {"task": "trading.tasks.screen_closed_days", "schedule": 30.0, "options": {"expires": 30.0}},
}
CELERY_BEAT_SCHEDULE |= {
    "signs of life of trading": {"task": "trading.tasks.tell_risk", "schedule": 10.0, "options": {"expires": 10.0}},
    "triggers of the kill switch": {
        "task": "risk.tasks.watch_triggers",
        "schedule": 10.0,
        "options": {"expires": 10.0},
    },
}
CELERY_BEAT_SCHEDULE |= {
    "reviews": {"task": "trading.tasks.review_cohorts", "schedule": 15.0, "options": {"expires": 15.0}},
    "promotions": {"task": "trading.tasks.tick_reviews", "schedule": 2.0, "options": {"expires": 2.0}},
}
CELERY_BEAT_SCHEDULE |= {
    "flatten breaches": {"task": "trading.tasks.flatten_breached", "schedule": 5.0, "options": {"expires": 5.0}},
    "desks": {"task": "trading.tasks.call_desks", "schedule": 1.0, "options": {"expires": 2.0}},
}
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

# --- People ---------------------------------------------------------------------------------------
AUTH_USER_MODEL = "core.User"
# allauth's backend is Django's own with sign-in by address added: roles are looked up once, not twice.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
    "guardian.backends.ObjectPermissionBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
GUARDIAN_MONKEY_PATCH_USER = False
ANONYMOUS_USER_NAME = None
LOGIN_REDIRECT_URL = "/"
LOGIN_URL = "account_login"
ACCOUNT_ADAPTER = "fundops.core.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # administrators make the accounts and vouch for the address
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_FORMS = {"login": "fundops.core.forms.SignInForm"}
MFA_ADAPTER = "fundops.core.mfa.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_FORMS = {"add_webauthn": "fundops.core.forms.AddPasskeyForm"}
MFA_TOTP_ISSUER = "fundops"
MFA_TOTP_TOLERANCE = 1  # a phone's clock may be half a minute off
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION  # http://localhost, where no certificate is needed
#: Staff without a second factor can only enrol one. Most of the demo's cast and of the tests' use passwords alone.
SECOND_FACTOR_REQUIRED = ENV.fundops_env not in {"demo", "test"}
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
# By account alone: a shared office address must not lock its colleagues out. Addresses have their own limit
# on the sign-in page (allauth's "login"), so the check that asks for one here is answered.
AXES_LOCKOUT_PARAMETERS = ["username"]
SILENCED_SYSTEM_CHECKS = ["axes.W006"]
AXES_USERNAME_CALLABLE = "fundops.core.forms.lockout_name"
AXES_LOCKOUT_CALLABLE = "fundops.core.views.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_SENSITIVE_PARAMETERS = ["login", "password"]
AXES_VERBOSE = False

# --- Time, static files, security -----------------------------------------------------------------
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
# In production names carry their content's hash and are cached for ever; elsewhere nothing is collected.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = ENV.fundops_env in {"demo", "development"}
WHITENOISE_ALLOW_ALL_ORIGINS = False
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_AGE = 12 * 3600
CSRF_FAILURE_VIEW = "fundops.core.views.csrf_failed"
CSRF_TRUSTED_ORIGINS = [part.strip() for part in ENV.csrf_trusted_origins.split(",") if part.strip()]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENV.fundops_behind_proxy else None
if PRODUCTION:
    # The prefix makes browsers refuse the cookie unless it came by TLS from this very host.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # probes come from inside, by plain HTTP
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

DJANGO_TABLES2_TEMPLATE = "components/table.html"

UNFOLD = {
    "SITE_TITLE": "fundops administration",
    "SITE_HEADER": "fundops",
    "SITE_SUBHEADER": "Administration",
    "SITE_URL": "/",
    "SITE_SYMBOL": "shield_lock",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("favicon.svg")},
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 260)",
            "100": "oklch(93.5% .03 260)",
            "200": "oklch(88% .06 260)",
            "300": "oklch(80% .1 260)",
            "400": "oklch(70% .15 260)",
            "500": "oklch(60% .18 260)",
            "600": "oklch(50% .18 260)",
            "700": "oklch(44% .16 260)",
            "800": "oklch(38% .13 260)",
            "900": "oklch(33% .1 260)",
            "950": "oklch(25% .07 260)",
        }
    },
}

# --- The API --------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "fundops.core.api_schema.Schema",
    "DEFAULT_AUTHENTICATION_CLASSES": ["fundops.core.api_classes.SessionLogin"],
    "DEFAULT_PERMISSION_CLASSES": ["fundops.core.permissions.DeclaredPermission"],
    "DEFAULT_PAGINATION_CLASS": "fundops.core.api_classes.Page",
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "fundops.core.api_classes.CSVRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser", "rest_framework.parsers.FormParser"],
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.OrderingFilter",
    ],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.AnonRateThrottle",
        "rest_framework.throttling.UserRateThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": {"anon": "60/min", "user": "1200/min"},
    "EXCEPTION_HANDLER": "fundops.core.api.handle_exception",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "fundops",
    "DESCRIPTION": "Errors are problem+json. Lists are paged; CSV with ?format=csv or Accept: text/csv comes whole.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_NAME_OVERRIDES": {
        "HardActionEnum": "risk.models.limits.HardAction",
        "TradingModeEnum": "risk.models.switches.MODES",
        "StopModeEnum": "risk.api.switches.STOPS",
        "RestoreModeEnum": "risk.api.switches.LOOSER",
        "BookKindEnum": "treasury.models.books.BookKind",
        "EntryKindEnum": "treasury.models.journal.EntryKind",
        "ScenarioKindEnum": "risk.models.stress.ScenarioKind",
        "KnowledgeKindEnum": "portal.models.KnowledgeKind",
        "CohortAlertKindEnum": "trading.models.cohort.CohortAlert.Kind",
        "CohortModeEnum": "trading.models.cohort.CohortMode",
        "RequestStateEnum": "compliance.models.approvals.RequestState",
        "ReviewStateEnum": "trading.models.promotion.ReviewState",
        "FlagStateEnum": "compliance.models.screening.FlagState",
        "StressRunStateEnum": "risk.models.stress_runs.StressRunState",
        "RestrictionLevelEnum": "compliance.models.screening.RestrictionLevel",
        "BreachLevelEnum": "risk.models.limits.BreachLevel",
    },
    "SERVE_PERMISSIONS": ["fundops.core.permissions.DeclaredPermission"],
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "fundops.core.api_schema.add_problems",
    ],
}

# --- Market data and strategies -------------------------------------------------------------------
MARKET_DATA_URL = ENV.market_data_url
USER_STRATEGIES_DIR = Path(ENV.user_strategies_dir)
STRATEGY_CHECKS_DIR = USER_STRATEGIES_DIR / ".checks"
