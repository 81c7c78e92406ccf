"""Inventory of a Docker engine: its containers and volumes, read in few requests."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from stages.errors import SourceError
from stages.service.docker import EngineAway, NoContainer, network_of, vanishes
from stages.service.mounts import mounts_of

if TYPE_CHECKING:
    from stages.service.docker import DockerEngine
    from stages.service.mounts import Mount

COMPOSE = "com.docker.compose."
BY_COMPOSE = (f"{COMPOSE}config-hash", f"{COMPOSE}container-number")
"""Labels of each container that Compose created. It puts them into no image, unlike `project`."""
ANONYMOUS = "com.docker.volume.anonymous"
_GENERATED = re.compile(r"[0-9a-f]{64}")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,127}")


class ContainerEntry(Struct, frozen=True):
    """Container, running or not."""

    id: str
    name: str
    image: str
    """As the container was created with, for example `postgres:17`."""
    command: tuple[str, ...]
    """Entry point and arguments."""
    state: str
    """`running`, `exited`, `created`, `paused` and others."""
    project: str
    """The Compose project; empty without one."""
    service: str
    """The service of the Compose project."""
    one_off: bool
    """It was started by `docker compose run`."""
    vanishes: bool
    """It is removed when it ends."""
    depends_on: tuple[str, ...]
    """The services of the project that it starts after."""
    labels: dict[str, str]
    image_labels: dict[str, str] | None
    """Labels of the image itself; None where the image cannot be read."""
    mounts: tuple[Mount, ...]
    environment: frozenset[str]
    """Names of the environment variables, without their values."""
    network: str
    """Id or name of the container whose network it uses; empty without one."""

    def own_labels(self, prefix: str) -> dict[str, str]:
        """Return the labels with a prefix that were set for this container.

        A label that the image carries with the same value is not among them, since whoever builds
        an image must not configure packrat. If the image cannot be read, none is.
        """
        if self.image_labels is None:
            return {}
        return {
            key: value
            for key, value in self.labels.items()
            if key.startswith(prefix) and self.image_labels.get(key) != value
        }


class VolumeEntry(Struct, frozen=True):
    """Volume, used or not."""

    name: str
    driver: str
    options: dict[str, str]
    """Options of its driver, for example of an NFS mount."""
    mountpoint: str
    """The folder on the host."""
    anonymous: bool
    """Docker has made up its name."""

    @property
    def on_demand(self) -> bool:
        """True if its folder is empty while no container uses it."""
        options = self.options
        mounted = options.get("type") or options.get("device")
        return self.driver not in ("", "local") or bool(mounted)


class Inventory(Struct, frozen=True):
    """Containers and volumes of an engine at one time, each sorted by name."""

    containers: tuple[ContainerEntry, ...]
    volumes: tuple[VolumeEntry, ...]

    def project(self, name: str) -> tuple[ContainerEntry, ...]:
        """Return the containers of a Compose project."""
        return tuple(one for one in self.containers if name and one.project == name)

    def volume(self, name: str) -> VolumeEntry | None:
        """Return a volume by its name, None if there is none."""
        return next((one for one in self.volumes if one.name == name), None)


def read_inventory(engine: DockerEngine) -> Inventory:
    """Read all containers and volumes; raises EngineAway, SourceError.

    This takes one request a container and one a distinct image. A container that is removed
    meanwhile is left out.
    """
    with engine.api("list containers") as api:
        ids = [str(one["Id"]) for one in api.containers(all=True)]
    with engine.api("list volumes") as api:
        volumes = api.volumes()["Volumes"] or []
    images: dict[str, dict[str, str] | None] = {}
    containers = []
    for id_ in ids:
        with suppress(NoContainer):
            with engine.api(f"look at container {id_[:12]}", id_) as api:
                found = api.inspect_container(id_)
            image = str(found["Image"])
            if image not in images:
                images[image] = _image_labels(engine, image)
            containers.append(_container(found, images[image]))
    return Inventory(
        tuple(sorted(containers, key=lambda one: one.name)),
        tuple(sorted(map(_volume, volumes), key=lambda one: one.name)),
    )


def _image_labels(engine: DockerEngine, image: str) -> dict[str, str] | None:
    """Return the labels of an image, None if it was deleted or cannot be read."""
    try:
        with engine.api(f"look at image {image}") as api:
            config = api.inspect_image(image).get("Config") or {}
    except EngineAway:
        raise
    except SourceError:
        return None
    return dict(config.get("Labels") or {})


def _container(found: dict[str, Any], image_labels: dict[str, str] | None) -> ContainerEntry:
    config = found["Config"]
    labels = dict(config.get("Labels") or {})
    compose = labels if _is_by_compose(labels, image_labels) else {}
    return ContainerEntry(
        id=str(found["Id"]),
        name=str(found["Name"]).lstrip("/"),
        image=str(config.get("Image") or ""),
        command=(*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())),
        state=str(found["State"].get("Status") or ""),
        project=compose.get(f"{COMPOSE}project", ""),
        service=compose.get(f"{COMPOSE}service", ""),
        one_off=compose.get(f"{COMPOSE}oneoff") == "True",
        vanishes=vanishes(found),
        depends_on=_dependencies(compose.get(f"{COMPOSE}depends_on", "")),
        labels=labels,
        image_labels=image_labels,
        mounts=mounts_of(found),
        environment=frozenset(one.partition("=")[0] for one in config.get("Env") or []),
        network=network_of(found),
    )


def _is_by_compose(labels: dict[str, str], image_labels: dict[str, str] | None) -> bool:
    """Return whether the labels of Compose were set for the container, and name a project.

    Images that Compose has built carry `project` and `service` too, so these do not show it.
    """
    of_image = image_labels or {}
    named = bool(_PROJECT.fullmatch(labels.get(f"{COMPOSE}project", "")))
    return named and any(
        key in labels and labels[key] != of_image.get(key)
        for key in (*BY_COMPOSE, f"{COMPOSE}project")
    )


def _dependencies(label: str) -> tuple[str, ...]:
    """Return the services in a label such as `db:service_healthy:true,cache:service_started`."""
    names = (one.partition(":")[0].strip() for one in label.split(","))
    return tuple(name for name in names if name)


def _volume(found: dict[str, Any]) -> VolumeEntry:
    labels = found.get("Labels") or {}
    name = str(found["Name"])
    return VolumeEntry(
        name=name,
        driver=str(found.get("Driver") or ""),
        options={str(key): str(value) for key, value in (found.get("Options") or {}).items()},
        mountpoint=str(found.get("Mountpoint") or ""),
        anonymous=ANONYMOUS in labels or bool(_GENERATED.fullmatch(name)),
    )
