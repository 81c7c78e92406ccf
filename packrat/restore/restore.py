"""Run of a restore document, to a folder or in place."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import structs

from engine.events import Event, Listener, Warned
from engine.run import Clock
from packrat.errors import Interrupted
from packrat.restore.target_roots import selected, target_roots
from packrat.runs.execute import execute_watched, service_given
from packrat.runs.lock import service_lock
from packrat.runs.repair import require_repaired
from packrat.runs.room import room_hints
from packrat.text.report import count_text, missed_text
from stages.containers import Containers
from stages.errors import SourceError
from stages.facts import Downloaded, Downtime, RestoreJob, Swapped, Written
from stages.gather import lost_text, marker
from stages.in_place.dumps import with_dump_folders
from stages.in_place.forget import drop_unused
from stages.in_place.loads import unloaded
from stages.in_place.replaced import measure
from stages.in_place.staging import prepare
from stages.masking import masked
from stages.restore_target.layout import Layout
from stages.restore_target.target import Target
from stages.select import Select
from stages.source.roots import Roots
from vault.archive.format import stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.graph import Graph
    from packrat.restore.opened import OpenedBackup
    from specs.pipeline import Pipeline
    from stages.in_place.record import Phase
    from stages.source.attributes import Unset


@dataclass
class Restored:
    """Result of a restore; its fields are the keys of `--json`."""

    service: str
    id: str
    source: str
    """The destination it came from; `from` in JSON."""
    target: str
    """The folder; in place, the service's own."""
    files: int = 0
    size: int = 0
    downloaded: int = 0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    partial: bool = False
    """True if something differs from the backup; the warnings name it."""
    lost: list[str] = field(default_factory=list)
    """Files that could not be restored, because their data is damaged at every destination."""
    downtime_seconds: float | None = None
    """Seconds for which containers were down."""
    replaced_folder: str | None = None
    """The folder that holds what an in-place restore has replaced."""
    host: str = ""
    """The host whose backup it is."""
    made: str = ""
    """The time at which the backup was made."""
    replaced_until: str | None = None
    """The time from which the next good backup deletes that folder."""
    replaced_folders: list[str] = field(default_factory=list)
    """The replaced folders of all roots."""
    roots: list[dict[str, str]] = field(default_factory=list)
    """The restored roots of the backup: label, kind, source, and the target of each."""


def restore(
    pipeline: Pipeline,
    opened: OpenedBackup,
    listeners: Sequence[Listener] = (),
    clock: Clock | None = None,
) -> Restored:
    """Run a restore document on its backup.

    Raises the error that ended it, and Locked during another run of the service.
    """
    graph, clock = pipeline.graph(), clock or Clock()
    paths = next(n.stage.paths for n in graph.order if isinstance(n.stage, Select))
    job = RestoreJob(
        service=opened.service,
        backup=opened.manifest,
        where=opened.where,
        paths=tuple(paths),
        target=pipeline.to or "",
    )
    if pipeline.to is not None:
        hints = room_hints(pipeline.state_dir, pipeline.to)
        with hints, Target(pipeline.to, marker(job)) as target:
            return _run(pipeline, graph, job, opened, listeners, (target,), clock)
    tried_again: tuple[Phase, ...] = ("swapped",)
    roots = pipeline.reads.resolve() if pipeline.reads else Roots()
    roots = with_dump_folders(roots, pipeline.state_dir, pipeline.service)
    places = target_roots(job.backup.roots, roots, job.paths, opened.where)
    state_dir = pipeline.state_dir
    now = clock.now() / 1e9
    folders = [one.folder for one in places]
    with service_lock(state_dir, pipeline.service, now), room_hints(state_dir, *folders):
        # What an undo has not loaded is the only dump of the state before: it comes first.
        said = require_repaired(state_dir, pipeline.service, tried_again)
        for text in said:
            for listener in listeners:
                listener(Warned("restore", text))
        archive = opened.manifest.id
        with prepare(state_dir, job.service, places, archive, now) as staging:
            job = structs.replace(job, target=staging.path, in_place=True)
            trees = {one.record.label: (one.path, one.tree) for one in staging.roots}
            try:
                with Target.staged(trees, archive, again=staging.again) as target:
                    given = (target, staging, roots)
                    restored = _run(pipeline, graph, job, opened, listeners, given, clock)
            except BaseException:
                drop_unused(state_dir, staging)
                raise
        measure(state_dir, job.service)
        restored.target = ", ".join(one.folder for one in places)
        for at, one in zip(restored.roots, places, strict=True):
            at["target"] = one.folder
        restored.warnings[:0] = said
        return restored


