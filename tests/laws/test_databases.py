"""Databases under constant writes: what was committed before is in the backup."""

import os
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engine.events import Finished
from packrat.restore.choose import choose
from packrat.restore.undo import undo
from packrat.runs.backup import back_up
from tests.helpers.containers import HOST_FOLDERS
from tests.helpers.house import House
from tests.helpers.needs import need
from tests.helpers.restoring import restore

pytestmark = pytest.mark.root
PROGRAMS = [word for folder in HOST_FOLDERS for word in ("-v", f"{folder}:{folder}:ro")]
WRITER = """
import sqlite3
db = sqlite3.connect("/data/app.db")
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, filling TEXT)")
with open("/acked/rows", "a", buffering=1) as acked:
    while True:
        with db:
            row = db.execute("INSERT INTO t (filling) VALUES (?)", ("x" * 900,)).lastrowid
        acked.write(f"{row}\\n")
"""


@pytest.fixture
def database(engine):
    """Name of a container, which is removed after the test."""
    yield "database"
    engine.docker("rm", "-f", "database", check=False)


def backed_up(house, at_stop=lambda: None):
    def listen(event):
        if isinstance(event, Finished) and event.stage == "stop":
            at_stop()

    result = back_up(house.pipeline(), [listen])
    assert (result.status, result.error) == ("done", None), result
    return result


