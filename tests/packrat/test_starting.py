"""First contact: starter configuration, examples, rescue program, help, version, dry run."""

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml

from packrat.cli import app
from packrat.cli_help import PANELS
from specs.load import load_config
from tests.helpers.command_line import in_a_process, packrat
from tests.helpers.terminal import plain, status, terminal
from tests.helpers.trees import fill, noise

ROOT = Path(__file__).parents[2]


def test_init_offers_a_commented_configuration(house):
    """On a terminal it asks; the written file is valid, and the next steps are printed."""
    text = house.config_file.read_text()
    house.config_file.unlink()
    child = terminal(house, "init")
    child.expect("There is no configuration yet. Write a commented one to ")
    child.sendline("y")
    assert status(child) == 0
    assert "packrat check" in plain(child.before)
    assert list(load_config(str(house.config_file)).services) == ["documents"]
    assert house.config_file.stat().st_mode & 0o777 == 0o600
    house.config_file.write_text(text)


def test_a_starter_configuration_never_overwrites(house):
    done = house.cli("init", "--starter")
    assert done.returncode == 2
    assert "exists and is never overwritten" in done.stderr
    elsewhere = house.root / "new" / "packrat.yaml"
    done = packrat("-c", elsewhere, "init", "--starter")
    assert done.returncode == 0, done.stderr
    assert packrat("-c", elsewhere, "init").returncode == 2, "the key needs a password"


def test_every_example_in_the_starter_is_valid(tmp_path):
    """All at once, with the two characters deleted."""
    head, services, rest = (ROOT / "examples/starter.yaml").read_text().partition("\nservices:")
    assert all(line.startswith("#") for line in head.splitlines() if line)
    lines = f"{services}{rest}".splitlines()
    file = tmp_path / "all.yaml"
    file.write_text("\n".join(line.removeprefix("# ") for line in lines))
    config = load_config(str(file))
    assert set(config.services) == {"documents", "vaultwarden", "blog"}
    assert set(config.destinations()) == {"local", "synology", "s3"}
    assert config.services["documents"].exclude
    assert config.notify.urls


def test_examples_are_listed_and_printed():
    listed = packrat("examples").stdout
    names = {line.split()[0] for line in listed.splitlines()}
    assert names == {file.stem for file in (ROOT / "examples").glob("*.yaml")}
    printed = packrat("examples", "gitea").stdout
    assert printed == (ROOT / "examples" / "gitea.yaml").read_text()
    assert packrat("examples", "nope").returncode == 2


