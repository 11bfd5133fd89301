"""One frozen settings object, read from `NEXFIT_*` environment variables, with one section per store.

`NEXFIT_MONGO_URL` is `settings.mongo.url`, `NEXFIT_HTTP_PORT` is `settings.http.port`, and so on: the section's name,
an underscore, the field's name. Secrets are `SecretStr`: printing or logging the object never shows them.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
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
    introspection: bool = Field(default=True, description="Tell clients the schema.")
    suggestions: bool = Field(default=True, description="Offer names of the schema to who misspells one.")
    cors_origins: tuple[str, ...] = Field(
        default=(), description='Pages of these origins may use the API and its sockets, e.g. ["https://app.example"].'
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(), description='Addresses or networks whose X-Forwarded-For is believed, e.g. ["10.0.0.0/8"].'
    )
    hsts: bool = Field(default=False, description="Tell browsers to come by HTTPS only.")
    log_requests: bool = Field(default=True, description="Log a line per request; without, only failed and slow ones.")
    traces: bool = Field(default=False, description="Make OpenTelemetry spans; needs the extra `otel`.")
    response_cache: bool = Field(default=True, description="Answer what `@cacheControl` allows from a cache.")
    metrics: bool = Field(default=False, description="Answer /metrics to everybody who can reach the port.")


class LimitSettings(Section):
    """What one operation may hold, and what one viewer may ask for (docs/decisions/0012-limits-and-cost.md)."""

    characters: int = Field(default=16_000, ge=100)
    tokens: int = Field(default=2_000, ge=10)
    depth: int = Field(default=15, ge=1, le=80, description="Fields within one another.")
    root_fields: int = Field(default=20, ge=1)
    aliases: int = Field(default=30, ge=0)
    directives: int = Field(default=50, ge=0)
    fields: int = Field(default=2_000, ge=1, description="Fields, wherever fragments bring them in.")
    cost: int = Field(default=5_000, ge=1, description="Objects in an answer.")
    points: int = Field(default=50_000, ge=1, description="A viewer's points: an operation takes its cost, and one.")
    points_per_second: float = Field(default=1_000, ge=0, description="Points that come back; 0 counts none.")


class OperationsSettings(Section):
    """Which operations are executed."""

    manifest: Path | None = Field(default=None, description="Trusted documents, from `nexfit operations publish`.")
    only_trusted: bool = Field(default=False, description="Execute nothing but those of the manifest.")

    @model_validator(mode="after")
    def _something_to_execute(self) -> OperationsSettings:
        if self.only_trusted and self.manifest is None:
            raise ValueError("only_trusted needs a manifest")
        return self


class LiveSettings(Section):
    """Sockets and event streams: what a process and a client may keep open, and how long it may say nothing."""

    connections: int = Field(default=10_000, ge=1, le=1_000_000, description="Sockets and streams of one process.")
    connections_per_viewer: int = Field(default=100, ge=1, le=1_000_000, description="Those of one signed-in viewer.")
    operations: int = Field(default=100, ge=1, le=10_000, description="Operations under way on one socket.")
    message_bytes: int = Field(default=256_000, ge=1_000, le=100_000_000, description="Size of one message.")
    messages_per_second: float = Field(default=50.0, gt=0, le=100_000, description="Of one socket, on average.")
    messages_at_once: int = Field(default=200, ge=1, le=100_000, description="Messages beyond that average, once.")
    init_seconds: Seconds = Field(default=3.0, description="How long a socket may wait with its connection_init.")
    heartbeat_seconds: Seconds = Field(default=15.0, description="Between two signs of life; a socket must answer.")


class AuthSettings(Section):
    """Access tokens."""

    secret: SecretStr = Field(
        default_factory=lambda: SecretStr(secrets.token_urlsafe(48)),
        min_length=32,
        description="Signs access tokens (HS256). Unset, every process makes its own: set it for several workers.",
    )
    access_token_minutes: int = Field(default=30, ge=1, le=1440)
    session_days: int = Field(default=30, ge=1, le=365, description="Days after its last refresh a session ends.")
    refresh_grace_seconds: Seconds = Field(
        default=10.0, description="Seconds within which a refresh token used twice is a race and not a theft."
    )
    reactivation_days: int = Field(
        default=30, ge=0, le=3650, description="Days within which signing in wakes a deactivated account."
    )
    app_url: str = Field(
        default="http://127.0.0.1:8000", pattern=r"^https?://[^\s]+$", description="Where links in messages lead."
    )
    bcrypt_hashes: bool = Field(
        default=True,
        description="Whether an earlier system's bcrypt hashes may be left: a refused login then costs one of each.",
    )
    hash_workers: int = Field(default=2, ge=1, le=32, description="Password hashes computed at the same time.")
    tries_per_account: int = Field(default=10, ge=1, le=1_000_000, description="Wrong passwords in 15 minutes.")
    tries_per_address: int = Field(default=100, ge=1, le=1_000_000, description="The same, from one address.")
    guest_session_days: int = Field(default=30, ge=1, le=365, description="Days a guest session lasts.")
    guest_sessions_per_address: int = Field(
        default=60, ge=1, le=1_000_000, description="Guest sessions begun in 15 minutes, from one address."
    )


class FilesSettings(Section):
    """Private files, such as pictures of bodies."""

    root: Path = Field(default=Path(".data/files"), description="The folder they are in.")
    address_seconds: int = Field(default=600, ge=1, le=86_400, description="How long a signed address is good.")


class PrivacySettings(Section):
    """What people may ask for of their own data."""

    erasure_days: int = Field(default=14, ge=0, le=90, description="Days in which an erasure can be cancelled.")
    export_days: int = Field(default=7, ge=1, le=90, description="Days an export can be fetched.")


class PaymentSettings(Section):
    """Who takes money online. Without a provider memberships are sold at the desk only."""

    provider: Literal["none", "local", "stripe"] = Field(
        default="none", description="`local` takes no real money; `nexfit dev` starts it."
    )
    secret: SecretStr = Field(default=SecretStr(""), description="The provider's API key.")
    webhook_secret: SecretStr = Field(default=SecretStr(""), description="Signs the provider's webhooks.")
    url: str = Field(default="", description="The local provider's address; for Stripe another one than its own.")
    timeout: Seconds = Field(default=10.0, description="Seconds for an answer; then the outcome is asked for later.")
    checkout_minutes: int = Field(default=30, ge=1, le=1440, description="How long a purchase may wait for its money.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.provider != "none" and not (self.secret.get_secret_value() and self.webhook_secret.get_secret_value()):
            raise ValueError("a payment provider needs its secret and its webhook secret")
        if self.provider == "local" and not self.url:
            raise ValueError("the local payment provider needs its url")
        return self


class PlatformSettings(Section):
    """What facilities pay the platform. Without `facility` nobody needs a plan."""

    facility: str = Field(
        default="",
        pattern="^([0-9a-f]{24})?$",
        description="Id of the facility that is the platform itself; its membership plans are what owners buy.",
    )
    free_facilities: int = Field(default=1, ge=0, le=1000, description="Facilities an owner has without a plan.")


class EncryptionSettings(Section):
    """Keys of the fields that are kept encrypted; `nexfit keys new` makes one."""

    keys: SecretStr = Field(
        default=SecretStr(""), description="`id:key` pairs separated by commas; each key is 32 bytes in base64."
    )
    active: str = Field(default="", description="Id of the key that writes; needed when there are several.")
    index_key: SecretStr = Field(
        default=SecretStr(""), description="32 bytes in base64 for searching encrypted fields. It never changes."
    )
    person_keys: Path = Field(
        default=Path(".data/person-keys"),
        description="The folder of people's own keys, for what tells of health: shared by all processes, and in no "
        "backup of a database.",
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.active_id()
        self.index_key_bytes()
        return self

    def key_bytes(self) -> dict[str, bytes]:
        """The keys by id. Raises ValueError that names the entry, never its key."""
        found: dict[str, bytes] = {}
        for place, entry in enumerate(filter(None, self.keys.get_secret_value().replace(" ", "").split(",")), 1):
            key_id, _, key = entry.partition(":")
            if not re.fullmatch(r"[A-Za-z0-9._-]{1,80}", key_id):
                raise ValueError(f"entry {place} of the keys is not `id:key`")
            if key_id in found:
                raise ValueError(f"key {key_id} is given twice")
            found[key_id] = _key(key, f"key {key_id}")
        return found

    def active_id(self) -> str | None:
        """Id of the key that writes; None without keys. Raises ValueError when it is not clear or not there."""
        known = list(self.key_bytes())
        if self.active:
            if self.active not in known:
                raise ValueError(f"the active key {self.active} is not among the keys")
            return self.active
        if len(known) > 1:
            raise ValueError("there are several keys: name the active one in NEXFIT_ENCRYPTION_ACTIVE")
        return known[0] if known else None

    def index_key_bytes(self) -> bytes | None:
        """The key of blind indexes, None where it is not set. Raises ValueError."""
        key = self.index_key.get_secret_value()
        return _key(key, "the index key") if key else None


def _key(text: str, what: str) -> bytes:
    try:
        key = base64.b64decode(text, altchars=b"-_" if re.search("[-_]", text) else None, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{what} is not base64") from None
    if len(key) != 32:
        raise ValueError(f"{what} has {len(key)} bytes instead of 32")
    return key


PRODUCTION: Mapping[str, Mapping[str, Any]] = {
    "http": {"graphiql": False, "introspection": False, "suggestions": False, "hsts": True},
    "operations": {"only_trusted": True},
}
"""The production profile, by section."""


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
    limits: LimitSettings = LimitSettings()
    operations: OperationsSettings = OperationsSettings()
    live: LiveSettings = LiveSettings()
    auth: AuthSettings = Field(default_factory=AuthSettings)
    encryption: EncryptionSettings = EncryptionSettings()
    files: FilesSettings = FilesSettings()
    privacy: PrivacySettings = PrivacySettings()
    payments: PaymentSettings = PaymentSettings()
    platform: PlatformSettings = PlatformSettings()
    operators: tuple[str, ...] = Field(
        default=(), description="Ids of the users (24 hex digits) who see how the platform does, e.g. its jobs."
    )
    background: bool = Field(
        default=True, description="Offer the process for the work beside requests: change feeds, comparisons."
    )
    demo: bool = Field(default=False, description="Offer the demo logins in GraphiQL. Never in production.")
    production: bool = Field(
        default=False, description="Whatever PRODUCTION names and the environment does not is set as it says there."
    )

    @model_validator(mode="after")
    def _profile(self) -> Self:
        if self.production:
            for name, values in PRODUCTION.items():
                section: Section = getattr(self, name)
                unset = {key: value for key, value in values.items() if key not in section.model_fields_set}
                # Made anew, so that a section's own rules hold for what the profile says, too.
                made = type(section)(**{**section.model_dump(exclude_unset=True), **unset})
                object.__setattr__(self, name, made)
        return self
