"""Completion of names in real shells: what Tab makes of a line; no file where a name belongs."""

import os
import re
import sys
from pathlib import Path

import pexpect
import pytest

from tests.helpers.command_line import in_a_process
from tests.helpers.house import House
from tests.helpers.needs import need
from tests.helpers.trees import fill

SHELLS = {
    "bash": ("--norc", "--noprofile", "-i"),
    "zsh": ("-f", "-i"),
    "fish": ("--no-config", "-i"),
}
SETUP = {
    "bash": "PS1='ready> '; bind 'set enable-bracketed-paste off'; source {script};"
    ' packrat() {{ echo "GOT:$*:"; }}',
    "zsh": "PS1='ready> '; unsetopt zle_bracketed_paste; autoload -Uz compinit;"
    ' compinit -u -d {script}.dump; source {script}; packrat() {{ echo "GOT:$*:"; }}',
    "fish": "function fish_prompt; echo 'ready> '; end; source {script};"
    ' function packrat; echo "GOT:$argv:"; end',
}
"""Loads the completion; the function only prints what it is called with."""
LINES = {
    "backup d": "backup documents",
    "list a": "list app-db",
    "backup documents a": "backup documents app-db",
    "restore documents --from off": "restore documents --from offsite",
    "plan --format m": "plan --format mermaid",
    "restore documents --backup l": "restore documents --backup latest",
    "ls documents ID": "ls documents ID",
    "backup x": "backup x",  # there is a file xylophone
}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    """Services, destinations, a backup, and files beside that have similar names."""
    house = House(tmp_path_factory.mktemp("shells"), ("local", "offsite"), "documents")
    text = house.config_file.read_text()
    house.config_file.write_text(text + "timezone: UTC\n")
    fill(house.source, {"a": b"1"})
    text = house.config_file.read_text()
    service = f"services:\n  app-db:\n    path: {house.source}\n"
    house.config_file.write_text(text.replace("services:\n", service))
    house.backed_up()
    fill(house.root / "here", {"data/file": b"", "apples": b"", "xylophone": b"", "office": b""})
    return house


@pytest.mark.parametrize(
    "shell",
    [
        "bash",
        pytest.param("zsh", marks=pytest.mark.thorough),
        pytest.param("fish", marks=pytest.mark.thorough),
    ],
)
def test_a_shell_completes_names(furnished, shell):
    program = need(shell, f"apt install {shell}")
    script = furnished.root / f"complete.{shell}"
    done = in_a_process(env={"_PACKRAT_COMPLETE": f"source_{shell}"})
    script.write_text(done.stdout)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "PACKRAT_CONFIG": str(furnished.config_file), "TERM": "xterm", "LANG": "C"}
    env |= {"HOME": str(furnished.root), "PYTHONPATH": str(Path(__file__).parents[2])}
    child = pexpect.spawn(
        program,
        list(SHELLS[shell]),
        cwd=str(furnished.root / "here"),
        env=env,
        encoding="utf-8",
        timeout=30,
        dimensions=(24, 200),
    )
    child.delaybeforesend = 0.1
    child.sendline(SETUP[shell].format(script=script))
    child.expect("ready> ")
    id_ = furnished.archives[0].stem[-8:]
    for line, whole in LINES.items():
        typed, completed = line.replace("ID", id_[:5]), whole.replace("ID", id_)
        child.send(f"packrat {typed}\t")
        rest = completed[len(typed) :] or " "
        child.expect(re.escape(rest[-3:]))
        child.sendline("")
        child.expect(r"GOT:([^\r\n]*):")
        assert child.match[1].strip() == completed, f"{shell}: {typed}"
    child.close(force=True)


def test_a_broken_configuration_completes_nothing_and_prints_nothing(tmp_path):
    (tmp_path / "packrat.yaml").write_text("services: [")
    words = {"_PACKRAT_COMPLETE": "complete_bash", "COMP_WORDS": "packrat backup d"}
    env = words | {"COMP_CWORD": "2", "PACKRAT_CONFIG": str(tmp_path / "packrat.yaml")}
    done = in_a_process(env=env)
    assert (done.stdout.split(), done.stderr) == (["d"], "")


def test_completion_shows_the_time_of_each_backup(furnished):
    words = {"_PACKRAT_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    env = words | {"_TYPER_COMPLETE_ARGS": f"packrat -c {furnished.config_file} ls documents "}
    lines = in_a_process(env=env).stdout.splitlines()
    assert lines[0] == "latest\tthe newest backup"
    id_ = furnished.archives[0].stem[-8:]
    assert re.fullmatch(rf"{id_}\ttoday \d\d:\d\d \(.*\)", lines[1])
