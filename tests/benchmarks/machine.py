"""What the figures were taken with: versions, processor, memory, load."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path

import lossmeter
from tests.benchmarks.servers import CLIENT_CORE, CORES, LITSERVE, SERVER_CORE

PACKAGES = (
    "torch",
    "numpy",
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "pydantic",
    "orjson",
    "pysimdjson",
)


def described() -> dict[str, str]:
    """In the order in which it is to be read."""
    versions = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    versions += [f"litserve {found.version}" for found in metadata.distributions(name="litserve", path=[str(LITSERVE)])]
    load = ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "lossmeter": lossmeter.__version__,
        "Python": platform.python_version(),
        "packages": ", ".join(versions),
        "processor": f"{_first('/proc/cpuinfo', 'model name')}, {len(CORES)} cores",
        "memory": f"{int(_first('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cores": f"servers on core {SERVER_CORE}, client on core {CLIENT_CORE}, one thread of torch each",
        "load": f"{load} (1, 5 and 15 minutes, at the start: what else the machine was doing)",
    }


def _first(path: str, field: str) -> str:
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return "unknown"
