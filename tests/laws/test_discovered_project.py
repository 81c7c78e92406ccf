"""A Compose project with three databases: found, written down, backed up and restored."""

import itertools
import json
import tempfile
import threading
import time
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


class Writers:
    """One thread for each server, which inserts numbers and notes those that were acknowledged."""

    def __init__(self, **insert):
        self.acknowledged = {name: [] for name in insert}
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(name, one)) for name, one in insert.items()
        ]

    def _write(self, name, insert):
        for number in itertools.count(1):
            if self._ended.is_set():
                return
            insert(number)
            self.acknowledged[name].append(number)

    @contextmanager
    def busy(self):
        """Write all the time; yield once each server has acknowledged some."""
        for thread in self._threads:
            thread.start()
        try:
            while min(map(len, self.acknowledged.values())) < 5:
                time.sleep(0.05)
            yield
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join()


def servers(engine, places):
    return (
        PostgresServer(engine, "shop-db-1", places["db"], *labels("db")),
        MariaServer(engine, "shop-sql-1", places["sql"], *labels("sql")),
        RedisServer(engine, "shop-cache-1", places["cache"], *labels("cache")),
    )


def test_discover_write_backs_up_a_project_with_its_databases(engine, monkeypatch):
    """The databases run on; only the web server is stopped, and is healthy again.

    Fresh servers have every row afterwards that was acknowledged before the backup began.
    """
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
        pg, maria, cache = servers(engine, places)
        health = ["--health-cmd", "true", "--health-interval", "1s"]
        needs = labels("web", "db:service_healthy:true,sql:service_started:true")
        engine.run("shop-web-1", "echo page > /pages/one; sleep 1000 & wait",
                   "-v", f"{home}/pages:/pages", *health, *needs)  # fmt: skip
        pg.sql("CREATE TABLE t (n int)")
        maria.sql("CREATE DATABASE app; USE app; CREATE TABLE t (n INT)")
        house = House(home)
        assert house.cli("discover", "--write", "--yes", "shop").returncode in (0, 5)
        before = {name: engine.state(name)["StartedAt"] for name in NAMES}
        writers = Writers(
            pg=lambda n: pg.sql(f"INSERT INTO t VALUES ({n})"),
            maria=lambda n: maria.sql(f"INSERT INTO t VALUES ({n})", "app"),
            cache=lambda n: cache.cli("rpush", "t", str(n)),
        )
        with writers.busy():
            sure = {name: set(map(str, numbers)) for name, numbers in writers.acknowledged.items()}
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
        assert json.loads(house.cli("discover", "--json").stdout)["unprotected"] == []
        for name in ("shop-db-1", "shop-sql-1", "shop-cache-1"):
            engine.docker("rm", "-f", "-v", name)
        for name, place in places.items():
            place.rename(home / f"lost-{name}")
            place.mkdir()
        pg, maria, cache = servers(engine, places)  # empty ones of the same version
        done = house.cli("restore", "shop", "--in-place", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert sure["pg"] <= set(pg.sql("SELECT n FROM t").split())
        assert sure["maria"] <= set(maria.sql("SELECT n FROM t", "app").split())
        assert sure["cache"] <= set(cache.cli("lrange", "t", "0", "-1").split())
        assert engine.running(*NAMES)
