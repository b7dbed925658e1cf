"""CUDA shared memory against a stand-in for the CUDA runtime, whose functions have its names and arguments.

No GPU runs these tests: that a real runtime does the same is not shown by them.
"""

from __future__ import annotations

import base64
import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lossmeter.engine.cuda_memory import CudaMemory
from lossmeter.errors import Conflict, Invalid
from lossmeter.wire.regions import Region, Registry, SharedMemory, Slice

SOURCE = """
#include <stddef.h>
#include <string.h>

typedef struct { char reserved[64]; } handle_t;

/* A handle is "memory" and the number of one of four blocks; only GPU 1 has any. */
char blocks[4][4096];
int live[4] = {1, 1, 1, 1}, opened, device, last;

static int fail(int status) { return last = status; }

int cudaGetDevice(int *found) { *found = device; return 0; }
int cudaSetDevice(int wanted) { if (wanted > 1) return fail(101); device = wanted; return 0; }
int cudaGetLastError(void) { int status = last; last = 0; return status; }
int cudaIpcOpenMemHandle(void **address, handle_t handle, unsigned flags) {
    int number = handle.reserved[6];
    if (device != 1 || flags != 1 || strncmp(handle.reserved, "memory", 6) || number > 3 || !live[number]) return fail(400);
    *address = blocks[number];
    opened++;
    return 0;
}
int cudaIpcCloseMemHandle(void *address) { opened--; return 0; }
int cudaMemcpy(void *target, const void *source, size_t size, int kind) {
    if (kind != 4 || size > 4096) return fail(1);
    memcpy(target, source, size);
    return 0;
}
"""
GPU = torch.device("cuda", 1)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no compiler")
    folder = tmp_path_factory.mktemp("runtime")
    (folder / "runtime.c").write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "runtime.so", "runtime.c"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "runtime.so"))


@pytest.fixture
def cuda(runtime: ctypes.CDLL) -> Iterator[CudaMemory]:
    yield CudaMemory(GPU, lambda: runtime)
    left = {name: ctypes.c_int.in_dll(runtime, name).value for name in ("opened", "device", "last")}
    assert left == {"opened": 0, "device": 0, "last": 0}


def handle(number: int, word: bytes = b"memory") -> str:
    return base64.b64encode((word + bytes([number])).ljust(64, b"\0")).decode()


def test_what_is_written_is_read(cuda: CudaMemory, tmp_path: Path) -> None:
    memory = SharedMemory(Registry(tmp_path), {"cuda": cuda})
    memory.registry.add(cuda.region("g", handle(2), 1, 4096), cuda)
    content = np.random.default_rng(0).integers(0, 256, 1000).astype(np.uint8)
    memory.write(Slice("g", 96, 1000), content)
    assert np.array_equal(memory.read(Slice("g", 96, 1000)), content)
    assert np.array_equal(memory.read(Slice("g", 95, 3)), [0, *content[:2]])
    with pytest.raises(Invalid, match="4096 bytes"):
        memory.read(Slice("g", 4000, 97))


def test_memory_that_is_gone_is_an_error(cuda: CudaMemory, runtime: ctypes.CDLL, tmp_path: Path) -> None:
    memory = SharedMemory(Registry(tmp_path), {"cuda": cuda})
    memory.registry.add(cuda.region("g", handle(3), 1, 4096), cuda)
    live = (ctypes.c_int * 4).in_dll(runtime, "live")
    live[3] = 0
    try:
        with pytest.raises(Conflict, match="cudaIpcOpenMemHandle gave error 400"):
            memory.read(Slice("g", 0, 1))
        assert not cuda.lasts(memory.registry.find("g"))
        memory.registry.add(cuda.region("g", handle(1), 1, 4096), cuda)
    finally:
        live[3] = 1


def test_memory_that_is_smaller_than_it_was_said_to_be_is_an_error(cuda: CudaMemory) -> None:
    region = Region(name="g", kind="cuda", byte_size=5000, device_id=1, handle=handle(0))
    with pytest.raises(Conflict, match="cudaMemcpy gave error 1"):
        cuda.read(region, 0, np.empty(5000, np.uint8))


@pytest.mark.parametrize(
    ("given", "device_id", "reason"),
    [
        ("", 1, "64 bytes in base64"),
        ("no base64!", 1, "64 bytes in base64"),
        (base64.b64encode(bytes(63)).decode(), 1, "64 bytes in base64"),
        (base64.b64encode(bytes(65)).decode(), 1, "64 bytes in base64"),
        (handle(0, b"nemory"), 1, "error 400"),
        (handle(0), 0, "error 400"),
        (handle(0), 7, "cudaSetDevice gave error 101"),
    ],
)
def test_what_is_no_handle_is_refused(cuda: CudaMemory, given: str, device_id: int, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        cuda.region("g", given, device_id, 1)


def test_a_server_without_a_gpu_says_so() -> None:
    cuda = CudaMemory(torch.device("cpu"))
    assert not cuda.exists
    with pytest.raises(Invalid, match="needs a GPU of CUDA; this server computes on cpu"):
        cuda.region("g", handle(0), 0, 1)
