"""Parts that every command needs: configuration, state, keys, destinations."""

from __future__ import annotations

import os
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING

from packrat.errors import Unusable, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from specs.backup import Destination as DestinationSpec
    from specs.config import Config
    from specs.faults import Fault
    from specs.pipeline import Pipeline
    from vault.archive.keys import Keys
    from vault.catalog.cache import CatalogCache
    from vault.catalog.record import Record
    from vault.catalog.rules import Rules
    from vault.store.base import Store


class Program:
    """One configuration, loaded when it is first needed."""

    def __init__(
        self, config_file: str | None, *, only_look: bool = False, partial: bool = False
    ) -> None:
        """Store the path of the file. With `only_look`, not even the cache is changed.

        With `partial`, a broken configuration is used without its faulty parts.

        Raises:
            Unusable: /proc is missing, which is needed for attributes of links and fifos.
        """
        if not os.path.isdir("/proc/self/fd"):
            raise Unusable("/proc is not mounted", "mount it: mount -t proc proc /proc")
        self._given = config_file
        self._only_look, self._partial = only_look, partial
        self._stores: dict[str, Store] = {}
        self.adopted: frozenset[str] = frozenset()
        """Services that only the destinations know; the configuration has an empty section."""

    @cached_property
    def file(self) -> str:
        """The configuration file; raises ConfigFaults when there is none."""
        from specs.load import find_config

        return find_config(self._given)

    @cached_property
    def config(self) -> Config:
        """The configuration; raises ConfigFaults."""
        return self._loaded[0]

    @property
    def faults(self) -> list[Fault]:
        """Faults whose parts are missing in the configuration; always none unless `partial`."""
        return self._loaded[1]

    @cached_property
    def _loaded(self) -> tuple[Config, list[Fault]]:
        from specs.load import load_config
        from specs.salvage import load_readable

        config, faults = load_readable(self.file) if self._partial else (load_config(self.file), [])
        if config.docker.labels:
            from packrat.text.report import warn
            from specs.discovery.label_record import read_labels

            found = read_labels(config, remember=not (self._only_look or faults))
            config = found.config
            for fault in found.faults:
                warn(fault)
        return config, faults

    def require_whole(self) -> None:
        """Raise ConfigFaults if parts of the configuration are missing."""
        from specs.faults import ConfigFaults

        if self.faults:
            raise ConfigFaults(self.faults)

    @cached_property
    def host(self) -> str:
        """The name of this machine in its archives."""
        return self.config.host

    @cached_property
    def state_dir(self) -> str:
        """The folder of journal, cache and history."""
        return self.config.state_dir

    @cached_property
    def key_file(self) -> str:
        """The file with the keys."""
        return self.config.encryption.key_file

    @cached_property
    def keys(self) -> Keys:
        """The keys of the key file; raises KeyFileError.

        If the file is missing, the destinations decide the advice: a new key cannot open old
        backups.
        """
        from vault.archive.key_file import read_key_file
        from vault.errors import KeyFileError

        try:
            return read_key_file(self.key_file)
        except KeyFileError as error:
            if not isinstance(error.__context__, FileNotFoundError):  # it may be another user's
                raise
            raise KeyFileError(str(error), self._without_key()) from None

    def _without_key(self) -> str:
        """Return advice for a missing key file."""
        from vault.catalog.contained import contained
        from vault.errors import VaultError

        again = "packrat rekey recreates the key file from their password"
        away = []
        cache = open_cache(self.state_dir, aside=True)
        for store in self.destinations().values():
            try:
                with contained(store):
                    if any(store.archives(service) for service in store.services()):
                        return f"{store.name} holds backups: {again}"
                    away += [store.name] * bool(cache.emptied(store))  # is its disk mounted?
            except VaultError:
                away.append(store.name)
        if away:
            return f"{', '.join(away)} may hold backups that cannot be listed now: {again}"
        return "first time: packrat init"

    @cached_property
    def cache(self) -> CatalogCache:
        """Cache of the catalogs."""
        return open_cache(self.state_dir, aside=self._only_look)

    @cached_property
    def record(self) -> Record:
        """Record of what destinations were seen to hold."""
        return open_record(self.state_dir, aside=self._only_look)

    def under(self, keys: Keys) -> Program:
        """Return the same program with other keys; it does not write to the cache."""
        other = copy(self)
        other.keys = keys
        other.cache = open_cache(self.state_dir, aside=True)
        other.record = open_record(self.state_dir, aside=True)
        return other

    def destinations(self, service: str | None = None) -> dict[str, Store]:
        """Return the destinations of one service, or of all, by name."""
        named = self.config.destinations()
        if service is not None and service in self.config.services:
            named = self.config.destinations_of(self.config.services[service])
        return self.opened(named)

    def nearest(self, service: str) -> list[str]:
        """Return the names of a service's destinations, the fastest to read from first."""
        named = self.config.destinations_of(self.config.services[service])
        return sorted(named, key=lambda name: named[name].distance)

    def rules(self, service: str) -> dict[str, Rules]:
        """Return the rules of retention of each destination of a service, as far as known."""
        from stages.keep import parse_keep

        if (section := self.config.services.get(service)) is None:
            return {}
        named = self.config.destinations_of(section)
        return {name: parse_keep(self.config.retention_of(section, name)) for name in named}

    def destination(self, name: str) -> Store:
        """Return one destination; raises UsageError if there is none of that name."""
        named = self.config.destinations()
        if name not in named:
            raise UsageError(f"there is no destination {name!r}; there are: {', '.join(named)}")
        return self.opened({name: named[name]})[name]

    def reopened(self, name: str) -> Store:
        """Return a destination that has not connected yet, after its settings have changed."""
        self._stores.pop(name, None)
        return self.destination(name)

    def opened(self, specs: Mapping[str, DestinationSpec]) -> dict[str, Store]:
        """Return destinations, each of which is opened once; raises SecretFault."""
        # Reading a secret may need a terminal, and connecting takes time.
        beside = os.path.join(os.path.dirname(self.key_file), "known_hosts")
        for name, spec in specs.items():
            if name not in self._stores:
                self._stores[name] = spec.open(name, beside)
        return {name: self._stores[name] for name in specs}

    def services(self, names: Iterable[str], *, stored: bool = False) -> list[str]:
        """Return the names if all services exist; raises UsageError with the nearest name.

        With `stored`, one of which a destination holds backups exists although it is not
        configured: it is adopted.
        """
        import difflib

        for name in names:
            if name not in self.config.services and not (stored and self._adopt({name})):
                near = difflib.get_close_matches(name, self.config.services, 1)
                known = ", ".join(self.config.services)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {known}"
                raise UsageError(f"there is no service {name!r}; {hint}")
        return list(names)

    def adopt_all(self, silent: Collection[str] = ()) -> list[str]:
        """Adopt and return all services that only the destinations know.

        `silent` are destinations that do not answer. With a broken configuration, a service that is
        in a broken part would be among them, so there are none.
        """
        return [] if self.faults else self._adopt(None, silent)

    def _adopt(self, names: Collection[str] | None, silent: Collection[str] = ()) -> list[str]:
        from specs.service import Service
        from specs.values import is_name
        from vault.catalog.services import stored_services

        def considered(name: str) -> bool:
            known = name in self.config.services
            return is_name(name) and not known and (names is None or name in names)

        if names is not None and not any(map(considered, names)):
            return []
        stores = [one for name, one in self.destinations().items() if name not in silent]
        found = stored_services(stores, considered)
        # Their rules of retention are not known any more. The path is not used.
        bare = {name: Service.model_construct(path="/", retain_backups=1) for name in found}
        services = self.config.services | bare
        self.config = self.config.model_copy(update={"services": services})
        self.adopted |= bare.keys()
        return found


