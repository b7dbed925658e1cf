"""Makes the entries of the catalogue of losses of what losses declare."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from lossmeter.api.models.entries import described
from lossmeter.api.models.loss_entries import ChoiceModel, LossEntry, LossExample, MatchModel, RoleModel
from lossmeter.api.models.schemas import shape_text
from lossmeter.catalogue.choosing import Choice
from lossmeter.catalogue.translations import ENGLISH, phrase
from lossmeter.losses import Loss, TensorArgument
from lossmeter.tensors import Datatype


@cache
def loss_entry(loss: Loss, language: str = ENGLISH) -> LossEntry:
    """Returns the entry of one loss, its texts in a language."""

    def said(text: str) -> str:
        return phrase(loss.package, text, language)

    return LossEntry(
        **described(loss, language),
        roles=[_role(argument, said) for argument in loss.roles],
        tensor_parameters=[_role(argument, said) for argument in loss.tensors if argument.keyword],
        reductions=list(loss.reductions),
        separable=loss.separable,
        elementwise=loss.elementwise,
        mean=said(loss.mean_note) or "sum / normalizer",
        examples=[
            LossExample(request=example.request, answer={"loss": loss.name, "value": example.value})
            for example in loss.examples
        ],
    )


def chosen_entry(choice: Choice[Loss], language: str) -> LossEntry:
    """Returns the entry of a loss that was chosen, with the reason."""
    loss = choice.entry
    why = ChoiceModel(
        reason=choice.reason,
        tasks=list(loss.tasks),
        suits=list(loss.suits),
        matched=[MatchModel(part=one.part, text=one.text) for one in choice.matched],
    )
    return loss_entry(loss, language).model_copy(update={"choice": why})


def _role(argument: TensorArgument, said: Callable[[str], str]) -> RoleModel:
    datatypes: dict[str, None] = {}
    for role in argument.options:
        for datatype in Datatype:
            if datatype.kind == role.meaning.kind or (role.meaning.exact and datatype.kind != "floating"):
                datatypes[datatype.name] = None
    return RoleModel(
        name=argument.name,
        meaning=[f"{role.meaning.name}: {said(role.meaning.description)}" for role in argument.options],
        datatypes=list(datatypes),
        shape=[shape_text(role.shape) for role in argument.options],
        required=argument.required,
        differentiable=argument.differentiable,
        description=said(argument.description),
    )
