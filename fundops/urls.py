"""Where every page and interface is found; the probes (/healthz, /readyz, /metrics) are a middleware's."""

from importlib.util import find_spec

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from fundops.core.api import SchemaView, UnknownPath
from fundops.core.views import not_offered
from portal.views.api_docs import api_docs

handler400 = "fundops.core.views.bad_request"
handler403 = "fundops.core.views.forbidden"
handler404 = "fundops.core.views.not_found"
handler429 = "fundops.core.views.too_many"
handler500 = "fundops.core.views.server_error"


def _present(module: str) -> bool:
    package = module.rpartition(".")[0]
    return find_spec(package) is not None and find_spec(module) is not None


def _api_of(app: str) -> list[URLPattern | URLResolver]:
    try:
        return [path("", include(f"{app}.api.urls"))] if _present(f"{app}.api.urls") else []
    except ImportError:
        return []


_API_APPS = ("compliance", "treasury", "risk", "trading", "reporting")
api: list[URLPattern | URLResolver] = [
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", api_docs, name="api-docs"),
    *(route for app in _API_APPS for route in _api_of(app)),
    re_path(".*", UnknownPath.as_view()),
]

#: Accounts are made, and passwords reset, by administrators.
NOT_OFFERED = ("signup/", "email/", "password/reset/", "password/set/")

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    *(path(f"accounts/{path_}", not_offered) for path_ in NOT_OFFERED),
    path("accounts/", include("allauth.urls")),
    path("api/", include(api)),
    path("", include("portal.urls")),
]
