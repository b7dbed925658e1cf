"""The table of operations: all that a graph can name.

Each row has the namespaces in which its names stand (T `torch`, S `torch.special`, F `torch.nn.functional`, M methods of
tensors, O `operator`), the names, and the arguments as `name:kind`, with `=default` if it may be left out; `*` takes all that
are left.
Everything is pure: nothing is overwritten, nothing is random, no shape depends on numbers, nothing reaches Python.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.cost import PRODUCTS
from lossmeter.engine.graphs import checks, functions
from lossmeter.engine.graphs.graph import Operation, Parameter
from lossmeter.engine.graphs.kinds import kind

PREFIXES = {"T": "torch.", "S": "torch.special.", "F": "torch.nn.functional.", "M": "", "O": "operator."}
DEFAULTS: dict[str, Any] = {"None": None, "True": True, "False": False}


def _parameters(text: str) -> tuple[Parameter, ...]:
    return tuple(map(_parameter, text.split()))


def _parameter(text: str) -> Parameter:
    named, equals, default = text.partition("=")
    name, _, word = named.partition(":")
    value: Any = None
    if equals:
        value = DEFAULTS[default] if default in DEFAULTS else _number(default)
    return Parameter(name.lstrip("*"), kind(word), not equals, value, name.startswith("*"))


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


X, XY = "input:tensor", "input:value other:value"
OVER = "input:tensor dim:dimensions=None keepdim:boolean=False"
ALONG = "input:tensor dim:dimension keepdim:boolean=False"
REDUCTION = "reduction:mean|sum|none=mean"
PAIR = f"input:tensor target:tensor {REDUCTION}"

ELEMENTWISE = """
abs absolute neg negative exp exp2 expm1 log log1p log2 log10 sqrt rsqrt square reciprocal sigmoid tanh sin cos tan asin acos
atan
sinh cosh asinh acosh atanh erf erfc lgamma digamma sign sgn floor ceil trunc round isnan isinf isfinite logical_not frac relu
"""
OWN = (
    # Elementwise, of one tensor.
    (
        "TM",
        ELEMENTWISE,
        X,
    ),
    ("S", "expit erf erfc expm1 log1p entr ndtr log_ndtr gammaln digamma i0e i1e", X),
    ("F", "relu logsigmoid softsign relu6 selu mish sigmoid tanh silu hardtanh", X),
    ("TM", "nan_to_num", "input:tensor nan:number=0.0 posinf:number=None neginf:number=None"),
    ("TM", "logit", "input:tensor eps:number=None"),
    # Elementwise, of two.
    ("TM", "maximum minimum fmax fmin atan2 hypot logaddexp", "input:tensor other:tensor"),
    ("TM", "eq ne lt le gt ge", "input:tensor other:value"),
    ("TM", "logical_and logical_or logical_xor", "input:tensor other:tensor"),
    ("TMS", "xlogy", "input:tensor other:value"),
    ("S", "xlog1py", "input:tensor other:value"),
    ("TM", "clamp clip", "input:tensor min:value=None max:value=None"),
    ("TM", "clamp_min", "input:tensor min:value"),
    ("TM", "clamp_max", "input:tensor max:value"),
    ("TM", "lerp", "input:tensor end:tensor weight:value"),
    ("TM", "masked_fill", "input:tensor mask:tensor value:value"),
    # Along dimensions.
    ("TM", "cumsum logcumsumexp", "input:tensor dim:dimension"),
    ("TM", "flip", "input:tensor dims:dimensions"),
    ("TM", "roll", "input:tensor shifts:parts dims:dimensions=None"),
    ("F", "normalize", "input:tensor p:number=2.0 dim:dimension=1 eps:number=1e-12"),
    ("F", "cosine_similarity", "x1:tensor x2:tensor dim:dimension=1 eps:number=1e-8"),
    ("F", "pairwise_distance", "x1:tensor x2:tensor p:number=2.0 eps:number=1e-6 keepdim:boolean=False"),
    # Shapes.
    ("TM", "flatten", "input:tensor start_dim:dimension=0 end_dim:dimension=-1"),
    ("TM", "unsqueeze", "input:tensor dim:dimension"),
    ("TM", "transpose swapaxes", "input:tensor dim0:dimension dim1:dimension"),
    ("TM", "t", X),
    ("TM", "movedim", "input:tensor source:dimensions destination:dimensions"),
    ("TM", "broadcast_to", "input:tensor size:sizes"),
    ("TM", "narrow", "input:tensor dim:dimension start:integer length:integer"),
    ("TM", "select", "input:tensor dim:dimension index:integer"),
    ("TM", "tril triu", "input:tensor diagonal:integer=0"),
    ("TM", "diagonal", "input:tensor offset:integer=0 dim1:dimension=0 dim2:dimension=1"),
    ("M", "expand_as view_as reshape_as", "input:tensor other:tensor"),
    ("M", "float double long bool", X),
    ("M", "dim numel", X),
    ("T", "zeros_like ones_like", X),
    ("T", "full_like", "input:tensor fill_value:number"),
    # Activations with parameters.
    ("F", "softplus", "input:tensor beta:number=1 threshold:number=20"),
    ("F", "leaky_relu", "input:tensor negative_slope:number=0.01"),
    ("F", "elu", "input:tensor alpha:number=1.0"),
)
"""Rows whose functions are torch's own under that name, called as they are declared."""


