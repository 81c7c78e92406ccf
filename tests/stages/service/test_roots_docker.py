"""Volumes and Compose projects as roots, on a real engine."""

import os
import subprocess
from contextlib import contextmanager
from itertools import count

import pytest

from stages.errors import SourceError
from stages.in_place import moves
from stages.reads import Reads
from stages.service.compose import stop_order
from stages.service.docker import DockerEngine
from stages.service.inventory import COMPOSE, read_inventory
from tests.helpers.containers import IMAGE, done
from tests.helpers.forked import ended, forked
from tests.helpers.house import House
from tests.helpers.trees import fill
from tests.stages.test_roots import settle

SLEEPING = ("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
HEALTHY = ("--health-cmd", "true", "--health-interval", "200ms")
"""Options of a container that is healthy at once: others must run for three seconds."""


def member(engine, name, service, *options, needs="", project="photos", folder="/srv/photos"):
    """Start a container as Compose does."""
    labels = {"project": project, "service": service, "config-hash": "1", "depends_on": needs,
              "project.working_dir": str(folder), "oneoff": "False"}  # fmt: skip
    words = [word for pair in labels.items() for word in ("--label", COMPOSE + "=".join(pair))]
    network = () if "--network" in options else ("--network", "none")
    engine.docker(
        "run", "-d", "--name", name, *HEALTHY, *network, *words, *options, IMAGE, *SLEEPING
    )
    return name


@contextmanager
def volume(engine, name, *options):
    engine.docker("volume", "create", *options, name)
    try:
        yield name
    finally:
        for one in engine.docker("ps", "-aq", "--filter", f"volume={name}").split():
            engine.docker("rm", "-f", "-v", one)
        engine.docker("volume", "rm", name)


def mountpoint(engine, name):
    return engine.docker("volume", "inspect", "--format", "{{.Mountpoint}}", name)


@pytest.fixture
def project(tmp_path, engine):
    """Project of a web server, a database and a cache, with every kind of mount."""
    folder = tmp_path / "photos"
    fill(folder, {"library/one": b"1", "library/thumbs/two": b"2", "conf/ro": b"r", "file": b"f"})
    with volume(engine, "photos_pg"):
        mounts = (f"{folder}/library:/library", f"{folder}/library/thumbs:/thumbs",
                  f"{folder}/conf:/conf:ro", f"{folder}/file:/file", "/run:/run/host",
                  "/etc/localtime:/etc/localtime")  # fmt: skip
        binds = [word for mount in mounts for word in ("-v", mount)]
        db = member(engine, "photos-db-1", "db", "-v", "photos_pg:/data", folder=folder)
        member(engine, "photos-cache-1", "cache", "-v", "/var/cache", folder=folder)
        web = member(engine, "photos-web-1", "web", *binds, folder=folder,
                     needs="db:service_started:true,cache:service_started:false")  # fmt: skip
        member(engine, "photos-side-1", "side", "--network", f"container:{web}", folder=folder)
        fill_volume = f"echo old > {mountpoint(engine, 'photos_pg')}/rows"
        subprocess.run(["sh", "-c", fill_volume], check=True)
        try:
            yield folder
        finally:
            for name in ("photos-side-1", "photos-web-1", "photos-cache-1", db):
                engine.docker("rm", "-f", "-v", name)


def test_project_is_stopped_once_in_order_and_every_root_goes_back(tmp_path, engine, project):
    order = stop_order(read_inventory(DockerEngine(engine.host)), "photos")
    assert order[:2] == ["photos-side-1", "photos-web-1"]
    house = settle(House(tmp_path), compose="photos",
                   docker={"host": engine.host, "stop_timeout": 5})  # fmt: skip
    warned = "\n".join(done(house.back_up()).warnings)
    assert f"write to the file {project}/file, which is not backed up" in warned
    stored = house.catalog().backups[0].summary.roots
    roots = {root.label: (root.kind, root.source) for root in stored}
    anonymous = roots.pop("photos-cache-1-var-cache")
    assert anonymous[0] == "volume"
    assert roots == {
        "library": ("folder", f"{project}/library"),
        "photos_pg": ("volume", "photos_pg"),
    }
    assert engine.running(*order)
    rows = f"{mountpoint(engine, 'photos_pg')}/rows"
    (project / "library/one").write_bytes(b"changed")
    with open(rows, "w") as file:
        file.write("changed\n")
    restored = house.json("restore", "svc", "--in-place", "--yes")
    assert {root["label"] for root in restored["roots"]} == {*roots, "photos-cache-1-var-cache"}
    assert (project / "library/one").read_bytes() == b"1"
    with open(rows) as file:
        assert file.read() == "old\n"
    assert engine.running(*order)
    assert house.cli("restore", "--undo", "svc").returncode == 0
    assert (project / "library/one").read_bytes() == b"changed"
    plan = house.cli("plan", "svc").stdout
    assert "Compose project photos" in plan
    assert "photos_pg from" in plan
    assert engine.running(*order)


def test_volume_beside_a_path(tmp_path, engine):
    with volume(engine, "pgdata"):
        fill(tmp_path / "source", {"a": b"1"})
        folder = mountpoint(engine, "pgdata")
        subprocess.run(["sh", "-c", f"echo 1 > {folder}/rows"], check=True)
        house = settle(House(tmp_path), path=str(tmp_path / "source"), volumes=["pgdata"],
                       docker={"host": engine.host})  # fmt: skip
        done(house.back_up())
        out = house.restore()
        assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == [
            "pgdata/rows", "source/a"]  # fmt: skip
        settle(house, paths=[os.path.dirname(folder)], volumes=["pgdata"],
               docker={"host": engine.host})  # fmt: skip
        assert f"volume pgdata is inside {os.path.dirname(folder)}" in house.back_up().error


def test_volume_that_docker_mounts_is_read_after_the_stop_or_refused(tmp_path, engine):
    """While no container uses it, its folder is empty: that must not pass for a backup."""
    disk = tmp_path / "disk"
    fill(disk, {"rows": b"old"})
    options = ("--opt", "type=none", "--opt", "o=bind", "--opt", f"device={disk}")
    with volume(engine, "nas", *options):
        house = settle(House(tmp_path), volumes=["nas"],
                       docker={"host": engine.host, "container": "uses-nas"})  # fmt: skip
        engine.docker("create", "--name", "uses-nas", *HEALTHY, "--network", "none",
                      "-v", "nas:/nas", IMAGE, *SLEEPING)  # fmt: skip
        refused = house.back_up()
        assert f"volume nas (a mount of {disk}) is not mounted on this machine" in refused.error
        engine.docker("start", "uses-nas")
        done(house.back_up())
        assert engine.running("uses-nas")
        assert (house.restore() / "nas/rows").read_bytes() == b"old"
        (disk / "rows").write_bytes(b"changed")
        assert house.cli("restore", "svc", "--in-place", "--yes").returncode == 0
        assert (disk / "rows").read_bytes() == b"old"
        (disk / "new").write_bytes(b"since")
        assert house.cli("restore", "--undo", "svc").returncode == 0
        assert ((disk / "rows").read_bytes(), (disk / "new").exists()) == (b"changed", False)
        assert engine.running("uses-nas")


@pytest.mark.thorough
def test_restore_killed_in_a_volume_that_docker_unmounts_is_taken_back(tmp_path, engine):
    """Docker unmounts it once its container is down; it is opened again before the next stop."""
    disk = tmp_path / "disk"
    fill(disk, {"rows": b"old", "more/rows": b"old"})
    options = ("--opt", "type=none", "--opt", "o=bind", "--opt", f"device={disk}")
    with volume(engine, "nas", *options):
        engine.docker("run", "-d", "--name", "in-nas", *HEALTHY, "--network", "none",
                      "-v", "nas:/nas", IMAGE, *SLEEPING)  # fmt: skip
        house = settle(House(tmp_path), volumes=["nas"],
                       docker={"host": engine.host, "container": "in-nas"})  # fmt: skip
        done(house.back_up())
        fill(disk, {"rows": b"now", "more/rows": b"now"})
        child = forked(lambda: killed_in_swap(house))
        assert ended(child) == 9
        assert not engine.running("in-nas")
        house.cli("verify")  # starts the container; the volume could not be opened before that
        assert engine.running("in-nas")
        assert house.cli("verify").returncode == 0
        assert engine.running("in-nas")
        assert [(disk / one).read_bytes() for one in ("rows", "more/rows")] == [b"now"] * 2


def killed_in_swap(house):
    """Restore in place, and die before the second exchange."""
    put, exchanges = moves.put, count(1)

    def put_or_die(*step):
        if next(exchanges) == 2:
            os._exit(9)
        put(*step)

    moves.put = put_or_die
    return house.cli("restore", "svc", "--in-place", "--yes").returncode


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        ({"volumes": ("none",)}, "there is no volume none"),
        ({"compose": "none"}, "there is no Compose project none with containers"),
    ],
)
def test_what_the_engine_does_not_have_is_refused(engine, reads, said):
    with pytest.raises(SourceError, match=said):
        Reads(host=engine.host, **reads).resolve()


def test_engine_of_another_machine_is_refused():
    """Its folders are not here, or are others."""
    with pytest.raises(SourceError, match="are not on this machine"):
        Reads(host="tcp://nas:2376", volumes=("x",)).resolve()
