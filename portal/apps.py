from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "Portal"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from portal.assistant.reports import register_reports  # noqa: PLC0415 - needs the app registry
        from portal.knowledge import register_knowledge  # noqa: PLC0415 - needs the app registry

        register_knowledge()
        register_reports()
