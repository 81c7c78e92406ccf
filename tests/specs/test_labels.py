"""Labels of containers: what they may set, and what they cannot."""

import re
from pathlib import Path

import pytest
import yaml
from msgspec import structs

from specs.compile import compile_prune, compile_service
from specs.discovery.coverage import coverage
from specs.discovery.label_record import read_labels
from specs.discovery.labelled import with_labels
from specs.discovery.proposal import propose
from tests.helpers.inventories import config, container, inventory

ON = {"packrat.enable": "true"}


def labelled(*containers, record=None, **more):
    return with_labels(config(**more), inventory(*containers), record or {})


def app(labels, name="app", **more):
    return container(name, f"{name}-data:/data", labels=labels, **more)


def test_enable_makes_the_service_that_discover_would_write():
    """The labels then set its schedule, its excludes and its retention."""
    labels = ON | {
        "packrat.schedule": "0 5 * * *",
        "packrat.exclude": "*.log, /tmp/",
        "packrat.retain": "daily=7, weekly=4",
    }
    found = labelled(app(labels))
    [proposal] = propose(coverage(config(), inventory(app({}))), None)
    service = found.config.services["app"]
    assert found.record["app"].items() >= proposal.settings.items()
    assert (service.volumes, service.docker.names) == (("app-data",), ("app",))
    assert (service.schedule, service.exclude) == ("0 5 * * *", ("*.log", "/tmp/"))
    assert (service.retain.daily, service.retain.weekly, service.prune) == (7, 4, True)
    assert found.faults == ()
    compile_service(found.config, "app").graph()


def test_a_number_is_retained_and_the_usual_schedule_is_used():
    service = labelled(app(ON | {"packrat.retain": "30"})).config.services["app"]
    assert (service.retain_backups, service.schedule) == (30, "@daily")


def test_without_the_key_in_the_configuration_labels_do_nothing(house):
    """`docker: labels: true` is needed, and no engine is asked without it."""
    given = house.program.config
    assert read_labels(given, remember=True).config is given


def test_a_label_of_the_image_does_nothing():
    """Whoever builds an image must not decide what root backs up, or how long it is kept."""
    shipped = container("app", "d:/data", labels=ON, image_labels=ON)
    assert list(labelled(shipped).config.services) == ["own"]
    other = container("app", "d:/data", labels=ON, image_labels={"packrat.retain": "1"})
    assert labelled(other).config.services["app"].retain_backups is None


def test_a_volume_that_a_service_cannot_name_costs_its_container_only():
    """Drivers of plugins allow other names than Docker does."""
    odd = app(ON, "odd")
    odd = structs.replace(odd, mounts=(structs.replace(odd.mounts[0], name="a/b"),))
    found = labelled(odd, app(ON, "good"))
    assert list(found.config.services) == ["own", "good"]
    assert found.faults[0].startswith("odd: its labels make no valid service (not a volume's name)")


def test_labels_of_a_container_without_an_image_do_nothing_and_are_named():
    """The image may have set them."""
    lost = structs.replace(app(ON), image_labels=None)
    first = labelled(app(ON))
    found = labelled(lost)
    assert list(found.config.services) == ["own"]
    assert "container app: label packrat.enable: its image was deleted" in found.faults[0]
    assert kept(labelled(lost, record=first.record).config) == (1_000_000, "@daily")


def test_the_configuration_wins():
    """Labels change neither the services that it names nor the data that they back up."""
    own = {"own": {"path": "/srv", "volumes": ["app-data"]}}
    found = labelled(app(ON | {"packrat.retain": "1"}), services=own)
    assert found.config.services == config(services=own).services
    taken = labelled(container("own", "x:/x", labels=ON))
    assert list(taken.config.services) == ["own"]
    assert "has a service 'own'" in taken.faults[0]


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"packrat.path": "/etc"}, "label packrat.path: labels set only enable, schedule"),
        ({"packrat.pre_backup": "rm -rf /"}, "label packrat.pre_backup: labels set only"),
        ({"packrat.destinations": "evil"}, "label packrat.destinations: labels set only"),
        ({"packrat.enable.path": "/"}, "label packrat.enable.path: labels set only"),
        ({"packrat.Exclude": "x"}, "label packrat.Exclude: labels set only"),
        ({"packrat." + "x" * 9000: "y"}, "label packrat.xxxxx"),
        ({"packrat.a\nb": "y"}, "labels set only"),
        ({"packrat.exclude": "a," * 3000}, "packrat.exclude: longer than 4096 characters"),
        ({"packrat.exclude": "a\nb"}, "packrat.exclude: 'a\\nb' is not a pattern"),
        ({"packrat.exclude": "../x"}, "packrat.exclude: '../x' matches nothing"),
        ({"packrat.schedule": "{command: rm}"}, "packrat.schedule: '{command: rm}' is not a sch"),
        ({"packrat.schedule": "!!python/x 1"}, "is not a schedule"),
        ({"packrat.schedule": "r r r r r"}, "is not a schedule"),
        ({"packrat.retain": "0"}, "packrat.retain: too small; write at least 1"),
        ({"packrat.retain": "-1"}, "packrat.retain: write a number"),
        ({"packrat.retain": "9" * 400}, "packrat.retain: write a number"),
        ({"packrat.retain": "{daily: 7}"}, "packrat.retain: write a number, or for example"),
        ({"packrat.retain": "daily=x"}, "packrat.retain: write a number"),
        ({"packrat.retain": "daily=7d"}, "packrat.retain: not a whole number"),
        ({"packrat.retain": "last=0"}, "packrat.retain: keeps nothing"),
        ({"packrat.retain": "dayly=1"}, "packrat.retain: no rule 'dayly'; there are last, daily, "),
        ({"packrat.enable": "yes please"}, "packrat.enable: write true or false"),
    ],
)  # fmt: skip
def test_a_bad_label_costs_its_container_only_and_is_named(labels, says):
    found = labelled(app(ON | labels, "evil"), app(ON, "good"))
    assert list(found.config.services) == ["own", "good"]
    assert found.config.model_copy(update={"services": {}}) == config().model_copy(
        update={"services": {}}
    )
    [fault] = found.faults
    assert fault.startswith("container evil: label ")
    assert says in fault
    assert len(fault) < 400


