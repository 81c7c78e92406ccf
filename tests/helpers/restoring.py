"""Restores by the program's own code, without its command line."""

from packrat.restore.opened import OpenedBackup
from packrat.restore.restore import restore as run_restore
from specs.compile import compile_restore


def restore(program, service, chosen, paths=(), target=None, listeners=(), clock=None):
    """Restore a chosen backup to a folder, or in place if `target` is None."""
    opened = OpenedBackup(service, chosen, program.keys)
    pipeline = compile_restore(
        program.config, service, opened.manifest.id, opened.source, tuple(paths), target
    )
    return run_restore(pipeline, opened, listeners, clock)
