"""Makes ours the site that every `admin.py` registers with; named in INSTALLED_APPS in the place of Django's admin."""

from django.contrib.admin.apps import AdminConfig


class FundopsAdminConfig(AdminConfig):
    default_site = "fundops.core.admin_site.FundopsAdminSite"
