"""When the database fails nothing is half written, and nothing else fails with it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa

from lossmeter.database import Database, connections
from lossmeter.database.tables import BATCHES, HEAD, STATES
from lossmeter.errors import StoreUnavailable
from lossmeter.runs import Ledger, SqlStore
from tests.support.postgres import Postgres
from tests.support.runs import PLAN, SMALL, data, ledger, numbers, opened, part, put
from tests.support.service import serving


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    with ledger(f"sqlite:///{tmp_path}/runs.sqlite") as books:
        run = opened(books)
        assert isinstance(books.store, SqlStore)
        database = books.store.database
        with database.reading() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        sa.event.listen(database._ready(), "begin", lambda connection: _limit(connection, pages + 10))
        added = 0
        while added < 1000:
            try:
                put(books, run.id, str(added), data(20, seed=added))
            except StoreUnavailable as error:
                told = error.detail
                break
            added += 1
        assert 0 < added < 1000
        assert "no room left" in told
        with database.reading() as connection:
            counts = [
                connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
                for table in (BATCHES, STATES)
            ]
        assert counts == [added, added]
        assert books.report(run.id)[0].batches == added
        books.fold(run.id)
        assert books.report(run.id)[0].batches == added


def _limit(connection: Any, pages: int) -> None:
    connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL that may be stopped."""
    with Postgres() as found:
        yield found


def test_a_database_that_goes_away_and_comes_back(server: Postgres) -> None:
    database = Database(server.url)
    with pytest.raises(StoreUnavailable, match="run `lossmeter db upgrade`"):
        SqlStore(database).find([], "", 1)
    database.upgrade()
    database.close()
    whole = data(20)
    with serving(store_url=server.url) as url, httpx.Client(base_url=url, timeout=30) as http:
        path = http.post("/v1/runs", json=PLAN).headers["location"]
        assert http.put(f"{path}/batches/0", json=part(whole, range(10))).status_code == 201
        server.stop()
        answer = http.put(f"{path}/batches/1", json=part(whole, range(10, 20)))
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "postgres" not in answer.text
        assert http.get(path).status_code == 503
        stateless = http.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [0.0]})
        assert stateless.json()["value"] == 1.0
        server.start()
        for _ in range(100):
            if http.put(f"{path}/batches/1", json=part(whole, range(10, 20))).status_code == 201:
                break
            time.sleep(0.1)
        assert http.get(path).json()["run"]["batches"] == 2


def test_a_lock_that_somebody_holds_is_not_waited_for_for_ever(postgres: Postgres) -> None:
    with (
        serving(store_url=postgres.url, store_timeout_seconds=0.5) as url,
        httpx.Client(base_url=url, timeout=30) as http,
        psycopg.connect(postgres.url) as other,
    ):
        path = http.post("/v1/runs", json=SMALL).headers["location"]
        other.execute("SELECT 1 FROM runs WHERE id = %s FOR UPDATE", [path.rpartition("/")[2]])
        begin = time.monotonic()
        answer = http.put(f"{path}/batches/a", json=numbers(1.0))
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable"), answer.text
        assert "did not answer in time" in answer.json()["detail"]
        assert 0.5 <= time.monotonic() - begin < 10
        assert http.get(path).json()["run"]["batches"] == 0
        other.rollback()
        assert http.put(f"{path}/batches/a", json=numbers(1.0)).status_code == 201


def test_a_server_that_has_stopped_is_not_waited_for_for_ever(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 2)
    with (
        serving(store_url=postgres.url, store_timeout_seconds=0.5) as url,
        httpx.Client(base_url=url, timeout=60) as http,
        ThreadPoolExecutor(24) as threads,
    ):
        path = http.post("/v1/runs", json=SMALL).headers["location"]
        postgres.signal(signal.SIGSTOP)
        try:
            begin = time.monotonic()
            answers = list(threads.map(lambda n: http.put(f"{path}/batches/{n}", json=numbers(1.0)), range(24)))
            assert {answer.status_code for answer in answers} == {503}
            # Those that find no thread free learn from those that have waited.
            assert time.monotonic() - begin < 30
            assert http.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [0.0]}).status_code == 200
        finally:
            postgres.signal(signal.SIGCONT)
        time.sleep(1.5)
        assert http.put(f"{path}/batches/1", json=numbers(1.0)).status_code in {200, 201}
        assert http.get(path).json()["run"]["batches"] >= 1


