"""Commands of docs/first-steps.md, run literally in a new home folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect

DOCS = Path(__file__).parents[2] / "docs"


def test_first_steps_word_for_word(tmp_path):
    """Every command of the page works in order, and the last one restores a letter."""
    text = (DOCS / "first-steps.md").read_text()
    blocks = re.findall(r"```(sh|yaml)\n(.*?)```", text, re.DOTALL)
    venv = Path(sys.executable).parent
    env = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{venv}:{os.environ['PATH']}",
        "PACKRAT_STATE_DIR": str(tmp_path / "state"),
    }
    env.pop("PACKRAT_CONFIG", None)
    said = []
    assert "pip install --no-deps ." in blocks.pop(0)[1], (
        "the first one installs, as this machine is"
    )
    for kind, block in blocks:
        if kind == "yaml":
            (tmp_path / ".config/packrat/config.yaml").write_text(block)
        elif block == "packrat init\n":
            child = pexpect.spawn("packrat", ["init"], env=env, cwd=tmp_path, encoding="utf-8")
            for asked in ("Password: ", "Again: ", "From what you wrote down: "):
                child.expect(asked)
                child.sendline("correct horse battery")
            child.expect(pexpect.EOF)
            child.close()
            assert child.exitstatus == 0
        else:
            script = block.replace("service install", "service install --print")
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                env=env, cwd=tmp_path, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (block, done.stderr)
            said.append(done.stdout)
    assert "valid: 1 service, to local" in said[1]
    assert "first version" in said[3]
    assert "1 of 1 archive good (every byte read)" in said[3]
    assert "documents" in said[-1]


def test_every_key_of_status_and_history_is_documented(house):
    """docs/json.md documents each key that the two commands print, and no other."""
    text = (DOCS / "json.md").read_text()
    house.source.joinpath("a").write_text("1")
    house.backed_up()
    for command in ("status", "history"):
        [row] = re.findall(rf"^\| `{command}` \| array of `{{(.*?)}}`", text, re.MULTILINE)
        assert row.split(", ") == list(house.json(command)[0])
