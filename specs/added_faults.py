"""Faults in `stages:` of a service, each at its line and column."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from engine.graph import GraphFaults
from specs.compile import compile_service
from specs.insertion import insert
from specs.translate import translate
from stages.foreign import UnusableKind
from stages.kinds import BUILT_IN, foreign_names, kinds_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from specs.config import Config
    from specs.document import Document, KeyPath
    from specs.faults import Fault


def added_faults(document: Document, config: Config | None) -> Iterator[Fault]:
    """Yield every fault in `stages:` of any service.

    `config` is the configuration if it is otherwise valid; without it, positions are not checked.
    """
    services = document.data.get("services")
    for service, settings in services.items() if isinstance(services, dict) else ():
        entries = settings.get("stages") if isinstance(settings, dict) else None
        if not isinstance(entries, list):
            continue
        path = ("services", service, "stages")
        faults = [
            fault
            for number, entry in enumerate(entries)
            if isinstance(entry, dict)
            for fault in _of_entry(document, (*path, number), entry)
        ]
        yield from faults
        if config and not faults:
            yield from _of_positions(document, path, config, service)


def _of_entry(document: Document, path: KeyPath, entry: dict[str, Any]) -> Iterator[Fault]:
    """Check the kind of an entry and its parameters."""
    name = entry.get("kind")
    if not isinstance(name, str):
        return  # the model refuses it
    at = (*path, "kind")
    if name in BUILT_IN:
        yield document.fault(
            at, f"{name} is built in: packrat puts it into the pipeline itself", "remove the entry"
        )
        return
    try:
        kind = next((kind for kind in kinds_for([name]) if kind.kind == name), None)
    except UnusableKind as error:
        yield document.fault(at, str(error), error.hint)
        return
    if kind is None:
        installed = foreign_names()
        hint = _nearest(name, installed) or (
            "install the package that has it, or remove the entry: restores do not need it"
        )
        yield document.fault(at, f"there is no stage kind '{name}'", hint)
        return
    params = {key: value for key, value in entry.items() if key not in ("kind", "after", "before")}
    try:
        kind.model_validate(params)
    except ValidationError as error:
        yield from translate(error, document, kind, path)


def _of_positions(
    document: Document, path: KeyPath, config: Config, service: str
) -> Iterator[Fault]:
    """Check the positions of the added stages of a service."""
    settings = config.services[service]
    bare = config.model_copy(
        update={"services": {service: settings.model_copy(update={"stages": ()})}}
    )
    pipeline = compile_service(bare, service)
    insertion = insert(pipeline.stages, settings.stages)
    for number, known in insertion.unknown.items():
        entry = settings.stages[number]
        at = (*path, number, "after" if entry.after else "before")
        hint = _nearest(entry.anchor, known) or f"there are: {', '.join(pipeline.stages)}"
        yield document.fault(at, f"there is no stage '{entry.anchor}' in this pipeline", hint)
    try:
        pipeline.model_copy(update={"stages": insertion.stages}).graph()
    except GraphFaults as error:
        for fault in error.faults:
            name, _, what = fault.partition(": ")
            number = insertion.added.get(name, -1)
            at = (*path, number) if number >= 0 else path
            yield document.fault(at, what if number >= 0 else fault)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{near[0]}'?" if near else ""
