from django.apps import AppConfig


class RiskConfig(AppConfig):
    name = "risk"
    verbose_name = "Risk"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import risk.approvals  # noqa: PLC0415 - registers what passes the gate
        import risk.approvals_allocation  # noqa: PLC0415
        import risk.approvals_leverage  # noqa: PLC0415
        import risk.switch_gate  # noqa: F401, PLC0415
        from fundops.core.live import register_topic  # noqa: PLC0415 - needs the app registry
        from risk.topics import may_watch_risk  # noqa: PLC0415

        register_topic("risk", may_watch_risk)
