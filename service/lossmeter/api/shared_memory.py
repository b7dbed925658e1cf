"""Opens shared memory to clients of this machine, where a setting allows it."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import Scope

from lossmeter.api.access import is_local, is_number
from lossmeter.engine.cuda_memory import CudaMemory
from lossmeter.errors import NotFound
from lossmeter.wire.regions import Kind, Memory, Registry, SharedMemory
from lossmeter.wire.shared_memory import SystemMemory

if TYPE_CHECKING:
    import torch

FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})
"""Headers of requests that a proxy passes on: it is of this machine, who asked it may not be."""
OFF = "Shared memory is off. See LOSSMETER_SHARED_MEMORY."
ELSEWHERE = "Shared memory is for clients of this machine alone: those of a Unix socket, or of a loopback address."


class Sharing:
    """The shared memory of a server.

    Args:
        on: whether it has any.
        folder: of the registry; without one, it lasts as long as this object is open.
        device: that the server computes on.
    """

    def __init__(self, on: bool, folder: str, device: torch.device) -> None:
        self.memories: dict[Kind, Memory] = {"system": SystemMemory(), "cuda": CudaMemory(device)}
        self.on = on
        self._open = ExitStack()
        self._memory: SharedMemory | None = None
        if on:
            path = folder or self._open.enter_context(tempfile.TemporaryDirectory(prefix="lossmeter-regions-"))
            self._memory = SharedMemory(Registry(Path(path)), self.memories)

    def open_to(self, scope: Scope) -> SharedMemory | None:
        """Returns the memory, for a request that may use it; None for others."""
        return self._memory if self._memory is not None and is_of_this_machine(scope) else None

    def registry(self, scope: Scope) -> Registry:
        """Returns the registry of regions.

        Raises:
            NotFound: for a request that may know of none.
        """
        memory = self.open_to(scope)
        if memory is None:
            raise NotFound(OFF if self._memory is None else ELSEWHERE)
        return memory.registry

    def extensions(self, scope: Scope) -> list[str]:
        """Lists the extensions of the protocol that a request may use."""
        if self.open_to(scope) is None:
            return []
        return [f"{kind}_shared_memory" for kind, memory in self.memories.items() if memory.exists]

    def close(self) -> None:
        """Forgets all regions, if the registry is its own."""
        self._open.close()


def is_of_this_machine(scope: Scope) -> bool:
    """Returns whether a request came from this machine, by both ends of its connection.

    No header makes a request one of this machine; some say that it is none.
    """
    if any(name in FORWARDED for name, _ in scope["headers"]):
        return False
    server: Any = scope.get("server")
    client: Any = scope.get("client")
    if server is not None and server[1] is None:
        return True  # the path of a Unix socket
    return all(end is not None and is_number(end[0]) and is_local(end[0]) for end in (server, client))
