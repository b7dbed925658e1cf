"""The vocabulary in which a loss declares its arguments.

A tensor argument is annotated with what its numbers mean and with its shape: `Logits[Tensor, "N C *d | C"]`. A type checker
reads `Annotated[Tensor, ...]`; the catalogue reads a `Role`. Shapes are written as names of dimensions; `*name` stands for
any number of them, `~` in front for "broadcastable to", `|` separates alternatives that all roles take together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from lossmeter.validation import IgnoredIndex, Real

__all__ = [
    "AssertedProbabilities",
    "Boxes",
    "ClassCounts",
    "ClassIndices",
    "Counts",
    "Distributions",
    "Divergences",
    "Embeddings",
    "Features",
    "FixedLogProbabilities",
    "FixedRelevances",
    "FixedWeights",
    "Flags",
    "Fraction",
    "Grades",
    "Groups",
    "IgnoredIndex",
    "Kind",
    "Lengths",
    "LogProbabilities",
    "LogVariances",
    "Logits",
    "Masks",
    "Meaning",
    "NonNegative",
    "NonNegativeInteger",
    "OpenFraction",
    "PaddedClassIndices",
    "Positive",
    "Positives",
    "Priors",
    "Probabilities",
    "Quantiles",
    "Real",
    "Relevances",
    "Role",
    "Scales",
    "Scores",
    "Signs",
    "Times",
    "TokenCounts",
    "Tokens",
    "Transcripts",
    "Unreduced",
    "Values",
    "Variances",
    "Weights",
]

Kind = Literal["floating", "index", "boolean"]


@dataclass(frozen=True)
class Meaning:
    """The meaning of the numbers of a tensor, and so which of them are possible.

    Attributes:
        name: the word for it, as the catalogue prints it.
        description: one sentence for a beginner.
        kind: `floating`, `index` or `boolean`.
        minimum, maximum: inclusive bounds of every element, where there are any.
        choices: the only possible values, where they are few.
        counts: for indices, the dimension that they index (its size is the exclusive upper bound).
        asserted: kernels give up on other values, so that nobody may ask for them.
        exact: also accepts integer and boolean datatypes, because their values are exact members of the domain.
    """

    name: str
    description: str
    kind: Kind = "floating"
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[float, ...] = ()
    counts: str | None = None
    exact: bool = False
    asserted: bool = False


@dataclass(frozen=True)
class Role:
    """A meaning together with a shape (see the module's docstring)."""

    meaning: Meaning
    shape: str
    differentiable: bool


class _Word:
    """Makes `Word[Tensor, "N C"]` an annotation that carries a `Role`."""

    meaning: Meaning
    differentiable = True

    def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
        tensor, shape = item
        return Annotated[tensor, Role(cls.meaning, shape, cls.differentiable)]


if TYPE_CHECKING:
    from typing import Annotated as AssertedProbabilities
    from typing import Annotated as Boxes
    from typing import Annotated as ClassCounts
    from typing import Annotated as ClassIndices
    from typing import Annotated as Counts
    from typing import Annotated as Distributions
    from typing import Annotated as Divergences
    from typing import Annotated as Embeddings
    from typing import Annotated as Features
    from typing import Annotated as FixedLogProbabilities
    from typing import Annotated as FixedRelevances
    from typing import Annotated as FixedWeights
    from typing import Annotated as Flags
    from typing import Annotated as Grades
    from typing import Annotated as Groups
    from typing import Annotated as Lengths
    from typing import Annotated as LogProbabilities
    from typing import Annotated as LogVariances
    from typing import Annotated as Logits
    from typing import Annotated as Masks
    from typing import Annotated as PaddedClassIndices
    from typing import Annotated as Positives
    from typing import Annotated as Priors
    from typing import Annotated as Probabilities
    from typing import Annotated as Relevances
    from typing import Annotated as Scales
    from typing import Annotated as Scores
    from typing import Annotated as Signs
    from typing import Annotated as Times
    from typing import Annotated as TokenCounts
    from typing import Annotated as Tokens
    from typing import Annotated as Transcripts
    from typing import Annotated as Unreduced
    from typing import Annotated as Values
    from typing import Annotated as Variances
    from typing import Annotated as Weights
else:

    class Values(_Word):
        meaning = Meaning("values", "real numbers in a unit of their own")

    class Logits(_Word):
        meaning = Meaning("logits", "unnormalised scores, before softmax or sigmoid; any real number")

    class Probabilities(_Word):
        meaning = Meaning("probabilities", "numbers between 0 and 1", minimum=0.0, maximum=1.0, exact=True)

    class AssertedProbabilities(_Word):
        meaning = replace(Probabilities.meaning, asserted=True)

    class LogProbabilities(_Word):
        meaning = Meaning("log-probabilities", "natural logarithms of probabilities, such as log_softmax gives")

    class FixedLogProbabilities(_Word):
        meaning = LogProbabilities.meaning
        differentiable = False

    class Divergences(_Word):
        meaning = Meaning("divergences", "estimates of a Kullback-Leibler divergence, in nats")
        differentiable = False

    class Scores(_Word):
        meaning = Meaning("scores", "numbers of which a larger one ranks higher")

    class Embeddings(_Word):
        meaning = Meaning("embeddings", "vectors that represent items; near means similar")

    class Features(_Word):
        meaning = Meaning("features", "vectors, or the matrix that maps them to logits")

    class Variances(_Word):
        meaning = Meaning("variances", "predicted variances, not negative", minimum=0.0, asserted=True)

    class Signs(_Word):
        meaning = Meaning("±1", "1 or -1", choices=(-1.0, 1.0), exact=True)
        differentiable = False

    class ClassIndices(_Word):
        meaning = Meaning("class indices", "integers from 0 to C - 1", kind="index", minimum=0, counts="C")
        differentiable = False

    class Tokens(_Word):
        meaning = Meaning("tokens", "integers from 0 to V - 1", kind="index", minimum=0, counts="V")
        differentiable = False

    class PaddedClassIndices(_Word):
        meaning = Meaning(
            "padded class indices", "integers from 0 to C - 1; -1 ends the list", kind="index", minimum=-1, counts="C"
        )
        differentiable = False

    class Transcripts(_Word):
        meaning = Meaning("transcripts", "class indices of symbols; whatever lies beyond a stated length", kind="index")
        differentiable = False

    class Lengths(_Word):
        meaning = Meaning("lengths", "numbers of elements that count, not negative", kind="index", minimum=0)
        differentiable = False

    class TokenCounts(_Word):
        meaning = Meaning("numbers of tokens", "how many tokens an answer has, at least 1", kind="index", minimum=1)
        differentiable = False

    class Grades(_Word):
        meaning = Meaning(
            "grades",
            "how relevant each item is, not negative; a larger one should rank higher",
            minimum=0.0,
            exact=True,
        )
        differentiable = False

    class Groups(_Word):
        meaning = Meaning("groups", "integers that are equal for items of the same kind", kind="index")
        differentiable = False

    class Masks(_Word):
        meaning = Meaning("mask", "true where it counts", kind="boolean")
        differentiable = False

    class Relevances(_Word):
        meaning = Meaning("relevances", "how relevant each item is; a larger one should rank higher", exact=True)

    class FixedRelevances(_Word):
        meaning = Relevances.meaning
        differentiable = False

    class Boxes(_Word):
        meaning = Meaning("boxes", "four numbers a box, in the format that a parameter names")

    class ClassCounts(_Word):
        meaning = Meaning("counts per class", "numbers of samples of each class, not negative", minimum=0.0, exact=True)
        differentiable = False

    class Counts(_Word):
        meaning = Meaning("counts", "numbers of events, not negative", minimum=0.0, exact=True)
        differentiable = False

    class Distributions(_Word):
        meaning = Meaning(
            "distributions", "probabilities of all classes, which sum to 1", minimum=0.0, maximum=1.0, exact=True
        )

    class Flags(_Word):
        meaning = Meaning("flags", "1 where it is so and 0 where it is not", choices=(0.0, 1.0), exact=True)
        differentiable = False

    class Priors(_Word):
        meaning = Meaning("priors", "how frequent each class is, between 0 and 1", minimum=0.0, maximum=1.0)
        differentiable = False

    class Scales(_Word):
        meaning = Meaning("scales", "spreads of distributions, not negative", minimum=0.0)

    class Positives(_Word):
        meaning = Meaning("positive numbers", "numbers above 0")

    class LogVariances(_Word):
        meaning = Meaning("log-variances", "natural logarithms of variances; any real number")

    class Times(_Word):
        meaning = Meaning(
            "times", "durations until an event or the end of watching, not negative", minimum=0.0, exact=True
        )
        differentiable = False

    class Weights(_Word):
        meaning = Meaning("weights", "factors, not negative, usually one per class", minimum=0.0)

    class FixedWeights(_Word):
        meaning = Weights.meaning
        differentiable = False

    class Unreduced(_Word):
        meaning = Meaning("loss", "one number per sample or per element")


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
NonNegativeInteger = Annotated[int, Field(ge=0, le=2**63 - 1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Quantiles = Annotated[list[OpenFraction], Field(min_length=1, max_length=1000)]
