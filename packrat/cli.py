"""Command line. Each command only calls one module of the program."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer import Argument, Option

from packrat import __version__, completion
from packrat.cli_help import Command, Group, help_of, misused, overview
from packrat.errors import Exit, UsageError, explain

if TYPE_CHECKING:
    from packrat.program import Program
    from packrat.text.progress import Detail

app = typer.Typer(
    name="packrat",
    cls=Group,
    help="Encrypted, incremental backups of homelab services.",
    invoke_without_command=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _config_file(ctx: typer.Context, file: str | None) -> str | None:
    """Return the file of the option, which may come before or after the command."""
    return file or ctx.find_root().params.get("config")


ConfigFile = Annotated[
    str | None,
    Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration file to use.",
        callback=_config_file,
    ),
]
AsJson = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
PasswordFile = Annotated[
    str | None, Option(metavar="FILE", help="Read the password from the first line of FILE.")
]
OtherPassword = Annotated[
    str | None,
    Option("--password-file", metavar="FILE", help="Password file of a backup under another key."),
]
Source = Annotated[
    str | None,
    Option(
        "--from",
        metavar="DEST",
        help="Destination to read from.",
        autocompletion=completion.destinations,
    ),
]
WhichBackup = Option(
    metavar="ID|latest|TIME",
    help="An id, latest~1, or a time: yesterday, '2 days ago', 2026-11-29, 04:57.",
    autocompletion=completion.backups,
)
OneService = Annotated[
    str | None,
    Argument(metavar="[SERVICE]", autocompletion=completion.services),
]
SomeServices = Annotated[
    list[str] | None,
    Argument(metavar="[SERVICE]...", autocompletion=completion.services),
]
Service = Annotated[str, Argument(metavar="SERVICE", autocompletion=completion.services)]
Backup = Annotated[str, Argument(metavar="BACKUP", autocompletion=completion.backups)]
Quiet = Annotated[bool, Option("--quiet", "-q", help="Print only warnings and errors.")]
Verbose = Annotated[bool, Option("--verbose", "-v", help="Also print each stage as it ends.")]


def main() -> NoReturn:
    """Run the command line; every error ends in one message and an exit status."""
    try:
        status = app(standalone_mode=False, prog_name="packrat")
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (reported to the user)
        status = _fail(error)
    sys.stdout.flush()
    sys.exit(status or 0)


def _fail(error: BaseException) -> int:
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.Abort):
        error = KeyboardInterrupt()
    if hasattr(error, "format_message"):  # an error of click, whose class typer keeps private
        return misused(error)
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    if os.environ.get("PACKRAT_DEBUG"):
        raise error
    from packrat.text.report import print_error
    from specs.faults import ConfigFaults

    status, message = explain(error)
    print_error(message, bare=isinstance(error, ConfigFaults))
    return status


def _detail(quiet: bool, verbose: bool) -> Detail:
    from packrat.text.progress import Detail

    if quiet and verbose:
        raise UsageError("pass only one of --quiet and --verbose")
    return Detail.QUIET if quiet else Detail.VERBOSE if verbose else Detail.NORMAL


def _program(config: str | None, *, only_look: bool = False, partial: bool = False) -> Program:
    """Return the program; with `partial`, warn of the faults of a broken configuration."""
    from packrat.program import Program
    from packrat.text.report import warn

    program = Program(config, only_look=only_look, partial=partial)
    if partial and program.faults:
        for fault in program.faults:
            warn(str(fault))
        warn("continuing with the rest of the configuration")
    return program


def _looking(config: str | None) -> Program:
    """Return the program of a command that changes nothing and needs no part in particular."""
    return _program(config, only_look=True, partial=True)


def _repaired_program(config: str | None, *, partial: bool = False) -> Program:
    """Return the program, after repairing what killed runs left behind."""
    from packrat.runs.repair import repair
    from packrat.text.report import warn

    program = _program(config, partial=partial)
    spool = program.config.spool_path
    names = [] if program.faults else program.config.services  # the spool may be elsewhere
    spools = {name: os.path.join(spool, name) for name in names}
    for sentence in repair(program.config.state_dir, spools):
        warn(sentence)
    return program


def _version(value: bool) -> None:
    if value:
        print(f"packrat {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    config: ConfigFile = None,
    version: Annotated[
        bool, Option("--version", "-V", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del config, version
    if ctx.invoked_subcommand is None:
        print(overview(ctx))
        raise typer.Exit(Exit.USAGE)


@app.command("help", cls=Command, rich_help_panel="Help")
def help_(
    ctx: typer.Context,
    command: Annotated[list[str] | None, Argument(metavar="[COMMAND]")] = None,
) -> None:
    """Explain a command, or list all of them."""
    print(help_of(ctx, command or []))


@app.command(cls=Command, hidden=True)
def version() -> None:
    """Show the version."""
    _version(value=True)


@app.command(cls=Command, rich_help_panel="Set up")
def init(
    password_file: PasswordFile = None,
    starter: Annotated[
        bool, Option("--starter", help="Write a commented configuration to start with.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Create the key file from a new password.

    Without a configuration it offers to write a commented one first.
    """
    from packrat.verbs.init import initialize

    initialize(_program(config), password_file, starter=starter)


