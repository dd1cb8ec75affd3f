from django.apps import AppConfig


class TreasuryConfig(AppConfig):
    name = "treasury"
    verbose_name = "Treasury"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from treasury.topics import register_topics  # noqa: PLC0415 - needs the app registry

        register_topics()
