from django.apps import AppConfig
from django.db.models.signals import post_migrate


class CoreConfig(AppConfig):
    name = "fundops.core"
    label = "core"
    verbose_name = "People and roles"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from fundops.core.db_roles import grant_after_migrate  # noqa: PLC0415 - needs the app registry
        from fundops.core.role_sync import sync_after_migrate  # noqa: PLC0415
        from fundops.core.security_events import connect  # noqa: PLC0415

        post_migrate.connect(sync_after_migrate, sender=self, dispatch_uid="core.roles")
        post_migrate.connect(grant_after_migrate, sender=self, dispatch_uid="core.grants")
        connect()
