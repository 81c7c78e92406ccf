"""Command line as a user sees it: statuses, messages, documents."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from engine.run import Clock
from packrat.program import Program
from packrat.runs.backup import Choices, back_up
from tests.helpers import command_line
from tests.helpers.house import House, cheap_keys
from tests.helpers.mermaid import parsed
from tests.helpers.needs import need, need_mounts
from tests.helpers.trees import fill, noise
from vault.archive.key_file import write_key_file

ROOT = Path(__file__).parents[2]
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" for n in range(1, 12))
SEED = ROOT / "examples" / "seed.yaml"
GOLDEN = Path(__file__).parent / "golden"


def packrat(*words, **more):
    return command_line.packrat(*words, env={"HOME": "/nonexistent", "COLUMNS": "100"}, **more)


def failing(house, *words, status=4):
    """Run a command that must fail; return its message, which is one line without traceback."""
    done = house.cli(*words)
    assert done.returncode == status, (done.returncode, done.stderr)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, done.stderr
    return lines[0].replace(str(house.root), "ROOT")


def test_the_seeds_example_is_valid():
    """The user's own example, byte for byte, is a valid configuration."""
    assert packrat("-c", SEED, "check").returncode == 0


def test_plan_draws_the_seeds_services():
    """The plan of the example equals the golden file; no key is needed."""
    done = packrat("-c", SEED, "plan")
    assert done.returncode == 0, done.stderr
    present = re.compile(r"  \[(now: .* does not exist|\d+ files?, .*)\]")  # differs by machine
    golden = (GOLDEN / "seed_plan.txt").read_text()
    assert present.sub("", done.stdout) == present.sub("", golden)


def test_plans_parse():
    """JSON, YAML and DOT parse with real parsers, and describe the same graph."""
    documents = json.loads(packrat("-c", SEED, "plan", "--format", "json").stdout)
    pipelines = list(yaml.safe_load_all(packrat("-c", SEED, "plan", "--format", "yaml").stdout))
    names = ["gitea", "postgres", "documents", "nextcloud"]
    assert [d["service"] for d in documents] == [p["service"] for p in pipelines] == names
    for document, pipeline in zip(documents, pipelines, strict=True):
        assert {stage["name"] for stage in document["stages"]} == set(pipeline["stages"])
    dot = packrat("-c", SEED, "plan", "--format", "dot").stdout
    drawn = subprocess.run(
        [need("dot"), "-Tplain"],
        input=dot,
        capture_output=True,
        text=True,
        check=True,
    )
    nodes = [line for line in drawn.stdout.splitlines() if line.startswith("node ")]
    assert len(nodes) == sum(len(d["stages"]) for d in documents)


@pytest.mark.thorough
def test_mermaid_parses():
    """The Mermaid drawing is accepted by Mermaid's own parser."""
    drawn = packrat("-c", SEED, "plan", "--format", "mermaid").stdout
    assert parsed(drawn).startswith("flowchart")


def test_a_plan_changes_nothing(house):
    """No file or time changes, with backups, without backups and without a key.

    Backups that a destination has lost stay in the record: the next command must still warn.
    """
    fill(house.source, {"a": b"1"})
    house.backed_up()
    house.backed_up().unlink()

    def everything():
        return {str(p): p.stat().st_mtime_ns for p in house.root.rglob("*")}

    before = everything()
    for form in ("tree", "mermaid", "dot", "json", "yaml"):
        assert house.cli("plan", "--format", form).returncode == 0
    assert house.cli("plan", "--restore").returncode == 0
    assert everything() == before
    house.key_file.unlink()
    before = everything()
    assert house.cli("plan").returncode == 0
    assert everything() == before


