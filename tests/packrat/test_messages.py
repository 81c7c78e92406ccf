"""Messages for bad input, compared with a golden file: what failed, where, and the remedy."""

import ast
import re
import shutil
import time
from pathlib import Path

import pytest
from typer.main import get_command

from packrat.cli import app
from packrat.runs.lock import service_lock
from tests.helpers.house import House, cheap_keys
from tests.helpers.transcript import check_golden, seen
from tests.helpers.trees import fill
from vault.archive.key_file import write_key_file

GOLDEN = Path(__file__).parent / "golden" / "messages.txt"
FAULTS = Path(__file__).parents[1] / "specs" / "golden"
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" for n in range(1, 12))


def change(house, old, new):
    text = house.config_file.read_text()
    assert old in text
    house.config_file.write_text(text.replace(old, new))


def backed_up(house):
    fill(house.source, {"a": b"1"})
    house.backed_up()


def no_configuration(house):
    yield seen(house, "backup", "--all", cwd=house.source, PACKRAT_CONFIG="")
    yield seen(house, "-c", "nowhere.yaml", "check")
    yield seen(house, "run", "nowhere.yaml")


def a_folder_for_a_configuration(house):
    yield seen(house, "-c", str(house.source), "check")
    yield seen(house, "run", str(house.source))


def a_file_that_is_no_configuration(house):
    for text in ("", "# only\n", "- a\n", BOMB, "a: [\n", "pipeline: 1\n" + BOMB):
        house.config_file.write_text(text)
        yield seen(house, "run", "packrat.yaml")


def five_mistakes(house):
    shutil.copy(FAULTS / "five_mistakes.yaml", house.config_file)
    yield seen(house, "-c", "packrat.yaml", "check")


def a_broken_pipeline(house):
    text = seen(house, "plan", "--format", "yaml").split("\n", 1)[1]
    text = text.rsplit("-> 0", 1)[0].replace("ROOT", str(house.root))
    for old, new in (
        ("kind: chunk", "kind: chnk"),
        ("destination: local", "destination: nas"),
        ("- spool", "- spol"),
        ("after:\n    - pack", "after: pack"),
        ("host: here\n", "hots: here\n"),
    ):
        assert old in text
        (house.root / "p.yaml").write_text(text.replace(old, new))
        yield seen(house, "run", "p.yaml")


def wrong_words(house):
    yield seen(house, "bakcup", "svc")
    yield seen(house, "backup", "svc", "--ful")
    yield seen(house, "backup")
    yield seen(house, "backup", "svc", "--all")
    yield seen(house, "backup", "svcs")
    yield seen(house, "list", "photos")
    yield seen(house, "explain", "svc")
    yield seen(house, "restore", "svc")
    yield seen(house, "restore", "svc", "--to", "out", "--backup")
    yield seen(house, "run")
    yield seen(house, "plan", "nowhere.yaml")
    yield seen(house, "plan", "--format", "xml")


def a_source_that_is_none(house):
    house.source.rmdir()
    yield seen(house, "backup", "svc")
    house.source.write_text("a file")
    yield seen(house, "backup", "svc")


def a_source_that_became_empty(house):
    backed_up(house)
    (house.source / "a").unlink()
    yield seen(house, "backup", "svc")


def a_destination_that_is_the_source(house):
    backed_up(house)
    change(house, str(house.stores["local"]), str(house.source))
    yield seen(house, "backup", "svc")


def a_destination_that_is_a_file(house):
    backed_up(house)
    shutil.rmtree(house.stores["local"])
    house.stores["local"].write_text("a file")
    yield seen(house, "list")
    yield seen(house, "backup", "svc")


def a_destination_that_went_away(house):
    backed_up(house)
    shutil.rmtree(house.stores["local"])
    yield seen(house, "list")


def no_key(house):
    house.key_file.unlink()
    for command in ("backup svc", "list", "ls svc", "restore svc --to out --yes", "verify"):
        yield seen(house, *command.split())
    yield seen(house, "rekey", "--password-file", house.password_file())


def a_key_that_is_none(house):
    house.key_file.chmod(0o644)
    yield seen(house, "list")
    house.key_file.chmod(0o600)
    house.key_file.write_text("junk")
    yield seen(house, "list")
    house.key_file.unlink()
    house.key_file.mkdir()
    yield seen(house, "list")


def another_key(house):
    backed_up(house)
    house.key_file.unlink()
    write_key_file(str(house.key_file), cheap_keys("another"))
    yield seen(house, "list")
    yield seen(house, "restore", "svc", "--to", "out", "--yes")


def passwords(house):
    yield seen(house, "init", "--password-file", house.password_file())
    house.key_file.rename(house.root / "elsewhere")
    yield seen(house, "init")
    yield seen(house, "init", "--password-file", "nowhere")
    (house.root / "empty").touch()
    yield seen(house, "init", "--password-file", "empty")
    (house.root / "elsewhere").rename(house.key_file)
    yield seen(house, "rekey", "--password-file", house.password_file("wrong"))


def nothing_yet(house):
    for command in ("list", "verify", "prune", "ls svc", "restore svc --to out --yes"):
        yield seen(house, *command.split())


