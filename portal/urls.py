"""The addresses of the portal's pages. Each page names the permission it needs where it is defined."""

from django.urls import URLPattern, URLResolver, path

from portal.views.home import home
from portal.views.roles import roles

app_name = "portal"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", home, name="home"),
    path("roles/", roles, name="roles"),
]
