"""Where every page and interface is found; the probes (/healthz, /readyz, /metrics) are a middleware's."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from fundops.core.api import SchemaView, any_other_path
from fundops.core.views import not_offered
from portal.views.api_docs import api_docs

handler400 = "fundops.core.views.bad_request"
handler403 = "fundops.core.views.forbidden"
handler404 = "fundops.core.views.not_found"
handler429 = "fundops.core.views.too_many"
handler500 = "fundops.core.views.server_error"

api: list[URLPattern | URLResolver] = [
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", api_docs, name="api-docs"),
    path("", include("compliance.api.urls")),
    path("", include("treasury.api.urls")),
    path("", include("risk.api.urls")),
    path("", include("trading.api.urls")),
    path("", include("portal.api_urls")),
    re_path(".*", any_other_path),
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
