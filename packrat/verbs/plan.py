"""`packrat plan`: what a run would do, stage by stage."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from packrat.errors import UsageError
from packrat.program import Program
from packrat.restore.choose import choose
from packrat.runs.plan_notes import prune_notes, restore_notes, source_notes
from packrat.runs.room import room_faults
from packrat.runs.spec_file import is_pipeline_file, pipelines_of
from packrat.text import drawing
from packrat.text.formats import PLAN_FORMATS
from packrat.text.report import print_json, say, time_text, warn
from specs.compile import compile_prune, compile_restore, compile_verify
from specs.pipeline import Pipeline, to_yaml
from specs.secret import SecretFault
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.graph import Graph
    from packrat.restore.request import Request


def show_plan(program: Program, what: Sequence[str], form: str, back: Request | None) -> None:
    """Print the graphs of some or all services: of backups, or of the restore `back`.

    `what` is one of prune, verify and FILE, or neither, and then names of services.
    """
    if form not in PLAN_FORMATS:
        raise UsageError(f"there is no format {form!r}; there are: {', '.join(PLAN_FORMATS)}")
    job = what[0] if what and what[0] in JOBS else ""
    what = what[bool(job) :]
    spec = what[0] if what and os.path.isfile(what[0]) else None
    if what and not spec and what[0].endswith((".yaml", ".yml", ".json")):
        raise UsageError(f"there is no file {what[0]!r}")
    if spec:
        program, what = Program(spec, only_look=True), what[1:]
    compiled = not (spec and is_pipeline_file(spec))
    if not compiled and (job or back):
        raise UsageError(f"{spec} is a pipeline document already: plan {spec} shows it")
    said: dict[str, str] = {}
    if job or back:
        stored = back is not None and back.target is not None
        names = program.services(what, stored=stored) if what else list(program.config.services)
        pipelines = [
            _restore_of(program, name, back, said) if back else JOBS[job](program, name)
            for name in names
        ]
    else:
        pipelines = pipelines_of(program, spec, what)
    print_plans(program, pipelines, form, said, compiled=compiled)


def print_plans(
    program: Program,
    pipelines: list[Pipeline],
    form: str,
    said: dict[str, str] | None = None,
    *,
    compiled: bool = True,
) -> None:
    """Print the graphs of pipelines in one of PLAN_FORMATS.

    `said` names the backup that each service restores. Only those compiled from a configuration are
    compared with what its destinations hold.
    """
    if form == "yaml":
        print(to_yaml(pipelines), end="")
        return
    graphs = {pipeline.service: pipeline.graph() for pipeline in pipelines}
    if form == "json":
        print_json([_document(p, graphs[p.service]) for p in pipelines])
    elif form in ("mermaid", "dot"):
        print(getattr(drawing, form)(graphs))
    else:
        for number, pipeline in enumerate(pipelines):
            of = f": restore of backup {said[pipeline.service]}" if said else ""
            say("\n" * bool(number) + pipeline.service + of)
            backup = pipeline.job == "backup"
            notes = source_notes(pipeline) if backup else restore_notes(pipeline)
            if compiled and pipeline.job in ("backup", "prune"):
                notes |= prune_notes(program, pipeline)
            say(drawing.tree(graphs[pipeline.service], notes))


def _restore_of(program: Program, service: str, back: Request, said: dict[str, str]) -> Pipeline:
    """Compile a restore from the destination that it would read from.

    Without the key or an answer, that is the nearest configured destination. The id and time of
    the backup are added to `said`.
    """
    backup, paths = "latest" if back.backup is None else back.backup, back.paths or ()
    try:
        chosen = choose(program, service, backup, back.source, warn)
        manifest, source = chosen.archive.manifest, chosen.catalog.destination.name
        backup = manifest.id
        said[service] = f"{backup[:8]}, {time_text(manifest.made)}"
        of = program.config.services[service]
        target = back.target or (of.folders[0] if of.folders and len(of.reads.named) == 1 else "")
        if target and not paths:  # the sizes of paths and of roots are not known here
            for text in room_faults(program.config.state_dir, target, manifest.size):
                warn(text)
    except (VaultError, SecretFault) as error:
        source = back.source or program.nearest(service)[0]
        said[service] = backup
        warn(f"the backup could not be looked up: {error}")
    to = back.target and os.path.abspath(os.path.expanduser(back.target))
    return compile_restore(program.config, service, backup, source, paths, to)


JOBS: dict[str, Callable[[Program, str], Pipeline]] = {
    "prune": lambda program, service: compile_prune(program.config, service),
    "verify": lambda program, service: compile_verify(program.config, service, "samples"),
}
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