def _shared() -> Iterator[tuple[str, str, str, Operation]]:
    """Yields rows whose functions are not, each with what it computes."""

    def row(
        spaces: str, names: str, text: str, function: Callable[..., Any], **more: Any
    ) -> tuple[str, str, str, Operation]:
        return spaces, names, text, Operation(function, _parameters(text), **more)

    plus = "input:value other:value alpha:number=1"
    yield row("TM", "add", plus, lambda x, y, alpha: torch.add(x, y, alpha=alpha))
    yield row("TM", "sub subtract", plus, lambda x, y, alpha: torch.sub(x, y, alpha=alpha))
    yield row("TM", "mul multiply", XY, torch.mul)
    yield row("TM", "true_divide", XY, torch.true_divide)
    rounding = f"{XY} rounding_mode:floor|trunc=None"
    yield row(
        "TM", "div divide", rounding, lambda x, y, mode: torch.div(x, y, rounding_mode=mode), check=checks.division
    )
    yield row("TM", "rsub", XY, functions.subtract_reversed)
    yield row("TM", "pow", "input:value exponent:value", functions.power)
    yield row("O", "pow", "input:value exponent:value", functions.power)
    yield row("TM", "floor_divide", XY, torch.floor_divide, check=checks.floating)
    yield row("TM", "remainder", XY, torch.remainder, check=checks.floating)
    yield row("TM", "fmod", XY, torch.fmod, check=checks.floating)
    for name, function in functions.OPERATORS.items():
        yield row("O", name, XY, function)
    yield row("O", "floordiv", XY, functions.bounded(operator.floordiv), check=_if_tensors)
    yield row("O", "mod", XY, functions.bounded(operator.mod), check=_if_tensors)
    yield row("O", "neg", "input:value", functions.bounded(operator.neg))
    yield row("O", "abs", "input:value", functions.bounded(operator.abs))
    yield row("O", "inv invert", "input:tensor", functions.inverted)
    yield row("O", "and_", XY, functions.logical(operator.and_))
    yield row("O", "or_", XY, functions.logical(operator.or_))
    yield row("O", "getitem", "input:several index:index", functions.get, check=checks.item)
    yield row("O", "matmul", "input:tensor other:tensor", torch.matmul, inner=_last)
    yield row("TM", "where", "condition:tensor input:value other:value", torch.where)
    yield row("TM", "max", "input:tensor dim:value=None keepdim:boolean=False", functions.most)
    yield row("TM", "min", "input:tensor dim:value=None keepdim:boolean=False", functions.least)
    for name in ("sum", "mean", "amax", "amin", "all", "any", "argmax", "argmin"):
        yield row("TM", name, OVER, functions.reduced(getattr(torch, name)))
    yield row("TM", "prod", "input:tensor dim:dimension=None keepdim:boolean=False", functions.reduced(torch.prod))
    yield row("TM", "logsumexp", ALONG.replace("dim:dimension", "dim:dimensions"), torch.logsumexp)
    spread = f"{OVER.replace('keepdim', 'unbiased:boolean=True keepdim')} correction:integer=None"
    yield row("TM", "var", spread, functions.spread)
    yield row("TM", "std", spread, functions.deviation)
    yield row(
        "TM",
        "norm",
        "input:tensor p:number=2 dim:dimensions=None keepdim:boolean=False",
        lambda x, p, dim, keepdim: torch.linalg.vector_norm(x, p, dim, keepdim),
    )
    yield row("TMF", "softmax", "input:tensor dim:dimension", torch.softmax)
    yield row("TMF", "log_softmax", "input:tensor dim:dimension", torch.log_softmax)
    yield row("F", "softmin", "input:tensor dim:dimension", lambda x, dim: torch.softmax(-x, dim))
    order = "input:tensor dim:dimension=-1 descending:boolean=False"
    yield row("TM", "sort", order, functions.sort, sorts=True)
    yield row("TM", "argsort", order, lambda x, dim, down: torch.argsort(x, dim=dim, descending=down), sorts=True)
    yield row(
        "TM",
        "topk",
        "input:tensor k:integer dim:dimension=-1 largest:boolean=True sorted:boolean=True",
        functions.topk,
        sorts=True,
    )
    yield row("TM", "diff", "input:tensor n:integer=1 dim:dimension=-1", functions.differences)
    yield row("TM", "squeeze", "input:tensor dim:dimension=None", functions.squeeze)
    for name in ("reshape", "view", "permute", "expand", "repeat"):
        yield row("M", name, "input:tensor *sizes:any", functions.shaped(name))
    yield row("T", "reshape", "input:tensor shape:sizes", torch.reshape)
    yield row("T", "permute", "input:tensor dims:sizes", torch.permute)
    yield row(
        "TM",
        "repeat_interleave",
        "input:tensor repeats:integer dim:dimension=None",
        lambda x, repeats, dim: torch.repeat_interleave(x, repeats, dim),
    )
    joined = "tensors:tensors dim:dimension=0"
    yield row("T", "cat concat concatenate", joined, lambda tensors, dim: torch.cat(list(tensors), dim))
    yield row("T", "stack", joined, lambda tensors, dim: torch.stack(list(tensors), dim))
    yield row("TM", "split", "input:tensor split_size:parts dim:dimension=0", functions.parted)
    yield row("TM", "chunk", "input:tensor chunks:integer dim:dimension=0", functions.chunk)
    yield row("TM", "unbind", "input:tensor dim:dimension=0", functions.unbind)
    yield row("TM", "detach", "input:tensor", functions.detached)
    yield row("M", "contiguous", "input:tensor", functions.same)
    yield row("TM", "clone", "input:tensor", functions.same)
    yield row("M", "to type", "input:tensor dtype:dtype", functions.cast)
    yield row("M", "size", "input:tensor dim:dimension=None", functions.size)
    yield row("T", "arange", "start:integer end:integer=None step:integer=1", functions.arange, makes=True)
    yield row("T", "zeros", "size:sizes", functions.made(torch.zeros), makes=True)
    yield row("T", "ones", "size:sizes", functions.made(torch.ones), makes=True)
    yield row("T", "full", "size:sizes fill_value:number", functions.full, makes=True)
    yield row("T", "eye", "n:integer", functions.made(torch.eye), makes=True)
    for name in ("matmul", "mm", "bmm", "dot", "mv"):
        yield row("TM", name, "input:tensor other:tensor", getattr(torch, name), inner=_last)
    yield row("TM", "outer", "input:tensor vec2:tensor", torch.outer)
    yield row("F", "linear", "input:tensor weight:tensor bias:tensor=None", F.linear, inner=_last)
    yield row("T", "cdist", "x1:tensor x2:tensor p:number=2.0", torch.cdist, inner=_distances)
    yield row("TM", "gather", "input:tensor dim:dimension index:tensor", torch.gather, check=checks.along)
    yield row("TM", "index_select", "input:tensor dim:dimension index:tensor", torch.index_select, check=checks.along)
    yield row(
        "TM",
        "take_along_dim",
        "input:tensor indices:tensor dim:dimension=None",
        torch.take_along_dim,
        check=lambda x, indices, dim: checks.take_along(x, indices, dim),
    )
    yield row("F", "gelu", "input:tensor approximate:none|tanh=none", lambda x, word: F.gelu(x, approximate=word))
    yield row("F", "one_hot", "input:tensor num_classes:integer", F.one_hot, check=checks.one_hot)
    yield from _losses(row)
    yield row("G", "getattr", "input:tensor word:shape|ndim|dtype|T|mT", functions.attribute)