@app.command(cls=Command, rich_help_panel="Recover")
def rekey(password_file: PasswordFile = None, config: ConfigFile = None) -> None:
    """Recreate the key file from the password and any backup."""
    from packrat.verbs.rekey import recreate_key_file

    recreate_key_file(_repaired_program(config), password_file)


@app.command(cls=Command, rich_help_panel="Set up")
def password(password_file: PasswordFile = None, config: ConfigFile = None) -> None:
    """Change the password of the key file.

    The key stays, so nothing is stored again. An archive that exists already still opens with the
    old password as well.
    """
    from packrat.verbs.password import change_password

    change_password(_program(config), password_file)


@app.command(cls=Command, rich_help_panel="Set up")
def check(
    connect: Annotated[bool, Option("--connect", help="Also test every destination.")] = False,
    strict: Annotated[bool, Option("--strict", help="Fail if there are notes.")] = False,
    accept_empty: Annotated[
        bool,
        Option("--accept-empty", help="With --connect: accept destinations that are empty now."),
    ] = False,
    accept: Annotated[
        str | None,
        Option(
            "--accept",
            metavar="SERVICE",
            help="With --connect: accept that its backups vanished.",
            autocompletion=completion.services,
        ),
    ] = None,
    yes: Annotated[bool, Option("--yes", "-y", help="With --accept: do not ask.")] = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Validate the configuration, and report every fault."""
    from packrat.verbs.check import check_all

    program = _program(config)
    if accept is not None:
        from packrat.runs.accept import accept_history

        if not connect or strict or accept_empty:
            raise UsageError(
                "--accept goes with --connect: packrat check --connect --accept SERVICE"
            )
        return accept_history(program, accept, yes=yes, as_json=json)
    return check_all(
        program, connect=connect, strict=strict, accept_empty=accept_empty, as_json=json
    )


@app.command(cls=Command, rich_help_panel="Set up")
def discover(
    names: Annotated[list[str] | None, Argument(metavar="[PROJECT|CONTAINER]...")] = None,
    write: Annotated[
        bool, Option("--write", help="Add a service for what lacks a backup, after a question.")
    ] = False,
    yes: Annotated[bool, Option("--yes", "-y", help="With --write: do not ask.")] = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Show what containers write, and whether a service backs it up.

    The exit status is 5 while something is without a backup.
    """
    from packrat.verbs.discover import discover as discover_

    program = _program(config, only_look=not write)
    return discover_(program, names or [], write=write, yes=yes, as_json=json)


@app.command(cls=Command, rich_help_panel="Look")
def plan(
    what: Annotated[
        list[str] | None,
        Argument(metavar="[SPEC] [SERVICE]...", autocompletion=completion.plannable),
    ] = None,
    restore: Annotated[bool, Option("--restore", help="Show a restore instead.")] = False,
    in_place: Annotated[bool, Option("--in-place", help="With --restore: in place.")] = False,
    to: Annotated[
        str | None, Option("--to", metavar="DIR", help="With --restore: to this folder.")
    ] = None,
    backup: Annotated[str, WhichBackup] = "latest",
    source: Source = None,
    paths: Annotated[
        list[str] | None, Option("--path", help="With --restore: only this path; repeatable.")
    ] = None,
    format: Annotated[  # noqa: A002
        str,
        Option(
            metavar="FORM",
            help="Output format: tree, mermaid, dot, json or yaml.",
            autocompletion=completion.plan_formats,
        ),
    ] = "tree",
    config: ConfigFile = None,
) -> None:
    """Show what a run would do, stage by stage, without changing anything.

    SPEC is a configuration or a pipeline document, or the word prune or verify to show those
    commands. Without SERVICE, every service is shown. packrat run executes what --format yaml
    prints.
    """
    from packrat.restore.request import Request
    from packrat.verbs.plan import show_plan

    if in_place and to is not None:
        raise UsageError("pass only one of --to and --in-place")
    if not restore and (in_place or to is not None or source or paths):
        raise UsageError("--in-place, --to, --from and --path go with --restore")
    back = Request("", backup, source, tuple(paths or ()), to, in_place) if restore else None
    show_plan(_program(config, only_look=True), what or [], format, back)


@app.command(cls=Command, rich_help_panel="Back up")
def run(
    spec: Annotated[str, Argument(metavar="SPEC")],
    services: SomeServices = None,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask before a restore.")] = False,
    json: AsJson = False,
) -> int:
    """Run a specification file now.

    SPEC is a configuration, or a pipeline document as plan --format yaml prints it. A restore
    document asks for confirmation before it writes.
    """
    from packrat.verbs.run import run_spec

    return run_spec(_program(spec), spec, services or [], yes=yes, as_json=json)


@app.command(cls=Command, rich_help_panel="Back up")
def backup(
    services: SomeServices = None,
    all_: Annotated[bool, Option("--all", help="Back up every service.")] = False,
    full: Annotated[bool, Option("--full", help="Store everything again.")] = False,
    take_over: Annotated[
        bool, Option("--take-over", help="Continue the backups of another host.")
    ] = False,
    accept_shrink: Annotated[
        bool, Option("--accept-shrink", help="Accept a source that is much smaller than before.")
    ] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Only show what would be done, as packrat plan does.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Back up services now."""
    from packrat.runs.backup import Choices
    from packrat.verbs.backup import back_up_services, pipelines_of

    if dry_run:
        from packrat.verbs.plan import print_plans

        program = _program(config, only_look=True)
        pipelines = pipelines_of(program, services or [], all_services=all_, full=full)
        print_plans(program, pipelines, "json" if json else "tree")
        return Exit.DONE
    return back_up_services(
        _program(config),
        services or [],
        Choices(take_over, accept_shrink),
        all_services=all_,
        full=full,
        as_json=json,
        detail=_detail(quiet, verbose),
    )


@app.command("list", cls=Command, rich_help_panel="Look")
def list_(
    service: OneService = None,
    all_: Annotated[
        bool, Option("--all", help="List every archive, with the reason why it is there.")
    ] = False,
    last: Annotated[
        int | None,
        Option("--last", metavar="N", help="Only the newest N of each service.", min=1),
    ] = None,
    all_services: Annotated[
        bool,
        Option("--all-services", help="Also list services that are not in the configuration."),
    ] = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """List the retained backups, and the destinations of each."""
    from packrat.verbs.list import list_backups

    program = _repaired_program(config, partial=True)
    return list_backups(
        program, service, last, all_archives=all_, all_services=all_services, as_json=json
    )


@app.command(cls=Command, rich_help_panel="Look")
def ls(
    service: Service,
    backup: Annotated[
        str, Argument(metavar="[BACKUP]", autocompletion=completion.backups)
    ] = "latest",
    path: Annotated[str, Argument(metavar="[PATH]")] = "",
    source: Source = None,
    password_file: OtherPassword = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """List the files in a folder of a backup.

    BACKUP is a prefix of an id, latest (the default), latest~1, or a time: yesterday, '2 days ago',
    2026-11-29 04:57.
    """
    from packrat.verbs.ls import list_files

    list_files(_looking(config), service, backup, path, source, password_file, as_json=json)


@app.command(cls=Command, rich_help_panel="Look")
def cat(
    service: Service,
    backup: Backup,
    path: Annotated[str, Argument(metavar="PATH")],
    source: Source = None,
    password_file: OtherPassword = None,
    config: ConfigFile = None,
) -> None:
    """Write a file of a backup to standard output.

    BACKUP is a prefix of an id, latest, latest~1, or a time: yesterday, '2 days ago',
    2026-11-29 04:57.
    """
    from packrat.verbs.cat import print_file

    print_file(_looking(config), service, backup, path, source, password_file)


@app.command(cls=Command, rich_help_panel="Look")
def find(
    pattern: Annotated[str, Argument(metavar="PATTERN")],
    services: SomeServices = None,
    source: Source = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Find files in all backups, and show which ones have them.

    PATTERN has the wildcards * ? and [ ]. It is compared with names or, if it has a /, with whole
    paths.
    """
    from packrat.verbs.find import find_paths

    return find_paths(_looking(config), pattern, services or [], source, as_json=json)


@app.command(cls=Command, rich_help_panel="Look")
def diff(
    service: Service,
    a: Annotated[str, Argument(metavar="A", autocompletion=completion.backups)],
    b: Annotated[str, Argument(metavar="[B]", autocompletion=completion.backups)] = "latest",
    source: Source = None,
    password_file: OtherPassword = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Show what changed between two backups, from A to B.

    A and B are prefixes of ids, latest (the default of B), latest~1, or times: yesterday,
    '2 days ago', 2026-11-29 04:57.
    """
    from packrat.verbs.diff import show_changes

    show_changes(_looking(config), service, (a, b), source, password_file, as_json=json)


@app.command(cls=Command, rich_help_panel="Look")
def usage(service: OneService = None, config: ConfigFile = None, json: AsJson = False) -> int:
    """Show what services, and the backups of one, take at each destination."""
    from packrat.verbs.usage import show_usage

    return show_usage(_looking(config), service, as_json=json)


@app.command(cls=Command, rich_help_panel="Look")
def mount(
    folder: Annotated[str, Argument(metavar="DIR")],
    source: Source = None,
    allow_other: Annotated[
        bool, Option("--allow-other", help="Let other users in, as far as file modes do.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Show all backups as read-only folders below DIR, until it is unmounted."""
    from packrat.verbs.mount import mount as mount_now

    mount_now(_looking(config), folder, source, allow_other=allow_other)


@app.command(cls=Command, rich_help_panel="Recover")
def restore(
    service: OneService = None,
    backup: Annotated[str | None, WhichBackup] = None,
    source: Source = None,
    path: Annotated[
        list[str] | None,
        Option(metavar="PATH", help="Restore only PATH and what is below it; may be repeated."),
    ] = None,
    to: Annotated[
        str | None, Option(metavar="DIR", help="Restore to an empty or new folder.")
    ] = None,
    in_place: Annotated[
        bool, Option("--in-place", help="Replace the service's files; the old ones are kept.")
    ] = False,
    undo: Annotated[
        bool, Option("--undo", help="Put back what an in-place restore replaced.")
    ] = False,
    forget: Annotated[bool, Option("--forget", help="Delete the replaced files.")] = False,
    accept_older: Annotated[
        bool, Option("--accept-older", help="Restore latest even if a newer one has vanished.")
    ] = False,
    password_file: OtherPassword = None,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Restore a backup, or some paths of it, to a folder or in place.

    On a terminal it asks for missing options, and for confirmation before it writes. packrat plan
    --restore shows a restore without doing it.
    """
    from packrat.restore.request import Request
    from packrat.verbs.restore import restore_with_options

    if undo or forget:
        from packrat.restore.undo import forget_replaced
        from packrat.restore.undo import undo as undo_restore

        others = to or in_place or path or backup or source or password_file or json
        if service is None or others or quiet or verbose or (undo and forget):
            raise UsageError(
                "--undo and --forget take a service only: packrat restore --undo SERVICE"
            )
        return (undo_restore if undo else forget_replaced)(_repaired_program(config), service)
    paths = tuple(path) if path else None
    given = Request(service or "", backup, source, paths, to, in_place, password_file, accept_older)
    program = _repaired_program(config, partial=not in_place)
    detail = _detail(quiet, verbose)
    return restore_with_options(program, given, yes=yes, as_json=json, detail=detail)


@app.command(cls=Command, rich_help_panel="Keep")
def verify(
    service: OneService = None,
    backup: Annotated[str | None, WhichBackup] = None,
    source: Source = None,
    deep: Annotated[bool, Option("--deep", help="Read every byte.")] = False,
    due: Annotated[
        bool,
        Option("--due", help="Verify the share that is due in full, and repair it."),
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Verify the stored archives.

    Both ends and the whole index of each archive are read, and samples of the rest. With --deep,
    every byte is read, and pg_restore reads the PostgreSQL dumps of the newest backup, if it is
    installed.

    With --due, as in the daemon's scheduled verification, archives are read in full, those verified
    longest ago first, until deep_percent of all stored bytes has been read. A damaged archive is
    replaced by a good replica from another destination.
    """
    from packrat.verbs.verify import verify_share, verify_stored

    detail = _detail(quiet, verbose)
    if due:
        if service or backup or source or deep:
            raise UsageError(
                "--due selects the archives itself; it takes no SERVICE, --backup, --from or --deep"
            )
        return verify_share(_repaired_program(config), as_json=json, detail=detail)
    program = _repaired_program(config, partial=True)
    return verify_stored(program, service, backup, source, deep=deep, as_json=json, detail=detail)


@app.command(cls=Command, rich_help_panel="Keep")
def prune(
    service: OneService = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Only show what would be deleted.")] = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Delete the backups that retention no longer keeps."""
    from packrat.verbs.prune import prune as prune_now

    return prune_now(_repaired_program(config), service, dry_run=dry_run, as_json=json)


@app.command(cls=Command, rich_help_panel="Keep")
def pin(
    service: Service,
    backup: Backup,
    text: Annotated[str, Argument(metavar="TEXT")],
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Keep a backup until it is unpinned, whatever the rules of retention say.

    BACKUP is a prefix of an id, latest, or a time. TEXT says why, for example "before the upgrade".
    """
    from packrat.verbs.pin import state_pin

    return state_pin(_repaired_program(config), service, backup, "pin", text, as_json=json)


@app.command(cls=Command, rich_help_panel="Keep")
def unpin(service: Service, backup: Backup, config: ConfigFile = None, json: AsJson = False) -> int:
    """Let the rules of retention decide on a backup again."""
    from packrat.verbs.pin import state_pin

    return state_pin(_repaired_program(config), service, backup, "unpin", as_json=json)


@app.command(cls=Command, rich_help_panel="Keep")
def forget(
    service: Annotated[str, Argument(metavar="SERVICE", autocompletion=completion.stored_services)],
    backups: Annotated[
        list[str] | None,
        Argument(metavar="[BACKUP]...", autocompletion=completion.backups),
    ] = None,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask for the name.")] = False,
    other_keys: Annotated[
        bool,
        Option(
            "--other-keys",
            help="Also delete what is sealed under another key;"
            " of a configured service, delete only that.",
        ),
    ] = False,
    other_hosts: Annotated[
        bool, Option("--other-hosts", help="Also delete what another host made.")
    ] = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Delete all backups of a service that is not in the configuration, or single backups.

    It shows what is deleted at each destination, and asks for the name of the service. Each BACKUP
    is a prefix of an id, or a time. The newest good backup, and one that others need, is refused.
    """
    from packrat.verbs.forget import Scope
    from packrat.verbs.forget import forget as forget_now

    scope = Scope(other_keys, other_hosts)
    program = _repaired_program(config)
    return forget_now(program, service, backups or [], scope, yes=yes, as_json=json)


@app.command("explain", cls=Command, rich_help_panel="Look")
def explain_(
    service: Service,
    path: Annotated[str, Argument(metavar="PATH")],
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Show whether a path is backed up, and which pattern decides it.

    PATH is absolute, or relative to the service's path.
    """
    from packrat.verbs.explain import explain_path

    explain_path(_program(config), service, path, as_json=json)


@app.command(cls=Command, rich_help_panel="Set up")
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from packrat.text.report import print_json
    from specs import described

    described.wanted = True
    from specs.schema import config_schema

    print_json(config_schema())


@app.command(cls=Command, rich_help_panel="Back up")
def daemon(
    log_format: Annotated[
        str,
        Option(
            "--log-format",
            metavar="FORM",
            help="Log format: text or json.",
            autocompletion=completion.log_formats,
        ),
    ] = "text",
    config: ConfigFile = None,
) -> int:
    """Run the scheduled backups until it is stopped.

    The configuration is read again on SIGHUP and whenever its file changes. SIGTERM ends the
    running jobs in order.
    """
    from packrat.daemon.log import Log
    from packrat.daemon.loop import run_daemon
    from packrat.text.formats import LOG_FORMATS

    if log_format not in LOG_FORMATS:
        known = ", ".join(LOG_FORMATS)
        raise UsageError(f"there is no log format {log_format!r}; there are: {known}")
    return run_daemon(_program(config).file, Log(log_format))


@app.command(cls=Command, rich_help_panel="Look")
def status(service: OneService = None, config: ConfigFile = None, json: AsJson = False) -> int:
    """Show the state of each service, or of one in full.

    It contacts no destination, but shows what was last seen there. The exit status is 0 when all is
    well, and 5 when a service is overdue, a scheduled run was missed, its last run was not done,
    something is damaged, or the configuration has faults.
    """
    from packrat.verbs.status import show_status

    return show_status(_repaired_program(config, partial=True), service, as_json=json)


@app.command(cls=Command, rich_help_panel="Look")
def history(
    service: OneService = None,
    last: Annotated[int, Option("--last", metavar="N", help="Number of runs.", min=1)] = 50,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Show past runs, the newest first."""
    from packrat.verbs.history import show_history

    return show_history(_repaired_program(config, partial=True), service, last, as_json=json)


@app.command(cls=Command, rich_help_panel="Set up")
def notify(
    test: Annotated[bool, Option("--test", help="Send a test message.")] = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Send a test message to each notification service."""
    from packrat.verbs.notify import send_test

    if not test:
        raise UsageError("pass --test to send a test message to each of notify.urls")
    return send_test(_program(config), as_json=json)


@app.command(cls=Command, rich_help_panel="Recover")
def sheet(config: ConfigFile = None) -> None:
    """Print the recovery sheet again, for the loss of this machine."""
    from packrat.verbs.sheet import print_sheet

    print_sheet(_program(config))


@app.command(cls=Command, rich_help_panel="Recover")
def rescue(
    print_: Annotated[
        bool, Option("--print", help="Print rescue.py, to be kept beside the backups.")
    ] = False,
) -> None:
    """Print the program that restores without packrat."""
    from packrat.verbs.rescue import print_rescue

    if not print_:
        raise UsageError("packrat rescue --print > rescue.py writes the rescue program to a file")
    print_rescue()


@app.command(cls=Command, rich_help_panel="Set up")
def examples(
    name: Annotated[
        str | None,
        Argument(metavar="[NAME]", autocompletion=completion.examples),
    ] = None,
) -> None:
    """List the example configurations, or print one."""
    from packrat.verbs.examples import show_examples

    show_examples(name)


@app.command(cls=Command, hidden=True)
def repair(config: ConfigFile = None) -> None:
    """Repair what killed runs left behind."""
    _repaired_program(config)


@app.command(cls=Command, hidden=True)
def job(name: str) -> int:
    """Do the work that the daemon hands over on standard input; NAME is for lists of processes."""
    from packrat.daemon.work import run_work

    del name
    return run_work()


service_app = typer.Typer(help="Start the daemon at boot.", no_args_is_help=True)
app.add_typer(service_app, name="service", rich_help_panel="Set up")


@service_app.command("install", cls=Command)
def service_install(
    only_print: Annotated[
        bool, Option("--print", help="Print the unit without installing it.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Install the systemd unit of the daemon: a system unit for root, else a user unit."""
    from packrat.daemon.unit import install

    install(_program(config).file, only_print=only_print)
