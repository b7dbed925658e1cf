"""Schemas that no pydantic model stands for: tensors, and the unions and enumerations that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossmeter.catalogue.translations import ENGLISH
from lossmeter.keys import SCOPES
from lossmeter.losses import LOSSES
from lossmeter.losses.situations import SITUATIONS
from lossmeter.losses.situations import TASKS as LOSS_TASKS
from lossmeter.metrics import METRICS
from lossmeter.metrics.tasks import KINDS, TASKS
from lossmeter.tensors import Datatype

REF = "#/components/schemas/{model}"
Schema = dict[str, Any]


def ref(model: str) -> Schema:
    """Returns the reference to the schema of a model."""
    return {"$ref": REF.format(model=model)}


SHAPE: Schema = {"type": "array", "items": {"type": "integer", "format": "int64", "minimum": 0}, "examples": [[2, 3]]}
BYTES: Schema = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "Little-endian, row-major bytes.",
    "examples": ["AAAAQAAAgL8="],
}
TABLE = "A table; the query names its columns and says what is measured."
SCHEMAS: dict[str, Schema] = {
    "Safetensors": {
        "type": "string",
        "format": "binary",
        "description": "A safetensors file. Tensors of a request stand under the names of their roles, those of an answer "
        "under `values` and `gradients.<role>`; all else is JSON text, in `__metadata__` under `request` or `response`.",
    },
    "InferBytes": {
        "type": "string",
        "format": "binary",
        "description": "JSON of the same form, and behind it the bytes of the tensors that state `binary_data_size`, "
        "little-endian and row-major, in the order of the JSON.",
    },
    "Table": {"type": "string", "description": TABLE},
    "BinaryTable": {"type": "string", "format": "binary", "description": TABLE},
    "ReportText": {"type": "string", "description": "The report for people, or its gates as tests."},
    # Items are left open: a schema that names itself is more exact, and beyond most generators of clients.
    "Numbers": {
        "description": "Nested arrays of numbers, or of true and false: rectangular, finite, in the dtype of their role.",
        "type": "array",
        "items": {},
        "examples": [[[2.0, -1.0, 0.3], [0.1, 1.5, -0.4]]],
    },
    "Tensor": {
        "description": "A tensor: nested arrays of numbers, a single number, or an object that states datatype and shape.",
        "oneOf": [
            ref("TensorObject"),
            ref("Numbers"),
            {"type": "number", "format": "double"},
            {"type": "boolean"},
        ],
    },
    "PlainTensor": {
        "description": "A parameter of a loss that is a tensor, such as weights of classes: nested arrays, or a single number.",
        "oneOf": [ref("Numbers"), {"type": "number", "format": "double"}],
    },
    "TensorObject": {
        "description": "A tensor with its datatype and shape; exactly one of `data` and `base64`.",
        "type": "object",
        "required": ["datatype", "shape"],
        "additionalProperties": False,
        "properties": {
            "datatype": {
                "$ref": REF.format(model="Datatype"),
                "description": "Of the Open Inference Protocol v2; FP16 and BF16 in base64 only.",
            },
            "shape": {**SHAPE, "description": "Sizes of the dimensions; empty for a single number."},
            "data": {"$ref": REF.format(model="Numbers"), "description": "Flat or nested, row-major."},
            "base64": BYTES,
        },
        "examples": [{"datatype": "FP32", "shape": [2], "data": [2.0, -1.0]}],
    },
    "TensorAnswer": {
        "description": "A tensor of an answer, with its datatype and shape; exactly one of `data` and `base64`.",
        "type": "object",
        "required": ["datatype", "shape"],
        "properties": {
            "datatype": {"$ref": REF.format(model="Datatype"), "description": "Of the Open Inference Protocol v2."},
            "shape": {**SHAPE, "description": "Sizes of the dimensions; empty for a single number."},
            "data": {
                "type": "array",
                "items": {"type": ["number", "null"], "format": "double"},
                "description": "Flat, row-major; null where not finite.",
            },
            "base64": BYTES,
        },
        "examples": [{"datatype": "FP32", "shape": [2], "data": [-0.18862158, 0.040396158]}],
    },
    "SliceValue": {
        "description": "A value of a column.",
        "oneOf": [{"type": "string"}, {"type": "integer", "format": "int64"}, {"type": "boolean"}],
    },
    "SampleId": {
        "description": "The id of a sample or of a group.",
        "oneOf": [{"type": "string"}, {"type": "integer", "format": "int64"}],
    },
    "SliceChoice": {
        "description": "A column, for every slice of it; or one slice.",
        "oneOf": [{"type": "string"}, ref("ChosenSlice")],
    },
    "ChosenSlice": {
        "description": "The samples that have one value in one column.",
        "type": "object",
        "required": ["column", "value"],
        "additionalProperties": False,
        "properties": {
            "column": {"type": "string", "description": "A column of `slices`."},
            "value": ref("SliceValue"),
        },
    },
}


TAG_PATCH: Schema = {
    "description": "All tags as an array; or some by key, as an object of their values: empty for `key` alone, null for none.",
    "examples": [{"model": "b8", "old": None}],
}
"""Left open: generators in Java and Go make what does not compile of a union of arrays and objects."""
POSITIVE: Schema = {"type": "number", "format": "double", "exclusiveMinimum": 0}
SHARED = {
    "normalizer": "Normalizer",
    "horizon": "Horizon",
    "weight_in_objective": "WeightInObjective",
    "advice": "Advice",
}
"""Schemas of fields that many losses have."""
SCHEMAS |= {
    "Normalizer": {
        **POSITIVE,
        "description": "Takes the place of the denominator of the mean: a global count over many calls, say.",
    },
    "Horizon": {
        **POSITIVE,
        "description": "What sequence_sum_norm divides by: the largest length of an answer, say. "
        "By default the number of tokens.",
    },
    "Advice": {"type": "boolean", "default": True, "description": "Warn of what is likely not meant."},
    "WeightInObjective": {
        "type": "number",
        "format": "double",
        "minimum": 0,
        "description": "The factor of its mean in the objective.",
    },
}
BRIEFLY = {
    "upstream": "The upstream gradient.",
    "sample_weight": "≥ 0: (N,), or as the loss.",
    "mask": "True counts: (N,), or as the loss.",
    "gradients": "What to derive by.",
}
"""Fields that all losses have, and whose types generators need in their place."""


def _words(description: str, *values: str) -> Schema:
    return {"type": "string", "enum": list(values), "description": description}


(AVERAGING,) = (one.description for one in METRICS["f1"].parameters if one.name == "average")
"""How the values of the classes become one, as most metrics that average them say it."""


def _described(description: str, words: Mapping[str, str]) -> Schema:
    """Returns the enumeration of words that have a meaning each."""
    return _words("\n".join([description, "", *(f"- `{word}`: {about}" for word, about in words.items())]), *words)


ENUMERATIONS: dict[str, Schema] = {
    "Scope": _words("What a key allows: losses and evaluations, reading runs, changing runs, everything.", *SCOPES),
    "Datatype": _words(
        "The type of the elements of a tensor, as the Open Inference Protocol v2 names it.", *Datatype.__members__
    ),
    "Reduction": _words("How unreduced values become one number.", "mean", "sum", "none"),
    "SequenceReduction": _words(
        "How unreduced values of tokens become one number, by any of its names.", *LOSSES["ppo_clip"].reduction_names
    ),
    "Precision": _words("Arithmetic of an answer.", "float32", "float64"),
    "PrecisionChoice": _words(
        "Arithmetic; `auto` is float64 if a floating tensor of the loss is declared FP64, and float32 otherwise.",
        *("auto", "float32", "float64"),
    ),
    "TensorEncoding": _words(
        "How the tensors of a JSON answer are written: as numbers, or as base64 of their bytes.", "data", "base64"
    ),
    "NonFinite": _words("What to do with NaN and infinities, or with values out of their domain.", "error", "allow"),
    "EmptyMean": _words("The mean where nothing counts; `nan` is what torch gives.", "nan", "zero", "error"),
    "Task": _words("What kind of question the predictions answer.", *TASKS),
    "LossTask": _described("What a loss is for.", LOSS_TASKS),
    "Situation": _described("What is known of the data, or wanted of the model.", SITUATIONS),
    "PredictionsAre": _words("What the predictions are.", *KINDS),
    "MetricKind": _words(
        "Whether a value is a number, one number per class, a matrix, or curves.",
        *("scalar", "per_class", "matrix", "curve"),
    ),
    "IntervalMethod": _words("How an interval came about.", "student", "wilson", "bootstrap", "newcombe"),
    "Better": _words("Which values are better.", "higher", "lower", "neither"),
    "Averaging": _words(AVERAGING, "macro", "micro", "weighted", "none", "binary"),
    "Absent": _words("The value of what does not occur.", "skip", "zero", "one", "nan"),
}
"""Lists of words that occur in several places: each is a type of its own in a generated client."""
DEFAULTS = {
    "Reduction": "mean",
    "SequenceReduction": "mean",
    "EmptyMean": "nan",
    "NonFinite": "error",
    "PrecisionChoice": "auto",
    "TensorEncoding": "data",
}
"""Words for which requests of losses say nothing of their own: left out, they are these."""
ENUMERATIONS |= {name: {**ENUMERATIONS[name], "default": default} for name, default in DEFAULTS.items()}
PARAMETERS: dict[str, Schema] = {
    "AcceptLanguage": {
        "name": "Accept-Language",
        "in": "header",
        "description": "The languages that the client prefers, with quality values. Texts are there in English and in Chinese; "
        "whoever asks for neither gets English.",
        "schema": {"type": "string", "default": ENGLISH},
        "example": "zh-CN, zh;q=0.9, en;q=0.5",
    },
}
"""Parameters that several operations have."""
UNIONS = {
    frozenset({"string", "integer", "boolean"}): "SliceValue",
    frozenset({"string", "integer"}): "SampleId",
}
"""Unions of simple types that have a name."""
