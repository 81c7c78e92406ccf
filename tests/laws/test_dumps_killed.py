"""Kills while a restore in place, or its undo, replaces databases: nothing is lost or half done."""

import os
from pathlib import Path

import pytest
import yaml

from stages.databases import sqlite
from tests.helpers.databases import PostgresServer, reachable_folder, removed
from tests.helpers.house import House
from tests.helpers.killed_loads import MOMENTS, NEW_STATE, loads_fail
from tests.helpers.one_database import OneDatabase
from tests.helpers.sampling import daily

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("hasty")]
SERVERS = ("postgres", "mariadb", "redis")
IN_PLACE = ("restore", "svc", "--in-place", "--yes")
UNDO = ("restore", "svc", "--undo")


@pytest.fixture
def home():
    with reachable_folder() as folder:
        yield folder


@pytest.fixture
def in_containers(engine, home):
    """Return a function that makes a service with a server of a kind."""
    with removed(engine, "db", "app"):
        yield lambda kind: OneDatabase(home, kind, engine)


def restores_survive(one, moments):
    """Kill a restore at each moment. The next command ends it, and each one after it ends well."""
    for number, moment in enumerate(moments):
        one.value = new = f"new-{number}"
        one.killed("restore", moment)
        said = one.cli("status", status=None)
        assert one.value == ("old" if moment in NEW_STATE else new), moment
        assert ("was loaded: loaded it" in said) == (moment in NEW_STATE[:-1]), moment
        one.house.backed_up()
        if moment in NEW_STATE:
            one.cli(*UNDO)
        assert one.value == new, moment
        one.cli(*IN_PLACE, "--backup", one.backup)
        assert one.value == "old", moment
        one.cli(*UNDO)
        assert one.value == new, moment


def undos_survive(one, moments):
    """Kill an undo at each moment. The same command finishes it, and undoes no older restore."""
    for number, moment in enumerate(moments):
        one.value = new = f"new-{number}"
        one.cli(*IN_PLACE, "--backup", one.backup)
        one.killed("undo", moment)
        one.cli("status", status=None)
        assert one.value in (new, "old"), moment
        one.cli(*UNDO)
        assert one.value == new, moment
        one.house.backed_up()


some = pytest.mark.parametrize("first", daily([1, 0], [1]))


@some
def test_killed_restore_of_a_file_and_its_database_is_finished_or_taken_back(home, first):
    restores_survive(OneDatabase(home), MOMENTS[first::2])


@some
def test_killed_undo_of_a_file_and_its_database_is_finished(home, first):
    undos_survive(OneDatabase(home), MOMENTS[first::2])


@pytest.mark.thorough
@pytest.mark.parametrize("kind", SERVERS)
def test_load_that_is_killed_in_the_middle_is_done_again(in_containers, kind):
    """Its program in the container goes on for a while, and must not disturb the second one."""
    restores_survive(in_containers(kind), ["half loaded"])


@pytest.mark.thorough
@pytest.mark.parametrize("kind", SERVERS)
def test_killed_restore_of_a_server_is_finished_or_taken_back(in_containers, kind):
    restores_survive(in_containers(kind), MOMENTS)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", SERVERS)
def test_killed_undo_of_a_server_is_finished(in_containers, kind):
    undos_survive(in_containers(kind), MOMENTS)


@pytest.mark.thorough
def test_killed_load_waits_for_a_server_that_is_stopped(in_containers):
    """As while a machine boots; the container that uses it is started nevertheless."""
    one = in_containers("postgres")
    one.killed("restore", "load begins")
    one.engine.docker("stop", "db")
    done = one.house.cli("backup", "svc")
    assert done.returncode == 4
    assert "docker start db; then the next command loads it" in done.stderr
    assert one.engine.running("app")
    one.engine.docker("start", "db")  # and it may take a while to answer
    one.house.backed_up()
    assert one.value == "old"