def test_sqlite_with_wal(tmp_path, engine, database):
    """Every row committed before the stop is there, and the file is sound; twice, incrementally."""
    need("python3", "apt install python3")
    data, acked = tmp_path / "source", tmp_path / "acked"
    data.mkdir()
    acked.mkdir()
    (acked / "writer.py").write_text(WRITER)
    mounts = ["-v", f"{data}:/data", "-v", f"{acked}:/acked"]
    engine.run(database, "/usr/bin/python3 /acked/writer.py & wait", *PROGRAMS, *mounts)
    docker = {"container": database, "host": engine.host, "stop_timeout": 10}
    house = House(tmp_path, settings={"docker": docker})
    for number in range(2):
        committed = []

        def note(committed=committed):
            committed += (acked / "rows").read_text().split()

        backed_up(house, note)
        out = house.restore(f"out{number}")
        with closing(sqlite3.connect(out / "app.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            [(last,)] = db.execute("SELECT max(n) FROM t").fetchall()
        assert last >= int(committed[-1]) > 0
        assert engine.running(database)


def postgres_program(name):
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else need(name, "apt install postgresql")


def as_postgres(*command, **more):
    return subprocess.run(
        ["runuser", "-u", "postgres", "--", *command], check=True, capture_output=True, **more
    )


@pytest.fixture(scope="module")
def cluster():
    """Data directory with an empty database, to be copied."""
    initdb = postgres_program("initdb")
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/var/tmp") as folder:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
        as_postgres(initdb, "-D", f"{folder}/data", "-A", "trust")
        yield f"{folder}/data"


@pytest.fixture
def home(cluster):
    """Folder that the user postgres can reach, with a short path for sockets."""
    home = Path(tempfile.mkdtemp(prefix="pg-", dir="/var/tmp"))
    home.chmod(0o755)
    (home / "sockets").mkdir()
    os.chown(home / "sockets", pwd.getpwnam("postgres").pw_uid, -1)
    (home / "source").mkdir()
    os.chown(home / "source", pwd.getpwnam("postgres").pw_uid, -1)
    subprocess.run(["cp", "-a", cluster, home / "source" / "data"], check=True)
    yield home
    shutil.rmtree(home)


def in_container(engine, name, home):
    """Run a real PostgreSQL in a container, with its data below `source`."""
    ids = pwd.getpwnam("postgres")
    engine.docker(
        "run", "-d", "--name", name, "--network", "none", "--stop-signal", "SIGINT", *PROGRAMS,
        "--user", f"{ids.pw_uid}:{ids.pw_gid}", "--tmpfs", "/run/postgresql", "--tmpfs", "/tmp",
        "-v", f"{home / 'source'}:/source", "-v", f"{home / 'sockets'}:/sockets",
        "busybox", postgres_program("postgres"), "-D", "/source/data", "-k", "/sockets", "-h", "",
    )  # fmt: skip
    wait_for(home)


def wait_for(home):
    for _ in range(100):
        if psql(home, "SELECT 1", check=False) == "1":
            return
        threading.Event().wait(0.1)
    pytest.fail("PostgreSQL does not answer")


def psql(home, sql, *, check=True):
    command = [postgres_program("psql"), "-h", str(home / "sockets"), "-U", "postgres", "-Atc", sql]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout.strip()


@contextmanager
def written_to(home):
    """Insert rows all the time, one per transaction; return the list of committed ones."""
    psql(home, "CREATE TABLE IF NOT EXISTS t (n SERIAL PRIMARY KEY, filling TEXT)")
    committed, over = [], threading.Event()

    def write():
        insert = "INSERT INTO t (filling) SELECT repeat('x', 500) RETURNING n"
        while not over.is_set():
            if row := psql(home, insert, check=False).split("\n")[0]:
                committed.append(int(row))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        while len(committed) < 5:
            over.wait(0.05)
        yield committed
    finally:
        over.set()
        thread.join()


@contextmanager
def fresh_server(home, data):
    """Run a separate server on this machine over a restored or a new data directory."""
    shutil.rmtree(home / "sockets", ignore_errors=True)
    (home / "sockets").mkdir()
    os.chown(home / "sockets", pwd.getpwnam("postgres").pw_uid, -1)
    pg_ctl = postgres_program("pg_ctl")
    options = f"-k {home / 'sockets'} -h ''"
    as_postgres(pg_ctl, "-D", data, "-o", options, "-l", home / "source" / "log", "-w", "start")
    try:
        yield
    finally:
        as_postgres(pg_ctl, "-D", data, "-m", "fast", "-w", "stop")


@pytest.mark.thorough
def test_postgres_by_its_data_directory(engine, database, home):
    """Stopped, read, started; the restored directory starts as a fresh server, with every row."""
    in_container(engine, database, home)
    docker = {"container": database, "host": engine.host, "stop_timeout": 30}
    house = House(home, settings={"docker": docker, "path": str(home / "source" / "data")})
    with written_to(home) as committed:
        for _ in range(2):
            before = committed[-1]
            backed_up(house)
            wait_for(home)
    engine.docker("stop", "-t", "10", database)
    out = house.restore()
    with fresh_server(home, out):
        assert int(psql(home, "SELECT max(n) FROM t")) >= before


@pytest.mark.thorough
def test_postgres_by_its_dump(engine, database, cluster, home):
    """The way of the seed: pg_dumpall before, then its folder; it loads into a fresh server."""
    in_container(engine, database, home)
    dumps = home / "source" / "dumps"
    dumps.mkdir()
    dump = f"{postgres_program('pg_dumpall')} -h {home}/sockets -U postgres > {dumps}/dump.sql"
    settings = {
        "path": str(dumps),
        "docker": {"container": database, "host": engine.host, "stop_timeout": 30},
        "pre_backup": {"command": dump, "environment": {"PGPASSWORD": "none"}, "timeout": "1m"},
    }
    house = House(home, settings=settings)
    with written_to(home) as committed:
        before = committed[-1]
        backed_up(house)
        wait_for(home)
    engine.docker("stop", "-t", "10", database)
    out = house.restore()
    fresh = home / "source" / "fresh"
    subprocess.run(["cp", "-a", cluster, fresh], check=True)
    with fresh_server(home, fresh):
        command = [postgres_program("psql"), "-h", home / "sockets", "-U", "postgres"]
        subprocess.run([*command, "-f", out / "dump.sql"], capture_output=True, check=True)
        assert int(psql(home, "SELECT max(n) FROM t")) >= before


@pytest.mark.thorough
def test_destroyed_data_come_back_in_place(engine, database, home):
    """A dropped table is there again, the container is up, and --undo reverts that."""
    in_container(engine, database, home)
    docker = {"container": database, "host": engine.host, "stop_timeout": 30}
    house = House(home, settings={"docker": docker, "path": str(home / "source" / "data")})
    psql(home, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
    backed_up(house)
    wait_for(home)
    psql(home, "DROP TABLE t")
    psql(home, "CREATE TABLE later (n INT)")
    program = house.program
    restored = restore(program, "svc", choose(program, "svc"), (), None)
    assert restored.files > 900
    assert restored.downtime_seconds < 10
    wait_for(home)
    assert psql(home, "SELECT count(*) FROM t") == "1000"
    undo(program, "svc")
    wait_for(home)
    assert psql(home, "SELECT count(*) FROM later") == "0"
    assert "does not exist" in subprocess.run(
        [postgres_program("psql"), "-h", home / "sockets", "-U", "postgres", "-c", "TABLE t"],
        capture_output=True, text=True, check=False,
    ).stderr  # fmt: skip
