"""Defines everything that can go wrong for a caller. No HTTP in here: `api/problems.py` maps each class to a status.

LossmeterError
├── MalformedBody          the bytes are not the format they claim to be
├── Invalid                well-formed, but not a valid request; carries one flaw per offending place
├── Unauthorized           who asks is not known
├── Forbidden              who asks is known, and may not
├── KeysOff                nobody is asked for a key, so that none can be managed
├── TooManyRequests        who asks may, but not so often
├── NotFound               no loss, metric or resource of that name
├── Conflict               the resource is in a state that does not allow it
├── TooLarge               over a limit that the settings state
├── TooSlow                the body does not arrive in time
├── TookTooLong            the answer is not there in time
├── UnsupportedFormat      a media type or an encoding that is not spoken here
├── NotAcceptable          no format that the caller accepts can be produced
├── Busy                   no room at present; the same request may succeed later
├── StoreUnavailable       what is kept in a database cannot be reached, or no more can be kept
├── NotReady               this server starts, is about to stop, or must be replaced
├── DeviceLost             the device can no longer be used by this process
└── DoesNotFit             the work does not fit into the memory of the device
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Flaw:
    """Describes one thing that is wrong with a request.

    Attributes:
        pointer: JSON Pointer (RFC 6901) to the offending value; empty for the whole request.
        message: what was given and what was expected.
        index: position of the first offending element inside the tensor, if the value is one.
    """

    pointer: str
    message: str
    index: tuple[int, ...] | None = None


class LossmeterError(Exception):
    """Is the base of all errors that a caller can cause or must know of."""

    code = "error"
    title = "The request failed"
    retry_after_seconds: int | None = None
    """When the same request may succeed, if it ever may."""

    def __init__(self, detail: str, flaws: Sequence[Flaw] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.flaws = tuple(flaws)


class MalformedBody(LossmeterError):
    code = "malformed_body"
    title = "The body is not what it claims to be"


class Invalid(LossmeterError):
    code = "invalid"
    title = "The request is not valid"

    @classmethod
    def at(cls, subject: str, pointer: str, message: str, index: tuple[int, ...] | None = None) -> Invalid:
        """Makes the error of one place; `subject` is the loss, metric or resource that says so."""
        return cls.of(subject, [Flaw(pointer, message, index)])

    @classmethod
    def of(cls, subject: str, flaws: Sequence[Flaw]) -> Invalid:
        more = f" (and {len(flaws) - 1} more)" if len(flaws) > 1 else ""
        return cls(f"{subject}: {flaws[0].message}{more}", flaws)


class Unauthorized(LossmeterError):
    code = "unauthorized"
    title = "This needs a key"

    def __init__(self, detail: str, reason: Literal["missing", "invalid"] = "missing") -> None:
        super().__init__(detail)
        self.reason = reason


class Forbidden(LossmeterError):
    code = "forbidden"
    title = "The key does not allow this"

    def __init__(self, detail: str, scope: str) -> None:
        super().__init__(detail)
        self.scope = scope


class KeysOff(LossmeterError):
    code = "keys_off"
    title = "Keys are not managed here"


class TooManyRequests(LossmeterError):
    code = "too_many_requests"
    title = "Too many requests"

    def __init__(self, detail: str, wait_seconds: float) -> None:
        super().__init__(detail)
        self.retry_after_seconds = math.ceil(wait_seconds)


class NotFound(LossmeterError):
    code = "not_found"
    title = "There is nothing of that name"


class Conflict(LossmeterError):
    code = "conflict"
    title = "The request contradicts what is there"


class TooLarge(LossmeterError):
    code = "too_large"
    title = "The request is over a limit"


class TooSlow(LossmeterError):
    code = "too_slow"
    title = "The request did not arrive in time"


class TookTooLong(LossmeterError):
    code = "took_too_long"
    title = "The answer was not there in time"


class UnsupportedFormat(LossmeterError):
    code = "unsupported_format"
    title = "The format of the body is not supported"


class NotAcceptable(LossmeterError):
    code = "not_acceptable"
    title = "No acceptable format can be produced"


class Busy(LossmeterError):
    code = "busy"
    title = "No room at present"

    def __init__(self, detail: str, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class StoreUnavailable(LossmeterError):
    code = "store_unavailable"
    title = "Nothing can be kept or looked up at present"
    retry_after_seconds = 2


class NotReady(LossmeterError):
    code = "not_ready"
    title = "The server is not ready for work"
    retry_after_seconds = 1


class DeviceLost(LossmeterError):
    code = "device_lost"
    title = "The device failed"
    retry_after_seconds = 5


class DoesNotFit(LossmeterError):
    code = "does_not_fit"
    title = "The request does not fit into memory"


def pointer(*parts: str | int) -> str:
    """Makes the JSON Pointer to the place that the parts name, one after the other."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
