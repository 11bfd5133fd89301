"""One frozen settings object, read from `NEXFIT_*` environment variables, with one section per store.

`NEXFIT_MONGO_URL` is `settings.mongo.url`, `NEXFIT_HTTP_PORT` is `settings.http.port`, and so on: the section's name,
an underscore, the field's name. Secrets are `SecretStr`: printing or logging the object never shows them.
"""

from __future__ import annotations

import secrets
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=3600)]


class Section(BaseModel):
    """A frozen group of settings; unknown names are refused so that a typo is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class MongoSettings(Section):
    """MongoDB: documents of the fitness domain."""

    url: SecretStr = SecretStr("mongodb://127.0.0.1:27017/?replicaSet=rs0")
    database: str = Field(default="nexfit", pattern=r"^[A-Za-z0-9_-]{1,60}$")
    timeout: Seconds = Field(default=2.0, description="Seconds one operation may take, retries included.")
    server_selection_timeout: Seconds = Field(default=1.5, description="Seconds to wait for a usable server.")
    pool_size: int = Field(default=50, ge=1, le=500)


class PostgresSettings(Section):
    """PostgreSQL: money, the shop and the cross-store read model."""

    url: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:5432/nexfit")
    pool_size: int = Field(default=10, ge=1, le=200, description="Connections per process.")
    connect_timeout: Seconds = 1.5
    statement_timeout: Seconds = 2.0
    lock_timeout: Seconds = 1.5
    idle_in_transaction_timeout: Seconds = 10.0
    prepared_statements: bool = Field(
        default=True, description="Turn off only behind a proxy that pools by transaction."
    )


class RedisSettings(Section):
    """Redis or Valkey: what can be rebuilt, kept close."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    timeout: Seconds = Field(default=0.25, description="Seconds for a command; the cache is skipped when it is over.")
    connect_timeout: Seconds = 0.25
    retry_after: Seconds = Field(default=1.0, description="Seconds without a try after Redis failed.")


class HttpSettings(Section):
    """The HTTP server."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    drain_seconds: Seconds = Field(default=10.0, description="Seconds a shutdown waits for requests under way.")
    max_body_bytes: int = Field(default=1_000_000, ge=1_000, le=100_000_000)
    graphiql: bool = True
    response_cache: bool = Field(default=True, description="Answer what `@cacheControl` allows from a cache.")
    metrics: bool = Field(default=False, description="Answer /metrics to everybody who can reach the port.")


class AuthSettings(Section):
    """Access tokens."""

    secret: SecretStr = Field(
        default_factory=lambda: SecretStr(secrets.token_urlsafe(48)),
        min_length=32,
        description="Signs access tokens (HS256). Unset, every process makes its own: set it for several workers.",
    )
    access_token_minutes: int = Field(default=30, ge=1, le=1440)
    hash_workers: int = Field(default=2, ge=1, le=32, description="Password hashes computed at the same time.")


class Settings(BaseSettings):
    """All settings of a process; frozen after start."""

    model_config = SettingsConfigDict(
        env_prefix="NEXFIT_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    mongo: MongoSettings = MongoSettings()
    postgres: PostgresSettings = PostgresSettings()
    redis: RedisSettings = RedisSettings()
    http: HttpSettings = HttpSettings()
    auth: AuthSettings = Field(default_factory=AuthSettings)
    demo: bool = Field(default=False, description="Offer the demo logins in GraphiQL. Never in production.")
