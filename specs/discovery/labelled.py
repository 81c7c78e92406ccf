"""Configuration with the services that labels of containers ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from pydantic import ValidationError

from specs.discovery.coverage import coverage
from specs.discovery.labels import settings_of
from specs.discovery.proposal import collisions, propose, service_name, usual_schedule
from specs.faults import printable
from specs.service import Service
from specs.translate import words_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from specs.config import Config
    from specs.discovery.coverage import Covered
    from specs.discovery.labels import LabelSettings
    from stages.service.inventory import Inventory

Record = dict[str, dict[str, Any]]
"""Name of a service -> its keys, as the labels last had them."""


class Labelled(Struct, frozen=True):
    """Configuration with the services of labels."""

    config: Config
    record: Record
    """The services that labels have made; to be kept for the next time."""
    faults: tuple[str, ...] = ()
    """A sentence for each label that is not used, and for each service whose labels are gone."""


def with_labels(config: Config, inventory: Inventory | None, record: Record) -> Labelled:
    """Add a service for each group whose labels enable it; the configuration's own come first.

    A service of the `record` whose labels are gone is kept without a schedule, and one whose labels
    cannot be read now (`inventory` is None, or a label is bad) as it was. Neither is pruned,
    because its rules of retention are unknown.
    """
    ignored = set(config.docker.ignore)
    known = {
        name: settings
        for name, settings in record.items()
        if name not in config.services and name not in ignored
    }
    if inventory is None:
        return _extended(config, {name: _unpruned(one) for name, one in known.items()}, known)
    groups = [one for one in coverage(config, inventory) if not one.ignored]
    labels = {one.group.name: settings_of(one.group) for one in groups}
    faults = [fault for said in labels.values() for fault in said.faults]
    made, refused = _made(config, groups, labels)
    faults += refused.values()
    unsure = {service_name(name) for name, said in labels.items() if said.faults}
    unsure |= {service_name(name) for name in refused}
    services = {name: _unpruned(one) if name in unsure else one for name, one in made.items()}
    for name, settings in known.items():
        if name not in services:
            services[name] = _unpruned(settings, scheduled=name in unsure)
            if name not in unsure:
                faults.append(
                    f"service {name}: its containers no longer have labels that enable it, or"
                    " another service has their data; no new backups are made, and the present ones"
                    f" are kept. To drop the service, add {name} to docker.ignore"
                )
    more = [name for name, said in labels.items() if said.enable is False]
    return _extended(config, services, known | made, faults, more)


def _made(
    config: Config, groups: list[Covered], labels: Mapping[str, LabelSettings]
) -> tuple[Record, dict[str, str]]:
    """Return the services of the enabled groups, and group -> why it has none."""
    enabled = [one for one in groups if labels[one.group.name].enable]
    proposals = propose(enabled, usual_schedule(config))
    refused = collisions(proposals, config.services)
    refused |= {
        one.group.name: f"container {one.group.containers[0].name}: packrat.enable has no effect:"
        " it keeps no data that would need a backup"
        for one in enabled
        if one.state in ("optional", "empty")
    }
    made = {}
    for one in proposals:
        settings = one.settings | labels[one.group].settings
        try:
            _service(settings)
        except ValidationError as error:  # for example the name of a plugin's volume
            what, _ = words_of(error.errors(include_url=False)[0])
            why = f"{one.group}: its labels make no valid service ({what}); write one by hand"
            refused.setdefault(one.group, printable(why))
        if one.group not in refused:
            made[one.name] = settings
    return made, refused


def _unpruned(settings: dict[str, Any], *, scheduled: bool = True) -> dict[str, Any]:
    kept = settings if scheduled else {k: v for k, v in settings.items() if k != "schedule"}
    return kept | {"prune": False}


def _extended(
    config: Config,
    services: Record,
    record: Record,
    faults: list[str] | None = None,
    ignored: list[str] | None = None,
) -> Labelled:
    made = {name: _service(one) for name, one in services.items()}
    docker = config.docker.model_copy(update={"ignore": (*config.docker.ignore, *(ignored or ()))})
    new = config.model_copy(update={"services": {**config.services, **made}, "docker": docker})
    return Labelled(new, record, tuple(faults or ()))


def _service(settings: dict[str, Any]) -> Service:
    return Service.model_validate(settings, context={"folder": "/"})