def _losses(row: Callable[..., Any]) -> Iterator[Any]:
    """Yields the losses of torch."""
    same = {"check": checks.same_shape}
    yield row("F", "mse_loss", PAIR, lambda x, y, how: F.mse_loss(x, y, reduction=how), **same)
    yield row("F", "l1_loss", PAIR, lambda x, y, how: F.l1_loss(x, y, reduction=how), **same)
    yield row(
        "F",
        "smooth_l1_loss",
        f"{PAIR} beta:number=1.0",
        lambda x, y, how, beta: F.smooth_l1_loss(x, y, reduction=how, beta=beta),
        **same,
    )
    yield row(
        "F",
        "huber_loss",
        f"{PAIR} delta:number=1.0",
        lambda x, y, how, delta: F.huber_loss(x, y, reduction=how, delta=delta),
        **same,
    )
    yield row(
        "F",
        "kl_div",
        f"{PAIR.replace('sum|none', 'sum|none|batchmean')} log_target:boolean=False",
        lambda x, y, how, log_target: F.kl_div(x, y, reduction=how, log_target=log_target),
        **same,
    )
    weighted = "input:tensor target:tensor weight:tensor=None"
    yield row(
        "F",
        "cross_entropy",
        f"{weighted} ignore_index:integer=-100 {REDUCTION} label_smoothing:number=0.0",
        lambda x, y, weight, ignored, how, smoothing: F.cross_entropy(
            x, y, weight, ignore_index=ignored, reduction=how, label_smoothing=smoothing
        ),
        check=checks.classes,
    )
    yield row(
        "F",
        "nll_loss",
        f"{weighted} ignore_index:integer=-100 {REDUCTION}",
        lambda x, y, weight, ignored, how: F.nll_loss(x, y, weight, ignore_index=ignored, reduction=how),
        check=checks.classes,
    )
    yield row(
        "F",
        "binary_cross_entropy",
        f"{weighted} {REDUCTION}",
        lambda x, y, weight, how: F.binary_cross_entropy(x, y, weight, reduction=how),
        check=checks.probabilities,
    )
    yield row(
        "F",
        "binary_cross_entropy_with_logits",
        f"{weighted} {REDUCTION} pos_weight:tensor=None",
        lambda x, y, weight, how, pos: F.binary_cross_entropy_with_logits(x, y, weight, reduction=how, pos_weight=pos),
        check=checks.same_shape,
    )


