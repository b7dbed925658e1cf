"""Runs what `make test-clients` installs below `build/openapi`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "build" / "openapi"
BIN = TOOLS / "venv" / "bin"
NODE = TOOLS / "node" / "node_modules"
GENERATED = TOOLS / "clients"
PROGRAMS = ROOT / "openapi" / "clients"
DOCUMENT = ROOT / "openapi" / "openapi.json"
OLDER = ROOT / "openapi" / "openapi-3.0.json"


def run(*command: str | Path, folder: Path = ROOT, **environment: str) -> str:
    """What a command prints.

    Raises:
        AssertionError: it fails; with all that it printed.
    """
    path = os.pathsep.join([str(BIN), str(NODE / ".bin"), os.environ["PATH"]])
    settings = {**os.environ, "PATH": path, **environment}
    ended = subprocess.run(list(map(str, command)), cwd=folder, env=settings, capture_output=True, text=True)
    assert ended.returncode == 0, f"{' '.join(map(str, command[:8]))} …\n{ended.stdout[-4000:]}\n{ended.stderr[-8000:]}"
    return ended.stdout


def empty(language: str) -> Path:
    """A folder for a generated client, without what an earlier run left there."""
    folder = GENERATED / language
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def jar() -> Path:
    """The generator's own archive, which holds Jackson."""
    (found,) = (TOOLS / "venv").glob("lib/*/site-packages/openapi_generator_cli/openapi-generator.jar")
    return found


def sources(*folders: Path) -> list[Path]:
    """All files of Java below the folders."""
    return sorted(path for folder in folders for path in folder.rglob("*.java"))
