"""A Compose project with three databases: found, written down, backed up and restored."""

import json

import pytest

from tests.helpers.containers import compose_labels, label_words
from tests.helpers.databases import (
    MariaServer,
    PostgresServer,
    RedisServer,
    reachable_folder,
    removed,
    written,
)
from tests.helpers.house import House

pytestmark = [pytest.mark.root, pytest.mark.thorough]
NAMES = ("shop-web-1", "shop-db-1", "shop-sql-1", "shop-cache-1")


def labels_of(service, needs=""):
    return label_words(compose_labels("shop", service, needs))


def servers(engine, places):
    return (
        PostgresServer(engine, "shop-db-1", places["db"], *labels_of("db")),
        MariaServer(engine, "shop-sql-1", places["sql"], *labels_of("sql")),
        RedisServer(engine, "shop-cache-1", places["cache"], *labels_of("cache")),
    )


def test_discover_write_backs_up_a_project_with_its_databases(engine, monkeypatch):
    """The databases run on; only the web server is stopped, and is healthy again.

    Fresh servers have every row afterwards that was acknowledged before the backup began.
    """
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    with (
        reachable_folder() as home,
        removed(engine, *NAMES),
    ):
        places = {name: home / name for name in ("db", "sql", "cache")}
        for place in places.values():
            place.mkdir()
        pg, maria, cache = servers(engine, places)
        health = ["--health-cmd", "true", "--health-interval", "1s"]
        needs = labels_of("web", "db:service_healthy:true,sql:service_started:true")
        engine.run("shop-web-1", "echo page > /pages/one; sleep 1000 & wait",
                   "-v", f"{home}/pages:/pages", *health, *needs)  # fmt: skip
        pg.sql("CREATE TABLE t (n int)")
        maria.sql("CREATE DATABASE app; USE app; CREATE TABLE t (n INT)")
        house = House(home)
        assert house.cli("discover", "--write", "--yes", "shop").returncode in (0, 5)
        before = {name: engine.state(name)["StartedAt"] for name in NAMES}
        with (
            written(lambda n: pg.sql(f"INSERT INTO t VALUES ({n})")) as rows,
            written(lambda n: maria.sql(f"INSERT INTO t VALUES ({n})", "app")) as more,
            written(lambda n: cache.cli("rpush", "t", str(n))) as keys,
        ):
            in_pg, in_maria, in_cache = (set(map(str, one)) for one in (rows, more, keys))
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
        assert in_pg <= set(pg.sql("SELECT n FROM t").split())
        assert in_maria <= set(maria.sql("SELECT n FROM t", "app").split())
        assert in_cache <= set(cache.cli("lrange", "t", "0", "-1").split())
        assert engine.running(*NAMES)
