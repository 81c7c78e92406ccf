"""Commands of docs/databases.md, run literally on real servers."""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.helpers.databases import (
    MariaServer,
    PostgresServer,
    RedisServer,
    reachable_folder,
    removed,
)
from tests.helpers.house import House

PAGE = Path(__file__).parents[2] / "docs" / "databases.md"
NAMES = ("shop-db", "shop-wiki-db", "shop-cache", "shop-web")


@pytest.mark.root
@pytest.mark.thorough
def test_page_about_databases_word_for_word(engine, hasty, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    with (
        reachable_folder() as home,
        removed(engine, *NAMES),
    ):
        text = PAGE.read_text().replace("/srv/", f"{home}/")
        [settings] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
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
        house = House(home)
        document = yaml.safe_load(house.config_file.read_text())
        document |= yaml.safe_load(settings)
        house.config_file.write_text(yaml.safe_dump(document))
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
