"""`packrat plan` and `packrat explain`: what a run would do, and why a path is in or out."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from packrat.errors import UsageError
from packrat.restore.request import inside
from packrat.text import drawing
from packrat.text.report import as_json, bytes_text, count_text, warn
from packrat.verbs.plan_sharing import sharing_notes
from specs.faults import printable
from stages.facts import Pruned
from stages.in_place.folder import own_folders
from stages.in_place.survey import mounts_in
from stages.source.exclude import Excludes
from stages.source.walk import folders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.graph import Graph
    from packrat.program import Program
    from specs.pipeline import Pipeline

FORMATS = ("tree", "mermaid", "dot", "json", "yaml")


def pipelines_of(program: Program, spec: str | None, services: Sequence[str]) -> list[Pipeline]:
    """Return the pipelines of a pipeline document, or compile those of a configuration.

    Raises ConfigFaults, and UsageError for an unknown service.
    """
    from specs.compile import compile_service
    from specs.faults import ConfigFaults
    from specs.pipeline import load_pipelines
    from specs.trust import distrusted

    if spec is not None and is_pipeline_file(spec):
        pipelines = load_pipelines(spec)
        keys = [pipeline.key_file for pipeline in pipelines]
        folders = [folder for one in pipelines for folder in (one.state_dir, one.spool)]
        if faults := list(distrusted(keys, folders)):
            raise ConfigFaults(faults)
        known = [pipeline.service for pipeline in pipelines]
        for name in services:
            if name not in known:
                raise UsageError(f"{spec} has no pipeline of {name!r}; it has: {', '.join(known)}")
        return [p for p in pipelines if not services or p.service in services]
    names = program.services(services) if services else list(program.config.services)
    return [compile_service(program.config, name) for name in names]


def is_pipeline_file(spec: str) -> bool:
    """Return whether a file contains pipeline documents; an unreadable file does not."""
    from specs.pipeline import is_pipeline

    try:
        with open(spec, encoding="utf-8", errors="replace") as file:
            return is_pipeline(file.read(1 << 20))
    except OSError:
        return False  # the loader of configurations reports why


def show_plan(program: Program, what: Sequence[str], form: str, back: WayBack | None) -> None:
    """Print the graphs of some or all services: of backups, or of the restore `back`.

    `what` is one of prune, verify and FILE, or neither, and then names of services.
    """
    from packrat.program import Program as ProgramOf
    from specs.pipeline import to_yaml

    if form not in FORMATS:
        raise UsageError(f"there is no format {form!r}; there are: {', '.join(FORMATS)}")
    job = what[0] if what and what[0] in JOBS else ""
    what = what[bool(job) :]
    spec = what[0] if what and os.path.isfile(what[0]) else None
    if what and not spec and what[0].endswith((".yaml", ".yml", ".json")):
        raise UsageError(f"there is no file {what[0]!r}")
    if spec:
        program, what = ProgramOf(spec, only_look=True), what[1:]
    compiled = not (spec and is_pipeline_file(spec))
    if not compiled and (job or back):
        raise UsageError(f"{spec} is a pipeline document already: plan {spec} shows it")
    if job or back:
        names = program.services(what) if what else list(program.config.services)
        pipelines = [back.of(program, name) if back else JOBS[job](program, name) for name in names]
    else:
        pipelines = pipelines_of(program, spec, what)
    if form == "yaml":
        print(to_yaml(pipelines), end="")
        return
    graphs = {pipeline.service: pipeline.graph() for pipeline in pipelines}
    if form == "json":
        as_json([_document(p, graphs[p.service]) for p in pipelines])
    elif form in ("mermaid", "dot"):
        print(getattr(drawing, form)(graphs))
    else:
        for number, pipeline in enumerate(pipelines):
            print("\n" * bool(number) + pipeline.service)
            forward = pipeline.job == "backup"
            notes = _notes(pipeline) if forward else _mounts(pipeline) | sharing_notes(pipeline)
            if compiled and pipeline.job in ("backup", "prune"):
                notes |= _prune_notes(program, pipeline)
            print(drawing.tree(graphs[pipeline.service], notes))


class WayBack(Struct, frozen=True):
    """Options of the restore whose plan is shown."""

    to: str | None = None
    """The folder; None for in place."""
    backup: str = "latest"
    source: str | None = None
    paths: tuple[str, ...] = ()

    def of(self, program: Program, service: str) -> Pipeline:
        """Compile the restore from the destination that it would read from.

        Without the key or an answer, that is the nearest configured destination.
        """
        from packrat.restore.choose import choose
        from specs.compile import compile_restore
        from specs.secret import SecretFault
        from vault.errors import VaultError

        try:
            chosen = choose(program, service, self.backup, self.source, warn)
            backup, source = chosen.archive.manifest.id, chosen.catalog.destination.name
        except (VaultError, SecretFault) as error:
            backup, source = self.backup, self.source or program.nearest(service)[0]
            warn(f"the backup could not be looked up: {error}")
        to = self.to and os.path.abspath(os.path.expanduser(self.to))
        return compile_restore(program.config, service, backup, source, self.paths, to)


def _prune(program: Program, service: str) -> Pipeline:
    from specs.compile import compile_prune

    return compile_prune(program.config, service)


def _verify(program: Program, service: str) -> Pipeline:
    from specs.compile import compile_verify

    return compile_verify(program.config, service, "samples")


JOBS: dict[str, Callable[[Program, str], Pipeline]] = {"prune": _prune, "verify": _verify}
"""Jobs other than a backup, which `plan` shows by name."""


def _document(pipeline: Pipeline, graph: Graph) -> dict[str, Any]:
    return {
        "service": pipeline.service,
        "stages": [
            {
                "name": node.name,
                "kind": node.stage.kind,
                "releases": node.releases,
                "reversed": node.reversed,
                "after": [before.name for before in graph.before(node.name)],
                "does": node.does,
            }
            for node in graph.order
        ],
    }


def _notes(pipeline: Pipeline) -> dict[str, str]:
    """Return stage -> note on how much there is to read now."""
    notes = {}
    for name, params in pipeline.stages.items():
        if params.get("kind") == "collect":
            try:
                exclude, never = params.get("exclude", ()), params.get("never", ())
                files, size = count_source(pipeline.state_dir, params["path"], exclude, never)
                notes[name] = f"{count_text(files, 'file')}, {bytes_text(size)}"
            except OSError as error:
                notes[name] = f"now: {(error.strerror or '').lower()}"
    return notes


def _mounts(pipeline: Pipeline) -> dict[str, str]:
    """Return stage -> note on mounted folders that an in-place restore leaves out."""
    notes = {}
    for name, params in pipeline.stages.items():
        if params.get("kind") == "collect" and (mounts := mounts_in(params["path"])):
            named = ", ".join(map(printable, mounts))
            notes[name] = (
                f"now: not restored, since another filesystem is mounted there: {named}; packrat"
                f" restore {pipeline.service} --path PATH --to DIR restores it to a folder"
            )
    return notes


def _prune_notes(program: Program, pipeline: Pipeline) -> dict[str, str]:
    """Return stage -> note on what prune would delete; for a backup, after it. Needs the key."""
    from packrat.runs.maintenance import maintain
    from specs.compile import compile_prune
    from specs.secret import SecretFault
    from vault.errors import VaultError

    if not os.path.exists(pipeline.key_file):
        return {}
    coming = int(pipeline.job == "backup")
    look = compile_prune(program.config, pipeline.service, dry_run=True, coming=coming, tidy=False)
    try:
        outcome = maintain(look, program.keys, program.cache)
    except (VaultError, SecretFault) as error:  # a plan must work without them
        warn(f"what prune would delete is not known: {error}")
        return {}
    notes = {stage: f"now: {error}" for stage, error in outcome.failed.items()}
    for pruned in outcome.facts_of(Pruned):
        names = ", ".join(stored.name for stored in pruned.archives)
        if pruned.problem or names:
            said = f"now: {pruned.problem}" if pruned.problem else f"would delete {names}"
            notes[f"prune:{pruned.destination}"] = said
    return notes


def count_source(
    state_dir: str, path: str, exclude: Iterable[str], never: Iterable[str] = ()
) -> tuple[int, int]:
    """Count the files and bytes below a path that `collect` would read; raises OSError."""
    excludes = Excludes(exclude)
    own = folders(never) | own_folders(state_dir, path)
    files = size = 0
    todo = [("", os.fsencode(path))]
    while todo:
        prefix, folder = todo.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            if not prefix:
                raise
            continue
        for entry in entries:
            name = prefix + os.fsdecode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                if excludes.excludes(name + "/") or excludes.excludes_all_below(name):
                    continue
                if own.isdisjoint(folders([os.fsdecode(entry.path)])):
                    todo.append((name + "/", entry.path))
            elif not excludes.excludes(name):
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                files += 1
                size += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return files, size


def explain_path(program: Program, service: str, path: str) -> None:
    """Print whether a path is backed up, and which pattern decides it."""
    [service] = program.services([service])
    settings = program.config.services[service]
    named = inside(path, settings.path)
    if named is None:
        print(f"out: {printable(path)} is not below {printable(settings.path)}")
        return
    inner = named or "."
    whole = os.path.join(settings.path, named)
    if os.path.isdir(whole) and not os.path.islink(whole) and named:
        inner += "/"
    if own := _own_above(program, service, whole):
        print(f"out: {printable(inner)}: {printable(own)} is packrat's own")
        return
    excludes = Excludes(settings.exclude)
    said = excludes.why(inner)
    if said is None:
        there = "" if os.path.lexists(whole) else ", but it is not there now"
        print(f"in: {printable(inner)}: no pattern matches it{there}")
        return
    part, pattern = said
    verdict = "out" if excludes.excludes(part) else "in"
    above = "" if part == inner else f" {printable(part)}, above it,"
    where = f"services.{service}.exclude[{settings.exclude.index(pattern)}]"
    print(f"{verdict}: {printable(inner)}:{above} matches {pattern!r} ({where})")


def _own_above(program: Program, service: str, path: str) -> str | None:
    """Return the folder of packrat's own that is or contains a path, or None."""
    from specs.compile import compile_service

    collect = compile_service(program.config, service).stages["collect"]
    own = folders(collect.get("never", ()))
    own |= own_folders(program.config.state_dir, collect["path"])
    while path not in ("/", collect["path"], ""):
        if not own.isdisjoint(folders([path])):
            return path
        path = os.path.dirname(path)
    return None
