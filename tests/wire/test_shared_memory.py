"""Regions of shared memory: whatever a client does to its object, this process reads all of a slice, or gets an error."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmeter.errors import Busy, Conflict, DoesNotFit, Invalid, NotFound
from lossmeter.wire.regions import Region, Registry, SharedMemory, Slice
from lossmeter.wire.shared_memory import SystemMemory
from tests.support.shared_memory import Held, held, shrinking

SIZE = 1 << 16
RNG = np.random.default_rng(3)
CONTENT = RNG.integers(0, 256, SIZE).astype(np.uint8)
SYSTEM = SystemMemory()


@pytest.fixture
def memory(tmp_path: Path) -> SharedMemory:
    return SharedMemory(Registry(tmp_path), {"system": SYSTEM})


@pytest.fixture
def given_object() -> Iterator[Held]:
    with held(SIZE) as found:
        found.fill(CONTENT.tobytes())
        yield found


def register(memory: SharedMemory, found: Held, name: str = "r", offset: int = 0, size: int = SIZE) -> None:
    memory.registry.add(SYSTEM.region(name, found.key, offset, size), SYSTEM)


@pytest.fixture(scope="module")
def kept() -> Iterator[Held]:
    with held(SIZE) as found:
        found.fill(CONTENT.tobytes())
        yield found


@given(st.integers(0, SIZE - 1), st.integers(1, SIZE), st.integers(0, SIZE), st.integers(0, SIZE))
def test_slices_are_those_of_the_object(kept: Held, offset: int, size: int, start: int, count: int) -> None:
    size = min(size, SIZE - offset)
    region = SYSTEM.region("r", kept.key, offset, size)
    memory = SharedMemory(_One(region), {"system": SYSTEM})  # type: ignore[arg-type]
    where = Slice("r", start, count)
    if start + count > size:
        with pytest.raises(Invalid, match="expected"):
            memory.read(where)
        with pytest.raises(Invalid, match="expected"):
            memory.write(where, np.zeros(count, np.uint8))
        return
    expected = CONTENT[offset + start : offset + start + count]
    assert np.array_equal(memory.read(where), expected)
    memory.write(where, 255 - expected)
    changed = CONTENT.copy()
    changed[offset + start : offset + start + count] = 255 - expected
    assert np.array_equal(kept.content, changed)
    memory.write(where, expected)


def test_a_region_that_took_the_name_of_another_at_the_same_moment_is_told_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that are made and removed within a tick of the clock have the same inode and the same time on some systems."""

    def coarse(path: str) -> SimpleNamespace:
        return SimpleNamespace(st_ino=1, st_mtime_ns=Path(path).stat().st_mtime_ns // 10**10)

    monkeypatch.setattr("lossmeter.wire.regions.os", SimpleNamespace(**{**vars(os), "stat": coarse}))
    registry = Registry(tmp_path)
    for size in (100, 200, 300):
        registry.add(Region(name="r", kind="system", key=f"/{size}", byte_size=size), SYSTEM)
        assert registry.find("r").byte_size == size
        registry.remove("system", "r")


class _One:
    """A registry of one region."""

    def __init__(self, region: Region) -> None:
        self.find = lambda _: region


@pytest.mark.parametrize(
    "key", ["", "/", "/..", "..", ".", "/a/b", "a/b", "/../etc/passwd", "//x", "/x\0", "/\ud800", "/" + "x" * 255]
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(Invalid, match="no name of a shared memory object"):
        SYSTEM.region("r", key, 0, 1)


def test_a_key_needs_no_slash(memory: SharedMemory, given_object: Held) -> None:
    assert SYSTEM.region("r", given_object.key[1:], 0, 1).file == SYSTEM.region("r", given_object.key, 0, 1).file


def test_an_object_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Invalid, match="no shared memory object of that key"):
        SYSTEM.region("r", "/lossmeter-no-such-object", 0, 1)


def test_links_pipes_and_folders_are_no_objects(tmp_path: Path) -> None:
    own = SystemMemory(tmp_path)
    (tmp_path / "file").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert own.region("r", "/file", 0, 6).byte_size == 6
    for key, reason in (("/link", "symbolic link"), ("/pipe", "no shared"), ("/folder", "no shared")):
        with pytest.raises(Invalid, match=reason):
            own.region("r", key, 0, 1)


def test_an_object_on_another_file_system_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"secret")
    own = SystemMemory(tmp_path)
    monkeypatch.setattr("os.fstat", lambda file, of=os.fstat: os.stat_result((*of(file)[:2], -1, *of(file)[3:])))
    with pytest.raises(Invalid, match="no shared memory object"):
        own.region("r", "/file", 0, 1)