def _run(
    pipeline: Pipeline,
    graph: Graph,
    job: RestoreJob,
    opened: OpenedBackup,
    listeners: Sequence[Listener],
    where: tuple[Any, ...],
    clock: Clock,
) -> Restored:
    begun = clock.ticks()
    warnings: list[str] = []
    about_files: list[str] = []
    # What these stages warn about concerns the service, not what was restored.
    containers = {node.name for node in graph.order if isinstance(node.stage, Containers)}

    def note(event: Event) -> None:
        if isinstance(event, Warned):
            warnings.append(masked(event.text))
            about_files.extend([] if event.stage in containers else warnings[-1:])

    ours = service_given(pipeline, f"restore of {opened.manifest.id[:8]}")
    given = (job, *where, opened.replicas, opened.keys, *ours)
    done = execute_watched(job.service, graph, given, [note, *listeners], clock)
    run, outcome = done.run, done.outcome
    swapped = outcome.fact(Swapped)
    if ended := done.error:
        if swapped:
            raise _after_the_swap(pipeline.state_dir, job.service, ended) from ended
        raise ended
    written = outcome.fact(Written)
    assert written is not None  # no stage has failed
    for what, unset in written.unset.items():
        run.warn(unset_text(what, unset))
    if written.lost and (layout := outcome.fact(Layout)):
        run.warn(lost_text(written, layout))
    partial = bool(about_files)
    if job.backup.missed:
        run.warn(missed_text(job.backup))
    for text in opened.replicas.notes.values():
        run.warn(text)
    downtime, downloaded = outcome.fact(Downtime), outcome.fact(Downloaded)
    return Restored(
        service=job.service,
        id=job.backup.id[:8],
        source=opened.source,
        target=job.target,
        files=written.files,
        size=written.size,
        downloaded=downloaded.bytes if downloaded else 0,
        seconds=round(clock.ticks() - begun, 3),
        warnings=warnings,
        partial=partial,
        lost=list(written.lost),
        downtime_seconds=downtime.seconds if downtime else None,
        replaced_folder=swapped.replaced[0] if swapped else None,
        replaced_folders=list(swapped.replaced) if swapped else [],
        roots=[
            structs.asdict(root) | {"target": os.path.join(job.target, root.label).rstrip("/")}
            for root in selected(job.backup.roots, job.paths)
        ],
        host=job.backup.host,
        made=job.backup.made,
        replaced_until=stamp(swapped.since + pipeline.keep_replaced) if swapped else None,
    )


def _after_the_swap(state_dir: str, service: str, error: BaseException) -> Exception:
    """Return the error of an in-place restore that failed after the swap."""
    restored = f"the files are restored; packrat restore --undo {service} undoes that"
    if missing := ", ".join(one.load.where for one in unloaded(state_dir, service) if one.load):
        restored = (
            f"the files are restored, but {missing} is not: packrat restore --undo {service} brings"
            " both back, the same restore again tries again; until then no backup is made"
        )
    if isinstance(error, KeyboardInterrupt):
        stopped = "post_restore was interrupted" if "post_restore" in error.args else "interrupted"
        return Interrupted(f"{service}: {stopped}; {restored}")
    hint = getattr(error, "hint", "")
    return SourceError(str(error), f"{hint}; {restored}" if hint else restored)


def unset_text(what: str, unset: Unset) -> str:
    """Return a warning about an attribute that could not be set, with the first file names."""
    names = ", ".join(unset.names) + ", …" * (unset.count > len(unset.names))
    if what == "device":
        return f"{count_text(unset.count, 'device')} could not be created: {names}"
    return f"{what} could not be set on {count_text(unset.count, 'file')}: {names}"
