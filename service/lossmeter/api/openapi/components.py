"""Schemas that no pydantic model stands for: tensors, and the unions and enumerations that have a name."""

from __future__ import annotations

from typing import Any

from lossmeter.metrics.tasks import KINDS, TASKS

REF = "#/components/schemas/{model}"
Schema = dict[str, Any]

# Items are left open: a schema that names itself is more exact, and beyond most generators of clients.
NUMBERS: Schema = {
    "description": "Nested arrays of numbers, or of true and false: rectangular, finite, in the dtype of their role.",
    "type": "array",
    "items": {},
    "examples": [[[2.0, -1.0, 0.3], [0.1, 1.5, -0.4]]],
}
SHAPE: Schema = {"type": "array", "items": {"type": "integer", "format": "int64", "minimum": 0}, "examples": [[2, 3]]}
BYTES: Schema = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "Little-endian, row-major bytes.",
    "examples": ["AAAAQAAAgL8="],
}
TENSOR_OBJECT: Schema = {
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
}
TENSOR: Schema = {
    "description": "A tensor: nested arrays of numbers, a single number, or an object that states datatype and shape.",
    "oneOf": [
        {"$ref": REF.format(model="TensorObject")},
        {"$ref": REF.format(model="Numbers")},
        {"type": "number", "format": "double"},
        {"type": "boolean"},
    ],
}
PLAIN_TENSOR: Schema = {
    "description": "A parameter of a loss that is a tensor, such as weights of classes: nested arrays, or a single number.",
    "oneOf": [{"$ref": REF.format(model="Numbers")}, {"type": "number", "format": "double"}],
}
TENSOR_ANSWER: Schema = {
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
}
SLICE_VALUE: Schema = {
    "description": "A value of a column.",
    "oneOf": [{"type": "string"}, {"type": "integer", "format": "int64"}, {"type": "boolean"}],
}
SAMPLE_ID: Schema = {
    "description": "The id of a sample or of a group.",
    "oneOf": [{"type": "string"}, {"type": "integer", "format": "int64"}],
}
SLICE_CHOICE: Schema = {
    "description": "A column, for every slice of it; or one slice.",
    "oneOf": [{"type": "string"}, {"$ref": REF.format(model="ChosenSlice")}],
}
CHOSEN_SLICE: Schema = {
    "description": "The samples that have one value in one column.",
    "type": "object",
    "required": ["column", "value"],
    "additionalProperties": False,
    "properties": {
        "column": {"type": "string", "description": "A column of `slices`."},
        "value": {"$ref": REF.format(model="SliceValue")},
    },
}
DATATYPES = ["BOOL", "UINT8", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64"]

ENUMERATIONS: dict[str, list[str]] = {
    "Datatype": DATATYPES,
    "Reduction": ["mean", "sum", "none"],
    "Precision": ["float32", "float64"],
    "TensorEncoding": ["data", "base64"],
    "NonFinite": ["error", "allow"],
    "EmptyMean": ["nan", "zero", "error"],
    "Task": list(TASKS),
    "PredictionsAre": list(KINDS),
    "MetricKind": ["scalar", "per_class", "matrix", "curve"],
    "IntervalMethod": ["student", "wilson", "bootstrap", "newcombe"],
    "Better": ["higher", "lower", "neither"],
    "Averaging": ["macro", "micro", "weighted", "none", "binary"],
    "Absent": ["skip", "zero", "one", "nan"],
}
"""Lists of words that occur in several places: each is a type of its own in a generated client."""
MEANINGS = {
    "Datatype": "The type of the elements of a tensor, as the Open Inference Protocol v2 names it.",
    "Reduction": "How unreduced values become one number.",
    "Precision": "Arithmetic.",
    "TensorEncoding": "How the tensors of a JSON answer are written: as numbers, or as base64 of their bytes.",
    "NonFinite": "What to do with NaN and infinities among the inputs.",
    "EmptyMean": "The mean where nothing counts.",
    "Task": "What kind of question the predictions answer.",
    "PredictionsAre": "What the predictions are.",
    "MetricKind": "Whether a value is a number, one number per class, a matrix, or curves.",
    "IntervalMethod": "How an interval came about.",
    "Better": "Which values are better.",
    "Averaging": "How the values of the classes become one.",
    "Absent": "The value of what does not occur.",
}
UNIONS = {
    frozenset({"string", "integer", "boolean"}): "SliceValue",
    frozenset({"string", "integer"}): "SampleId",
}
"""Unions of simple types that have a name."""


def components() -> dict[str, Schema]:
    """Returns all of them by name."""
    named = {
        "Numbers": NUMBERS,
        "Tensor": TENSOR,
        "PlainTensor": PLAIN_TENSOR,
        "TensorObject": TENSOR_OBJECT,
        "TensorAnswer": TENSOR_ANSWER,
        "SliceValue": SLICE_VALUE,
        "SampleId": SAMPLE_ID,
        "SliceChoice": SLICE_CHOICE,
        "ChosenSlice": CHOSEN_SLICE,
    }
    words: dict[str, Schema] = {
        name: {"type": "string", "enum": values, "description": MEANINGS[name]} for name, values in ENUMERATIONS.items()
    }
    return {**named, **words}
