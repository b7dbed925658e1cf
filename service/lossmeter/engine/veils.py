"""Veils: tensors whose numbers cannot be read, only computed with, to find out what depends on shapes alone.

Tensors on the meta device would do, but the first comparison of two has torch import 800 modules, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

READING = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""Tags of the kernels that read numbers, or whose results have a shape that depends on numbers."""
LEAVING = frozenset(
    (
        "__array__",
        "__dlpack__",
        "__format__",
        "__reduce_ex__",
        "__repr__",
        "data_ptr",
        "numpy",
        "tolist",
        "untyped_storage",
    )
)
"""Methods that hand numbers on past the kernels."""


class NumbersRead(Exception):
    """Something depends on numbers."""


class _Veiled(torch.Tensor):
    """A tensor that hands no numbers on."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if getattr(function, "__name__", "") in LEAVING:
            raise NumbersRead
        return super().__torch_function__(function, types, arguments, named)  # type: ignore[no-untyped-call]


class _NoReading(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses kernels that read numbers."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing here is compiled, and skipping would import all of torch._dynamo

    def __torch_dispatch__(self, kernel: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if any(tag in READING for tag in kernel.tags):
            raise NumbersRead
        return kernel(*arguments, **(named or {}))


def on_shapes_alone(hook: Callable[[Mapping[str, Any]], Any], named: Mapping[str, Any]) -> Any:
    """Returns what a hook gives for tensors whose numbers it cannot read. None if it reads some, and so depends on them."""
    veiled = {name: x.as_subclass(_Veiled) if isinstance(x, torch.Tensor) else x for name, x in named.items()}
    try:
        with _NoReading():  # type: ignore[no-untyped-call]
            return hook(veiled)
    except Exception:  # noqa: BLE001 - by whatever reading them ends
        return None
