"""Blocks of docs/databases.md and docs/services.md, run literally on real servers."""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.helpers.containers import compose_labels, label_words
from tests.helpers.databases import (
    MariaServer,
    PostgresServer,
    RedisServer,
    reachable_folder,
    removed,
)
from tests.helpers.house import House
from tests.helpers.trees import fill

DOCS = Path(__file__).parents[2] / "docs"
NAMES = ("shop-db", "shop-wiki-db", "shop-cache", "shop-web")


def yaml_blocks(text):
    return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)


def configured(house, **more):
    document = yaml.safe_load(house.config_file.read_text()) | more
    house.config_file.write_text(yaml.safe_dump(document))
    return house


@pytest.mark.root
@pytest.mark.thorough
def test_page_about_databases_word_for_word(engine, hasty, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    with (
        reachable_folder() as home,
        removed(engine, *NAMES),
    ):
        text = (DOCS / "databases.md").read_text().replace("/srv/", f"{home}/")
        [settings] = yaml_blocks(text)
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        assert len(blocks) == 4
        for name in ("shop", "db", "wiki", "cache"):
            (home / name).mkdir()
        pg = PostgresServer(engine, "shop-db", home / "db")
        maria = MariaServer(engine, "shop-wiki-db", home / "wiki")
        cache = RedisServer(engine, "shop-cache", home / "cache")
        engine.run("shop-web")
        pg.sql("CREATE DATABASE shop")
        pg.sql("CREATE TABLE t AS SELECT 1 n", "shop")
        maria.sql("CREATE DATABASE wiki; USE wiki; CREATE TABLE t AS SELECT 1 n")

        def sqlite(*statements):
            with closing(sqlite3.connect(home / "shop" / "settings.db")) as db:
                found = [db.execute(statement).fetchall() for statement in statements]
                db.commit()
                return found[-1][0][0] if found[-1] else None

        def state():
            return (
                pg.sql("SELECT n FROM t", "shop"), maria.sql("SELECT n FROM t", "wiki"),
                cache.cli("get", "n"), sqlite("SELECT n FROM t"),
            )  # fmt: skip

        def change(value):
            pg.sql(f"UPDATE t SET n = {value}", "shop")
            maria.sql(f"UPDATE t SET n = {value}", "wiki")
            cache.cli("set", "n", str(value))
            sqlite(f"UPDATE t SET n = {value}")

        sqlite("CREATE TABLE t AS SELECT 1 n")
        change(1)
        house = configured(House(home), **yaml.safe_load(settings))
        done = house.cli("backup", "--all")
        assert done.returncode == 0, done.stderr
        env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DOCKER_HOST": engine.host,
            "PACKRAT_CONFIG": str(house.config_file),
        }
        expected = [("1", "1", "1", 1), ("2", "2", "2", 2), ("1", "1", "1", 1), ("2", "2", "2", 2)]
        for block, found in zip(blocks, expected, strict=True):
            change(2) if found[0] == "1" else None
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block],
                env=env, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (block, done.stderr)
            cache.wait()
            change(2) if "/one" in block else None
            assert state() == found, block
        assert (home / "one/postgres-shop-db/shop.dump").exists()


@pytest.mark.root
@pytest.mark.thorough
def test_page_about_services_word_for_word(engine, hasty, monkeypatch):
    """Its three services, on containers as it describes them, back up and come back."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    names = ("wiki", "wiki-db", "immich-web-1", "immich-db-1", "gitea")
    with reachable_folder() as home, removed(engine, *names):
        text = (DOCS / "services.md").read_text()
        for folder in ("/srv/wiki", "/etc/wiki", "/var/lib/gitea"):
            text = text.replace(folder, f"{home}{folder}")
        *blocks, command = map(yaml.safe_load, yaml_blocks(text))
        services = {name: one for block in blocks for name, one in block["services"].items()}
        assert list(services) == ["wiki", "immich", "gitea"]
        fill(home / "srv/wiki/data", {"page": b"1", "x.tmp": b"1", "cache/x": b"1"})
        fill(home / "etc/wiki", {"conf": b"1", "cache/x": b"1"})
        fill(home / "var/lib/gitea", {"repo": b"1"})
        fill(home / "immich/library", {"photo": b"1", "thumbs/x": b"1"})
        wait = "sleep 1000 & wait"
        engine.run("wiki", wait, "-v", f"{home}/srv/wiki/data:/data")
        engine.run("wiki-db", f"mkdir -p /db/pg_wal; echo > /db/pg_wal/1; {wait}",
                   "-v", "wiki_db:/db")  # fmt: skip
        engine.run("immich-db-1", f"echo > /db/1; {wait}", "-v", "immich_pg:/db",
                   *label_words(compose_labels("immich", "db")))  # fmt: skip
        engine.run("immich-web-1", wait, "-v", f"{home}/immich/library:/photos",
                   *label_words(compose_labels("immich", "web", "db:service_started:true")),
        )  # fmt: skip
        engine.run("gitea", wait, "-v", f"{home}/var/lib/gitea:/data")
        house = configured(House(home), services=services)

        def restored(service, *more):
            out = home / "out" / "-".join([service, *more]).replace("/", "-")
            done = house.cli("restore", service, *more, "--to", str(out), "--yes")
            assert done.returncode == 0, done.stderr
            return {str(one.relative_to(out)) for one in out.rglob("*") if one.is_file()}

        done = house.cli("backup", "--all")
        assert done.returncode == 0, done.stderr
        library = str(home / "immich/library").replace("/", "-").strip("-")
        assert restored("wiki") == {"data/page", "wiki/conf", "wiki_db/pg_wal/1"}
        assert restored("wiki", "--path", "wiki_db/pg_wal") == {"wiki_db/pg_wal/1"}
        assert restored("wiki", "--path", f"{home}/etc/wiki/conf") == {"wiki/conf"}
        assert restored("immich") == {"immich_pg/1", f"{library}/photo"}
        assert restored("gitea") == {"repo"}
        (home / "immich/library/photo").write_bytes(b"lost")
        done = house.cli("restore", "immich", "--in-place", "--yes")
        assert done.returncode == 0, done.stderr
        assert (home / "immich/library/photo").read_bytes() == b"1"
        assert engine.running(*names)
        configured(house, services={"gitea": services["gitea"] | command})
        checked = house.cli("check")
        assert checked.returncode == 0, checked.stderr
    engine.docker("volume", "rm", "wiki_db", "immich_pg")
