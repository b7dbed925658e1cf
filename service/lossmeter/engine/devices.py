"""Which device computes, and what its being full looks like."""

from __future__ import annotations

import torch


def choose(name: str) -> torch.device:
    """The device of that name; `auto` is the best one present.

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
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used: {error}") from None
    return device


def supports(device: torch.device, precision: str) -> bool:
    """Whether a device can compute in that precision."""
    return not (device.type == "mps" and precision == "float64")


def is_full(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the device or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # On the CPU torch raises a plain RuntimeError of this text.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def release(device: torch.device) -> None:
    """Gives cached memory back, after an allocation failed."""
    if device.type != "cpu":
        torch.accelerator.empty_cache()
