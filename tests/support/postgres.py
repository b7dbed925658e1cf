"""A PostgreSQL of our own: started for the tests, on a Unix socket that nobody else knows."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import pytest

FOLDERS = ("/usr/lib/postgresql", "/usr/pgsql-17", "/usr/pgsql-16", "/opt/homebrew/opt", "/usr/local")


@cache
def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`; none if there is none."""
    found = [Path(path).parent for path in (shutil.which("initdb"), shutil.which("postgres")) if path]
    for folder in map(Path, FOLDERS):
        found += sorted((path.parent for path in folder.glob("**/bin/initdb")), reverse=True) if folder.is_dir() else []
    return next((one for one in found if (one / "initdb").exists() and (one / "postgres").exists()), None)


def _account() -> pwd.struct_passwd | None:
    """Whom it runs as: it refuses to be root."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


class Postgres:
    """A server with an empty database, in a folder that goes away with it."""

    def __init__(self) -> None:
        folder, account = binaries(), _account()
        if folder is None or account is None:
            pytest.skip("needs the server binaries of PostgreSQL: apt-get install postgresql")
        self.folder, self.account = folder, account
        self.home = Path(tempfile.mkdtemp(prefix="lossmeter-pg-", dir="/tmp"))
        os.chown(self.home, account.pw_uid, account.pw_gid)
        self.process: subprocess.Popen[bytes] | None = None
        options = ["-U", "lossmeter", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self._run("initdb", "-D", str(self.home / "data"), *options)

    @property
    def url(self) -> str:
        return f"postgresql://lossmeter@/postgres?host={self.home}"

    def start(self) -> None:
        """Starts it, and returns when it takes connections."""
        settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.home}", "-c", "max_connections=60"]
        command = [str(self.folder / "postgres"), "-D", str(self.home / "data"), *settings]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, user=self.account.pw_uid, group=self.account.pw_gid, cwd=self.home
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self.folder / program), *arguments],
            check=True,
            capture_output=True,
            user=self.account.pw_uid,
            group=self.account.pw_gid,
            cwd=self.home,
        )

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends it: `SIGINT` breaks off what is under way, `SIGQUIT` is a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def signal(self, which: signal.Signals) -> None:
        """To all its processes, itself before those that it started: they neither end nor begin others meanwhile."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        for pid in (self.process.pid, *pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, which)

    def kill(self) -> None:
        """Ends all its processes at once, as a power cut would."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(30)
        self.process = None
        # What they shared is freed when the last of them is gone; a start before that would be refused.
        time.sleep(0.2)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
