"""Runs, their tags, their batches and what is known from these."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "runs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("classes", sa.Integer),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("closed", sa.BigInteger),
    )
    op.create_table("tags", _run(primary_key=True), sa.Column("tag", sa.String(200), primary_key=True))
    op.create_index("tags_by_tag", "tags", ["tag", "run"])
    op.create_table(
        "batches",
        _run(primary_key=True),
        sa.Column("batch", sa.String(200), primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("added", sa.BigInteger, nullable=False),
    )
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "states",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        _run(),
        sa.Column("batches", sa.BigInteger, nullable=False),
        sa.Column("samples", sa.BigInteger, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("states_by_run", "states", ["run"])


def downgrade() -> None:
    """Drops them, with all that they hold."""
    for table in ("states", "batches", "tags", "runs"):
        op.drop_table(table)


def _run(*, primary_key: bool = False) -> sa.Column[str]:
    reference = sa.ForeignKey("runs.id", ondelete="CASCADE")
    return sa.Column("run", sa.String(36), reference, nullable=False, primary_key=primary_key)
