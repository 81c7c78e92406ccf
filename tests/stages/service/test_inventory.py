"""Inventory of a real engine: containers, what they write, and where labels come from."""

import time

import pytest

from stages.errors import SourceError
from stages.service.docker import DockerEngine
from stages.service.inventory import COMPOSE, read_inventory
from stages.service.mounts import Mount
from tests.helpers.containers import IMAGE, create, image_with_labels

LABELLED = "labelled"


@pytest.fixture(scope="module")
def shop(engine, tmp_path_factory):
    """Project of two containers, and one of an image that carries labels; none of them runs."""
    folder = tmp_path_factory.mktemp("shop")
    image_with_labels(engine, LABELLED, {"packrat.enable": "true", "packrat.retain": "9",
                                         f"{COMPOSE}project": "theirs"})  # fmt: skip
    project = {f"{COMPOSE}project": "shop", f"{COMPOSE}container-number": "1"}
    needs = {f"{COMPOSE}depends_on": "db:service_healthy:true,cache:service_started:false"}
    made = [
        create(engine, "shop-web-1", labels=project | needs | {f"{COMPOSE}service": "web"},
               options=["-v", f"{folder}:/data", "-v", "shop_files:/files:ro", "-v", "/scratch",
                        "--tmpfs", "/run", "-e", "POSTGRES_PASSWORD=geheim"]),
        create(engine, "shop-db-1", labels=project | {f"{COMPOSE}service": "db"},
               options=["-v", "shop_files:/files", "--network", "container:shop-web-1"]),
        create(engine, "plain", image=LABELLED, labels={"packrat.retain": "3"}),
    ]  # fmt: skip
    yield folder
    engine.docker("rm", "-f", "-v", *made)
    engine.docker("volume", "rm", "shop_files")
    engine.docker("rmi", LABELLED)


def entry(inventory, name):
    return next(one for one in inventory.containers if one.name == name)


def test_project_service_dependencies_and_mounts_are_as_created(engine, shop):
    """Of the environment there are only names: values are secrets."""
    inventory = read_inventory(DockerEngine(engine.host))
    web, db = entry(inventory, "shop-web-1"), entry(inventory, "shop-db-1")
    assert [one.name for one in inventory.project("shop")] == ["shop-db-1", "shop-web-1"]
    assert (web.service, web.depends_on, web.state) == ("web", ("db", "cache"), "created")
    assert (web.image, web.command) == (IMAGE, ("cat",))
    assert "POSTGRES_PASSWORD" in web.environment
    assert "geheim" not in repr(web)
    assert db.network == web.id
    data, files, scratch = web.mounts
    assert data == Mount("bind", "", str(shop), "/data", writable=True)
    assert (files.name, files.writable, db.mounts[0].writable) == ("shop_files", False, True)
    assert inventory.volume(scratch.name).anonymous
    assert not inventory.volume("shop_files").anonymous
    assert inventory.volume("shop_files").mountpoint == files.source


def test_a_label_of_the_image_is_not_the_containers_own(engine, shop):
    """An image decides neither what packrat does nor which project its container belongs to."""
    plain = entry(read_inventory(DockerEngine(engine.host)), "plain")
    assert plain.labels["packrat.enable"] == "true"
    assert plain.own_labels("packrat.") == {"packrat.retain": "3"}
    assert plain.project == ""


def test_options_of_a_volume_driver_are_known(engine, shop):
    """For example, those of an NFS mount."""
    engine.docker("volume", "create", "--opt", "type=nfs", "--opt", "device=:/x",
                  "--opt", "o=addr=192.0.2.1", "remote")  # fmt: skip
    volume = read_inventory(DockerEngine(engine.host)).volume("remote")
    engine.docker("volume", "rm", "remote")
    assert volume.options == {"type": "nfs", "device": ":/x", "o": "addr=192.0.2.1"}


def test_an_engine_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"unix:///.*/none does not answer"):
        read_inventory(DockerEngine(f"unix://{tmp_path}/none"))


def test_thirty_containers_are_read_in_a_second(engine):
    made = [create(engine, f"many-{n}") for n in range(30)]
    seconds = []
    for _ in range(3):  # the machine may be busy with other tests
        begin = time.monotonic()
        inventory = read_inventory(DockerEngine(engine.host))
        seconds.append(time.monotonic() - begin)
    assert min(seconds) < 1, seconds
    assert {one.name for one in inventory.containers} >= set(made)
    engine.docker("rm", *made)