def test_a_pipeline_document_runs_as_printed_and_as_edited(house):
    """`plan --format yaml > p.yaml; run p.yaml`, then with another exclude, then broken."""
    fill(house.source, {"a": b"1", "b.tmp": b"2"})
    file = house.root / "p.yaml"
    file.write_text(house.cli("plan", "--format", "yaml").stdout)
    [result] = json.loads(packrat("run", file, "--json").stdout)
    assert (result["status"], result["files"]) == ("done", 2)
    document = yaml.safe_load(file.read_text())
    document["stages"]["preflight"]["read"]["exclude"] = ["*.tmp"]
    file.write_text(yaml.safe_dump(document))
    [result] = json.loads(packrat("run", file, "--json").stdout)
    assert (result["status"], result["files"]) == ("done", 1)
    document["stages"]["collect"]["kind"] = "colect"
    document["stages"]["upload:local"]["after"] = ["encrypt"]
    file.write_text(yaml.safe_dump(document))
    done = packrat("run", file)
    assert done.returncode == 3
    assert "unknown stage kind 'colect'" in done.stderr
    assert "upload:local: takes Part, but encrypt gives Sealed" in done.stderr


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_and_version_load_no_slow_library(option):
    """--version and --help import no slow library."""
    script = (
        "import sys\nsys.argv = ['packrat', %r]\nfrom packrat.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "bad = {'s3fs','sshfs','docker','networkx','questionary','fsspec'} & set(sys.modules)\n"
        "assert not bad, bad"
    ).replace("%r", repr(option))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_documents_have_the_documented_keys(house):
    """The keys of list, backup, restore and verify are documented and must stay."""
    fill(house.source, {"a": b"1"})
    [backup] = house.json("backup", "svc")
    assert list(backup) == [
        "service",
        "id",
        "status",
        "kind",
        "files",
        "size",
        "stored",
        "read",
        "seconds",
        "downtime_seconds",
        "warnings",
        "error",
        "destinations",
        "alarms",
    ]
    none = {"archives": 0, "bytes": 0}
    at = {"status": "done", "bytes": backup["stored"], "error": None}
    assert backup["destinations"] == {"local": at | {"caught_up": none, "pruned": none}}
    [row] = house.json("list")
    assert list(row) == [
        "service",
        "id",
        "time",
        "made",
        "kind",
        "files",
        "size",
        "stored",
        "missed",
        "destinations",
        "damaged",
        "reasons",
        "backup",
        "missing",
        "configured",
    ]
    restored = house.json("restore", "svc", "--to", str(house.root / "out"), "--yes")
    assert list(restored) == [
        "service",
        "id",
        "from",
        "target",
        "files",
        "size",
        "downloaded",
        "seconds",
        "warnings",
        "lost",
        "downtime_seconds",
        "replaced_folder",
        "host",
        "made",
        "replaced_until",
        "replaced_folders",
        "roots",
    ]
    [verdict] = house.json("verify", "--deep")
    assert list(verdict) == [
        "service",
        "id",
        "destination",
        "status",
        "problems",
        "bytes_read",
        "base",
        "file",
        "vanished",
        "dumps",
    ]


def test_no_configuration(tmp_path):
    """Without any configuration: exit 3, and the places that were searched."""
    done = packrat("backup", "--all", cwd=tmp_path)
    assert done.returncode == 3
    assert "packrat.yaml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        (BOMB, ""),
        (None, "a folder, not a file; name the file in it"),
    ],
)  # fmt: skip
def test_unusable_configurations(tmp_path, content, says):
    """An empty file, a YAML bomb, a folder: exit 3 and one clear line, at once."""
    file = tmp_path / "c.yaml"
    file.mkdir() if content is None else file.write_text(content)
    begun = time.monotonic()
    done = packrat("-c", file, "check")
    assert done.returncode == 3, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - begun < 60  # a bomb would not end


def test_a_source_that_is_not_there(house):
    """The path does not exist, or is a file."""
    house.source.rmdir()
    assert failing(house, "backup", "svc") == (
        "packrat: svc: ROOT/source does not exist; is it mounted?"
        " Otherwise correct the service's path in the configuration"
    )
    house.source.write_text("a file")
    assert "is not a folder" in failing(house, "backup", "svc")


