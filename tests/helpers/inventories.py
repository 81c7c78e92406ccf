"""Inventories of engines that need not run, for functions of an inventory."""

from specs.config import Config
from stages.service.inventory import COMPOSE, ContainerEntry, Inventory, VolumeEntry
from stages.service.mounts import Mount


def container(
    name: str,
    *mounts: str,
    project: str = "",
    service: str = "",
    image: str = "app",
    labels: dict[str, str] | None = None,
    image_labels: dict[str, str] | None = None,
    depends_on: tuple[str, ...] = (),
) -> ContainerEntry:
    """Return a container; a mount is written as for `docker run -v`."""
    compose = {f"{COMPOSE}project": project} if project else {}
    return ContainerEntry(
        id=f"id-{name}",
        name=name,
        image=image,
        command=(),
        state="running",
        project=project,
        service=service or (name if project else ""),
        one_off=False,
        vanishes=False,
        depends_on=depends_on,
        labels={**(image_labels or {}), **(labels or {}), **compose},
        image_labels=image_labels or {},
        mounts=tuple(map(_mount, mounts)),
        environment=frozenset(),
        network="",
    )


def _mount(text: str) -> Mount:
    source, destination = text.split(":")
    if source.startswith("/"):
        return Mount("bind", "", source, destination, writable=True)
    return Mount("volume", source, f"/v/{source}/_data", destination, writable=True)


def inventory(*containers: ContainerEntry) -> Inventory:
    """Return these containers with their volumes."""
    names = sorted({m.name for one in containers for m in one.mounts if m.name})
    volumes = (VolumeEntry(n, "local", {}, f"/v/{n}/_data", len(n) == 64) for n in names)
    return Inventory(tuple(sorted(containers, key=lambda one: one.name)), tuple(volumes))


def config(**more: object) -> Config:
    """Return a configuration with one service, and labels enabled."""
    document = {
        "services": {"own": {"path": "/srv/own", "schedule": "@daily"}},
        "backup": {"local": {"path": "/mnt/backup", "retain": {"daily": 3}}},
        "docker": {"labels": True},
        "state_dir": "/nowhere",
    }
    return Config.model_validate(document | more, context={"folder": "/"})
