"""`remote_loss`: a loss of the service as a differentiable function of jax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lossmeter.client.averages import named
from lossmeter.client.clients import Client
from lossmeter.client.transport import DEFAULT_URL

Arrays = dict[str, Any]


def remote_loss(
    loss: str, /, *, client: Client | None = None, url: str | None = None, **fields: Any
) -> Callable[..., Any]:
    """Makes a function from arrays, in the order of the roles or by name, to the loss; also under `jit` and `grad`.

        loss = remote_loss("focal", gamma=2.0, url="http://127.0.0.1:8000")
        jax.value_and_grad(lambda weights: loss(network(weights, inputs), labels))(weights)

    Value and gradients are one request, which asks for the gradients that are wanted and no others. There are no second
    derivatives, and no `vmap` in one request: it asks once for each.

    Args:
        loss: a name of the catalogue, or an alias.
        client: that asks; by default one of its own, for `url`.
        url: of the service, as `Client` takes it.
        fields: parameters, as `Client.loss` takes them.

    Raises:
        ValueError: for `reduction="none"`, the shape of which only the service knows.
        TypeError: if both a client and a url are given.
    """
    if fields.get("reduction") == "none":
        raise ValueError("remote_loss: reduction is 'none'; expected mean, sum or another that gives one number")
    if client is not None and url is not None:
        raise TypeError("remote_loss takes a client or a url, not both")
    asked = client or Client(url or DEFAULT_URL)
    order: list[str] = []

    def ask(wanted: tuple[str, ...], arrays: Arrays) -> tuple[Any, Arrays]:
        dtype = _arithmetic(arrays)
        shapes = {name: jax.ShapeDtypeStruct(arrays[name].shape, dtype) for name in wanted}

        def over_the_wire(given: Mapping[str, Any]) -> tuple[Any, Arrays]:
            tensors = {name: np.asarray(value) for name, value in given.items()}
            result = asked.loss(loss, gradients=wanted, **{"precision": dtype.name, **fields}, **tensors)
            return np.asarray(result.value, dtype), {name: result.gradients[name].astype(dtype) for name in wanted}

        answer = (jax.ShapeDtypeStruct((), dtype), shapes)
        result: tuple[Any, Arrays] = jax.pure_callback(over_the_wire, answer, arrays, vmap_method="sequential")
        return result

    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def value(arrays: Arrays) -> Any:
        return ask((), arrays)[0]

    def forward(primals: Arrays) -> tuple[Any, Any]:
        wanted = tuple(name for name, primal in primals.items() if primal.perturbed)
        arrays = {name: primal.value for name, primal in primals.items()}
        loss_value, gradients = ask(
            tuple(name for name in wanted if jnp.issubdtype(arrays[name].dtype, jnp.floating)), arrays
        )
        return loss_value, (gradients, arrays)

    def backward(kept: tuple[Arrays, Arrays], inflow: Any) -> tuple[Arrays]:
        gradients, arrays = kept
        if isinstance(inflow, jax.custom_derivatives.SymbolicZero):
            inflow = jnp.zeros(inflow.shape, inflow.dtype)
        return ({name: _scaled(gradients.get(name), inflow, array) for name, array in arrays.items()},)

    value.defvjp(forward, backward, symbolic_zeros=True)

    def call(*roles: Any, **by_name: Any) -> Any:
        if roles and not order:
            order.extend(role["name"] for role in asked.describe(loss)["roles"])
        given = {**named(loss, tuple(order), roles), **by_name}
        return value({name: jnp.asarray(array) for name, array in given.items()})

    return call


def _scaled(gradient: Any, inflow: Any, like: Any) -> Any:
    """Multiplies a gradient by what flows in, in the dtype of its input; gives none where there is no gradient."""
    return None if gradient is None else (gradient * inflow).astype(like.dtype)


def _arithmetic(arrays: Arrays) -> np.dtype[Any]:
    return np.dtype(np.float64 if any(array.dtype == jnp.float64 for array in arrays.values()) else np.float32)