def test_a_destination_inside_the_source_is_never_backed_up(tmp_path):
    """Destination, state and spool inside the source are not in the backup."""
    house = House(tmp_path, state_dir=str(tmp_path / "source" / "state"))
    house.state = house.source / "state"
    text = house.config_file.read_text().replace(
        str(tmp_path / "store"), str(house.source / "store")
    )
    house.config_file.write_text(text)
    fill(house.source, {"a": noise(100_000)})
    sizes = [house.json("backup", "svc")[0]["size"] for _ in range(3)]
    assert sizes == [100_000] * 3


def test_a_destination_that_is_the_source(tmp_path):
    """A destination that is the source itself is refused."""
    house = House(tmp_path)
    text = house.config_file.read_text().replace(
        str(tmp_path / "store" / "local"), str(house.source)
    )
    house.config_file.write_text(text)
    fill(house.source, {"a": b"1"})
    assert "is where packrat itself writes" in failing(house, "backup", "svc")


@pytest.mark.root
def test_a_destination_that_is_read_only_or_full(tmp_path):
    """The message names destination and remedy; the exit status is 4; no file is left behind."""
    need_mounts()
    disk = tmp_path / "store"
    disk.mkdir()
    for options, says in (
        ("size=64k", "No space left on device"),
        ("ro,size=1m", "Read-only file system"),
    ):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
        try:
            house = House(tmp_path)
            fill(house.source, {"a": noise(1 << 20)})
            message = failing(house, "backup", "svc")
            assert says in message
            assert "destination local" in message
            assert not list(disk.rglob("*.packrat"))
        finally:
            subprocess.run(["umount", disk], check=True)
    waiting = list((house.state / "spool").rglob("*.packrat"))
    assert waiting, "what no destination could take waits in the spool"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.chmod(0o644), "can be read by others (mode 0644); chmod 600 ROOT/key"),
        (lambda file: file.write_text("junk"), "is not a packrat key file, or it is damaged"),
        (lambda file: file.unlink(), "does not exist; first time: packrat init"),
    ],
)
def test_a_key_file_that_cannot_be_used(house, spoil, says):
    """Wrong permissions, wrong content or a missing file: exit 7."""
    fill(house.source, {"a": b"1"})
    spoil(house.key_file)
    assert says in failing(house, "backup", "svc", status=7)


def test_init_never_overwrites(house):
    """An existing key file is an error, and is kept."""
    before = house.key_file.read_bytes()
    assert "never overwritten" in failing(
        house, "init", "--password-file", house.password_file(), status=7
    )
    assert house.key_file.read_bytes() == before


def test_archives_under_another_key(house):
    """They are listed as locked, and never referred to or pruned."""
    fill(house.source, {"a": b"1"})
    old = house.backed_up()
    house.key_file.unlink()
    write_key_file(str(house.key_file), cheap_keys("another"))
    done = house.cli("list")
    assert "is sealed under another key" in done.stderr
    [result] = house.json("backup", "svc")
    assert result["kind"] == "full"
    assert old.exists()


def test_a_source_that_has_become_empty(house):
    """No files where there were some before is a failure, not a backup."""
    fill(house.source, {"a": b"1", "b": b"2"})
    house.backed_up()
    for file in house.source.iterdir():
        file.unlink()
    assert failing(house, "backup", "svc") == (
        "packrat: svc: ROOT/source has no files, and its last backup has 2; is its disk mounted?"
        " If it is meant to be empty, put one file into it"
    )


def test_a_clock_set_back(house):
    """The new backup is never dated before the newest known one, and a warning explains it."""
    fill(house.source, {"a": b"1"})
    house.backed_up()
    yesterday = Clock(now=lambda: time.time_ns() - 86_400 * 10**9)
    result = house.back_up(clock=yesterday)
    assert result.status == "done"
    assert "was set back" in result.warnings[0]
    assert [row["id"] for row in house.json("list")][-1] == result.id


def test_another_hosts_backups(house):
    """They are refused until --take-over."""
    fill(house.source, {"a": b"1"})
    growing = house.backed_up()
    growing = growing.with_name(f".{growing.name}.part")
    growing.write_bytes(b"half")
    pipeline = house.pipeline().model_copy(update={"host": "other"})
    refused = back_up(pipeline)
    assert "are of host 'here', and this is 'other'" in refused.error
    assert growing.exists()  # the other host may still be writing it
    assert back_up(pipeline, choices=Choices(take_over=True)).status == "done"


