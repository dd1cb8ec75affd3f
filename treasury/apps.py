from django.apps import AppConfig


class TreasuryConfig(AppConfig):
    name = "treasury"
    verbose_name = "Treasury"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import treasury.actions.bankroll  # noqa: PLC0415 - registers what passes the gate
        import treasury.approvals  # noqa: F401, PLC0415
        from treasury.topics import register_topics  # noqa: PLC0415 - needs the app registry

        register_topics()
