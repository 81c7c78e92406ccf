"""Data that a service reads, as a pipeline document names it, and its roots on this machine."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from msgspec import structs
from pydantic import BaseModel, ConfigDict

from stages.databases.any import AnyDatabase  # noqa: TC001 (pydantic reads the annotations)
from stages.databases.base import Server
from stages.databases.sqlite import SQLite
from stages.errors import SourceError
from stages.service.compose import data_of
from stages.service.docker import PATIENCE_SECONDS, DockerEngine
from stages.service.inventory import read_inventory
from stages.service.volumes import volume_folder
from stages.source.roots import DUMP, ReadRoot, Roots, distinct, in_order, labels_of
from vault.archive.lineage import PATH_ROOT

if TYPE_CHECKING:
    from stages.service.inventory import Inventory

REMOTE = ("tcp://", "ssh://", "http://", "https://")
"""Beginning of the address of an engine on another machine."""


class Reads(BaseModel):
    """Parameter of the stages that find, read or exchange the folders of a service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str | None = None
    """Folder; the paths in the archive have no label if there is nothing else."""
    paths: tuple[str, ...] = ()
    """More folders, each under a label."""
    volumes: tuple[str, ...] = ()
    """Volumes by name."""
    compose: str | None = None
    """Compose project, for the volumes and folders that its containers write to."""
    databases: tuple[AnyDatabase, ...] = ()
    """Databases that are dumped; their files are not read."""
    host: str | None = None
    """Address of the Docker engine."""
    exclude: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    """Folders that belong to packrat: destinations, spool, state."""
    one_file_system: bool = False

    def resolve(self, patience: float = PATIENCE_SECONDS) -> Roots:
        """Return the roots and their folders; raises SourceError if they cannot be looked up.

        The Docker engine has `patience` seconds for each answer.
        """
        roots = [ReadRoot(label, "folder", path, path) for label, path in self.labels.items()]
        unread: list[str] = []
        if self.volumes or self.compose:
            engine = DockerEngine(self.host, patience)
            if engine.where.startswith(REMOTE):
                raise SourceError(
                    f"the volumes of the Docker engine at {engine.where} are not on this machine",
                    "run packrat on that machine, or name folders of this one with path:",
                )
            inventory = read_inventory(engine)
            roots += [_volume(inventory, name, name) for name in self.volumes]
            if self.compose:
                more, unread = self._of_project(inventory, self.compose, roots)
                roots += more
        data = self._data_folders(patience)
        roots = [root for root in roots if not any(_inside(root.folder, at) for at in data)]
        self._require_separate(roots)
        roots = [structs.replace(root, exclude=self._own_patterns(root)) for root in roots]
        roots += [ReadRoot(one.label, DUMP, one.where) for one in self.databases]
        return Roots(
            in_order(roots), self.exclude, (*self.never, *data), self.one_file_system, tuple(unread)
        )

    def _data_folders(self, patience: float) -> list[str]:
        """Return the folders of this machine that hold the data of dumped databases."""
        servers = [one for one in self.databases if isinstance(one, Server)]
        return [folder for one in servers for folder in one.data_folder(patience)]

    def _own_patterns(self, root: ReadRoot) -> tuple[str, ...]:
        """Return patterns for the files of dumped databases in a root."""
        top = os.path.realpath(root.folder)
        inside = [
            os.path.relpath(path, top)
            for one in self.databases
            if isinstance(one, SQLite)
            for path in one.own_files
            if PurePath(path).is_relative_to(top)
        ]
        return tuple("/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", path) for path in inside)

    def _of_project(
        self, inventory: Inventory, project: str, named: list[ReadRoot]
    ) -> tuple[list[ReadRoot], list[str]]:
        """Return the roots of a Compose project besides `named`, and what is in none of them."""
        data = data_of(inventory, project)
        taken = [*(root.label for root in named), *(one.label for one in self.databases)]
        known = {root.source for root in named if root.kind == "volume"}
        labels = distinct(
            [one.label for one in data], [one.volume or one.folder for one in data], taken
        )
        found, files = [], []
        for label, one in zip(labels, data, strict=True):
            if one.volume:
                if one.volume not in known:
                    found.append(_volume(inventory, one.volume, label))
            elif os.path.isfile(one.folder):
                files.append(one.folder)
            else:
                found.append(ReadRoot(label, "folder", one.folder, one.folder))
        found = [
            root
            for root in found
            if not any(self._covers(other, root) for other in named)
            and not any(
                self._covers(other, root) and not (root.label < other.label and _same(root, other))
                for other in found
                if other is not root
            )
        ]
        if not (found or named):
            raise SourceError(
                f"the containers of the Compose project {project} write to no volume or folder",
                "name what to back up with path: or volumes:",
            )
        everywhere = [*named, *found]
        return found, [
            f"containers of {project} write to the file {file}, which is not backed up: name its"
            " folder in paths:"
            for file in files
            if not any(_inside(file, root.folder) for root in everywhere)
        ]

    def _covers(self, root: ReadRoot, other: ReadRoot) -> bool:
        """Return whether the walk of a root also finds another one."""
        leaves = self.one_file_system and _device(root.folder) != _device(other.folder)
        return _inside(other.folder, root.folder) and not leaves

    def _require_separate(self, roots: list[ReadRoot]) -> None:
        """Raise SourceError if a folder of a root is in another one."""
        for root in roots:
            for other in roots:
                if root is not other and self._covers(root, other):
                    raise SourceError(
                        f"{_text(other)} is inside {_text(root)}, so it would be stored twice",
                        "leave one of them out",
                    )

    @property
    def labels(self) -> dict[str, str]:
        """Label -> folder, of the roots that are named by their folder."""
        folders = [*([self.path] if self.path else []), *self.paths]
        if self.path and not (self.paths or self.volumes or self.compose or self.databases):
            return {PATH_ROOT: self.path}
        taken = [*self.volumes, *(one.label for one in self.databases)]
        return dict(zip(labels_of(folders, taken), folders, strict=True))

    @property
    def named(self) -> list[str]:
        """Folders, volumes and databases, as the configuration names them."""
        return [
            *([self.path] if self.path else []),
            *self.paths,
            *(f"volume {name}" for name in self.volumes),
            *([f"Compose project {self.compose}"] if self.compose else []),
            *(one.where for one in self.databases),
        ]

    def describe(self) -> str:
        """Return what is read, and how much of it is left out."""
        count = len(self.exclude)
        patterns = [f"{count} exclude pattern{'s' * (count != 1)}"] if count else []
        return ", ".join([*self.named, *patterns])


def _volume(inventory: Inventory, name: str, label: str) -> ReadRoot:
    folder, on_demand = volume_folder(inventory, name)
    return ReadRoot(label, "volume", name, folder, on_demand)


def _text(root: ReadRoot) -> str:
    return f"volume {root.source}" if root.kind == "volume" else root.folder


def _inside(path: str, folder: str) -> bool:
    """Return whether a path is a folder, or in it."""
    return PurePath(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _same(one: ReadRoot, other: ReadRoot) -> bool:
    return os.path.realpath(one.folder) == os.path.realpath(other.folder)


def _device(path: str) -> int:
    try:
        return os.stat(path).st_dev
    except OSError:
        return -1
