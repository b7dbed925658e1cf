"""Opens the database, makes it ready, and turns its failures into errors that a caller may see."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, time_ns
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Engine, make_url

from lossmeter.database.versions import demand_newest, migrate
from lossmeter.errors import StoreUnavailable

log = logging.getLogger(__name__)

BACKENDS = ("sqlite", "postgresql")
CONNECT_SECONDS = 5
TIMEOUT_SECONDS = 15.0
"""Default for the longest a statement may take, or a writer of SQLite may wait for another one."""
PAUSE_SECONDS = 1.0
"""After a failure nobody tries to connect again for so long: meanwhile callers are told at once."""
UNREACHABLE = "The database of runs cannot be reached."
FILE = "file"
"""The file that a connection to SQLite has open, among what is known of the connection."""
MISSING = "does not exist"
GAVE_UP = "gave up waiting for the server"
LATE = "The database of runs did not answer in time (LOSSMETER_STORE_TIMEOUT_SECONDS)."


class Database:
    """Runs transactions on SQLite or PostgreSQL; connects, and migrates SQLite if need be, when it is first used.

    Args:
        url: `sqlite:///path` or `postgresql://…`; empty for the default path.
        timeout_seconds: how long a statement may take; with SQLite, how long a writer waits for another one.
    """

    def __init__(self, url: str = "", timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.url = resolve_url(url)
        self.timeout_seconds = timeout_seconds
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._down_until = 0.0

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Runs a transaction that changes nothing, and sees one moment.

        Raises:
            StoreUnavailable: the database cannot be reached, or cannot be used.
        """
        with self._translate_failures(), self._connect() as connection:
            if not self.sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Runs a transaction that is durable when this ends without an error, and has not happened otherwise.

        Raises:
            StoreUnavailable: the database cannot be reached, is full, or cannot be used.
        """
        with self._translate_failures(), self._connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                yield connection
            self._check_file(connection)

    @property
    def clock(self) -> sa.ColumnElement[int]:
        """Tells microseconds since 1970 by the clock of the database, which all who use it share, as an expression."""
        if self.sqlite:  # which runs in this process
            return sa.literal(time_ns() // 1000, sa.BigInteger)
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()) * 1_000_000, sa.BigInteger)

    def now(self, connection: Connection) -> int:
        """Returns what that clock tells."""
        return int(connection.execute(sa.select(self.clock)).scalar_one())

    def upgrade(self) -> None:
        """Brings the tables to the newest form; does nothing if they have it."""
        with self._translate_failures():
            # A migration takes the time that it takes.
            engine = self._create_engine(0 if not self.sqlite else self.timeout_seconds)
            try:
                migrate(engine)
            finally:
                engine.dispose()

    def close(self) -> None:
        """Ends all connections; the next use opens new ones."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def _ready(self) -> Engine:
        if self._engine is None:
            with self._lock:
                if self._engine is None:
                    self._engine = self._open()
        return self._engine

    def _open(self) -> Engine:
        engine = self._create_engine(self.timeout_seconds)
        try:
            (migrate if self.sqlite else demand_newest)(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _create_engine(self, timeout_seconds: float) -> Engine:
        if self.sqlite and self.url.database:
            file = Path(self.url.database)
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.url.database.startswith((":memory:", "file:")) and not file.exists():
                os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))  # the files beside it get its mode
        return _engine(self.url, timeout_seconds)

    def _check_file(self, connection: Connection) -> None:
        """Makes sure that what was written is in the file that is at the path now, and not in one that was removed from it.

        Raises:
            StoreUnavailable: it is not; the next use opens the one that is there.
        """
        if self.sqlite and connection.connection.dbapi_connection is not None:
            written = connection.connection.info.get(FILE)
            if written is not None and written != _file_at(self.url.database):
                log.error("the database of runs at %s was removed or replaced", self.url.database)
                connection.invalidate()
                self.close()
                raise StoreUnavailable("The database of runs was removed or replaced; nothing was kept.")

    def _connect(self) -> Connection:
        if monotonic() < self._down_until:
            raise StoreUnavailable(UNREACHABLE)
        try:
            return self._ready().connect()
        except exc.OperationalError:
            if not self.sqlite:
                self._down_until = monotonic() + PAUSE_SECONDS
            raise

    @contextmanager
    def _translate_failures(self) -> Iterator[None]:
        try:
            yield
        except (exc.DBAPIError, exc.TimeoutError) as error:
            cause = error.orig if isinstance(error, exc.DBAPIError) else error
            if isinstance(error, exc.IntegrityError | exc.DataError | exc.NotSupportedError) or (
                isinstance(error, exc.ProgrammingError) and MISSING not in str(cause)
            ):
                raise
            log.warning("the database of runs: %s", " ".join(str(cause).split()))
            if GAVE_UP in str(cause):  # those that wait for a connection need not find out one after the other
                self._down_until = monotonic() + PAUSE_SECONDS
            raise StoreUnavailable(_told(str(cause))) from error
        except OSError as error:
            log.warning("the database of runs: %s", error)
            raise StoreUnavailable(f"Runs cannot be kept here: {error.strerror}.") from error


