"""A Compose project with three databases: found, written down, backed up and restored."""

import json
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from stages.service.inventory import COMPOSE
from tests.helpers.databases import MariaServer, PostgresServer, RedisServer, removed
from tests.helpers.house import House

pytestmark = [pytest.mark.root, pytest.mark.thorough]
NAMES = ("shop-web-1", "shop-db-1", "shop-sql-1", "shop-cache-1")


def labels(service, needs=""):
    values = {"project": "shop", "service": service, "container-number": "1", "depends_on": needs}
    return [word for key, one in values.items() for word in ("--label", f"{COMPOSE}{key}={one}")]


@contextmanager
def written_to(pg, acknowledged):
    """Insert rows one after the other, and note each that was acknowledged."""
    ended = threading.Event()

    def work():
        number = 0
        while not ended.is_set():
            number += 1
            pg.sql(f"INSERT INTO t VALUES ({number})")
            acknowledged.append(number)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_discover_write_backs_up_a_project_with_its_databases(engine, monkeypatch):
    """The databases run on; only the web server is stopped, and is healthy again."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    with (
        tempfile.TemporaryDirectory(prefix="db-", dir="/var/tmp") as folder,
        removed(engine, *NAMES),
    ):
        home = Path(folder)
        home.chmod(0o755)
        places = {name: home / name for name in ("db", "sql", "cache")}
        for place in places.values():
            place.mkdir()
        pg = PostgresServer(engine, "shop-db-1", places["db"], *labels("db"))
        maria = MariaServer(engine, "shop-sql-1", places["sql"], *labels("sql"))
        cache = RedisServer(engine, "shop-cache-1", places["cache"], *labels("cache"))
        health = ["--health-cmd", "true", "--health-interval", "1s"]
        needs = labels("web", "db:service_healthy:true,sql:service_started:true")
        engine.run("shop-web-1", "echo page > /pages/one; sleep 1000 & wait",
                   "-v", f"{home}/pages:/pages", *health, *needs)  # fmt: skip
        pg.sql("CREATE TABLE t (n int)")
        maria.sql("CREATE DATABASE app; USE app; CREATE TABLE t (n INT); INSERT INTO t VALUES (7)")
        cache.cli("set", "key", "value")
        house = House(home)
        assert house.cli("discover", "--write", "--yes", "shop").returncode in (0, 5)
        before = {name: engine.state(name)["StartedAt"] for name in NAMES}
        acknowledged: list[int] = []
        with written_to(pg, acknowledged):
            while len(acknowledged) < 5:
                pass
            sure = len(acknowledged)
            done = house.cli("backup", "shop")
        assert done.returncode == 0, done.stdout + done.stderr
        after = {name: engine.state(name)["StartedAt"] for name in NAMES}
        assert {name for name in NAMES if before[name] != after[name]} == {"shop-web-1"}
        assert engine.state("shop-web-1")["Health"]["Status"] == "healthy"
        out = home / "out"
        assert house.cli("restore", "shop", "--to", str(out), "--yes").returncode == 0
        files = {str(f.relative_to(out)) for f in out.rglob("*") if f.is_file()}
        assert "mariadb-shop-sql-1/app.sql" in files
        assert "redis-shop-cache-1/dump.rdb" in files
        [pages] = [name for name in files if name.endswith("/one")]
        assert (out / pages).read_text() == "page\n"
        assert not [name for name in files if "PG_VERSION" in name], "no files of the server"
        dump = out / "postgres-shop-db-1" / "postgres.dump"
        text = subprocess.run(
            ["pg_restore", "-f", "-", dump], capture_output=True, text=True, check=True
        )
        rows = text.stdout.partition("COPY public.t (n) FROM stdin;\n")[2].partition("\n\\.")[0]
        assert set(map(str, range(1, sure + 1))) <= set(rows.split("\n"))
        assert json.loads(house.cli("discover", "--json").stdout)["unprotected"] == []
