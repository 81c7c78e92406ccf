import json
from pathlib import Path

import pytest
import yaml

from specs.compile import compile_restore, compile_service
from specs.config import Config
from specs.faults import ConfigFaults
from specs.load import load_config
from tests.helpers.command_line import in_a_process

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def seed(monkeypatch):
    monkeypatch.setenv("HOME", "/home/seed")
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
    assert [seed.retention_of(service, "s3") for service in seed.services.values()] == [
        14,
        30,
        60,
        14,
    ]


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
    assert (synology.key_file, synology.path) == (
        "/home/seed/.ssh/id_rsa",
        "./backups/test/",
    )
    assert (s3.type, s3.bucket, s3.path) == ("s3", "homelab-backups", "backups/packrat/")
    assert s3.secret_access_key.resolve() == "your-secret-key"
    assert seed.destinations_of(seed.services["gitea"]) == {"synology": synology, "s3": s3}


def test_global_retention():
    """Without its own setting, a service keeps as many backups as `backup` says."""
    config = load_config(str(EXAMPLES / "destinations.yaml"))
    assert config.retention_of(config.services["photos"], "local") == 14


def test_chosen_destinations():
    """Fixed destinations come first, then the named ones as written; a service may choose some."""
    config = load_config(str(EXAMPLES / "destinations.yaml"))
    assert list(config.destinations()) == ["local", "synology", "s3", "garage", "attic"]
    assert list(config.destinations_of(config.services["photos"])) == ["local", "garage"]
    assert config.destinations()["s3"].limit == 5 << 20
    assert config.spool.max_size == 20 << 30


def test_docker_options():
    """Several containers are stopped in the order written."""
    docker = load_config(str(EXAMPLES / "immich.yaml")).services["immich"].docker
    assert docker.names == ("immich_server", "immich_machine_learning")
    assert (docker.stop_timeout, docker.health_timeout, docker.max_downtime) == (60, 300, None)
    assert docker.warm
    docker = load_config(str(EXAMPLES / "gitea.yaml")).services["gitea"].docker
    assert (docker.stop_timeout, docker.health_timeout, docker.max_downtime) == (30, 120, 60)


def test_commands_in_containers():
    """In a container, a command runs in the container's default folder."""
    postgres = load_config(str(EXAMPLES / "postgres.yaml")).services["postgres-dump"]
    nextcloud = load_config(str(EXAMPLES / "commands.yaml")).services["nextcloud"]
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
    assert config.retention_of(config.services["a"], "local") == 7
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


RETENTION = """
services:
  own: {path: /a, retain: {last: 3, within: 2d}}
  number: {path: /a, retain_backups: 5}
  plain: {path: /a}
backup:
  retain: {daily: 14, weekly: 8}
  local: {path: /b}
  s3: {bucket: b, access_key_id: a, secret_access_key: b, retain: {monthly: 24}}
timezone: Europe/Berlin
"""


def test_the_nearest_rules_of_retention_count():
    """Those of a destination, then those of the service, then the general ones; never merged."""
    config = Config.model_validate(yaml.safe_load(RETENTION))
    zone = {"zone": "Europe/Berlin"}
    found = {
        (name, at): config.retention_of(service, at)
        for name, service in config.services.items()
        for at in ("local", "s3")
    }
    assert found == {
        ("own", "local"): {"last": 3, "within": 172_800} | zone,
        ("number", "local"): 5,
        ("plain", "local"): {"daily": 14, "weekly": 8} | zone,
    } | {(name, "s3"): {"monthly": 24} | zone for name in config.services}
    stages = compile_service(config, "plain").stages
    assert stages["base"]["keep"] == stages["prune:local"]["keep"] == found["plain", "local"]
    assert stages["base"]["keep_at"] == {"s3": found["plain", "s3"]}
    assert stages["prune:s3"]["keep"] == stages["catch_up:s3"]["keep"] == found["plain", "s3"]


@pytest.mark.parametrize("where", ["services.own", "backup"])
def test_two_rules_of_retention_at_one_level_are_a_fault(tmp_path, where):
    document = yaml.safe_load(RETENTION)
    section = document["backup"] if where == "backup" else document["services"]["own"]
    section["retain_backups"] = 5
    file = tmp_path / "packrat.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigFaults, match=f"{where}.retain: retain_backups is there as well"):
        load_config(str(file))
    del section["retain_backups"]
    section["retain"] = {"last": 0}
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigFaults, match="keeps nothing; write for example last: 7"):
        load_config(str(file))
