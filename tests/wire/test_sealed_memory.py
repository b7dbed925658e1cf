"""Sealed memory: it is mapped, as nobody can take pages of it away; whatever is not sealed, or somebody else's, is refused."""

from __future__ import annotations

import fcntl
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lossmeter.errors import Conflict, Invalid
from lossmeter.wire import sealed_memory
from lossmeter.wire.regions import Registry, SharedMemory, Slice
from lossmeter.wire.shared_memory import SystemMemory

SIZE = 1 << 16
CONTENT = np.random.default_rng(3).integers(0, 256, SIZE).astype(np.uint8)
SHRINK = fcntl.F_SEAL_SHRINK


def made(seals: int = SHRINK, flags: int = os.MFD_ALLOW_SEALING) -> int:
    file = os.memfd_create("lossmeter-test", flags | os.MFD_CLOEXEC)
    os.pwrite(file, CONTENT.tobytes(), 0)
    if seals:
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
    return file


def key_of(file: int) -> str:
    return f"memfd:{os.getpid()}:{file}:{os.fstat(file).st_ino}"


@pytest.fixture
def file() -> Iterator[int]:
    found = made()
    yield found
    os.close(found)


@pytest.fixture
def system() -> SystemMemory:
    return SystemMemory()


@pytest.fixture
def memory(tmp_path: Path, system: SystemMemory, file: int) -> SharedMemory:
    found = SharedMemory(Registry(tmp_path), {"system": system})
    found.registry.add(system.region("r", key_of(file), 4096, SIZE - 4096), system)
    return found


def test_it_is_read_written_and_lent_in_place(memory: SharedMemory, file: int) -> None:
    where = Slice("r", 100, 8)
    copied, lent = memory.read(where), memory.in_place(where)
    assert lent is not None
    assert np.array_equal(copied, CONTENT[4196:4204])
    memory.write(where, 255 - copied)
    assert os.pread(file, 8, 4196) == (255 - copied).tobytes() == lent.tobytes()
    os.pwrite(file, bytes(8), 4196)
    assert not lent.any()
    assert np.array_equal(copied, CONTENT[4196:4204])
    memory.write(where, lent)  # which lies there already
    with pytest.raises(Invalid, match="expected 8 from"):
        memory.in_place(Slice("r", SIZE - 4096, 8))


def test_no_page_of_it_can_be_taken_away(memory: SharedMemory, file: int) -> None:
    lent = memory.in_place(Slice("r", 0, SIZE - 4096))
    assert lent is not None
    with pytest.raises(PermissionError):
        os.ftruncate(file, 0)
    punch = ["fallocate", "--punch-hole", "--length", str(SIZE), f"/proc/{os.getpid()}/fd/{file}"]
    subprocess.run(punch, check=True)
    assert not lent.any(), "what was there is gone, and the mapping is not"


def test_memory_that_is_not_sealed_is_refused(system: SystemMemory) -> None:
    file = made(seals=0)
    try:
        with pytest.raises(Invalid, match="not sealed against shrinking"):
            system.region("r", key_of(file), 0, 1)
    finally:
        os.close(file)


def test_huge_pages_which_may_be_missing_are_refused(system: SystemMemory) -> None:
    file = os.memfd_create("lossmeter-test", os.MFD_ALLOW_SEALING | os.MFD_HUGETLB)
    try:
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, SHRINK)
        with pytest.raises(Invalid, match="not that of this memory"):
            system.region("r", key_of(file), 0, 1)
    finally:
        os.close(file)


