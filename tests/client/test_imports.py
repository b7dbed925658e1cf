"""The client needs httpx and numpy, and nothing else that does not come with Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lossmeter

PROGRAM = """
import sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Refusal())
import lossmeter.client
from lossmeter.client import AsyncClient, Client, MeanLoss
Client("http+unix:///nowhere.sock").close()
print(*sorted({{name.partition(".")[0] for name in sys.modules}} - sys.stdlib_module_names))
"""
SERVICE = (
    "torch",
    "jax",
    "fastapi",
    "starlette",
    "uvicorn",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "simdjson",
)
OTHERS = ("orjson", "typer", "rich", "uvloop", "httptools", "scipy", "sklearn", "trio", "click", "pygments")
OURS = {"lossmeter", "httpx", "numpy"}
THEIRS = {
    "anyio",
    "brotli",
    "certifi",
    "h11",
    "httpcore",
    "idna",
    "sniffio",
    "socksio",
    "typing_extensions",
    "zstandard",
}
"""What httpx itself may load."""


def run(program: str) -> subprocess.CompletedProcess[str]:
    path = str(Path(lossmeter.__file__).parents[1])
    environment = {"PYTHONPATH": path}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)


def test_it_works_without_torch_and_without_the_service() -> None:
    done = run(PROGRAM.format(blocked=SERVICE + OTHERS))
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split()) - {"__main__"}
    assert loaded >= OURS
    assert {name for name in loaded - OURS - THEIRS if not name.startswith("_")} == set()


def test_the_check_can_fail() -> None:
    done = run(PROGRAM.format(blocked=("httpx",)))
    assert done.returncode != 0
    assert "No module named 'httpx'" in done.stderr


def test_the_command_says_what_it_needs() -> None:
    done = run(PROGRAM.format(blocked=SERVICE + OTHERS) + "\nimport lossmeter.cli")
    assert done.returncode == 1
    assert 'pip install "lossmeter[server]"' in done.stderr


def test_torch_is_loaded_by_what_needs_it() -> None:
    program = PROGRAM.format(blocked=("torch",)) + "\nlossmeter.client.RemoteLoss"
    assert "No module named 'torch'" in run(program).stderr


def test_there_is_nothing_else() -> None:
    import lossmeter.client

    with pytest.raises(AttributeError, match="has no attribute 'Clint'"):
        lossmeter.client.Clint  # noqa: B018
