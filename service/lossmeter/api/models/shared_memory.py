"""Regions of shared memory, as the extensions of the Open Inference Protocol describe them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MAX_SIZE = 2**62


class SystemRegionRequest(BaseModel):
    """A region of a POSIX shared memory object."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str = Field(
        description="The name of the object, as `shm_open` takes it: `/name`; or `memfd:PROCESS:DESCRIPTOR:INODE` for an "
        "anonymous file of a process of the same user that is sealed against shrinking."
    )
    offset: int = Field(0, ge=0, le=MAX_SIZE, description="Bytes of the object before the region.")
    byte_size: int = Field(ge=1, le=MAX_SIZE, description="Bytes of the region.")


class RawHandle(BaseModel):
    """A handle of the CUDA runtime for memory of another process."""

    model_config = ConfigDict(extra="forbid", strict=True)

    b64: str = Field(description="The 64 bytes of a `cudaIpcMemHandle_t`, in base64.")


class CudaRegionRequest(BaseModel):
    """A region of the memory of a GPU."""

    model_config = ConfigDict(extra="forbid", strict=True)

    raw_handle: RawHandle
    device_id: int = Field(ge=0, le=1024, description="The GPU that the handle was made on.")
    byte_size: int = Field(ge=1, le=MAX_SIZE, description="Bytes of the region.")


class SystemRegion(BaseModel):
    """A registered region of a POSIX shared memory object."""

    name: str
    key: str
    offset: int
    byte_size: int


class CudaRegion(BaseModel):
    """A registered region of the memory of a GPU."""

    name: str
    device_id: int
    byte_size: int


class Done(BaseModel):
    """It is done."""
