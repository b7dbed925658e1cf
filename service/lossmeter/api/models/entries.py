"""Declares what the entries of losses and of metrics share, without torch."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from lossmeter.catalogue import Entry
from lossmeter.catalogue.translations import phrase, texts


class ParameterModel(BaseModel):
    """A scalar parameter of a loss."""

    name: str
    json_schema: dict[str, Any] = Field(description="JSON Schema, with the bounds.")
    default: Any
    description: str


PROSE = ("name", "family", "formula", "source")


def described(entry: Entry, language: str) -> dict[str, Any]:
    """Returns the fields that the entries of losses and of metrics share."""
    parameters = [
        ParameterModel(
            name=one.name,
            json_schema=one.schema,
            default=one.default,
            description=phrase(entry.package, one.description, language),
        )
        for one in entry.parameters
    ]
    prose = {name: getattr(entry, name) for name in PROSE}
    prose["returns"] = phrase(entry.package, entry.returns, language)
    return {**prose, **texts(entry, language), "aliases": list(entry.aliases), "parameters": parameters}