class DocumentProgram(Program):
    """Program for pipeline documents of one machine, which are self-contained."""

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        super().__init__(None)
        self._pipelines = {pipeline.service: pipeline for pipeline in pipelines}
        first = pipelines[0]
        self.host, self.state_dir, self.key_file = first.host, first.state_dir, first.key_file

    def destinations(self, service: str | None = None) -> dict[str, Store]:
        """Return the destinations of one document, or of all."""
        pipelines = [self._pipelines[service]] if service else self._pipelines.values()
        return self.opened({n: spec for one in pipelines for n, spec in one.destinations.items()})

    def nearest(self, service: str) -> list[str]:
        """Return their names, in the order of the document."""
        return list(self._pipelines[service].destinations)

    def rules(self, service: str) -> dict[str, Rules]:
        """Return the rules of retention from the stages of a document; a restore has none."""
        from stages.prune import Prune
        from stages.verify import Verify

        stages = [node.stage for node in self._pipelines[service].graph().order]
        return {one.destination: one.keep for one in stages if isinstance(one, Prune | Verify)}


def open_cache(state_dir: str, *, aside: bool = False) -> CatalogCache:
    """Open the cache of a state folder; with `aside`, it is not changed."""
    from vault.catalog.cache import CatalogCache

    return CatalogCache(os.path.join(state_dir, "catalog.sqlite"), aside=aside)


def open_record(state_dir: str, *, aside: bool = False) -> Record:
    """Open the record of a state folder; with `aside`, it is not changed."""
    from vault.catalog.record import Record

    return Record(os.path.join(state_dir, "record"), aside=aside)


def log_file(state_dir: str, service: str) -> str:
    """Return the path of the log with the output of a service's commands."""
    return os.path.join(state_dir, "logs", f"{service}.log")
