"""Examples for well-known projects, on containers as the projects document them (2026)."""

from pathlib import Path

import pytest

from specs.discovery.coverage import coverage
from specs.load import load_config
from tests.helpers.inventories import container, inventory

EXAMPLES = Path(__file__).parents[2] / "examples"
PROJECTS = {
    # immich-app/immich, docker/docker-compose.yml
    "immich": [
        container("immich_server", "/srv/immich/library:/data", project="immich",
                  depends_on=("redis", "database")),
        container("immich_machine_learning", "immich_model-cache:/cache", project="immich"),
        container("immich_redis", project="immich", image="docker.io/valkey/valkey:8-bookworm"),
        container("immich_postgres", "/srv/immich/postgres:/var/lib/postgresql/data",
                  project="immich", image="ghcr.io/immich-app/postgres:14-vectorchord0.4.3"),
    ],
    # nextcloud/docker, .examples/docker-compose/insecure/mariadb/apache/compose.yaml
    "nextcloud": [
        container("nextcloud-db-1", "nextcloud_db:/var/lib/mysql", project="nextcloud",
                  image="mariadb:10.6"),
        container("nextcloud-redis-1", project="nextcloud", image="redis:alpine"),
        container("nextcloud-app-1", "nextcloud_nextcloud:/var/www/html", project="nextcloud"),
        container("nextcloud-cron-1", "nextcloud_nextcloud:/var/www/html", project="nextcloud"),
    ],
    # paperless-ngx/paperless-ngx, docker/compose/docker-compose.postgres.yml
    "paperless-ngx": [
        container("paperless-broker-1", "paperless_redisdata:/data", project="paperless",
                  image="docker.io/library/redis:8"),
        container("paperless-db-1", "paperless_pgdata:/var/lib/postgresql", project="paperless",
                  image="docker.io/library/postgres:18"),
        container("paperless-webserver-1", "paperless_data:/usr/src/paperless/data",
                  "paperless_media:/usr/src/paperless/media",
                  "/srv/paperless/export:/usr/src/paperless/export",
                  "/srv/paperless/consume:/usr/src/paperless/consume", project="paperless"),
    ],
    # dani-garcia/vaultwarden, README.md
    "vaultwarden": [container("vaultwarden", "/srv/vaultwarden/vw-data:/data", project="vault")],
    # home-assistant/home-assistant.io, source/_includes/installation/container/compose.md
    "home-assistant": [container("homeassistant", "/srv/homeassistant/config:/config",
                                 project="ha")],
    # docs.gitea.com/installation/install-with-docker
    "gitea": [
        container("gitea", "/srv/gitea/gitea:/data", project="gitea", depends_on=("db",)),
        container("gitea-db-1", "/srv/gitea/postgres:/var/lib/postgresql/data", project="gitea",
                  image="docker.io/library/postgres:14"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", PROJECTS)
def test_an_example_backs_up_everything_that_its_project_keeps(name):
    """It may leave out caches only, and names the containers as the project does."""
    config = load_config(str(EXAMPLES / f"{name}.yaml"))
    [service] = config.services.values()
    containers = {one.name: one for one in PROJECTS[name]}
    [found] = coverage(config, inventory(*PROJECTS[name]))
    assert found.state == "protected"
    assert {p.place.use for p in found.places if not p.service} <= {"cache"}
    assert set(service.docker.names if service.docker else ()) <= containers.keys()
    assert {one.container for one in service.databases} <= containers.keys()


@pytest.mark.parametrize("name", PROJECTS)
def test_without_its_example_a_project_is_unprotected(name):
    """Otherwise the test above could not fail."""
    [found] = coverage(load_config(str(EXAMPLES / "quickstart.yaml")), inventory(*PROJECTS[name]))
    assert found.state == "unprotected"
