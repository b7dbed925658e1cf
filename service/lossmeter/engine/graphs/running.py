"""Measures a graph on tensors without numbers, and makes it a work of the engine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lossmeter.cost import PRODUCTS, TEXT_BYTES, Cost
from lossmeter.engine import devices
from lossmeter.engine.arguments import check_weights, convert
from lossmeter.engine.bound_shapes import BoundShapes
from lossmeter.engine.calls import PRECISIONS, Call
from lossmeter.engine.compute import Engine
from lossmeter.engine.costs import LONG_OPERATIONS
from lossmeter.engine.elements import ElementCheck
from lossmeter.engine.graphs.graph import Graph, Node, Reference, Sizes
from lossmeter.engine.graphs.kinds import WrongArgument
from lossmeter.engine.graphs.reading import SUBJECT
from lossmeter.engine.plans import SHORT_OPERATIONS, Plan
from lossmeter.engine.reduction import weigh
from lossmeter.engine.work import PassResult, Work
from lossmeter.errors import Flaw, Invalid, TookTooLong, TooLarge, pointer
from lossmeter.losses import SEQUENCE_REDUCTIONS, Loss, Support
from lossmeter.losses.catalogue import REDUCTIONS
from lossmeter.losses.vocabulary import Meaning

MAX_TOTAL = 8
"""All values of a graph together may have so many times the elements that a request may."""
MAX_KNOWN = 64
"""Shapes of tensors whose sizes are kept for a graph."""
MAX_PRODUCTS = 1 << 37
"""Products of matrices that a graph may ask for: seconds of one core."""
NODE_SWEEPS = 4
"""Operations on each element of the largest tensor that a node reads or makes: a logarithm takes as many."""
GRADIENTS = 4
"""Gradients of the size of the largest value that are on their way back at a time."""

NUMBERS = Meaning("numbers", "numbers of any size")
INTEGERS = Meaning("integers", "integers, of a tensor that declares them", kind="index")
BOOLEANS = Meaning("true and false", "booleans", kind="boolean")

REFUSALS = (RuntimeError, IndexError, TypeError, ValueError, ArithmeticError, NotImplementedError, AssertionError)
"""What torch raises where arguments do not fit; its shape functions in Python assert, too."""

TORCH_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def _meaning(tensor: Any) -> Meaning:
    """Returns what a tensor holds: integers only where its datatype says so, as 1 in JSON may mean 1.0."""
    kind = tensor.datatype.kind
    if kind == "boolean":
        return BOOLEANS
    return INTEGERS if kind == "index" and tensor.declared else NUMBERS


def custom_work(
    engine: Engine,
    graph: Graph,
    call: Call,
    max_elements: int,
    seconds: float,
    known: dict[Hashable, Sizes] | None = None,
) -> tuple[Work, dict[str, float], Sizes]:
    """Checks a call of a graph, and returns the work, where its metrics will be, and how large it is.

    Args:
        call: its loss is not looked at.
        max_elements: how many elements each value may have.
        seconds: how long it may take.
        known: what this graph takes for tensors that were seen before; it grows.

    Raises:
        Invalid: if tensors are missing or wrong, or shapes do not fit together.
        TooLarge: if a value on the way has too many elements.
    """
    tensors, defaults = _tensors(graph, call)
    dtype = TORCH_DTYPES[call.precision]
    key = call.precision, tuple((name, tensor.dtype, tensor.shape) for name, tensor in tensors.items())
    sizes = None if known is None else known.get(key)
    if sizes is None:
        sizes = _measured(graph, tensors, defaults, dtype, max_elements)
        if known is not None and len(known) < MAX_KNOWN:
            known[key] = sizes
    output = sizes.output
    metrics: dict[str, float] = {}
    loss = _loss(output, _function(graph, defaults, dtype, metrics, seconds))
    call = replace(call, loss=loss)
    if call.reduction not in loss.reductions:
        names = ", ".join(loss.reductions)
        raise Invalid.at(SUBJECT, pointer("reduction"), f"reduction is {call.reduction!r}; expected one of {names}")
    own = PRECISIONS[call.precision]
    weight, mask, upstream = check_weights(
        call, output, own, own if call.reduction == "none" else PRECISIONS["float64"]
    )
    weights = weigh(output, Support(), weight, mask, reduction=call.reduction, horizon=call.horizon)
    device = engine.device if devices.supports(engine.device, call.precision) else torch.device("cpu")
    plan = _plan(output, sizes, device)
    plan.cost = _cost(sizes, call)
    plan.long = plan.cost.operations > LONG_OPERATIONS
    return Work(call, plan, tensors, weights, upstream), metrics, sizes


def _measured(
    graph: Graph, tensors: dict[str, Tensor], defaults: dict[str, float], dtype: torch.dtype, most: int
) -> Sizes:
    """Works out what a graph takes, on tensors without numbers."""
    on_meta = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    meter = _Meter(most)
    shaped = _interpret(graph, {**on_meta, **defaults}, torch.device("meta"), dtype, meter.measure)
    loss_value = shaped[graph.output.name]
    if not isinstance(loss_value, Tensor) or not loss_value.is_floating_point():
        raise Invalid.at(
            SUBJECT, pointer("graph", "nodes"), "the output is no floating tensor; expected the unreduced loss"
        )
    for name, reference in graph.metrics.items():
        value = shaped[reference.name]
        if isinstance(value, tuple) or (isinstance(value, Tensor) and value.numel() != 1):
            raise Invalid.at(SUBJECT, pointer("graph", "nodes"), f"the metric {name} is no single number")
    return meter.sizes(tuple(loss_value.shape))


def _tensors(graph: Graph, call: Call) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Returns the tensors of a call by the names of their nodes' roles, and the numbers that roles are by default.

    Raises:
        Invalid: with every flaw.
    """
    elements = ElementCheck(non_finite=call.non_finite == "allow")
    tensors: dict[str, Tensor] = {}
    defaults: dict[str, float] = {}
    for role in graph.roles:
        given = call.tensors.get(role.name)
        if given is None:
            if role.default is None:
                elements.flaws.append(Flaw(pointer(role.name), f"{role.name} is missing"))
            else:
                defaults[role.name] = role.default
            continue
        meaning = _meaning(given)
        array = convert(role.name, given, meaning, PRECISIONS[call.precision], elements.flaws)
        if array is not None:
            elements.check(role.name, array, meaning, given)
            tensors[role.name] = torch.from_numpy(array.reshape(given.shape))
    names = {role.name for role in graph.roles}
    for name in call.tensors:
        if name not in names:
            message = f"{name} is no placeholder of the graph; expected one of {', '.join(sorted(names))}"
            elements.flaws.append(Flaw(pointer(name), message))
    for name in call.gradients:
        if name not in tensors and not elements.flaws:
            elements.flaws.append(
                Flaw(pointer("gradients"), f"gradients names {name}, which the request does not give")
            )
        elif name in tensors and not tensors[name].is_floating_point():
            message = f"gradients names {name}, which holds no floating numbers: there is no gradient"
            elements.flaws.append(Flaw(pointer("gradients"), message))
    if elements.flaws:
        raise Invalid.of(SUBJECT, elements.flaws)
    return tensors, defaults


