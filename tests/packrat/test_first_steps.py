"""Commands of docs/first-steps.md, run literally: here, and by an ordinary user with sudo."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.helpers.booted import booted
from tests.helpers.databases import removed
from tests.helpers.first_steps import PAGE, blocks, lacks

DOCS = PAGE.parent
VENV = Path(sys.executable).parents[1]
ANSWERS = ("Password: ", "Again: ", "From what you wrote down: ")


def answer(child):
    """Choose a password, as the page says."""
    for asked in ANSWERS:
        child.expect(asked)
        child.sendline("correct horse battery")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before


@pytest.mark.thorough
def test_first_steps_word_for_word(tmp_path):
    """Every command of the page works in order, and prints what the page shows."""
    env = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{VENV}/bin:{os.environ['PATH']}",
        "PACKRAT_STATE_DIR": str(tmp_path / "state"),
    }
    env.pop("PACKRAT_CONFIG", None)
    said = ""
    for block in blocks(as_root=False):
        if block.kind == "yaml":
            (tmp_path / ".config/packrat/config.yaml").write_text(block.text)
        elif block.text == "packrat init\n":
            answer(pexpect.spawn("packrat", ["init"], env=env, cwd=tmp_path, encoding="utf-8"))
        elif block.kind == "sh" and "systemctl" not in block.text:
            script = block.script.replace("service install", "service install --print")
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                env=env, cwd=tmp_path, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (block, done.stderr)
            said = done.stdout
        elif block.kind == "text" and "NEXT" not in block.text:  # that one needs the daemon
            assert lacks(block.text, said) == []
    assert "documents" in said


class Person:
    """Somebody at a terminal of a booted machine."""

    def __init__(self, machine, name):
        self.machine, self.name = machine, name
        uid = machine.run("id", "-u", name)
        env = [f"HOME=/home/{name}", f"USER={name}", f"XDG_RUNTIME_DIR=/run/user/{uid}"]
        self.words = ["docker", "-H", machine.engine.host, "exec", "-w", f"/home/{name}"]
        self.words += [word for one in env for word in ("-e", one)]
        self.before = f"export PATH=/home/{name}/packrat-venv/bin:$PATH\n"

    def types(self, script):
        """Run a script; return what it printed."""
        words = [*self.words, "-u", self.name, self.machine.name, "bash", "-euo", "pipefail", "-c"]
        done = subprocess.run(
            [*words, self.before + script], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (script, done.stdout, done.stderr, self.machine.journal())
        return done.stdout

    def chooses_a_password(self, command):
        words = [*self.words[1:], "-it", "-u", self.name, self.machine.name, "bash", "-c"]
        answer(pexpect.spawn("docker", [*words, self.before + command], encoding="utf-8"))

    def does(self, steps, config):
        """Do everything that a part of the page says; `config` writes the configuration."""
        said = ""
        for block in steps:
            if block.kind == "yaml":
                config(block.text)
            elif block.text.endswith("packrat init\n"):
                self.chooses_a_password(block.text)
            elif block.kind == "sh":
                said = self.types(block.script)
            else:
                assert lacks(block.text, said) == [], said


@pytest.mark.root
@pytest.mark.thorough
def test_first_steps_of_an_ordinary_user_with_sudo_on_a_booted_machine(engine):
    """A user service first; then, as root, a service that stops a container."""
    with removed(engine, "wiki"), booted(engine) as machine:
        engine.run("wiki")
        started = engine.state("wiki")["StartedAt"]
        machine.run("sh", "-c", "useradd -m -s /bin/bash ann; mkdir /srv/wiki; date > /srv/wiki/a")
        machine.run("sh", "-c", "echo 'ann ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ann")
        machine.run("ln", "-s", engine.host.removeprefix("unix://"), "/run/docker.sock")
        for venv in ("/home/ann/packrat-venv", "/opt/packrat"):  # what the page installs
            machine.run("ln", "-s", str(VENV), venv)
        machine.run("chmod", "711", "/root")  # this Python may be below it
        machine.run("loginctl", "enable-linger", "ann")  # as if she were logged in
        machine.run("systemctl", "start", f"user@{machine.run('id', '-u', 'ann')}")
        ann = Person(machine, "ann")
        ann.does(
            blocks(as_root=False),
            lambda text: ann.types(f"cat > ~/.config/packrat/config.yaml <<'E'\n{text}E"),
        )
        assert ann.types("systemctl --user is-active packrat") == "active\n"
        ann.before = ""  # sudo has a PATH of its own, and so has who follows the page from here
        ann.does(
            blocks(as_root=True),
            lambda text: ann.types(f"sudo tee /etc/packrat/config.yaml <<'E'\n{text}E"),
        )
        assert ann.types("systemctl is-active packrat; sudo packrat list").startswith("active\n")
        assert engine.running("wiki")
        assert engine.state("wiki")["StartedAt"] != started


def test_every_key_of_status_and_history_is_documented(house):
    """docs/json.md documents each key that the two commands print, and no other."""
    text = (DOCS / "json.md").read_text()
    house.source.joinpath("a").write_text("1")
    house.backed_up()
    for command in ("status", "history"):
        [row] = re.findall(rf"^\| `{command}` \| array of `{{(.*?)}}`", text, re.MULTILINE)
        assert row.split(", ") == list(house.json(command)[0])
