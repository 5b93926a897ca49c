"""The deployment's settings: read once, at the edges, from HONE_* variables."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.domain.tracking import Tracker, trackers_named

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""Templates, static files, migrations and the bundled model lie beside the packages (an editable install or the image)."""
LEAST_KEY_CHARACTERS = 32
OWN_HOSTS = ("127.0.0.1", "localhost", "[::1]")
ROOT_PATH = re.compile(r"(/[A-Za-z0-9_-]+)*")
OWN_PATHS = frozenset({
    "api", "baselines", "board", "chat", "cloud-costs", "connections", "datasets", "docs", "estimates", "goal", "healthz", "live", "livez",
    "metrics", "models", "openapi.json", "precision", "prices", "readyz", "runs", "search", "settings", "signin", "signout", "static",
    "tour", "v1", "workers",
})  # fmt: skip
"""First parts of Hone's own addresses: under such a root nobody could tell whether a proxy has stripped it."""


class Settings(BaseSettings):
    """Where things live and what this studio may do. Every field is the variable HONE_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="HONE_", extra="ignore", hide_input_in_errors=True)  # it may be a secret

    home: Path = Field(Path("var"), description="Folder of the database, the store, runs and logs.")
    database_url: str | None = Field(None, description="PostgreSQL for teams, e.g. postgresql+psycopg://…; default: SQLite in HONE_HOME.")
    redis_url: str | None = Field(None, description="Broker that rings workers on other machines; without it those only poll.")
    storage_url: str | None = Field(
        None, description="Where files are kept: file:///path or s3://bucket/prefix; default: HONE_HOME/artifacts."
    )
    inference_url: str | None = Field(None, description="Address of the inference server; `hone up` starts one and sets this.")
    inference_key: SecretStr | None = Field(None, description="Key the inference server asks for; `hone up` makes one.")
    max_upload_bytes: int = Field(20 * 2**30, gt=0, description="Largest upload taken.")
    model_dirs: str = Field(
        "", description="Folders with base models, separated by ':'; when bound beyond loopback no other folder is read."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    workers: bool = Field(True, description="Whether this studio runs workers of its own (hone up --no-workers turns it off).")
    allowed_hosts: str = Field("", description="Further Host headers to answer to, separated by commas; with any, everybody signs in.")
    trusted_proxies: str = Field(
        "", description="Addresses of reverse proxies that are believed about https and the caller, separated by commas."
    )
    secret_key: SecretStr | None = Field(
        None, description="Key that stored secrets are locked with, or several by commas: the first locks. Default: HONE_HOME/secret.key."
    )
    webhook_private: bool = Field(False, description="Whether webhooks may go to private addresses and this machine, also over http.")
    fetch_private: bool = Field(False, description="Whether files may be fetched from private addresses and this machine, also over http.")
    backup: bool = Field(True, description="Whether an older database is copied to HONE_HOME/backups before its schema is changed.")
    lease_seconds: float = Field(
        60.0, ge=1.0, description="For how many seconds a silent worker keeps what it holds; then another takes over. The same everywhere."
    )
    stall_minutes: float = Field(
        10.0, gt=0, description="After so many minutes without progress a run counts as stalled; after three times that it is ended."
    )
    warm_trainers: bool = Field(
        True, description="Whether workers keep a process warm for the next run; it waits in two thirds of a gigabyte of memory."
    )
    cache_bytes: int = Field(20 * 2**30, gt=0, description="How much of a remote store is kept here to read from.")
    log_format: Literal["text", "json"] = Field("text", description="How log lines are written: text (logfmt) or json.")
    trackers: str = Field(
        "", description="Where runs' numbers also go, separated by commas: trackio, wandb, mlflow. TensorBoard's files are always written."
    )
    root_path: str = Field("", description="Path under which a reverse proxy serves Hone, e.g. /hone; it may strip it or pass it on.")

    @field_validator("secret_key")
    @classmethod
    def _is_long(cls, given: SecretStr | None) -> SecretStr | None:
        parts = _parts(given.get_secret_value()) if given else []
        if any(len(part) < LEAST_KEY_CHARACTERS for part in parts):
            message = f"each key has {LEAST_KEY_CHARACTERS} random characters or more (openssl rand -base64 32)"
            raise ValueError(message)
        return given if parts else None

    @field_validator("storage_url")
    @classmethod
    def _is_offered(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "")
        is_folder = parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/")
        if url and not is_folder and not (parts.scheme == "s3" and parts.netloc and "@" not in parts.netloc):
            # Not repeated: it may hold a key.
            message = "use file:///path or s3://bucket/prefix, without keys (those are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
            raise ValueError(message)
        return url or None

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, listed: str) -> str:
        # A name or * would be believed by nobody or from anybody, and neither is seen until it matters.
        for part in _parts(listed):
            try:
                ip_network(part)
            except ValueError:
                message = f"{part!r} is no address; give IP addresses or networks, e.g. 127.0.0.1 or 172.16.0.0/12"
                raise ValueError(message) from None
        return listed

    @field_validator("trackers")
    @classmethod
    def _are_trackers(cls, listed: str) -> str:
        return ",".join(trackers_named(listed))

    @field_validator("root_path")
    @classmethod
    def _is_plain(cls, root: str) -> str:
        if not ROOT_PATH.fullmatch(root):
            message = f"{root!r} is no such path: it begins with / and does not end with one, of letters, digits, - and _, e.g. /hone"
            raise ValueError(message)
        if root.split("/")[1:2] and root.split("/")[1] in OWN_PATHS:
            message = f"{root} begins like an address of Hone's own; choose another"
            raise ValueError(message)
        return root

    @property
    def database(self) -> str:
        """Return the SQLAlchemy URL."""
        if self.database_url:
            return self.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
        return f"sqlite:///{self.home.resolve() / 'hone.db'}"

    @property
    def store_address(self) -> str:
        """Return where files are kept."""
        return self.storage_url or (self.home.resolve() / "artifacts").as_uri()

    @property
    def store(self) -> Path:
        """Return the folder of this machine for files: the store itself, or what is read here of a remote one."""
        if self.store_address.startswith("file:"):
            return Path(unquote(urlsplit(self.store_address).path))
        return self.home.resolve() / "cache"

    @property
    def runs(self) -> Path:
        """Return the folder of the runs' work."""
        return self.home.resolve() / "runs"

    @property
    def fetched_bases(self) -> Path:
        """Return the folder of base models that were fetched from the Hub."""
        return self.home.resolve() / "models"

    @property
    def bells(self) -> Path:
        """Return the folder of the pipes by which workers hear of work."""
        return self.home.resolve() / "bells"

    @property
    def log_file(self) -> Path:
        """Return the one log of everything `hone up` starts."""
        return self.home.resolve() / "logs" / "hone.log"

    @property
    def is_loopback(self) -> bool:
        """Return whether only this machine can reach the studio."""
        return self.host in {"127.0.0.1", "localhost", "::1"} or self.host.startswith("127.")

    @property
    def local_owner(self) -> bool:
        """Return whether whoever opens a page is the owner; a proxy on this machine speaks for others, so with one everybody signs in."""
        return self.is_loopback and not _parts(self.allowed_hosts) and not _parts(self.trusted_proxies)

    @property
    def forwarders(self) -> list[str]:
        """Return the proxies of HONE_TRUSTED_PROXIES."""
        return _parts(self.trusted_proxies)

    @property
    def model_folders(self) -> list[Path]:
        """Return the folders of HONE_MODEL_DIRS."""
        return [Path(part).expanduser().resolve() for part in self.model_dirs.split(":") if part]

    @property
    def tracked_by(self) -> tuple[Tracker, ...]:
        """Return the trackers of HONE_TRACKERS."""
        return trackers_named(self.trackers)

    @property
    def trusted_hosts(self) -> list[str]:
        """Return the Host headers answered to (against DNS rebinding)."""
        extra = _parts(self.allowed_hosts)
        return [*extra, *OWN_HOSTS] if extra or self.is_loopback else ["*"]


def _parts(listed: str) -> list[str]:
    return [part.strip() for part in listed.split(",") if part.strip()]
