"""What a project may reach outside with a key of its own, as it is asked for: the Hub's token, and models behind an address."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, field_validator

from app.domain.text import Text

MAX_KEY = 500
HINT_CHARACTERS = 4


class ConnectionKind(StrEnum):
    """What answers there."""

    HUB = "hub"
    OPENAI = "openai"


class OutsideModel(BaseModel):
    """A model behind an OpenAI-compatible address."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)

    name: Text = Field(min_length=1, max_length=100, description="What people call it.", examples=["the large one"])
    url: Text = Field(
        max_length=2000, description="Where its endpoints begin, up to and with /v1.", examples=["https://api.example.com/v1"]
    )
    model: Text = Field(min_length=1, max_length=300, description="The model's name there.", examples=["large-2026"])
    key: SecretStr = Field(SecretStr(""), description="The key it wants, if any; kept encrypted, and never shown again.")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        """Return the address without its last slash: what follows it, and a query would stand between, is put behind it."""
        if "?" in url or "#" in url:
            raise ValueError("Give the address without a ? or # part: what is asked is put behind it.")
        if not _can_be_read(url):
            raise ValueError("This address cannot be read. Check its host and port.")
        return url.rstrip("/").removesuffix("/chat/completions")

    @field_validator("key")
    @classmethod
    def _is_a_key(cls, key: SecretStr) -> SecretStr:
        if key.get_secret_value().strip():
            return SecretStr(checked_key(key.get_secret_value()))
        return SecretStr("")


def _can_be_read(url: str) -> bool:
    """Return whether an address makes sense, its host's name too, which some libraries look at only when they connect."""
    try:
        host = TypeAdapter(AnyHttpUrl).validate_python(url).host or ""
        host.encode("idna")
    except (ValidationError, UnicodeError):
        return False
    return True


def checked_key(written: str) -> str:
    """Return a key as it goes into a header, or raise ValueError, in words that do not hold it."""
    key = written.strip()
    if not key or len(key) > MAX_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(f"A key is up to {MAX_KEY} plain characters, without spaces.")
    return key


def hint_of(key: str) -> str:
    """Return a key's end, for people to know it by; nothing of one so short that its end would tell it."""
    return key[-HINT_CHARACTERS:] if len(key) >= 4 * HINT_CHARACTERS else ""