def test_copy_that_a_killed_load_leaves_is_deleted_by_the_next_dump(home, monkeypatch):
    prefix = f"packrat-copy-{home.name}-"  # other tests make copies, too
    monkeypatch.setattr(sqlite, "PREFIX", prefix)
    one = OneDatabase(home)
    one.killed("restore", "half loaded")
    [left] = Path(sqlite.SCRATCH).glob(f"{prefix}*")
    os.utime(left, (0, 0))
    one.house.backed_up()
    assert not left.exists()


@pytest.fixture
def half_loaded(home):
    """A service whose restore in place has failed in the middle of the load."""
    one = OneDatabase(home)
    with loads_fail():
        said = one.cli(*IN_PLACE, status=4)
    assert "Input/output error" in said
    assert f"SQLite {one.path} is not: packrat restore --undo svc brings both back" in said
    return one


def test_no_backup_is_made_of_a_database_that_is_not_loaded(half_loaded):
    """It may be half of one. Undo, the same restore again and --forget each end that."""
    said = half_loaded.cli("backup", "svc", status=4)
    assert "a restore in place did not load" in said
    for way in ("--undo svc brings back", "the same restore again", "--forget svc keeps"):
        assert way in said
    half_loaded.cli(*UNDO)
    assert half_loaded.value == "new"
    half_loaded.house.backed_up()


def test_restore_whose_load_has_failed_can_be_repeated_and_undone(half_loaded):
    half_loaded.cli(*IN_PLACE)
    assert half_loaded.value == "old"
    half_loaded.house.backed_up()
    half_loaded.cli(*UNDO)
    half_loaded.cli(*UNDO)
    assert half_loaded.value == "new"


def test_forget_accepts_a_database_that_is_not_loaded(half_loaded):
    half_loaded.cli("restore", "svc", "--forget")
    half_loaded.house.backed_up()


def test_undo_whose_load_has_failed_is_repeated_before_anything_else(home):
    """The dump that it has not loaded is the only one: another restore would replace it."""
    one = OneDatabase(home)
    one.cli(*IN_PLACE)
    with loads_fail():
        assert "Input/output error" in one.cli(*UNDO, status=4)
    for words in (IN_PLACE, ("backup", "svc")):
        assert "packrat restore --undo svc tries again" in one.cli(*words, status=4)
    assert "was finished" in one.cli(*UNDO)
    assert one.value == "new"
    assert "nothing to undo" in one.cli(*UNDO, status=4)


def test_undo_does_not_pass_for_done_if_the_database_left_the_configuration(home):
    one = OneDatabase(home)
    one.cli(*IN_PLACE)
    with loads_fail():
        one.cli(*UNDO, status=4)
    file = one.house.config_file
    document = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(document | {"services": without_databases(document)}))
    assert "the configuration does not name it any more" in one.cli(*UNDO, status=4)
    file.write_text(yaml.safe_dump(document))
    assert "was finished" in one.cli(*UNDO)
    assert one.value == "new"


def without_databases(document):
    """Return the services of a configuration without their databases."""
    services = document["services"].items()
    return {name: {k: v for k, v in one.items() if k != "databases"} for name, one in services}


@pytest.mark.thorough
def test_undo_leaves_a_database_alone_that_its_restore_did_not_replace(engine, home):
    """Though an earlier restore has loaded a dump of it, which is still there."""
    (home / "pg").mkdir()
    with removed(engine, "db"):
        pg = PostgresServer(engine, "db", home / "pg")
        docker = {"host": engine.host}
        settings = {"databases": [{"postgres": {"container": "db"}}], "docker": docker}
        house = House(home, settings=settings)
        house.backed_up()
        pg.sql("CREATE DATABASE later")
        pg.sql("CREATE TABLE t AS SELECT 1 n", "later")
        house.backed_up()
        oldest, newest = (row["id"] for row in house.json("list", "svc"))
        for backup in (newest, oldest):
            pg.sql("UPDATE t SET n = 2", "later")
            done = house.cli(*IN_PLACE, "--backup", backup)
            assert done.returncode == 0, done.stderr
        assert house.cli(*UNDO).returncode == 0
        assert pg.sql("SELECT n FROM t", "later") == "2"
