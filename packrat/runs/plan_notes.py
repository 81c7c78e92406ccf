"""Notes in a plan on what its stages would do now: files to read, archives to delete."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from packrat.runs.fates import counts_text, fates, renewals
from packrat.runs.maintenance import maintain
from packrat.text.report import bytes_text, count_text, warn
from specs.compile import compile_prune
from specs.faults import printable
from specs.secret import SecretFault
from stages.containers import Containers
from stages.errors import SourceError
from stages.facts import Holdings, Pruned
from stages.in_place.survey import mounts_in
from stages.root_walk import count_source
from stages.service.docker import DockerEngine
from stages.service.neighbours import others, restart_text, used_by
from stages.source.roots import Roots
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packrat.program import Program
    from specs.pipeline import Pipeline

NAMED = ("names", "compose")
"""Parameters of `containers` that name some."""
PATIENCE_SECONDS = 10
"""Seconds for an answer of the Docker engine; a plan does not need it."""


def source_notes(pipeline: Pipeline) -> dict[str, str]:
    """Return stage -> note on how much there is to read now."""
    try:
        roots = pipeline.reads.resolve(PATIENCE_SECONDS) if pipeline.reads else Roots()
        files, size = count_source(pipeline.state_dir, roots)
        said = f"{count_text(files, 'file')}, {bytes_text(size)}{_labels_text(roots)}"
    except (SourceError, OSError) as error:
        said = f"now: {error}"
    return {name: said for name, one in pipeline.stages.items() if one.get("kind") == "collect"}


def _labels_text(roots: Roots) -> str:
    """Return the labels of the roots, and the folder of each, to continue a sentence."""
    if not roots.labelled:
        return ""
    return "; " + ", ".join(
        f"{root.label} from {printable(root.folder)}" for root in roots.roots if root.folder
    )


def restore_notes(pipeline: Pipeline) -> dict[str, str]:
    """Return stage -> note on what an in-place restore leaves out, or shares with others."""
    try:
        roots = pipeline.reads.resolve(PATIENCE_SECONDS) if pipeline.reads else Roots()
    except SourceError as error:
        warn(f"where the files would go is not known: {error}")
        return {}
    folders = roots.folders
    return _mount_notes(pipeline, folders) | _sharing_notes(pipeline, folders)


def _mount_notes(pipeline: Pipeline, folders: Sequence[str]) -> dict[str, str]:
    """Return stage -> note on mounted folders that an in-place restore leaves out."""
    notes = {}
    several = len(folders) > 1
    for name, params in pipeline.stages.items():
        mounts = [os.path.join(top * several, at) for top in folders for at in mounts_in(top)]
        if params.get("kind") == "collect" and mounts:
            named = ", ".join(map(printable, mounts))
            notes[name] = (
                f"now: not restored, since another filesystem is mounted there: {named}; packrat"
                f" restore {pipeline.service} --path PATH --to DIR restores it to a folder"
            )
    return notes


def prune_notes(program: Program, pipeline: Pipeline) -> dict[str, str]:
    """Return stage -> note on what prune would delete, and what a backup would store again.

    For a backup, it is what prune would delete after it. Needs the key.
    """
    if not os.path.exists(pipeline.key_file):
        return {}
    coming = int(pipeline.job == "backup")
    look = compile_prune(program.config, pipeline.service, dry_run=True, coming=coming, tidy=False)
    try:
        outcome = maintain(look, program)
    except (VaultError, SecretFault) as error:  # a plan must work without them
        warn(f"cannot tell what prune would delete: {error}")
        return {}
    notes = {stage: f"now: {error}" for stage, error in outcome.failed.items()}
    holdings = outcome.fact(Holdings)
    for pruned in outcome.facts_of(Pruned):
        names = ", ".join(stored.name for stored in pruned.archives)
        if pruned.problem or names:
            said = f"now: {pruned.problem}" if pruned.problem else f"would delete {names}: expired"
            notes[f"prune:{pruned.destination}"] = said
    service, now = pipeline.service, time.time()
    if holdings and coming:
        if again := renewals(program, service, holdings, now):
            size = bytes_text(sum(one.used for one in again))
            notes["base"] = f"stores again {size} of {count_text(len(again), 'expired archive')}"
    elif holdings:
        for name, decided in fates(program, service, holdings, now).items():
            if stay := [fate for fate in decided if fate.stays]:
                texts = notes.get(f"prune:{name}"), f"keeps {counts_text(stay)}"
                notes[f"prune:{name}"] = "; ".join(filter(None, texts))
    return notes


def _sharing_notes(pipeline: Pipeline, folders: Sequence[str]) -> dict[str, str]:
    """Return stage -> note on other containers that use the files to be replaced."""
    notes = {}
    for name, params in pipeline.stages.items():
        if params.get("kind") != "containers" or not params.get("exchanges"):
            continue
        engine = DockerEngine(params.get("host"), PATIENCE_SECONDS)
        try:
            stop = Containers.model_validate({key: params[key] for key in NAMED if key in params})
            ids = {engine.inspect(one).id for one in stop.all_names(engine)}
            found = [(one, used_by(one, folders)) for one in others(engine, ids)]
        except SourceError as error:
            where = ", ".join(folders)
            warn(f"whether other containers use {where} is not known: {error}")
            continue
        if texts := [restart_text(one, used) for one, used in found if used]:
            notes[name] = "now: " + "; ".join(texts)
    return notes
