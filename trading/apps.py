from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "trading"
    verbose_name = "Trading"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from trading.risk_source import install as install_risk_source  # noqa: PLC0415 - needs the app registry
        from trading.topics import register  # noqa: PLC0415

        register()
        install_risk_source()
