"""Makes ours the site that every `admin.py` registers with; stands in INSTALLED_APPS for Django's."""

from django.contrib.admin.apps import AdminConfig


class FundopsAdminConfig(AdminConfig):
    default_site = "fundops.core.admin_site.FundopsAdminSite"
