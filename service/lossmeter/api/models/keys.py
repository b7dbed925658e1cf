"""The requests and answers about keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from lossmeter.api.models.evaluation import validate_given
from lossmeter.errors import Invalid
from lossmeter.keys import Key, Scope, described, issue
from lossmeter.keys.key import MAX_BODY_BYTES, MAX_BURST, MAX_NAME_LENGTH, MAX_REQUESTS_PER_SECOND
from lossmeter.losses.vocabulary import Real

EXAMPLE: dict[str, Any] = {"name": "ci", "scopes": ["evaluate", "runs:write"], "requests_per_second": 50}

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH)]
Rate = Annotated[Real, Field(gt=0, le=MAX_REQUESTS_PER_SECOND)]
Burst = Annotated[int, Field(ge=1, le=MAX_BURST)]
Size = Annotated[int, Field(ge=1, le=MAX_BODY_BYTES)]


class KeyRequest(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name = Field(description="Whose it is, or what for.")
    scopes: list[Scope] = Field([], description="None opens the catalogue alone.")
    expires: str | None = Field(None, json_schema_extra={"format": "date-time"}, description="For ever if left out.")
    requests_per_second: Rate | None = Field(None, description="To each worker.")
    burst: Burst | None = Field(None, description="At once; those of a second if left out.")
    max_body_bytes: Size | None = None


class KeyModel(BaseModel):
    """A key."""

    id: str
    name: str
    state: Literal["good", "expired", "revoked"]
    scopes: list[Scope]
    created: AwareDatetime
    expires: AwareDatetime | None
    revoked: AwareDatetime | None
    requests_per_second: float | None
    burst: int | None
    max_body_bytes: int | None


class KeyList(BaseModel):
    """Keys, newest first."""

    keys: list[KeyModel]


class KeyWithToken(BaseModel):
    """A new key, and its token, which nobody can find out later."""

    key: KeyModel
    token: str


def parse_key(given: dict[str, Any]) -> tuple[Key, str]:
    """Makes the key that a client wants, and its token.

    Raises:
        Invalid: if no key can be like that; says where.
    """
    wanted = validate_given(KeyRequest, "keys", given)
    fields = wanted.model_dump(exclude={"expires"})
    return issue(**fields, expires=None if wanted.expires is None else _moment(wanted.expires))


def _moment(text: str) -> int:
    """Returns the microseconds since 1970 of a time that says its distance from UTC."""
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            raise ValueError
    except ValueError:
        expected = "a time with its offset, such as 2027-01-31T00:00:00Z"
        raise Invalid.at("keys", "/expires", f"expires is {text[:60]!r}; expected {expected}") from None
    return int(time.timestamp() * 1_000_000)


def key_model(key: Key) -> KeyModel:
    """Returns a key as it is answered."""
    return KeyModel(**described(key))