def no_such_backup(house):
    backed_up(house)
    for which in ("1234567", "2001-01-01", ""):
        yield seen(house, "restore", "svc", "--to", "out", "--yes", "--backup", which)
    yield seen(house, "restore", "svc", "--to", "out", "--yes", "--from", "nas")
    yield seen(house, "restore", "svc", "--to", "out", "--yes", "--path", "x/y")
    yield seen(house, "ls", "svc", "latest", "x/y")
    yield seen(house, "verify", "--backup", "1234567")


def a_target_that_is_taken(house):
    backed_up(house)
    yield seen(house, "restore", "svc", "--to", "source", "--yes")
    yield seen(house, "restore", "svc", "--to", "source/a", "--yes")
    yield seen(house, "restore", "svc", "--to", "source/a/b", "--yes")
    yield seen(house, "restore", "svc", "--to", "out")


def forgetting(house):
    backed_up(house)
    yield seen(house, "forget", "svc", "--yes")
    yield seen(house, "forget", "svc", "yesterday", "--yes")
    yield seen(house, "forget", "../svc", "--yes")
    change(house, "services:\n  svc:", "services:\n  memos:")
    yield seen(house, "list")
    yield seen(house, "restore", "svc", "--in-place", "--yes")
    yield seen(house, "forget", "svc")
    yield seen(house, "forget", "photos", "--yes")
    yield seen(house, "forget", "svc", "--yes")
    yield seen(house, "forget", "svc", "--yes")


def another_run(house):
    fill(house.source, {"a": b"1"})
    with service_lock(str(house.state), "svc", time.time()):
        for command in ("backup", "prune"):
            yield re.sub(r"\(packrat.*?\) since", "(WORDS) since", seen(house, command, "svc"))


def another_host(house):
    backed_up(house)
    change(house, "host: here", "host: there")
    yield seen(house, "backup", "svc")
    yield seen(house, "backup", "svc", "--take-over")


def an_engine_that_is_away(house):
    backed_up(house)
    docker = "{svc: {docker: {container: db}, path:"
    change(house, "services:\n  svc:\n    path:", f"services: {docker}")
    change(house, f"{house.source}\n", f"{house.source}}}}}\n")
    nowhere = {"DOCKER_HOST": "unix:///nowhere"}
    yield seen(house, "backup", "svc", **nowhere)
    yield seen(house, "restore", "svc", "--in-place", "--yes", **nowhere)
    yield seen(house, "restore", "svc", "--to", "out", "--yes", **nowhere)
    change(house, "docker: {container: db}", "pre_backup: {command: 'echo oh; false'}")
    yield seen(house, "backup", "svc")


def a_secret_that_is_not_there(house):
    where = "{type: s3, bucket: b, access_key_id: {env: NOWHERE}, secret_access_key: s}"
    at = house.config_file.read_text().index("destinations:")
    end = house.config_file.read_text().index("encryption:")
    text = house.config_file.read_text()
    house.config_file.write_text(f"{text[:at]}destinations: {{nas: {where}}}\n{text[end:]}")
    for command in ("backup --all", "list", "plan"):
        yield seen(house, *command.split())


def a_state_folder_that_is_a_file(house):
    fill(house.source, {"a": b"1"})
    house.state.write_text("a file")
    for command in ("backup svc", "prune", "list"):
        yield seen(house, *command.split())


def a_discovery_that_cannot_be_made(house):
    yield seen(house, "discover", "--write")
    yield seen(house, "discover", "wiki")
    yield seen(house, "discover", DOCKER_HOST=f"unix://{house.root}/none")


CASES = [
    no_configuration,
    a_discovery_that_cannot_be_made,
    a_folder_for_a_configuration,
    a_file_that_is_no_configuration,
    five_mistakes,
    a_broken_pipeline,
    wrong_words,
    a_source_that_is_none,
    a_source_that_became_empty,
    a_destination_that_is_the_source,
    a_destination_that_is_a_file,
    a_destination_that_went_away,
    no_key,
    a_key_that_is_none,
    another_key,
    passwords,
    nothing_yet,
    no_such_backup,
    a_target_that_is_taken,
    forgetting,
    another_run,
    another_host,
    an_engine_that_is_away,
    a_secret_that_is_not_there,
    a_state_folder_that_is_a_file,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_messages_equal_the_golden_file(case, tmp_path):
    """Each message names the failure, the place and the remedy, with the documented status."""
    said = "".join(case(House(tmp_path)))
    assert "Traceback" not in said
    check_golden(GOLDEN, case.__name__.replace("_", " "), said)


def test_no_message_is_unexpected():
    """Mistakes of users are foreseen: no golden message is an `unexpected` one."""
    assert "unexpected" not in GOLDEN.read_text()
    assert "-> 1\n" not in GOLDEN.read_text()


def test_every_command_that_a_message_advises_exists():
    """`packrat WORD` before an option, a placeholder, or the end of the text is a command."""
    known = set(get_command(app).commands)
    advised = set()
    for folder in ("packrat", "specs", "stages", "vault"):
        for file in (Path(__file__).parents[2] / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    advised |= set(re.findall(r"\bpackrat ([a-z]+)(?= ?$| --)", node.value))
    assert {"restore", "check", "rekey"} <= advised
    prose = {"archive", "on", "uses"}
    assert advised - known == prose
