"""Devices: how one is chosen, what memory it has, and how its errors are told apart."""

from __future__ import annotations

import contextlib
import ctypes

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
KEPT_BYTES = 1 << 25
"""Free memory at the end of the heap beyond which it goes back to the system."""
MAPPED_BYTES = 1 << 22
"""Blocks from this size on are mapped apart, if nothing on the heap has room for them, and go back as soon as they are free."""

FULL = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""Texts of plain errors of torch: that of the CPU, and those of what asks CUDA for memory by itself."""


def choose(name: str) -> torch.device:
    """Returns the device of that name; `auto` is the best one present.

    Raises:
        ValueError: if there is no such device.
    """
    if name == "auto":
        best = torch.accelerator.current_accelerator(check_available=True)
        return (
            torch.device("cpu") if best is None else torch.device(best.type, torch.accelerator.current_device_index())
        )
    try:
        device = torch.device(name)
    except RuntimeError:
        expected = "auto, or a device of torch such as cpu, cuda, cuda:1 or mps"
        raise ValueError(f"device {name!r} cannot be used: expected {expected}") from None
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used: {error}") from None
    return device


def supports(device: torch.device, precision: str) -> bool:
    """Tells whether a device can compute in that precision."""
    return not (device.type == "mps" and precision == "float64")


def chunk_elements(device: torch.device) -> int:
    """Returns how many elements to compute at a time.

    On a CPU a chunk that stays in the cache between forward and backward takes two thirds of the time, and a quarter of the
    memory, of a batch of a million elements in one piece; a GPU wants all of them at once.
    """
    return (1 << 17) * torch.get_num_threads() if device.type == "cpu" else 1 << 26


def is_full(error: BaseException) -> bool:
    """Tells whether an error says that memory ran out, on the device or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in FULL)


def is_lost(error: BaseException) -> bool:
    """Tells whether an error says that this process can no longer use its device.

    After a failed assertion or an illegal access in a kernel every later call of this process fails the same way.
    """
    accelerator = isinstance(error, getattr(torch, "AcceleratorError", ()))
    return (accelerator or (isinstance(error, RuntimeError) and "CUDA error" in str(error))) and not is_full(error)


def memory(device: torch.device) -> dict[str, int]:
    """Returns the bytes of a GPU that tensors take, that this process holds, and that there are; empty for a CPU."""
    if device.type != "cuda":
        return {}
    return {
        "device_allocated_bytes": torch.cuda.memory_allocated(device),
        "device_reserved_bytes": torch.cuda.memory_reserved(device),
        "device_memory_bytes": torch.cuda.get_device_properties(device).total_memory,
    }


def share_one_heap() -> None:
    """Has all threads allocate from one heap, where the allocator is glibc's.

    By default each thread keeps a heap of its own, and memory that one thread frees is of no use to the next: ten large
    requests then hold twice the memory, and one request a fifth more. By default, too, the end of the heap goes back to the
    system after each large request, and the next one pays for it page by page: for JSON of 11 MB an eighth of its processor
    time.
    """
    with contextlib.suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_ARENA_MAX, 1)
        allocator.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        allocator.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def share(device: torch.device, workers: int) -> None:
    """Bounds what this process takes of a GPU that several workers use: one large request leaves the others their part."""
    if device.type == "cuda" and workers > 1:
        torch.cuda.set_per_process_memory_fraction(1 / workers, device)


def release(device: torch.device) -> None:
    """Gives cached memory back, after an allocation failed."""
    if device.type != "cpu":
        torch.accelerator.empty_cache()
