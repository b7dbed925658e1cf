"""Builds the image, on a stand-in for its base: Debian's own Python. The stand-in is for tests and is never published."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
VARIANT = os.environ.get("TORCH", "cpu")
BASE = "localhost/lossmeter-base:bookworm-pip"
DEBIAN = "localhost/lossmeter-debian:bookworm"
SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# With a pip, as Python's own images have it, so that it can be seen to go.
BASE_FILE = f"""FROM {DEBIAN}
RUN ln -s /usr/bin/python3 /usr/local/bin/python && python -m venv /tmp/pip
RUN mkdir -p /usr/local/lib/python3.11/dist-packages \\
    && mv /tmp/pip/lib/python3.11/site-packages/pip* /usr/local/lib/python3.11/dist-packages/ \\
    && sed s,/tmp/pip/bin,/usr/bin, /tmp/pip/bin/pip > /usr/local/bin/pip && chmod +x /usr/local/bin/pip && rm -r /tmp/pip
"""
LEFT_OUT = ("doc", "man", "info", "locale")  # as slim images do
SECRET = "not-to-be-found-in-the-image"  # stands among the settings of pip


def command(*arguments: str | Path, **options: object) -> str:
    """Runs a command to its end; gives what it printed, and shows its errors if it fails."""
    done = subprocess.run(arguments, text=True, capture_output=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        shown = " ".join(map(str, arguments))
        raise RuntimeError(f"{shown}\nended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return str(done.stdout)


def base() -> str:
    """The image to build on: the one that LOSSMETER_TEST_BASE names, else the stand-in, made once."""
    given = os.environ.get("LOSSMETER_TEST_BASE")
    if given:
        return given
    if subprocess.run(["podman", "image", "exists", BASE]).returncode:
        with tempfile.TemporaryDirectory() as folder:
            _debian(Path(folder, "base.tar"))
            command(
                "buildah", "bud", "--isolation=chroot", "--pull-never", "-t", BASE, "-f", "-", folder, input=BASE_FILE
            )
    return BASE


def _debian(archive: Path) -> None:
    """Imports a Debian with Python in it, by way of that archive."""
    if subprocess.run(["podman", "image", "exists", DEBIAN]).returncode == 0:
        return
    # The hook spares what merging /usr afterwards would take: all of Perl.
    options = [
        "--variant=minbase",
        "--mode=root",
        "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr",
        "--include=python3,python3-venv,ca-certificates",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT),
    ]
    command("mmdebstrap", *options, "bookworm", archive, *([SOURCES] if SOURCES.exists() else []))
    command("podman", "import", archive, DEBIAN)


def build(tag: str, **arguments: str) -> None:
    """Builds `docker/Dockerfile` under that tag, with pip set up as it is on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "pip.conf")
        places = sorted({CERTIFICATES, *_pip_settings(settings)})
        given = {"PYTHON_IMAGE": base(), **arguments}
        command(
            *(
                "buildah",
                "bud",
                "--isolation=chroot",
                "--format=docker",
                "--layers",
                "--secret",
                f"id=pip,src={settings}",
            ),
            "--pull" if "LOSSMETER_TEST_BASE" in os.environ else "--pull-never",
            *(f"--volume={place}:{place}:ro" for place in places if place.exists()),
            *(f"--build-arg={name}={value}" for name, value in given.items()),
            *("--tag", tag, "--file", "docker/Dockerfile", "."),
            cwd=ROOT,
        )


def _pip_settings(path: Path) -> Iterator[Path]:
    """Writes pip's settings on this machine into a file; gives the local files and folders that they name."""
    written = configparser.RawConfigParser()
    for line in command(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, quoted = line.partition("=")
        section, _, key = name.replace(":env:", "global").partition(".")
        value = str(ast.literal_eval(quoted))
        if not written.has_section(section):
            written.add_section(section)
        written.set(section, key, value.replace("\n", "\n    "))
        # The pages of an index lie beside the files that they lead to.
        yield from (Path(found.removesuffix("/simple")) for found in re.findall(r"(?:^|\s|file://)(/\S+)", value))
    with path.open("w") as file:
        file.write(f"# {SECRET}\n")
        written.write(file)