def test_objects_of_other_users_are_refused_unless_open_to_all(
    given_object: Held, memory: SharedMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root could open them all."""
    register(memory, given_object)
    where, zeros = Slice("r", 0, 8), np.zeros(8, np.uint8)
    another = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: another)
    with pytest.raises(Conflict, match="another user"):
        memory.read(where)
    with pytest.raises(Conflict, match="another user"):
        memory.write(where, zeros)
    with pytest.raises(Invalid, match="another user"):
        SYSTEM.region("s", given_object.key, 0, 1)
    given_object.path.chmod(0o644)
    assert np.array_equal(memory.read(where), CONTENT[:8])
    with pytest.raises(Conflict, match="another user"):
        memory.write(where, zeros)
    given_object.path.chmod(0o666)
    memory.write(where, zeros)


@pytest.mark.parametrize(
    ("offset", "size"), [(0, SIZE + 1), (1, SIZE), (SIZE, 1), (-1, 2), (0, 0), (0, -1), (2**63, 2**63)]
)
def test_a_region_lies_within_its_object(given_object: Held, offset: int, size: int) -> None:
    with pytest.raises(Invalid, match="expected"):
        SYSTEM.region("r", given_object.key, offset, size)


@pytest.mark.parametrize("name", ["", "a" * 256, "a\n", "\0"])
def test_names_are_short_and_can_be_printed(memory: SharedMemory, given_object: Held, name: str) -> None:
    with pytest.raises(Invalid, match="the name of a region"):
        register(memory, given_object, name)


def test_a_name_is_given_once(memory: SharedMemory, given_object: Held) -> None:
    register(memory, given_object)
    with pytest.raises(Conflict, match="registered already"):
        register(memory, given_object)
    memory.registry.remove("cuda", "r")
    memory.registry.remove("system", "another")
    memory.registry.remove("system", "r")
    memory.registry.remove("system", "r")
    register(memory, given_object)
    memory.registry.remove("system")
    with pytest.raises(NotFound, match="No region"):
        memory.read(Slice("r", 0, 1))


def test_a_name_whose_object_is_gone_can_be_given_anew(memory: SharedMemory, given_object: Held) -> None:
    with held(SIZE) as other:
        register(memory, other)
    register(memory, given_object)
    assert np.array_equal(memory.read(Slice("r", 0, SIZE)), CONTENT)


def test_names_and_bytes_are_bounded_and_what_is_gone_makes_room(tmp_path: Path, given_object: Held) -> None:
    registry = Registry(tmp_path, max_regions=3, max_bytes=4 * SIZE)
    memory = SharedMemory(registry, {"system": SYSTEM})
    with held(2 * SIZE) as large, held(SIZE) as small:
        register(memory, large, "large", size=2 * SIZE)
        register(memory, small, "small")
        with pytest.raises(Busy, match="regions of"):
            register(memory, large, "larger", size=2 * SIZE)
        register(memory, small, "smaller")
        with pytest.raises(Busy, match="3 regions"):
            register(memory, given_object, "one too many", size=1)
    register(memory, given_object, "in their place")
    assert [region.name for region in registry.all()] == ["in their place"]


def test_an_object_that_was_removed_or_replaced_is_an_error(memory: SharedMemory, given_object: Held) -> None:
    register(memory, given_object)
    given_object.path.unlink()
    for attempt in (lambda: memory.read(Slice("r", 0, 1)), lambda: memory.write(Slice("r", 0, 1), CONTENT[:1])):
        with pytest.raises(Conflict, match="no shared memory object of that key"):
            attempt()
    given_object.path.write_bytes(bytes(SIZE))
    with pytest.raises(Conflict, match="another object"):
        memory.read(Slice("r", 0, 1))


def test_an_object_that_became_smaller_is_an_error_and_is_not_made_larger(
    memory: SharedMemory, given_object: Held
) -> None:
    register(memory, given_object)
    given_object.truncate(100)
    assert np.array_equal(memory.read(Slice("r", 0, 100)), CONTENT[:100])
    with pytest.raises(Conflict, match="ends before byte 101"):
        memory.read(Slice("r", 1, 100))
    with pytest.raises(Conflict, match="ends before byte 101"):
        memory.write(Slice("r", 1, 100), CONTENT[:100])
    assert given_object.path.stat().st_size == 100


def test_what_is_larger_than_its_slice_is_not_written(memory: SharedMemory, given_object: Held) -> None:
    register(memory, given_object)
    with pytest.raises(Invalid, match="room for 3 bytes"):
        memory.write(Slice("r", 0, 3), CONTENT[:4])


def test_a_full_file_system_is_an_error(
    memory: SharedMemory, given_object: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(memory, given_object)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(DoesNotFit, match="No space"):
        memory.write(Slice("r", 0, 3), CONTENT[:3])


def test_an_object_that_shrinks_all_the_time_kills_nobody() -> None:
    """Each read gives all bytes or an error, which a mapping of the same object does not survive."""
    size = 1 << 22
    with held(size) as found:
        found.fill(b"\1" * size)
        region = SYSTEM.region("r", found.key, 0, size)
        memory = SharedMemory(_One(region), {"system": SYSTEM})  # type: ignore[arg-type]
        outcomes = {"whole": 0, "refused": 0}
        with shrinking(found.path, size):
            for turn in range(2000):
                try:
                    if turn % 2:
                        assert len(memory.read(Slice("r", 0, size))) == size
                    else:
                        memory.write(Slice("r", 0, size), np.ones(size, np.uint8))
                    outcomes["whole"] += 1
                except Conflict:
                    outcomes["refused"] += 1
                if turn > 200 and min(outcomes.values()) > 5:
                    break
            assert outcomes["refused"] > 5
            mapped = subprocess.run([sys.executable, "-c", TOUCH, str(found.path)], timeout=60, check=False)
        assert mapped.returncode == -7, "the test tests nothing: a mapping survives too"


TOUCH = """
import mmap, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
while True:
    try:
        memory = mmap.mmap(file, 0)
    except ValueError:
        continue
    for _ in range(100):
        memory[len(memory) - 1]
"""


REGISTRAR = """
import sys
from pathlib import Path
from lossmeter.errors import LossmeterError
from lossmeter.wire.regions import Registry
from lossmeter.wire.shared_memory import SystemMemory
system, registry = SystemMemory(), Registry(Path(sys.argv[1]), max_regions=20)
for number in range(40):
    try:
        registry.add(system.region(f"{sys.argv[3]}-{number}", sys.argv[2], 0, 1), system)
    except LossmeterError:
        pass
"""


def test_several_processes_share_a_registry_and_its_bounds(tmp_path: Path, given_object: Held) -> None:
    registry = Registry(tmp_path)
    command = [sys.executable, "-c", REGISTRAR, str(tmp_path), given_object.key]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [subprocess.Popen([*command, str(number)], env=environment) for number in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(registry.all()) == 20
    assert {region.key for region in registry.all()} == {given_object.key}


def test_a_region_that_is_unregistered_meanwhile_is_an_error(memory: SharedMemory, given_object: Held) -> None:
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            register(memory, given_object)
            memory.registry.remove("system")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    outcomes: set[str] = set()
    for _ in range(20_000):
        try:
            assert np.array_equal(memory.read(Slice("r", 5, 8)), CONTENT[5:13])
            outcomes.add("read")
        except NotFound:
            outcomes.add("refused")
        if len(outcomes) == 2:
            break
    ended.set()
    thread.join()
    assert outcomes == {"read", "refused"}
