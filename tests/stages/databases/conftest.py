"""One server of each engine for the tests of its dumps."""

import shutil

import pytest

from stages.databases.base import Tools
from stages.facts import CommandLog
from tests.helpers.databases import MariaServer, PostgresServer, RedisServer, reachable_folder


@pytest.fixture
def tools(tmp_path):
    return Tools(lambda text: text, CommandLog(str(tmp_path / "log")), lambda: None)


@pytest.fixture(scope="module")
def home():
    with reachable_folder() as folder:
        yield folder


def _server(engine, home, kind, name):
    place = home / name
    place.mkdir()
    try:
        yield kind(engine, name, place)
    finally:
        engine.docker("rm", "-f", name, check=False)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def postgres(engine, home):
    yield from _server(engine, home, PostgresServer, "pg")


@pytest.fixture(scope="module")
def mariadb(engine, home):
    yield from _server(engine, home, MariaServer, "maria")


@pytest.fixture(scope="module")
def redis(engine, home):
    yield from _server(engine, home, RedisServer, "cache")