def _last(first: Tensor, *_: Any) -> int:
    return first.shape[-1] if first.dim() else 1


def _distances(first: Tensor, *_: Any) -> int:
    return PRODUCTS * _last(first)  # whatever the exponent, no product of matrices


def _if_tensors(first: Any, second: Any) -> None:
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        checks.floating(first, second)


def _own_function(space: str, name: str) -> Callable[..., Any]:
    if space == "M":
        function: Callable[..., Any] = getattr(Tensor, name)
    else:
        function = getattr({"T": torch, "S": torch.special, "F": F}[space], name)
    return function


def _tables() -> tuple[dict[str, Operation], dict[str, Operation]]:
    """Returns functions by their qualified names, and methods."""
    named: dict[str, Operation] = {}
    methods: dict[str, Operation] = {}

    def add(spaces: str, name: str, operation: Operation) -> None:
        for space in spaces:
            table = methods if space == "M" else named
            full = ("builtins." if space == "G" else PREFIXES[space]) + name
            if full in table:
                raise ValueError(f"there are two operations {full}")
            table[full] = operation

    for spaces, names, text in OWN:
        parameters = _parameters(text)
        for name in names.split():
            for space in spaces:
                add(space, name, Operation(_by_name(_own_function(space, name), parameters), parameters))
    for spaces, names, _, operation in _shared():
        for name in names.split():
            add(spaces, name, operation)
    return named, methods


def _by_name(function: Callable[..., Any], parameters: tuple[Parameter, ...]) -> Callable[..., Any]:
    """Calls a function of torch with what has a default by its name: positions differ between torch and the table."""
    required = sum(parameter.required for parameter in parameters)
    names = [parameter.name for parameter in parameters[required:]]
    if not names:
        return function

    def apply(*arguments: Any) -> Any:
        return function(*arguments[:required], **dict(zip(names, arguments[required:], strict=True)))

    return apply


FUNCTIONS, METHODS = _tables()
