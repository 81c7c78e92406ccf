"""Groups of containers, what backs them up, and the services that are proposed for the rest."""

import pytest
from msgspec import structs

from specs.discovery.coverage import coverage
from specs.discovery.engines import engine_of
from specs.discovery.proposal import collisions, propose, service_name
from tests.helpers.inventories import config, container, inventory


def covered(configuration, *containers):
    return coverage(configuration, inventory(*containers))


def proposed(configuration, *containers):
    """Return name -> settings, and all that is left out."""
    found = propose(covered(configuration, *containers), None)
    return {one.name: one.settings for one in found}, [why for one in found for why in one.left_out]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("postgres:17", "PostgreSQL"),
        ("ghcr.io/immich-app/postgres:14-vectorchord0.4.3@sha256:32", "PostgreSQL"),
        ("docker.io/library/mariadb:11", "MariaDB"),
        ("registry:5000/mysql", "MySQL"),
        ("docker.io/valkey/valkey:8-bookworm", "Valkey"),
        ("mongo:7", "MongoDB"),
        ("prometheuscommunity/postgres-exporter", None),
        ("phpmyadmin:5", None),
        ("dpage/pgadmin4", None),
        ("postgrest/postgrest", None),
    ],
)
def test_a_database_engine_is_recognized_by_its_image(image, name):
    engine = engine_of(container("db", image=image))
    assert (engine and engine.name) == name


def test_a_project_with_a_cache_lists_the_rest_in_stop_order():
    """Users of a database are stopped first; the database itself is dumped, and keeps running."""
    services, left = proposed(
        None,
        container("db", "pgdata:/var/lib/postgresql/data", project="app", image="postgres"),
        container("web", "files:/data", "/srv/app:/config", project="app",
                  depends_on=("db", "worker")),
        container("worker", "files:/data", "model-cache:/cache", project="app"),
    )  # fmt: skip
    assert services == {
        "app": {
            "volumes": ["files"],
            "paths": ["/srv/app"],
            "docker": {"containers": ["web", "worker"]},
            "databases": [{"postgres": {"container": "db"}}],
        }
    }
    assert left == ["volume model-cache: a cache"]


def test_a_single_database_is_dumped_and_not_stopped():
    services, _ = proposed(None, container("db", "data:/var/lib/mysql", image="mariadb:11"))
    assert services == {"db": {"databases": [{"mariadb": {"container": "db"}}]}}


def test_containers_that_depend_on_each_other_do_not_prevent_a_proposal():
    services, _ = proposed(
        None,
        container("a", "x:/x", "c:/cache", project="p", depends_on=("b",)),
        container("b", "x:/x", project="p", depends_on=("a",)),
    )
    assert set(services["p"]["docker"]["containers"]) == {"a", "b"}


def test_a_shared_volume_is_proposed_once():
    services, left = proposed(
        None,
        container("alone", "shared:/in", "mine:/data"),
        container("web", "shared:/out", project="app"),
    )
    assert services["app"] == {"compose": "app"}
    assert services["alone"]["volumes"] == ["mine"]
    assert left == ["volume shared: in service app"]


def test_a_folder_with_two_names_is_proposed_once(tmp_path):
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    services, _ = proposed(
        None, container("a", *(f"{tmp_path}/{at}:/{at}" for at in ("link", "real", "real/in")))
    )
    assert services["a"]["paths"] == [f"{tmp_path}/link"]


def test_a_folder_counts_unless_the_service_excludes_it():
    own = {"own": {"path": "/srv", "exclude": ["/b/cache/", "!/x"]}}
    found = covered(
        config(services=own),
        container("a", "/srv/a:/data"),
        container("b", "/srv/b/cache/deep:/data"),
        container("c", "/:/host", "/var/run/docker.sock:/s", "/srv:/all"),
    )
    assert [one.state for one in found] == ["protected", "unprotected", "protected"]


def test_a_volume_without_a_folder_is_unprotected():
    """Drivers of plugins may have none."""
    nowhere = container("x", "far:/data")
    nowhere = structs.replace(nowhere, mounts=(structs.replace(nowhere.mounts[0], source=""),))
    [found] = covered(config(docker={"ignore": ["/srv"]}), nowhere)
    assert found.unprotected


def test_a_dump_backs_up_the_folder_of_its_database_only():
    own = {"own": {"path": "/srv", "databases": [{"postgres": {"container": "db"}}]}}
    db = container("db", "pg:/var/lib/postgresql/data", "extra:/extra", image="postgres")
    [found] = covered(config(services=own), db)
    assert {part.place.volume: part.service for part in found.places} == {"pg": "own", "extra": ""}
    assert found.state == "partial"


def test_documents_in_a_folder_called_media_are_data():
    """paperless-ngx keeps them there."""
    [found] = covered(None, container("paperless", "paperless_media:/usr/src/paperless/media"))
    assert found.unprotected


@pytest.mark.parametrize(
    ("mount", "use"),
    [
        ("immich_model-cache:/cache", "cache"),
        ("models:/root/.cache/huggingface", "cache"),
        ("/srv/plex/transcode:/transcode", "cache"),
        ("/mnt/tv:/data", "media"),
        ("/mnt/media:/downloads", "media"),
        ("/srv/downloads/app:/config", "data"),
        ("cached-mail:/mail", "data"),
    ],
)
def test_caches_and_media_are_recognized_by_whole_words(mount, use):
    [found] = covered(None, container("app", mount))
    assert found.places[0].place.use == use
    assert found.unprotected == (use == "data")


def test_an_ignored_container_of_a_project_is_not_part_of_its_service():
    containers = [
        container("web", "files:/files", project="p"),
        container("probe", "state:/state", project="p"),
    ]
    ignoring = config(docker={"ignore": ["probe"]})
    services, left = proposed(ignoring, *containers)
    assert services == {"p": {"volumes": ["files"], "docker": {"container": "web"}}}
    assert left == ["volume state: ignored"]


@pytest.mark.parametrize(
    ("group", "name"),
    [("wiki", "wiki"), ("prune", "prune-containers"), ("a/b c", "a-b-c"), ("_x", "x"),
     ("x" * 90, "x" * 64), ("\n", "unnamed")],
)  # fmt: skip
def test_a_name_becomes_valid(group, name):
    assert service_name(group) == name


def test_two_groups_of_one_name_are_both_refused():
    long = "x" * 70
    found = propose(
        covered(None, container(f"{long}1", "a:/a"), container(f"{long}2", "b:/b")), None
    )
    assert set(collisions(found, {})) == {f"{long}1", f"{long}2"}
