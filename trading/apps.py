from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "trading"
    verbose_name = "Trading"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import trading.approvals  # noqa: PLC0415 - registers what passes the gate
        import trading.approvals_council  # noqa: PLC0415
        import trading.approvals_promotion  # noqa: F401, PLC0415
        from risk.actions.limits import let_open_with_limits  # noqa: PLC0415
        from trading.actions.deployments import OPENING_KINDS  # noqa: PLC0415
        from trading.actions.slices import budget_over, can_grow, take_over_growth, within_budgets  # noqa: PLC0415
        from trading.leverage_performance import install as install_performance  # noqa: PLC0415
        from trading.risk_source import install as install_risk_source  # noqa: PLC0415 - needs the app registry
        from trading.topics import register  # noqa: PLC0415
        from treasury.actions.bankroll import Follower, follow_slices  # noqa: PLC0415

        register()
        let_open_with_limits(*OPENING_KINDS)
        follow_slices(Follower(can_grow, take_over_growth, within_budgets, budget_over))
        install_risk_source()
        install_performance()
