"""Everything that can go wrong in words a person can act on; the web maps each kind to a status in one place."""

from __future__ import annotations

from typing import Any, ClassVar


class StudioError(Exception):
    """A failure with a sentence for people; `param` names the field at fault, `code` is stable for programs.

    `data` holds figures for whoever explains it further: bytes that are missing, rows at fault.
    """

    kind: ClassVar[str] = "server_error"
    status: ClassVar[int] = 500
    default_code: ClassVar[str | None] = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.default_code
        self.data = data or {}


class Invalid(StudioError):
    """What was asked makes no sense as it stands."""

    kind, status, default_code = "invalid_request_error", 422, "invalid"


class NotFound(StudioError):
    """There is no such thing here, or not for this person."""

    kind, status, default_code = "invalid_request_error", 404, "not_found"


class Conflict(StudioError):
    """It cannot be done in the present state."""

    kind, status, default_code = "invalid_request_error", 409, "conflict"


class TooLarge(StudioError):
    """More bytes than this studio takes."""

    kind, status, default_code = "invalid_request_error", 413, "too_large"


class UnsupportedType(StudioError):
    """A kind of file that holds no examples."""

    kind, status, default_code = "invalid_request_error", 415, "unsupported_type"


class Unauthenticated(StudioError):
    """Nobody is signed in and no valid key came along."""

    kind, status, default_code = "authentication_error", 401, "invalid_api_key"


class Forbidden(StudioError):
    """Known, but not allowed."""

    kind, status, default_code = "permission_error", 403, "forbidden"


class Unavailable(StudioError):
    """A part of the studio is not there just now; trying again later may work."""

    kind, status, default_code = "server_error", 503, "unavailable"


class StorageUnavailable(Unavailable):
    """The store cannot be had just now: it is away, or refuses us."""

    default_code = "storage"


class StorageFull(Unavailable):
    """A disk takes no more; what was about to be written is not there."""

    default_code = "disk_full"


class LeaseLost(StudioError):
    """A write came with an old lease token: somebody else owns the work now, and nothing was written."""

    kind, status, default_code = "server_error", 409, "lease_lost"