def test_a_value_is_never_read_as_yaml():
    """Here it is a pattern that matches nothing."""
    service = labelled(app(ON | {"packrat.exclude": "{pre_backup: id}"})).config.services["app"]
    assert (service.exclude, service.pre_backup) == (("{pre_backup: id}",), None)


def test_containers_of_a_project_that_contradict_each_other_are_told():
    found = labelled(
        container("a", "x:/x", project="p", labels=ON | {"packrat.retain": "3"}),
        container("b", "y:/y", project="p", labels={"packrat.retain": "4"}),
    )
    assert found.config.services["p"].retain_backups == 3
    assert not found.config.services["p"].prune
    assert "container b: label packrat.retain: container a has another value" in found.faults[0]


def test_false_says_that_a_project_needs_no_backup():
    found = labelled(app({"packrat.enable": "false"}))
    [one] = coverage(found.config, inventory(app({})))
    assert one.state == "ignored"


def kept(config_, name="app"):
    """Return what a destination keeps, and how often the service runs."""
    [keep] = [
        stage["keep"]
        for stage in compile_prune(config_, name).document()["stages"].values()
        if "keep" in stage
    ]
    return keep, config_.services[name].schedule


def test_while_labels_cannot_be_read_the_service_runs_and_nothing_is_pruned():
    """Even where the destination has rules of its own."""
    first = labelled(app(ON | {"packrat.retain": "2"}))
    assert kept(first.config) == ({"daily": 3}, "@daily")
    away = with_labels(config(), None, first.record)
    assert kept(away.config) == (1_000_000, "@daily")
    assert away.record == first.record


def test_when_labels_are_gone_the_service_is_listed_and_neither_runs_nor_is_pruned():
    first = labelled(app(ON | {"packrat.retain": "2"}))
    for now in (inventory(), inventory(app({}))):
        gone = with_labels(config(), now, first.record)
        assert kept(gone.config) == (1_000_000, None)
        assert "service app: its containers no longer have labels" in gone.faults[0]
        again = with_labels(config(), inventory(app(ON)), gone.record)
        assert kept(again.config) == ({"daily": 3}, "@daily")
    dropped = with_labels(
        config(docker={"labels": True, "ignore": ["app"]}), inventory(), first.record
    )
    assert (list(dropped.config.services), dropped.record) == (["own"], {})


def test_a_label_that_turns_bad_keeps_the_service_as_it_was_without_pruning():
    first = labelled(app(ON | {"packrat.retain": "2"}))
    bad = labelled(app(ON | {"packrat.retain": "two"}), record=first.record)
    assert kept(bad.config) == (1_000_000, "@daily")
    assert bad.record == first.record


def test_the_labels_in_the_documentation_work():
    page = (Path(__file__).parents[2] / "docs" / "discover.md").read_text()
    blocks = [yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    [labels] = [one["services"]["web"]["labels"] for one in blocks if "services" in one]
    found = labelled(container("wiki-web-1", "wiki_files:/files", project="wiki", labels=labels))
    service = found.config.services["wiki"]
    assert found.faults == ()
    assert (service.compose, service.schedule) == ("wiki", "0 5 * * *")
    assert service.exclude == ("*.log", "/tmp/")
    [ignore] = [one["docker"]["ignore"] for one in blocks if "ignore" in one.get("docker", {})]
    ignoring = config(docker={"ignore": ignore})
    [one] = coverage(ignoring, inventory(container("x", "player_cache:/c", "/srv/downloads/a:/d")))
    assert one.state == "optional"