class _Meter:
    """Adds up what a graph takes, and ends it where that is too much."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.total = self.largest = self.products = self.operations = 0
        self.bytes = self.held = 0
        self._held: dict[str, int] = {}

    def measure(self, node: Node, result: Any, arguments: tuple[Any, ...]) -> None:
        values = [value for value in (result if isinstance(result, tuple) else (result,)) if isinstance(value, Tensor)]
        for value in values:
            self._add(node, value.numel(), arguments)
        sizes = [value.numel() for value in (*values, *_tensors_among(arguments))]
        steps = math.log2(max(sizes)) if node.operation.sorts and any(sizes) else 1
        self.operations += math.ceil(NODE_SWEEPS * steps * max(sizes, default=0))
        taken = sum(value.numel() * value.element_size() for value in values)
        self.bytes += taken
        self._held[node.name] = taken
        self.held = max(self.held, sum(self._held.values()))
        for name in node.last:
            self._held.pop(name, None)

    def sizes(self, output: tuple[int, ...]) -> Sizes:
        operations = self.operations + self.products // PRODUCTS
        return Sizes(output, self.total, self.largest, self.bytes, self.held, operations)

    def _add(self, node: Node, size: int, arguments: tuple[Any, ...]) -> None:
        self.total += size
        self.largest = max(self.largest, size)
        if node.operation.inner is not None:
            self.products += size * node.operation.inner(*arguments)
        if size > self.most or self.total > MAX_TOTAL * self.most:
            which = f"has {size} elements" if size > self.most else f"makes it {self.total} elements in all"
            most = self.most if size > self.most else MAX_TOTAL * self.most
            raise TooLarge(
                f"{SUBJECT}: {node.name} ({node.target}) {which}; this server takes {most} (LOSSMETER_MAX_ELEMENTS)."
            )
        if self.products > MAX_PRODUCTS:
            raise TooLarge(f"{SUBJECT}: {node.name} ({node.target}) makes it more than {MAX_PRODUCTS} products.")


def _tensors_among(arguments: tuple[Any, ...]) -> Iterator[Tensor]:
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from _tensors_among(argument)
        elif isinstance(argument, Tensor):
            yield argument


def _cost(sizes: Sizes, call: Call) -> Cost:
    """Returns what a call of a graph takes; with gradients, all values are kept until they have flowed back."""
    item = PRECISIONS[call.precision].itemsize
    memory, operations = sizes.held + item * sizes.largest, sizes.operations
    if call.gradients:
        memory, operations = sizes.bytes + GRADIENTS * item * sizes.largest, 3 * operations
    answered = sum(math.prod(call.tensors[name].shape) for name in call.gradients)
    answered += math.prod(sizes.output) if call.reduction == "none" else 0
    return Cost(memory + TEXT_BYTES * answered, operations, "the values of its nodes", pointer("graph", "nodes"))


def _interpret(
    graph: Graph,
    given: Mapping[str, Any],
    device: torch.device,
    dtype: torch.dtype,
    after: Callable[[Node, Any, tuple[Any, ...]], None],
) -> dict[str, Any]:
    """Computes node after node; returns the values that are needed at the end.

    Raises:
        Invalid: naming the node whose arguments do not fit.
    """
    values = {role.node: given[role.name] for role in graph.roles}
    for node in graph.nodes:
        operation = node.operation
        try:
            arguments = tuple(_resolved(argument, values) for argument in node.arguments)
            _check_kinds(node, arguments)
            if operation.check is not None:
                operation.check(*arguments)
            more = {"device": device, "dtype": dtype} if operation.makes else {}
            result = operation.function(*arguments, **more)
        except WrongArgument as error:
            raise _at(node, str(error)) from None
        except REFUSALS as error:
            if devices.is_full(error):
                raise
            raise _at(node, _first_line(error)) from None
        after(node, result, arguments)
        values[node.name] = result
        for name in node.last:
            values.pop(name, None)
    return values


def _resolved(argument: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(argument, Reference):
        return values[argument.name]
    if isinstance(argument, tuple):
        return tuple(_resolved(one, values) for one in argument)
    if isinstance(argument, slice):
        return slice(*(_resolved(one, values) for one in (argument.start, argument.stop, argument.step)))
    return argument


def _check_kinds(node: Node, arguments: tuple[Any, ...]) -> None:
    for parameter, argument in zip(node.operation.parameters, arguments, strict=True):
        if argument is None and not parameter.required:
            continue
        if not parameter.kind.fits(argument):
            masked = isinstance(argument, Tensor) and parameter.kind.name == "index"
            expected = "slices or integers; for a mask take torch.where" if masked else parameter.kind.name
            raise WrongArgument(f"{parameter.name} is {_kind(argument)}; expected {expected}")


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} and shape {list(value.shape)}"
    return f"{value!r}"[:60] if isinstance(value, int | float | str | None) else f"a {type(value).__name__}"


def _at(node: Node, message: str) -> Invalid:
    return Invalid.at(SUBJECT, pointer("graph", "nodes", node.number), f"{node.name} ({node.target}): {message}")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _function(
    graph: Graph, defaults: Mapping[str, float], dtype: torch.dtype, metrics: dict[str, float], seconds: float
) -> Callable[..., Tensor]:
    """Returns the function of a graph, which leaves its metrics where it is told."""
    deadline = time.monotonic() + seconds

    def in_time(*_: Any) -> None:
        if time.monotonic() > deadline:
            raise TookTooLong(f"The answer was not there within {seconds:g} s (LOSSMETER_COMPUTE_SECONDS).")

    def compute(**tensors: Tensor) -> Tensor:
        device = next(iter(tensors.values())).device if tensors else torch.device("cpu")
        values = _interpret(graph, {**tensors, **defaults}, device, dtype, in_time)
        for name, reference in graph.metrics.items():
            number = values[reference.name]
            metrics[name] = float(number.detach() if isinstance(number, Tensor) else number)
        result: Tensor = values[graph.output.name]
        # The engine asks for the precision of the call, and for a tensor that nothing else views.
        return result.to(dtype)

    return compute


def _loss(output: tuple[int, ...], function: Callable[..., Tensor]) -> Loss:
    further = SEQUENCE_REDUCTIONS if len(output) == 2 else ()
    return Loss(
        minimum=None,
        name=SUBJECT,
        family=SUBJECT,
        function=function,
        parameters=(),
        tensors=(),
        output="",
        examples=(),
        reductions=(*REDUCTIONS, *further),
        separable=False,
        chunked=False,
        summary="A loss that came as data.",
        explanation="",
        formula="",
        returns="",
        use_when="",
        avoid_when="",
        source="",
    )


def _plan(output: tuple[int, ...], sizes: Sizes, device: torch.device) -> Plan:
    rows = output[0] if output else 1
    return Plan(
        shapes=BoundShapes({}, {}, output, sizes.largest, frozenset(), None),
        arguments=(),
        check=None,
        support=None,
        weights=None,
        ignoring=False,
        device=device,
        batch_key=None,
        divisible=False,
        elements=sizes.largest,
        short=sizes.elements <= SHORT_OPERATIONS,
        program_rows=0,
        program=None,
        rows=rows,
        chunk_rows=max(rows, 1),
    )


def run(engine: Engine, work: Work) -> PassResult:
    """Computes a graph, and its gradients.

    Raises:
        Invalid: if an operation of it cannot be computed or differentiated.
        DoesNotFit: if the device has too little memory.
        TookTooLong: if its time is over.
    """
    try:
        return engine.run(work)
    except (RuntimeError, NotImplementedError) as error:
        raise Invalid.at(SUBJECT, pointer("graph"), f"the graph cannot be computed: {_first_line(error)}") from None
