"""Declares the entries of the catalogue of losses, as they are served and printed, without torch."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from lossmeter.api.models.entries import ParameterModel


class RoleModel(BaseModel):
    """A tensor that a loss takes."""

    name: str
    meaning: list[str] = Field(description="What its numbers mean: logits, probabilities, class indices, …")
    datatypes: list[str] = Field(description="Datatypes that are accepted; nested JSON arrays take the role's own.")
    shape: list[str] = Field(description="Symbolic shape, one for each meaning.")
    required: bool
    differentiable: bool
    description: str


class LossExample(BaseModel):
    """A request that works when posted as it stands."""

    request: dict[str, Any]
    answer: dict[str, Any] = Field(description="What the answer holds, among others.")


class MatchModel(BaseModel):
    """A part of a loss that holds words of the query."""

    part: str = Field(description="`name`, `alias`, `tasks`, `suits`, `summary` or `use_when`.")
    text: str


class ChoiceModel(BaseModel):
    """Why a loss was chosen."""

    reason: str = Field(description="Why it suits the situation; where none was given, when to use it.")
    tasks: list[str] = Field(description="What it is for, the chief task first.")
    suits: list[str] = Field(description="The situations that it suits, the one that it is made for first.")
    matched: list[MatchModel] = Field(description="What the query found, the best first.")


class LossEntry(BaseModel):
    """A loss of the catalogue."""

    name: str
    aliases: list[str]
    family: str
    summary: str
    explanation: str
    formula: str = Field(description="LaTeX.")
    roles: list[RoleModel]
    tensor_parameters: list[RoleModel]
    parameters: list[ParameterModel]
    reductions: list[str]
    returns: str
    use_when: str
    avoid_when: str
    source: str
    separable: bool = Field(description="Whether each sample's value depends on that sample alone.")
    elementwise: bool = Field(description="Whether each value depends on the elements at its own place alone.")
    mean: str = Field(description="How `mean` comes about.")
    examples: list[LossExample]
    choice: ChoiceModel | SkipJsonSchema[None] = Field(default=None, description="Only where losses were chosen.")


class LossList(BaseModel):
    """The catalogue of losses."""

    losses: list[LossEntry]
