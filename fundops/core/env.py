"""Every setting of the environment, typed and checked once at the start of every process."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Env(BaseSettings):
    """What the environment may say; `manage.py check_env` prints what is in force."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    fundops_env: Literal["demo", "development", "test", "production"] = "development"
    secret_key: SecretStr = SecretStr("development-only-secret-key-that-is-long-enough-to-be-accepted")
    allowed_hosts: str = "127.0.0.1,localhost,testserver"
    database_url: SecretStr | None = None
    database_owner_url: SecretStr | None = None
    database_superuser_url: SecretStr | None = None
    redis_url: str | None = None
    market_data_url: str = "var/market-data"
    user_strategies_dir: str = "var/strategies"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    fundops_live_trading: bool = Field(default=False)
    fundops_db_role: Literal["app", "owner"] = "app"


def load_env() -> Env:
    return Env()
