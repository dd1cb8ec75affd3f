from django.apps import AppConfig


class TreasuryConfig(AppConfig):
    name = "treasury"
    verbose_name = "Treasury"
    default_auto_field = "django.db.models.BigAutoField"
