"""The command line in this process, where the process is not what is tested: one of its own takes seconds to load torch."""

from __future__ import annotations

import shlex
from contextlib import chdir
from pathlib import Path

from typer.testing import CliRunner, Result

from lossmeter.cli import program


def in_process(command: str, place: Path, **environment: str) -> Result:
    """What `lossmeter …` of a shell does in a folder; nothing in it may be for the shell but quotes."""
    name, *arguments = shlex.split(command)
    assert Path(name).name == "lossmeter", command
    with chdir(place):
        return CliRunner(env=environment).invoke(program, arguments)
