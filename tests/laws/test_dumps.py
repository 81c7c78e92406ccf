"""Databases as stages: dumped while everything runs, restored to files or into the server."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, contextmanager

import pytest

from tests.helpers.databases import (
    PASSWORD,
    MariaServer,
    PostgresServer,
    RedisServer,
    reachable_folder,
    removed,
    written,
)
from tests.helpers.disks import disk
from tests.helpers.house import House

pytestmark = pytest.mark.root


@pytest.fixture
def home():
    with reachable_folder() as folder:
        yield folder


@pytest.fixture
def place(home):
    def make(name):
        (home / name).mkdir()
        return home / name

    return make


def house_of(home, engine, *databases, docker=None, **more):
    docker = {"host": engine.host, "stop_timeout": 10} | (docker or {})
    return House(home, settings={"databases": list(databases), "docker": docker} | more)


@pytest.mark.thorough
def test_every_database_comes_back_in_place_and_undo_reverts_it(engine, home, place):
    """One backup without a stop of the servers; then in place, then --undo."""
    with removed(engine, "db", "maria", "cache", "app"):
        pg = PostgresServer(engine, "db", place("pg"))
        maria = MariaServer(engine, "maria", place("maria"))
        cache = RedisServer(engine, "cache", place("cache"))
        engine.run("app")
        pg.sql("CREATE TABLE t AS SELECT generate_series(1, 100) n")
        maria.sql("CREATE DATABASE app; USE app; CREATE TABLE t (n INT); INSERT INTO t VALUES (7)")
        cache.cli("set", "key", "old")
        house = house_of(
            home, engine, {"postgres": {"container": "db"}}, {"mariadb": {"container": "maria"}},
            {"redis": {"container": "cache"}}, docker={"container": "app"},
        )  # fmt: skip
        (house.source / "file").write_text("old")
        started = {name: engine.state(name)["StartedAt"] for name in ("db", "maria", "cache")}
        house.backed_up()
        assert started == {name: engine.state(name)["StartedAt"] for name in started}
        out = house.restore()
        assert sorted(str(at.relative_to(out)) for at in out.rglob("*") if at.is_file()) == [
            "mariadb-maria/app.sql", "postgres-db/globals.sql", "postgres-db/postgres.dump",
            "redis-cache/dump.rdb", "source/file",
        ]  # fmt: skip
        pg.sql("UPDATE t SET n = -n; CREATE TABLE later (n int)")
        maria.sql("UPDATE t SET n = 8", "app")
        cache.cli("set", "key", "new")
        (house.source / "file").write_text("new")
        done = house.cli("restore", "svc", "--in-place", "--yes")
        assert done.returncode == 0, done.stderr

        def state():
            return (
                pg.sql("SELECT sum(n) FROM t"), maria.sql("SELECT n FROM t", "app"),
                cache.cli("get", "key"), (house.source / "file").read_text(),
            )  # fmt: skip

        assert state() == ("5050", "7", "old", "old")
        assert pg.sql("SELECT to_regclass('later') IS NULL") == "t"
        assert engine.running("app", "db", "maria", "cache")
        done = house.cli("restore", "svc", "--undo")
        assert done.returncode == 0, done.stderr
        assert state() == ("-5050", "8", "new", "new")
        assert engine.running("app", "db", "maria", "cache")
        done = house.cli("restore", "svc", "--forget")
        assert done.returncode == 0, done.stderr
        assert not list(house.state.glob("databases/svc"))


@pytest.fixture
def pg(engine, place):
    """PostgreSQL with a table of 40 MB."""
    with removed(engine, "db"):
        server = PostgresServer(engine, "db", place("pg"))
        server.sql(
            "CREATE TABLE t AS SELECT n, md5(n::text) || md5((-n)::text) AS filling"
            " FROM generate_series(1, 400000) n"
        )
        yield server


def house_with_pg(home, engine, **more):
    return house_of(home, engine, {"postgres": {"container": "db"} | more})


def failed(house, *said):
    """Assert that a backup fails with this cause, and that nothing is listed."""
    result = house.back_up()
    assert result.status == "failed", result
    for text in said:
        assert text in result.error
    assert not house.archives
    assert not house.json("list", "svc")
    return result


@contextmanager
def at_the_dump(engine, pg, act):
    """Act while a dump of `t` waits for its lock, which then ends the dump in the middle."""

    def pids():
        rows = [row.split() for row in engine.docker("top", "db", "-eo", "pid,comm").splitlines()]
        return [pid for pid, name in rows if name == "pg_dump"]

    def wait():
        for _ in range(600):
            if pids():
                break
            time.sleep(0.05)
        time.sleep(0.3)
        act(pids())
        lock.kill()

    hold = "BEGIN; LOCK TABLE t; SELECT pg_sleep(60)"
    words = ["docker", "-H", engine.host, "exec", "-e", f"PGPASSWORD={PASSWORD}", "db", "psql",
             "-U", "postgres", "-c", hold]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as lock:
        while pg.sql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'") == "0":
            assert lock.poll() is None
            time.sleep(0.05)
        thread = threading.Thread(target=wait)
        thread.start()
        try:
            yield
        finally:
            thread.join()


def kill(pids):
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)


def test_wrong_password_fails_the_backup_and_nothing_is_listed(home, engine, pg):
    result = failed(
        house_with_pg(home, engine, password="wrong-one"), "password authentication failed"
    )
    assert "wrong-one" not in result.error


@pytest.mark.thorough
def test_server_that_dies_fails_the_backup(home, engine, pg):
    with at_the_dump(engine, pg, lambda _: engine.docker("kill", "db")):
        failed(house_with_pg(home, engine), "the dump of 'postgres' of PostgreSQL in db")


@pytest.mark.thorough
def test_dump_program_that_is_killed_fails_the_backup(home, engine, pg):
    with at_the_dump(engine, pg, kill):
        failed(house_with_pg(home, engine), "failed with status 137")


@pytest.mark.thorough
def test_full_disk_fails_the_backup_and_ends_the_dump(home, engine, pg):
    with disk(home / "disk", "size=8m") as small:
        failed(house_with_pg(small, engine), "its disk is too full")
    assert engine.ended("db", "pg_dump"), "the dump goes on"


@pytest.mark.thorough
def test_second_dump_of_an_unchanged_database_stores_little(home, engine, pg):
    house = house_with_pg(home, engine)
    first, second = (house.backed_up().stat().st_size for _ in range(2))
    assert second < first * 0.05


def test_data_folder_of_a_dumped_database_is_not_read(home, engine, pg):
    """Though it is inside a folder of the service, and its container is named in docker:."""
    house = house_of(
        home, engine, {"postgres": {"container": "db"}}, docker={"container": "db"},
        path=str(home / "pg"),
    )  # fmt: skip
    started = engine.state("db")["StartedAt"]
    house.backed_up()
    out = house.restore()
    assert sorted(at.name for at in out.iterdir()) == ["pg", "postgres-db"]
    assert not (out / "pg" / "data").exists()
    assert engine.state("db")["StartedAt"] == started
    assert "data folder" in house.cli("plan", "svc").stdout


@pytest.mark.thorough
def test_single_database_is_restored_in_place(home, engine, pg):
    pg.sql("CREATE DATABASE one; CREATE DATABASE two")
    for name in ("one", "two"):
        pg.sql("CREATE TABLE t AS SELECT 1 n", name)
    house = house_with_pg(home, engine)
    house.backed_up()
    for name in ("one", "two"):
        pg.sql("UPDATE t SET n = 2", name)
    done = house.cli("restore", "svc", "--in-place", "--yes", "--path", "postgres-db/one.dump")
    assert done.returncode == 0, done.stderr
    assert [pg.sql("SELECT n FROM t", name) for name in ("one", "two")] == ["1", "2"]


@pytest.mark.thorough
def test_nothing_is_loaded_if_the_present_database_cannot_be_dumped(home, engine, pg):
    house = house_with_pg(home, engine)
    (house.source / "file").write_text("old")
    house.backed_up()
    (house.source / "file").write_text("new")
    pg.sql("CREATE TABLE later (n int)")
    with at_the_dump(engine, pg, kill):
        done = house.cli("restore", "svc", "--in-place", "--yes")
    assert done.returncode == 4
    assert "failed with status 137" in done.stderr
    assert (house.source / "file").read_text() == "new"
    assert pg.sql("SELECT count(*) FROM later") == "0"


@pytest.mark.thorough
def test_restore_in_place_says_how_to_start_a_database_that_is_stopped(home, engine, pg):
    house = house_with_pg(home, engine)
    house.backed_up()
    engine.docker("stop", "db")
    done = house.cli("restore", "svc", "--in-place", "--yes")
    assert done.returncode == 4
    assert "container db is not running" in done.stderr
    assert "docker start db" in done.stderr


def test_sqlite_is_copied_as_the_owner_of_the_file(home):
    """A writer in WAL mode goes on; the database and its side files are not read as files."""
    house = House(home, settings={"databases": [{"sqlite": {"path": str(home / "source/app.db")}}]})
    (house.source / "inner").mkdir()
    (house.source / "file").write_text("kept")
    os.chown(house.source, 1234, 1234)
    path = house.source / "app.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (n INT)")
        db.execute("INSERT INTO t VALUES (1)")
        db.commit()
        for side in house.source.glob("app.db*"):
            os.chown(side, 1234, 1234)
        house.backed_up()
        db.execute("UPDATE t SET n = 2")
        db.commit()
    out = house.restore()
    found = sorted(str(at.relative_to(out)) for at in out.rglob("*") if at.is_file())
    assert found == ["source/file", "sqlite-app.db/app.db"]
    done = house.cli("restore", "svc", "--in-place", "--yes")
    assert done.returncode == 0, done.stderr

    def value():
        with closing(sqlite3.connect(path)) as db:
            return db.execute("SELECT n FROM t").fetchone()

    assert value() == (1,)
    assert path.stat().st_uid == 1234
    assert house.cli("restore", "svc", "--undo").returncode == 0
    assert value() == (2,)


def test_good_backup_keeps_the_replaced_dumps_as_long_as_the_replaced_files(home):
    """Undo needs both, and a backup runs every night."""
    path = home / "source/app.db"
    house = House(home, settings={"databases": [{"sqlite": {"path": str(path)}}]})

    def rows(*statements):
        with closing(sqlite3.connect(path)) as db, db:
            for statement in statements:
                db.execute(statement)
            return db.execute("SELECT n FROM t").fetchall()

    rows("CREATE TABLE t (n INT)", "INSERT INTO t VALUES (1)")
    house.backed_up()
    rows("UPDATE t SET n = 2")
    assert house.cli("restore", "svc", "--in-place", "--yes").returncode == 0
    assert rows() == [(1,)]
    house.backed_up()
    done = house.cli("restore", "svc", "--undo")
    assert done.returncode == 0, done.stderr
    assert rows() == [(2,)]
    house.cli("restore", "svc", "--forget")
    assert not (house.state / "databases/svc").exists()


def test_sqlite_of_another_user_is_read_with_that_users_rights_only(home):
    """A link that its owner puts in place of the database leads nowhere."""
    house = House(home, settings={"databases": [{"sqlite": {"path": str(home / "source/app.db")}}]})
    with closing(sqlite3.connect(home / "secret.db")) as db:
        db.execute("CREATE TABLE t (n INT)")
    (home / "secret.db").chmod(0o600)
    (house.source / "app.db").symlink_to(home / "secret.db")
    failed(house, "is not a regular file")


@pytest.mark.thorough
def test_acknowledged_rows_are_in_a_fresh_server(engine, home, place):
    """Under continuous writes, loaded into new servers of the same version."""
    with removed(engine, "db", "maria", "cache"):
        pg = PostgresServer(engine, "db", place("pg"))
        maria = MariaServer(engine, "maria", place("maria"))
        cache = RedisServer(engine, "cache", place("cache"), appendonly="yes")
        pg.sql("CREATE ROLE app; CREATE DATABASE app OWNER app")
        pg.sql("CREATE TABLE t (n INT)", "app")
        maria.sql("CREATE DATABASE app; USE app; CREATE TABLE t (n INT)")
        house = house_of(
            home, engine, {"postgres": {"container": "db"}}, {"mysql": {"container": "maria"}},
            {"valkey": {"container": "cache"}},
        )  # fmt: skip
        with (
            written(lambda n: pg.sql(f"INSERT INTO t VALUES ({n})", "app")) as rows,
            written(lambda n: maria.sql(f"INSERT INTO t VALUES ({n})", "app")) as more,
            written(lambda n: cache.cli("sadd", "t", str(n))) as keys,
        ):
            before = [len(one) for one in (rows, more, keys)]
            house.backed_up()
            assert [len(one) for one in (rows, more, keys)] > before
        engine.docker("rm", "-f", "db", "maria", "cache")
        pg = PostgresServer(engine, "db", place("pg2"))
        maria = MariaServer(engine, "maria", place("maria2"))
        cache = RedisServer(engine, "cache", place("cache2"), appendonly="yes")
        done = house.cli("restore", "svc", "--in-place", "--yes")
        assert done.returncode == 0, done.stderr
        cache.wait()
        found = (
            pg.sql("SELECT n FROM t", "app"), maria.sql("SELECT n FROM t", "app"),
            cache.cli("smembers", "t"),
        )  # fmt: skip
        for values, count in zip(found, before, strict=True):
            assert set(range(count)) <= {int(value) for value in values.split()}
        assert pg.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'app'") == "1"


@pytest.mark.thorough
def test_dump_of_two_gigabytes_takes_little_memory_and_no_disk(engine, home, place, monkeypatch):
    """Only the house and the folder for temporary files count: other tests use the disk, too."""
    monkeypatch.setenv("TMPDIR", str(place("tmp")))
    with removed(engine, "db"):
        pg = PostgresServer(engine, "db", place("pg"))
        pg.sql(
            "CREATE UNLOGGED TABLE big AS SELECT repeat('x', 1000) || n AS filling"
            " FROM generate_series(1, 2000000) n"
        )
        house = house_with_pg(home, engine)
        used, over = [], threading.Event()

        def watch():
            while not over.wait(0.2):
                words = ["du", "-s", "-B1", "--exclude=pg", str(home)]
                du = subprocess.run(words, capture_output=True, text=True, check=False)
                used.append(int(du.stdout.split()[0]))

        thread = threading.Thread(target=watch)
        thread.start()
        done = house.cli("backup", "svc", "--json", wrap=("/usr/bin/time", "-f", "%M"))
        over.set()
        thread.join()
        assert done.returncode == 0, done.stderr
        assert int(done.stderr.split()[-1]) < 300_000
        assert json.loads(done.stdout)[0]["read"] > 2_000_000_000
        assert max(used) - used[0] < 500_000_000
