"""Service with a file and one database, whose state is one value that both have."""

import signal
import sqlite3
from contextlib import closing

from packrat.restore.choose import choose
from packrat.restore.undo import undo
from tests.helpers.databases import MariaServer, PostgresServer, RedisServer
from tests.helpers.forked import ended, forked
from tests.helpers.house import House
from tests.helpers.killed_loads import die_at
from tests.helpers.restoring import restore

ROWS = 3000
SERVERS = {"postgres": PostgresServer, "mariadb": MariaServer, "redis": RedisServer}


class OneDatabase:
    """The service; without an engine it is SQLite's, and else it stops the container `app`."""

    def __init__(self, home, kind="sqlite", engine=None):
        self.kind, self.engine = kind, engine
        if engine is None:
            self.path = home / "source/app.db"
            more = {"databases": [{"sqlite": {"path": str(self.path)}}]}
        else:
            (home / "db").mkdir()
            self.server = SERVERS[kind](engine, "db", home / "db")
            engine.run("app")
            docker = {"host": engine.host, "container": "app", "stop_timeout": 5}
            more = {"databases": [{kind: {"container": "db"}}], "docker": docker}
        self.house = House(home, settings=more)
        self.value = "old"
        self.house.backed_up()
        self.backup = self.house.json("list", "svc")[0]["id"]
        self.value = "new"

    @property
    def value(self):
        """The value of the file and of the database, which are the same."""
        found = {
            "sqlite": self._sqlite,
            "postgres": lambda: self.server.sql("SELECT DISTINCT v FROM t; SELECT count(*) FROM t"),
            "mariadb": lambda: self.server.sql(
                "SELECT DISTINCT v FROM t; SELECT count(*) FROM t", "app"
            ),
            "redis": self._redis,
        }[self.kind]().split()
        value = (self.house.source / "file").read_text()
        assert found == [value, str(ROWS)]
        return value

    @value.setter
    def value(self, value):
        (self.house.source / "file").write_text(value)
        rows = f"generate_series(1, {ROWS})"
        match self.kind:
            case "sqlite":
                self._sqlite(
                    "DROP TABLE IF EXISTS t", "CREATE TABLE t (v TEXT)",
                    f"WITH RECURSIVE s(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM s LIMIT {ROWS})"
                    f" INSERT INTO t SELECT '{value}' FROM s",
                )  # fmt: skip
            case "postgres":
                self.server.sql(
                    f"DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT '{value}' v FROM {rows}"
                )
            case "mariadb":
                self.server.sql(
                    "CREATE DATABASE IF NOT EXISTS app; USE app; DROP TABLE IF EXISTS t;"
                    f"CREATE TABLE t AS SELECT '{value}' v FROM seq_1_to_{ROWS}"
                )
            case "redis":
                self.server.cli("eval", f"redis.call('del', 't') for n = 1, {ROWS} do"
                                f" redis.call('rpush', 't', '{value}') end", "0")  # fmt: skip

    def _sqlite(self, *statements):
        with closing(sqlite3.connect(self.path)) as db, db:
            for statement in statements:
                db.execute(statement)
            values = db.execute("SELECT DISTINCT v FROM t").fetchall()
            [count] = db.execute("SELECT count(*) FROM t").fetchone()
        return " ".join([*(value for (value,) in values), str(count)])

    def _redis(self):
        self.server.wait()
        return f"{' '.join({*self.server.cli('lrange', 't', '0', '-1').split()})} {ROWS}"

    def killed(self, work, moment):
        """Restore in place or undo in a child, which is killed at a moment."""

        def run():
            die_at(moment)
            program = self.house.program
            if work == "undo":
                return undo(program, "svc")
            restore(program, "svc", choose(program, "svc", self.backup), (), None)
            return 0

        assert ended(forked(run)) == -signal.SIGKILL, moment

    def cli(self, *words, status=0):
        done = self.house.cli(*words)
        assert status in (None, done.returncode), (words, done.stderr)
        assert "Traceback" not in done.stderr
        assert self.engine is None or self.engine.running("app", "db")
        return done.stdout + done.stderr