def test_what_cannot_be_restored(house):
    """An unknown backup, an unknown path, a target that is not empty or is a file."""
    fill(house.source, {"a": b"1"})
    house.backed_up()
    to = ("--to", str(house.root / "out"), "--yes")
    assert "there is no backup '12345678'" in failing(
        house, "restore", "svc", "--backup", "12345678", *to
    )
    assert "has no 'x/y'" in failing(house, "restore", "svc", "--path", "x/y", *to)
    assert "is not empty" in failing(house, "restore", "svc", "--to", str(house.source), "--yes")
    assert "is not a folder" in failing(
        house, "restore", "svc", "--to", str(house.key_file), "--yes"
    )
    assert house.cli("restore", "svc").returncode == 2
    assert "did you mean 'svc'?" in failing(house, "restore", "svcs", *to, status=2)


def test_standard_output_is_no_folder_to_restore_to(house):
    """It made a folder called `-`."""
    fill(house.source, {"a": b"1"})
    house.backed_up()
    done = house.cli("restore", "svc", "--path", "a", "--to", "-", "--yes", wrap=None)
    assert done.returncode == 2
    assert "packrat cat SERVICE BACKUP PATH" in done.stderr


def test_check_says_where_a_dumped_database_is(house):
    file = house.source / "a.db"
    file.touch()
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["svc"]["databases"] = [{"sqlite": {"path": str(file)}}]
    house.config_file.write_text(yaml.safe_dump(document))
    assert f"sqlite-a.db from SQLite {file}" in house.cli("check").stdout


def test_names_are_shown_harmless(house):
    """Control characters in a name never reach the terminal."""
    fill(house.source, {"evil\x1b[31m": b"1", "ok": b"2"})
    house.backed_up()
    done = house.cli("ls", "svc")
    assert "\x1b" not in done.stdout
    assert "evil\\x1b[31m" in done.stdout


AWAY = {"type": "s3", "bucket": "b", "path": "p", "access_key_id": "k"}


@pytest.mark.parametrize("words", [["list"], ["verify"], ["restore", "svc", "--to", "x", "--yes"]])
def test_a_killed_run_is_repaired_although_no_destination_can_be_opened(tmp_path, words):
    """A missing secret ends the command, but only after the repair."""
    house = House(tmp_path)
    settings = yaml.safe_load(house.config_file.read_text())
    secret = {"env": "PACKRAT_TEST_NONE"}
    settings["backup"]["destinations"]["away"] = AWAY | {"secret_access_key": secret}
    house.config_file.write_text(yaml.safe_dump(settings))
    left = house.state / "spool" / "svc" / ".svc-20260101T000000Z-00112233.packrat.part"
    left.parent.mkdir(parents=True)
    left.touch()
    done = house.cli(*words)
    assert "deleted the unfinished files of a killed run in the spool" in done.stderr
    assert "the environment has no PACKRAT_TEST_NONE" in done.stderr
    assert not left.exists()


def test_a_destination_is_opened_once(tmp_path):
    """Finding its secret may need a person, or take a minute."""
    house = House(tmp_path)
    settings = yaml.safe_load(house.config_file.read_text())
    asked = tmp_path / "asked"
    secret = {"command": f"echo once >> {asked}; echo secret"}
    settings["backup"]["destinations"]["away"] = AWAY | {"secret_access_key": secret}
    house.config_file.write_text(yaml.safe_dump(settings))
    program = Program(str(house.config_file))
    first = program.destination("away")
    assert program.destinations("svc")["away"] is first
    assert program.under(program.keys).destination("away") is first
    assert asked.read_text() == "once\n"


def test_ctrl_c_before_a_command_has_begun_its_work_gets_a_sentence(house, monkeypatch):
    """Typer would end silently."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("packrat.verbs.list.list_backups", interrupted)
    done = house.cli("list")
    assert done.returncode == 130
    assert done.stderr.startswith("packrat: interrupted; the next packrat command")