def test_two_servers_on_one_database_serve_the_same_run(postgres: Postgres) -> None:
    whole = data(40)
    with (
        serving(store_url=postgres.url) as first,
        serving(store_url=postgres.url) as second,
        httpx.Client(base_url=first, timeout=60) as one,
        httpx.Client(base_url=second, timeout=60) as other,
    ):
        path = one.post("/v1/runs", json=PLAN).headers["location"]
        for number in range(8):
            rows = part(whole, range(5 * number, 5 * number + 5))
            client, again = (one, other)[:: 1 if number % 2 else -1]
            assert client.put(f"{path}/batches/{number}", json=rows).status_code == 201
            assert again.put(f"{path}/batches/{number}", json=rows).status_code == 200
            assert one.get(path).json()["run"]["batches"] == other.get(path).json()["run"]["batches"] == number + 1
        other.post(f"{path}/close")
        assert one.put(f"{path}/batches/8", json=part(whole, range(5))).status_code == 409
        assert one.get(path).json() == other.get(path).json()


def test_the_tables_are_those_of_the_newest_migration(store_url: str) -> None:
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from lossmeter.database.tables import METADATA

    with ledger(store_url) as books:
        assert isinstance(books.store, SqlStore)
        with books.store.database.reading() as connection:
            assert MigrationContext.configure(connection).get_current_revision() == HEAD
            inspector = sa.inspect(connection)
            for table in METADATA.sorted_tables:
                columns = inspector.get_columns(table.name)
                assert [column["name"] for column in columns] == [column.name for column in table.columns]
                assert [column["nullable"] for column in columns] == [column.nullable for column in table.columns]
                assert inspector.get_pk_constraint(table.name)["constrained_columns"] == list(
                    table.primary_key.columns.keys()
                )
                indexes = {(index["name"], *index["column_names"]) for index in inspector.get_indexes(table.name)}
                assert indexes == {(index.name, *index.columns.keys()) for index in table.indexes}
    folder = str(Path(connections.__file__).parent / "migrations")
    assert ScriptDirectory(folder, version_locations=[folder]).get_current_head() == HEAD


def test_many_processes_may_migrate_at_once(tmp_path: Path) -> None:
    def use(_: int) -> int:
        with ledger(f"sqlite:///{tmp_path}/deep/er/runs.sqlite") as books:
            return put(books, run_id, str(_), numbers(1)) if (run_id := opened(books, SMALL).id) else 0

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(use, range(8))) == [True] * 8


def test_a_file_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("")
    books = Ledger(SqlStore(Database(f"sqlite:///{folder}/runs.sqlite")), None)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable, match="cannot be kept here"):
        books.store.find([], "", 1)


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_file_that_was_removed_or_replaced_takes_no_batch(tmp_path: Path, replaced: bool) -> None:
    file, other = tmp_path / "runs.sqlite", tmp_path / "other.sqlite"
    with serving(store_url=f"sqlite:///{file}") as url, httpx.Client(base_url=url, timeout=30) as http:
        path = http.post("/v1/runs", json=SMALL).headers["location"]
        assert http.put(f"{path}/batches/0", json=numbers(1.0)).status_code == 201
        for one in tmp_path.iterdir():
            one.unlink()
        if replaced:
            with ledger(f"sqlite:///{other}") as books:
                opened(books, SMALL)
            for one in tmp_path.iterdir():
                one.rename(tmp_path / one.name.replace("other", "runs"))
        answer = http.put(f"{path}/batches/1", json=numbers(2.0))
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert "removed or replaced" in answer.json()["detail"]
        assert http.put(f"{path}/batches/1", json=numbers(2.0)).status_code == 404
        path = http.post("/v1/runs", json=SMALL).headers["location"]
        assert http.put(f"{path}/batches/1", json=numbers(2.0)).status_code == 201


def test_a_file_of_runs_and_keys_is_for_its_owner_alone(tmp_path: Path) -> None:
    with ledger(f"sqlite:///{tmp_path}/new/runs.sqlite") as books:
        opened(books, SMALL)
        assert {one.stat().st_mode & 0o777 for one in (tmp_path / "new").iterdir()} == {0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "runs.sqlite"
    with ledger(f"sqlite:///{file}") as books:
        for _ in range(50):
            opened(books, PLAN)
    content = bytearray(file.read_bytes())
    content[4096:] = b"x" * (len(content) - 4096)
    file.write_bytes(content)
    books = Ledger(SqlStore(Database(f"sqlite:///{file}")), None)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable, match="damaged"):
        books.store.find([], "", 1)