def test_the_printed_rescue_program_restores(house):
    """`rescue --print` is the program of the tests in test_rescue.py."""
    fill(house.source, {"a": noise(5000, 1)})
    archive = house.backed_up()
    printed = packrat("rescue", "--print").stdout
    assert printed == (ROOT / "rescue.py").read_text()
    (house.root / "r.py").write_text(printed)
    out = house.root / "out"
    words = [str(house.root / "r.py"), "--key-file", str(house.key_file), str(archive), str(out)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (out / "a").read_bytes() == noise(5000, 1)
    assert packrat("rescue").returncode == 2


@pytest.mark.thorough
def test_the_wheel_contains_rescue_and_examples(tmp_path):
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    subprocess.run([*words, str(tmp_path), str(ROOT)], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    venv.create(tmp_path / "v", with_pip=False)
    site = next((tmp_path / "v" / "lib").glob("python3*")) / "site-packages"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)
    share = site / "packrat" / "share"
    assert (share / "rescue.py").read_text() == (ROOT / "rescue.py").read_text()
    starter = (share / "examples" / "starter.yaml").read_text()
    assert starter == (ROOT / "examples" / "starter.yaml").read_text()


def test_the_recovery_sheet_is_printed_again(house):
    first = house.cli("sheet")
    assert first.returncode == 0
    assert first.stdout.startswith("PACKRAT RECOVERY SHEET")
    assert house.program.keys.key_id.hex() in first.stdout
    house.key_file.unlink()
    assert house.cli("sheet").returncode == 7


@pytest.mark.parametrize("words", [("-V",), ("--version",), ("version",)])
def test_the_version_is_shown_however_it_is_asked_for(words):
    assert re.fullmatch(r"packrat \d+\.\d+.*\n", packrat(*words).stdout)


def test_help_is_a_command():
    assert packrat("help").stdout == packrat("--help").stdout
    assert packrat("help", "restore").stdout == packrat("restore", "--help").stdout
    assert "--print" in packrat("help", "service", "install").stdout
    unknown = packrat("help", "mend")
    assert unknown.returncode == 2
    assert "there is no command 'mend'" in unknown.stderr


def test_packrat_alone_fits_a_small_terminal_and_names_every_command():
    done = packrat(columns=60)
    assert done.returncode == 2
    lines = plain(done.stdout).splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    names = {c.name or c.callback.__name__ for c in app.registered_commands if not c.hidden}
    assert {name.rstrip("_") for name in names} <= set(" ".join(lines).split())
    panels = {c.rich_help_panel for c in app.registered_commands if not c.hidden}
    assert panels <= set(PANELS), "every command has a heading"


def test_a_dry_run_backs_nothing_up(house):
    fill(house.source, {"a": noise(5000, 1)})
    done = house.cli("backup", "svc", "--dry-run")
    assert (done.returncode, done.stdout) == (0, house.cli("plan", "svc").stdout)
    assert house.archives == []
    assert house.cli("backup", "--dry-run").returncode == 2
    document = house.json("backup", "--all", "--dry-run")
    assert [row["service"] for row in document] == ["svc"]


def test_verbose_names_each_stage_and_quiet_prints_nothing(house):
    fill(house.source, {"a": noise(5000, 1)})
    done = house.cli("backup", "svc", "-v")
    assert re.search(r"^svc: collect: .*\d\.\d s$", done.stderr, re.MULTILINE)
    assert re.search(r"^svc: upload:local: ", done.stderr, re.MULTILINE)
    quiet = house.cli("backup", "svc", "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    out = str(house.root / "out")
    assert house.cli("restore", "svc", "--to", out, "--yes", "-q").stdout == ""
    assert house.cli("backup", "svc", "-q", "-v").returncode == 2
    house.source.rename(house.root / "gone")
    failed = house.cli("backup", "svc", "-q")
    assert failed.returncode == 4
    assert "does not exist" in failed.stderr or "is not a folder" in failed.stderr


def test_strict_checks_fail_for_notes(house):
    """A container or path that does not exist is a note, and with --strict a failure."""
    assert house.cli("check", "--strict").returncode == 0
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["svc"]["path"] = "/nowhere"
    house.config_file.write_text(yaml.safe_dump(document))
    lenient, strict = house.cli("check"), house.cli("check", "--strict")
    assert (lenient.returncode, strict.returncode) == (0, 4)
    assert lenient.stdout.splitlines()[-1] == "valid: 1 service, to local; 1 note above"


def test_the_newest_backups_of_each_service(house):
    fill(house.source, {"a": b"1"})
    ids = [house.back_up(full=True).id for _ in range(3)]
    assert [row["id"] for row in house.json("list", "--last", "2")] == ids[1:]


def test_an_explanation_is_also_a_document(house):
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["svc"]["exclude"] = ["*.tmp"]
    house.config_file.write_text(yaml.safe_dump(document))
    assert house.json("explain", "svc", "x.tmp") == {
        "service": "svc",
        "path": "x.tmp",
        "backed_up": False,
        "reason": "matches '*.tmp' (services.svc.exclude[0])",
        "pattern": "*.tmp",
    }
    assert house.json("explain", "svc", "/etc/passwd")["backed_up"] is False
    assert in_a_process("-c", house.config_file, "explain", "svc", "y").returncode == 0
