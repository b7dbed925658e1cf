"""CUDA shared memory: memory of a GPU that a client hands over as a handle of the CUDA runtime (cudaIpc).

A handle is opened for each tensor and closed behind it, so that nothing is held that the client has let go.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch

from lossmeter.errors import Conflict, Invalid
from lossmeter.tensors import Array
from lossmeter.wire.regions import Region

HANDLE_BYTES = 64
"""CUDA_IPC_HANDLE_SIZE."""
LAZY_PEER_ACCESS = 1
"""cudaIpcMemLazyEnablePeerAccess, the only flag there is."""
DEFAULT = 4
"""cudaMemcpyDefault: the runtime knows by the addresses which side is the device."""


class _Handle(ctypes.Structure):
    """cudaIpcMemHandle_t, which is passed by value."""

    _fields_ = (("reserved", ctypes.c_char * HANDLE_BYTES),)


def cuda_runtime() -> ctypes.CDLL:
    """The runtime that torch has loaded."""
    return ctypes.CDLL(f"libcudart.so.{str(torch.version.cuda).partition('.')[0]}")


class CudaMemory:
    """Memory of the GPUs of this machine.

    Args:
        device: that this server computes on.
        load: gives the CUDA runtime.
    """

    def __init__(self, device: torch.device, load: Callable[[], Any] = cuda_runtime) -> None:
        self.device = device
        self._load = load

    @property
    def exists(self) -> bool:
        """Returns whether this server computes on a GPU of CUDA."""
        return self.device.type == "cuda"

    def region(self, name: str, handle: str, device_id: int, byte_size: int) -> Region:
        """The region that a client describes.

        Raises:
            Invalid: if there is no such memory, or no GPU.
        """
        if not self.exists:
            message = f"CUDA shared memory needs a GPU of CUDA; this server computes on {self.device}"
            raise Invalid.at("shared memory", "/raw_handle", message)
        try:
            raw = base64.b64decode(handle, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != HANDLE_BYTES:
            message = f"raw_handle.b64 is not {HANDLE_BYTES} bytes in base64, a cudaIpcMemHandle_t"
            raise Invalid.at("shared memory", "/raw_handle", message)
        found = Region(name=name, kind="cuda", byte_size=byte_size, device_id=device_id, handle=handle)
        try:
            with self._opened(found):
                pass
        except Conflict as error:
            raise Invalid.at("shared memory", "/raw_handle", error.detail) from None
        return found

    def read(self, region: Region, offset: int, into: Array) -> None:
        """Fills an array of bytes from a region.

        Raises:
            Conflict: if its memory is gone, or smaller than it was said to be.
        """
        with self._opened(region) as address:
            self._call("cudaMemcpy", ctypes.c_void_p(into.ctypes.data), ctypes.c_void_p(address + offset), into.nbytes)

    def in_place(self, region: Region, offset: int, size: int) -> None:
        """Returns none, as the memory is not the host's."""

    def write(self, region: Region, offset: int, content: Array) -> None:
        """Writes an array of bytes to a region; raises what `read` raises."""
        with self._opened(region) as address:
            source = ctypes.c_void_p(content.ctypes.data)
            self._call("cudaMemcpy", ctypes.c_void_p(address + offset), source, content.nbytes)

    def lasts(self, region: Region) -> bool:
        """Returns whether the handle of a region can still be opened."""
        try:
            with self._opened(region):
                return True
        except Conflict:
            return False

    @contextmanager
    def _opened(self, region: Region) -> Iterator[int]:
        """The address of a region in this process."""
        before, address = ctypes.c_int(), ctypes.c_void_p()
        self._call("cudaGetDevice", ctypes.byref(before))
        try:
            self._call("cudaSetDevice", region.device_id)
            handle = _Handle.from_buffer_copy(base64.b64decode(region.handle))
            self._call("cudaIpcOpenMemHandle", ctypes.byref(address), handle, LAZY_PEER_ACCESS)
            try:
                yield address.value or 0
            finally:
                self._call("cudaIpcCloseMemHandle", address)
        finally:
            self._call("cudaSetDevice", before.value)

    def _call(self, name: str, *arguments: Any) -> None:
        """Calls a function of the runtime.

        Raises:
            Conflict: if it fails.
        """
        if name == "cudaMemcpy":
            target, source, size = arguments
            arguments = (target, source, ctypes.c_size_t(size), DEFAULT)
        status = getattr(self._runtime, name)(*arguments)
        if status:
            self._runtime.cudaGetLastError()  # so that no later call of torch reports it
            raise Conflict(f"The memory of this region cannot be used: {name} gave error {status} of CUDA.")

    @cached_property
    def _runtime(self) -> Any:
        return self._load()