def test_what_else_a_descriptor_may_be_is_neither_opened_nor_used(system: SystemMemory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(CONTENT.tobytes())
    for path in (tmp_path / "pipe", tmp_path / "file", Path("/dev/zero")):
        file = os.open(path, os.O_RDWR)
        try:
            with pytest.raises(Invalid, match="not that of this memory"):
                system.region("r", key_of(file), 0, 1)
        finally:
            os.close(file)


def test_another_inode_or_no_process_is_refused(system: SystemMemory, file: int) -> None:
    process, inode = os.getpid(), os.fstat(file).st_ino
    with pytest.raises(Invalid, match="not that of this memory"):
        system.region("r", f"memfd:{process}:{file}:{inode + 1}", 0, 1)
    for key in (f"memfd:{process}:9999:{inode}", f"memfd:4194305:{file}:{inode}"):
        with pytest.raises(Invalid, match="no such descriptor"):
            system.region("r", key, 0, 1)
    with pytest.raises(Invalid, match="65536 bytes"):
        system.region("r", key_of(file), 1, SIZE)


def test_that_of_another_user_is_refused_by_a_service_that_may_do_everything(
    system: SystemMemory, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(Invalid, match="belongs to another user"):
        system.region("r", key_of(file), 0, 1)


def test_memory_that_is_being_executed_cannot_be_written_to(system: SystemMemory) -> None:
    file = os.memfd_create("lossmeter-test", os.MFD_ALLOW_SEALING)
    try:
        os.write(file, Path("/bin/sleep").read_bytes())
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, SHRINK)
        region = system.region("r", key_of(file), 0, 4096)
        with subprocess.Popen(["sleep", "60"], executable=f"/proc/self/fd/{file}", pass_fds=[file]) as process:
            with pytest.raises(Conflict, match="cannot be opened: Text file busy"):
                system.in_place(region, 0, 8)
            process.kill()
    finally:
        os.close(file)


def test_what_lies_before_a_region_is_not_mapped(system: SystemMemory) -> None:
    """A file that is mostly a hole may be larger than all that a process has addresses for."""
    file, far = made(seals=0), 3 << 45
    try:
        os.ftruncate(file, far + SIZE)
        os.pwrite(file, CONTENT.tobytes(), far)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, SHRINK)
        for offset in (far, far + 100, far + 4096 + 100):
            lent = system.in_place(system.region("r", key_of(file), offset, 5000), 7, 4993)
            assert lent is not None
            assert np.array_equal(lent, CONTENT[offset - far + 7 :][:4993])
    finally:
        os.close(file)


def test_a_system_that_may_have_no_page_for_a_hole_maps_nothing(
    memory: SharedMemory, file: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path / "overcommit_memory"
    setting.write_text("2\n")
    monkeypatch.setattr(sealed_memory, "OVERCOMMIT", setting)
    where = Slice("r", 100, 8)
    assert memory.in_place(where) is None
    assert np.array_equal(memory.read(where), CONTENT[4196:4204])
    memory.write(where, np.zeros(8, np.uint8))
    assert os.pread(file, 8, 4196) == bytes(8)
    assert str(os.fstat(file).st_ino) not in {
        line.split()[4] for line in Path("/proc/self/maps").read_text().splitlines()
    }


HOLDER = """
import fcntl, os
file = os.memfd_create("x", os.MFD_ALLOW_SEALING)
os.ftruncate(file, 4096)
fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
print(f"memfd:{os.getpid()}:{file}:{os.fstat(file).st_ino}", flush=True)
input()
"""


def test_memory_of_a_process_that_is_gone_is_forgotten_in_time(
    tmp_path: Path, system: SystemMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = SharedMemory(Registry(tmp_path), {"system": system})
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        region = system.region("r", process.stdout.readline().decode().strip(), 0, 4096)
        memory.registry.add(region, system)
        assert not memory.read(Slice("r", 0, 8)).any()
        process.kill()
    assert not system.lasts(region)
    assert not memory.read(Slice("r", 0, 8)).any(), "its mapping is kept for a while"
    monkeypatch.setattr(sealed_memory, "KEPT_SECONDS", 0.0)
    system._mappings._forget()
    with pytest.raises(Conflict, match="no such descriptor"):
        memory.read(Slice("r", 0, 8))


def test_a_mapping_is_kept_for_a_time_after_its_last_use_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(sealed_memory, "monotonic", lambda: now)
    mappings = sealed_memory.Mappings()
    mappings.keep((1, 1), CONTENT)
    assert mappings._timer is not None
    mappings._timer.cancel()
    now = 6.0
    assert mappings.find((1, 1), SIZE) is CONTENT
    now = 10.0
    mappings._forget()
    assert mappings._timer is not None
    mappings._timer.cancel()
    assert mappings._timer.interval == 6.0
    now = 16.0
    mappings._forget()
    assert mappings.find((1, 1), SIZE) is None
    assert mappings._timer is None


def test_few_mappings_are_kept(system: SystemMemory) -> None:
    files = [made() for _ in range(sealed_memory.MAX_KEPT + 3)]
    try:
        for file in files:
            region = system.region("r", key_of(file), 0, SIZE)
            assert system.in_place(region, 0, 1) is not None
        inodes = {str(os.fstat(file).st_ino) for file in files}
        mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.split()[4] in inodes]
        assert len(mapped) == sealed_memory.MAX_KEPT
    finally:
        for file in files:
            os.close(file)


def test_a_mapping_that_is_too_small_is_made_anew(system: SystemMemory, file: int) -> None:
    small, whole = (system.region("r", key_of(file), 0, size) for size in (mmap.PAGESIZE, SIZE))
    assert system.in_place(small, 0, 1) is not None
    lent = system.in_place(whole, SIZE - 8, 8)
    assert lent is not None
    assert np.array_equal(lent, CONTENT[-8:])