def resolve_url(url: str) -> URL:
    """Resolves where the database is; without a URL, in a file among the user's data.

    Raises:
        ValueError: if it is of a kind that is not spoken here.
    """
    if not url:
        home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        return URL.create("sqlite", database=str(Path(home) / "lossmeter" / "runs.sqlite"))
    try:
        made = make_url(url)
    except sa.exc.ArgumentError:
        raise ValueError("LOSSMETER_STORE_URL is no URL; expected sqlite:///path or postgresql://…") from None
    if made.get_backend_name() not in BACKENDS:
        raise ValueError(f"LOSSMETER_STORE_URL names {made.get_backend_name()}; expected {' or '.join(BACKENDS)}")
    return made.set(drivername="postgresql+psycopg") if made.get_backend_name() == "postgresql" else made


def _engine(url: URL, timeout_seconds: float) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(
            url, connect_args={"timeout": timeout_seconds}, pool_size=8, max_overflow=0, hide_parameters=True
        )
        sa.event.listen(engine, "connect", _prepare_sqlite)
        if url.database and url.database != ":memory:":
            sa.event.listen(engine, "connect", lambda _, record: record.info.update({FILE: _file_at(url.database)}))
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    # Of what libpq knows: how long to wait for a host that does not answer. Prepared statements do not pass through
    # poolers such as PgBouncer.
    parameters: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 10,
        "application_name": "lossmeter",
        "prepare_threshold": None,
    }
    engine = sa.create_engine(
        url,
        connect_args=parameters,
        pool_size=8,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=10,
        hide_parameters=True,
    )
    if timeout_seconds:
        from lossmeter.database.timeouts import connect

        @sa.event.listens_for(engine, "do_connect")
        def _connect(_: Any, __: Any, arguments: Any, named: Any) -> Any:
            return connect(timeout_seconds, GAVE_UP, *arguments, **named)

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # For this transaction alone: a pooler such as PgBouncer may give the next one another session.
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(timeout_seconds * 1000))}")

    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _file_at(path: str | None) -> tuple[int, int] | None:
    """Returns device and number of the file at a path; None if there is none."""
    try:
        found = Path(path or "").stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: one that began as a reader could not wait for it.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


TOLD: tuple[tuple[str, str], ...] = (
    ("malformed", "The database of runs is damaged."),
    ("not a database", "The database of runs is damaged, or no database at all."),
    ("is full", "There is no room left for runs."),
    ("disk", "There is no room left for runs, or their disk has failed."),
    ("No space", "There is no room left for runs."),
    ("could not extend", "There is no room left for runs."),
    ("unable to open", "Runs cannot be kept here: their file cannot be opened (LOSSMETER_STORE_URL)."),
    ("readonly", "Runs cannot be kept here: their file cannot be written to (LOSSMETER_STORE_URL)."),
    ("statement timeout", LATE),
    (GAVE_UP, LATE),
    ("locked", "Too many write to the database of runs at once."),
    (MISSING, "The database of runs has no tables of this version; run `lossmeter db upgrade`."),
)


def _told(cause: str) -> str:
    """Picks what a caller may know of a cause; the rest is for the log."""
    return next((told for sign, told in TOLD if sign in cause), UNREACHABLE)
