"""Real database servers in containers, with the programs of this machine."""

import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from stages.databases.postgres import connection
from tests.helpers.containers import HOST_FOLDERS, IMAGE, Engine
from tests.helpers.needs import need

PROGRAMS = [word for folder in HOST_FOLDERS for word in ("-v", f"{folder}:{folder}:ro")]
PASSWORD = "geheim-47-wort"


def postgres_program(name):
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else need(name, "apt install postgresql")


def _cluster() -> Path:
    """Return a folder with a new PostgreSQL cluster, which is made once for each release."""
    program = postgres_program("initdb")
    uid = pwd.getpwnam("postgres").pw_uid
    made = Path(f"/var/tmp/packrat-tests-postgres-{Path(program).parts[-3]}-{uid}")
    if made.exists():
        return made
    new = Path(tempfile.mkdtemp(prefix=f"{made.name}-", dir=made.parent))
    shutil.chown(new, "postgres")
    (new / "word").write_text(PASSWORD)
    (new / "word").chmod(0o644)
    initdb = [program, "-D", f"{new}/data", "-A", "scram-sha-256", "--pwfile", f"{new}/word",
              "--no-sync", "-E", "UTF8", "--locale", "C"]  # fmt: skip
    subprocess.run(["runuser", "-u", "postgres", "--", *initdb], check=True, capture_output=True)
    try:
        new.rename(made)
    except OSError:  # another process of this test run was faster
        shutil.rmtree(new)
    return made


class Server:
    """Database server in a container, with its data in a folder of its own."""

    kind = ""

    def __init__(self, engine: Engine, name: str, home: Path, *options: str) -> None:
        self.engine, self.name, self.home = engine, name, home
        self.data = home / "data"
        if not self.data.exists():
            self.create()
        self.sockets = home / "sockets"
        self.sockets.mkdir(exist_ok=True)
        self.sockets.chmod(0o777)
        engine.docker(
            "run", "-d", "--name", name, "--network", "none", *PROGRAMS, "-v",
            f"{self.sockets}:/sockets", *options, *self.options(), IMAGE, *self.command(),
        )  # fmt: skip
        self.wait()

    @property
    def params(self) -> dict:
        """Parameters of the stages."""
        return {"container": self.name, "host": self.engine.host}

    def exec(self, *words: str, data: str = "", check: bool = True) -> str:
        """Run a program in the container; return what it prints."""
        done = subprocess.run(
            ["docker", "-H", self.engine.host, "exec", "-i", self.name, *words],
            input=data, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def wait(self) -> None:
        for _ in range(200):
            if self.sql("SELECT 1", check=False) == "1":
                return
            time.sleep(0.1)
        words = ["docker", "-H", self.engine.host, "logs", self.name]
        said = subprocess.run(words, capture_output=True, text=True, check=False)
        pytest.fail(f"{self.name}: {said.stdout}{said.stderr}")

    def sql(self, text: str, database: str = "", *, check: bool = True) -> str:
        raise NotImplementedError


class PostgresServer(Server):
    kind = "postgres"

    def create(self):
        subprocess.run(["cp", "-a", _cluster() / "data", self.data], check=True)

    def options(self):
        ids = pwd.getpwnam("postgres")
        return [
            "-v", f"{self.data}:/var/lib/postgresql/data", "--stop-signal", "SIGINT",
            "--user", f"{ids.pw_uid}:{ids.pw_gid}", "--tmpfs", "/run/postgresql", "--tmpfs", "/tmp",
            "-e", "PGHOST=/sockets", "-e", f"POSTGRES_PASSWORD={PASSWORD}",
        ]  # fmt: skip

    def command(self):
        return [postgres_program("postgres"), "-D", "/var/lib/postgresql/data", "-k", "/sockets",
                "-h", "", "-c", "fsync=off"]  # fmt: skip

    def sql(self, text, database="postgres", *, check=True):
        words = ["env", f"PGPASSWORD={PASSWORD}", "psql", "-XAtq", "-U", "postgres", "-d",
                 connection(database), "-v", "ON_ERROR_STOP=1"]  # fmt: skip
        return self.exec(*words, data=text, check=check)


class MariaServer(Server):
    kind = "mariadb"

    def create(self):
        install = need("mariadb-install-db", "apt install mariadb-server")
        subprocess.run(
            [install, f"--datadir={self.data}", "--user=root", "--skip-test-db",
             "--auth-root-authentication-method=normal"], check=True, capture_output=True,
        )  # fmt: skip
        (self.home / "first.sql").write_text(
            f"ALTER USER root@localhost IDENTIFIED BY '{PASSWORD}';"
        )

    def options(self):
        return [
            "-v", f"{self.data}:/var/lib/mysql", "-v", f"{self.home}/first.sql:/first.sql",
            "-v", f"{self.sockets}:/run/mysqld", "-e", f"MARIADB_ROOT_PASSWORD={PASSWORD}",
        ]  # fmt: skip

    def command(self):
        return ["mariadbd", "--no-defaults", "--datadir=/var/lib/mysql", "--user=root",
                "--socket=/run/mysqld/mysqld.sock", "--skip-networking", "--init-file=/first.sql",
                "--innodb-flush-log-at-trx-commit=0"]  # fmt: skip

    def sql(self, text, database="", *, check=True):
        words = [
            "env",
            f"MYSQL_PWD={PASSWORD}",
            "mariadb",
            "-N",
            "-B",
            *([database] * bool(database)),
        ]
        return self.exec(*words, data=text, check=check)


class RedisServer(Server):
    kind = "redis"

    def __init__(self, *args, appendonly="no"):
        self.appendonly = appendonly
        super().__init__(*args)

    def create(self):
        need("redis-server", "apt install redis-server")
        self.data.mkdir()

    def options(self):
        return ["-v", f"{self.data}:/data", "-e", f"REDIS_PASSWORD={PASSWORD}"]

    def command(self):
        return ["redis-server", "--dir", "/data", "--requirepass", PASSWORD,
                "--appendonly", self.appendonly, "--repl-diskless-sync-delay", "0"]  # fmt: skip

    def cli(self, *words, check=True):
        return self.exec("env", f"REDISCLI_AUTH={PASSWORD}", "redis-cli", *words, check=check)

    def wait(self):
        for _ in range(200):
            if self.cli("ping", check=False) == "PONG":
                return
            time.sleep(0.1)
        pytest.fail(self.engine.docker("logs", self.name, check=False))


@contextmanager
def reachable_folder():
    """Make a folder that every user can reach, with a short path for sockets."""
    with tempfile.TemporaryDirectory(prefix="db-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def written(insert):
    """Insert numbers all the time; yield the list of those that were acknowledged.

    An insertion that fails ends the test.
    """
    acknowledged, ended = [], threading.Event()

    def write():
        while not ended.is_set():
            insert(len(acknowledged))
            acknowledged.append(len(acknowledged))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            while len(acknowledged) < 5 and not writing.done():
                time.sleep(0.05)
            if not writing.done():
                yield acknowledged
        finally:
            ended.set()
        writing.result()


@contextmanager
def removed(engine, *names):
    """Remove containers at the end."""
    try:
        yield
    finally:
        engine.docker("rm", "-f", *names, check=False)
