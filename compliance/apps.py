from django.apps import AppConfig


class ComplianceConfig(AppConfig):
    name = "compliance"
    verbose_name = "Compliance"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from compliance.actions.record_event import record_events  # noqa: PLC0415 - needs the app registry
        from compliance.approvals.setup import set_up_approvals  # noqa: PLC0415
        from compliance.observing import register_observations  # noqa: PLC0415
        from compliance.topics import register_topics  # noqa: PLC0415
        from fundops.core.events import install_sink  # noqa: PLC0415

        install_sink(record_events)
        register_topics()
        register_observations()
        set_up_approvals()
