"""The tables, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData()
HEAD = "0002"
"""The newest migration."""

RUN_ID_LENGTH = 36
NAME_LENGTH = 200
# SQLite numbers the rows of a table by itself only if their key is an INTEGER.
NUMBER = BigInteger().with_variant(Integer(), "sqlite")


def _run(*, primary_key: bool = False) -> Column[str]:
    reference = ForeignKey("runs.id", ondelete="CASCADE")
    return Column("run", String(RUN_ID_LENGTH), reference, nullable=False, primary_key=primary_key)


RUNS = Table(
    "runs",
    METADATA,
    Column("id", String(RUN_ID_LENGTH), primary_key=True),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("plan", Text, nullable=False),
    Column("classes", Integer),
    Column("created", BigInteger, nullable=False),
    Column("closed", BigInteger),
)
TAGS = Table(
    "tags",
    METADATA,
    _run(primary_key=True),
    Column("tag", String(NAME_LENGTH), primary_key=True),
    Index("tags_by_tag", "tag", "run"),
)
BATCHES = Table(
    "batches",
    METADATA,
    _run(primary_key=True),
    Column("batch", String(NAME_LENGTH), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("added", BigInteger, nullable=False),
)
"""One row for each acknowledged batch, for ever: it makes a retry harmless."""
STATES = Table(
    "states",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    _run(),
    Column("batches", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Index("states_by_run", "run"),
    sqlite_autoincrement=True,
)
"""Statistics that add up: one row for each batch, until some of them are replaced by one that is their sum."""
KEYS = Table(
    "keys",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("scopes", String(NAME_LENGTH), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("revoked", BigInteger),
    Column("requests_per_second", Float(53)),
    Column("burst", Integer),
    Column("max_body_bytes", BigInteger),
)
"""Keys, each with a digest of its token; revoked ones stay, so that a log can be read years later."""
