import json
from pathlib import Path

import pytest

from specs.compile import compile_restore, compile_service
from specs.config import Config
from specs.load import load_config
from tests.helpers.command_line import in_a_process

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def seed(monkeypatch):
    monkeypatch.setenv("HOME", "/home/user")
    return load_config(str(EXAMPLES / "seed.yaml"))


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_examples_compile(name):
    """Every example is a valid configuration, and its pipelines build, both ways."""
    text = (EXAMPLES / name).read_text()
    if "\nbackup:" not in text:
        return  # for another program, for example a compose file
    config = load_config(str(EXAMPLES / name))
    for service in config.services:
        pipeline = compile_service(config, service)
        nearest = next(iter(pipeline.destinations))
        assert compile_restore(config, pipeline.service, "latest", nearest).graph().order


def test_seed_services(seed):
    """The seed's services have the values that it describes."""
    assert list(seed.services) == ["gitea", "postgres", "documents", "nextcloud"]
    gitea = seed.services["gitea"]
    assert (gitea.path, gitea.schedule) == ("/var/lib/gitea", "0 2 * * *")
    assert gitea.docker.names == ("gitea",)
    assert gitea.exclude == ("**/tmp/**", "**/.git")
    assert seed.services["documents"].docker is None
    assert [seed.retention_of(service) for service in seed.services.values()] == [14, 30, 60, 14]


def test_seed_commands(seed):
    """A command runs in its folder, else in the service's path; ${…} is not substituted."""
    postgres, nextcloud = seed.services["postgres"], seed.services["nextcloud"]
    assert postgres.pre_backup.timeout == 30 * 60
    assert postgres.pre_backup.environment["PGPASSWORD"].resolve() == "your-password"
    assert postgres.working_dir_of(postgres.pre_backup) == "/var/lib/postgres"
    assert nextcloud.pre_backup.timeout == 2 * 3600
    assert "Bearer ${NC_TOKEN}" in nextcloud.pre_backup.command
    assert nextcloud.working_dir_of(nextcloud.pre_backup) == "/var/www/nextcloud/data/backups"


def test_seed_destinations(seed):
    """Every service goes to the seed's two destinations."""
    synology, s3 = seed.destinations().values()
    assert (synology.type, synology.host, synology.port) == ("sftp", "192.168.1.100", 22)
    assert (synology.key_file, synology.path) == ("/home/user/.ssh/id_rsa", "./backups/test/")
    assert (s3.type, s3.bucket, s3.path) == ("s3", "homelab-backups", "backups/packrat/")
    assert s3.secret_access_key.resolve() == "your-secret-key"
    assert seed.destinations_of(seed.services["gitea"]) == {"synology": synology, "s3": s3}


def test_global_retention():
    """Without its own setting, a service keeps as many backups as `backup` says."""
    config = load_config(str(EXAMPLES / "destinations.yaml"))
    assert config.retention_of(config.services["photos"]) == 14


def test_chosen_destinations():
    """Fixed destinations come first, then the named ones as written; a service may choose some."""
    config = load_config(str(EXAMPLES / "destinations.yaml"))
    assert list(config.destinations()) == ["local", "synology", "s3", "garage", "attic"]
    assert list(config.destinations_of(config.services["photos"])) == ["local", "garage"]
    assert config.destinations()["s3"].limit == 5 << 20
    assert config.spool.max_size == 20 << 30


def test_docker_options():
    """Several containers are stopped in the order written."""
    docker = load_config(str(EXAMPLES / "stack.yaml")).services["immich"].docker
    assert docker.names == ("immich-server", "immich-machine-learning", "immich-postgres")
    assert (docker.stop_timeout, docker.health_timeout, docker.max_downtime) == (60, 300, None)
    assert docker.warm
    docker = load_config(str(EXAMPLES / "gitea.yaml")).services["gitea"].docker
    assert (docker.stop_timeout, docker.health_timeout, docker.max_downtime) == (30, 120, 60)


def test_commands_in_containers():
    """In a container, a command runs in the container's default folder."""
    postgres = load_config(str(EXAMPLES / "postgres.yaml")).services["postgres-dump"]
    nextcloud = load_config(str(EXAMPLES / "nextcloud.yaml")).services["nextcloud"]
    assert postgres.working_dir_of(postgres.pre_backup) is None
    assert nextcloud.working_dir_of(nextcloud.post_backup) == "/var/www/nextcloud/html"
    assert (nextcloud.timeout, nextcloud.max_age) == (6 * 3600, 2 * 86400)


def test_defaults(monkeypatch):
    """Missing settings have defaults; that of the state folder depends on the user."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("PACKRAT_STATE_DIR", raising=False)
    data = {"services": {"a": {"path": "/a"}}, "backup": {"local": {"path": "/b"}}}
    config = Config.model_validate(data)
    assert config.state_dir == "/home/me/.local/state/packrat"
    assert config.spool_path == "/home/me/.local/state/packrat/spool"
    assert config.retention_of(config.services["a"]) == 7
    assert config.catches_up(config.services["a"])
    assert config.services["a"].incremental
    monkeypatch.setenv("PACKRAT_STATE_DIR", "/elsewhere")
    assert Config.model_validate(data).state_dir == "/elsewhere"
    monkeypatch.delenv("PACKRAT_STATE_DIR")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert Config.model_validate(data).state_dir == "/var/lib/packrat"


def test_notify_on():
    """`on` is a key, not a boolean; it accepts one or several outcomes, also in JSON's words."""
    data = {"services": {"a": {"path": "/a"}}, "backup": {"local": {"path": "/b"}}}
    for on, outcomes in [
        ("failure", ("failure",)),
        (["recovery", "overdue"], ("recovery", "overdue")),
        (["done", "failed"], ("success", "failure")),
    ]:
        assert Config.model_validate(data | {"notify": {"on": on}}).notify.on == outcomes


def test_schema_describes_everything():
    """The JSON Schema has a description for each key, so that an editor can explain it."""
    schema = json.loads(in_a_process("schema").stdout)
    for name, section in {**schema["$defs"], "Config": schema}.items():
        for key, value in section.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key}"
