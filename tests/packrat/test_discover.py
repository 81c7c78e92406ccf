"""`packrat discover` on a real engine with thirty containers, three of them unprotected."""

import json
import os
import time

import pytest
import yaml
from rich.cells import cell_len

from tests.helpers.command_line import packrat
from tests.helpers.containers import compose_labels, create, label_words
from tests.helpers.daemons import settle
from tests.helpers.house import House
from tests.helpers.terminal import plain, status, terminal
from tests.helpers.trees import fill, noise

NFS = ("--opt", "type=nfs", "--opt", "device=:/export", "--opt", "o=addr=192.0.2.1")
NEEDS_DB = "db:service_started:true"
POSTGRES, REDIS = "postgres:17", "valkey/valkey:8"


@pytest.fixture(scope="module")
def machine(engine, tmp_path_factory):
    """Thirty containers, and the folder of those that keep their data in folders."""
    folder = tmp_path_factory.mktemp("machine")
    fill(folder / "media" / "movies", {"film": noise(5000, 1)})
    for name in (POSTGRES, REDIS):
        engine.docker("tag", "busybox", name)
    engine.docker("volume", "create", *NFS, "remote")
    made = [
        create(engine, "shop-web-1", labels=compose_labels("shop", "web", NEEDS_DB),
               options=["-v", "shop_files:/files"]),
        create(engine, "shop-db-1", POSTGRES, compose_labels("shop", "db"),
               ["-v", "shop_db:/var/lib/postgresql/data"]),
        create(engine, "wiki-web-1", labels=compose_labels("wiki", "web", NEEDS_DB),
               options=["-v", "wiki_files:/files", "-v", f"{folder}/wiki:/config",
                        "-v", "/var/run/docker.sock:/var/run/docker.sock",
                        "-v", "/etc/localtime:/etc/localtime"]),
        create(engine, "wiki-db-1", POSTGRES, compose_labels("wiki", "db"),
               ["-v", "wiki_db:/var/lib/postgresql", "-e", "POSTGRES_PASSWORD=geheim"]),
        create(engine, "wiki-queue-1", REDIS, compose_labels("wiki", "queue"), ["-v", "/data"]),
        create(engine, "sharer", options=["-v", "shop_files:/shared"]),
        create(engine, "anonymous", options=["-v", "/state"]),
        create(engine, "far", options=["-v", "remote:/far"]),
        create(engine, "player", options=["-v", f"{folder}/media/movies:/movies",
                                          "-v", "player_cache:/cache"]),
        create(engine, "reader", options=["-v", f"{folder}/read:/data:ro", "--tmpfs", "/run"]),
        create(engine, "passing", options=["--rm", "-v", "/data"]),
        *(create(engine, f"bound-{n}", options=["-v", f"{folder}/apps/{n}:/data"])
          for n in range(10)),
        *(create(engine, f"plain-{n}") for n in range(9)),
    ]  # fmt: skip
    assert len(made) == 30
    yield folder
    engine.docker("rm", "-f", "-v", *made)
    engine.docker("volume", "rm", "shop_files", "shop_db", "wiki_files", "wiki_db", "remote",
                  "player_cache")  # fmt: skip


COMMENTED = """\
# My backups.
services:
    apps:
        path: {folder}/apps     # all of them
        schedule: "30 4 * * *"
        # of apps

    shop: {{compose: shop, schedule: "30 4 * * *"}}

# Where to.
backup:   {{local: {{path: {root}/store}}}}
encryption: {{key_file: {root}/key}}
state_dir: {root}/state
"""


@pytest.fixture
def home(machine, engine, tmp_path, monkeypatch):
    """A configuration that backs up all but three: wiki, anonymous and far."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    home = House(tmp_path)
    home.config_file.write_text(COMMENTED.format(folder=machine, root=tmp_path))
    home.config_file.chmod(0o640)
    return home


def state(found, name):
    """Return the state of a group in a document."""
    return next(one["state"] for one in found["groups"] if one["name"] == name)


def test_three_of_thirty_are_unprotected_within_two_seconds(home):
    seconds = []
    for _ in range(3):  # the machine may be busy with other tests
        begin = time.monotonic()
        found = home.json("discover", status=5)
        seconds.append(time.monotonic() - begin)
    assert min(seconds) < 2, seconds
    assert list(found) == ["unprotected", "groups", "added"]
    assert list(found["groups"][0]) == ["name", "compose", "state", "containers", "writes"]
    assert found["unprotected"] == ["anonymous", "far", "wiki"]
    for name in ("sharer", "shop", "bound-3"):
        assert state(found, name) == "protected"
    assert state(found, "player") == "optional"
    assert state(found, "reader") == state(found, "plain-0") == "empty"
    assert "passing" not in {one["name"] for one in found["groups"]}
    [wiki] = [one for one in found["groups"] if one["name"] == "wiki"]
    assert [one["database"] for one in wiki["containers"]] == [
        "PostgreSQL",
        "Valkey",
        None,
    ]
    [far] = [one for one in found["groups"] if one["name"] == "far"]
    assert (far["writes"][0]["remote"], far["writes"][0]["bytes"]) == (True, None)
    [player] = [one for one in found["groups"] if one["name"] == "player"]
    sizes = {one["use"]: one["bytes"] for one in player["writes"]}
    assert sizes == {"media": 5000, "cache": 0}
    assert "geheim" not in json.dumps(found)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_screen_fits_and_says_what_to_do(home, columns):
    screen = plain(packrat("-c", home.config_file, "discover", columns=columns).stdout)
    lines = [line for line in screen.splitlines() if str(home.root) not in line]
    assert max(map(cell_len, lines)) <= columns
    words = " ".join(screen.split())
    assert "3 of 26 without a complete backup: anonymous, far, wiki." in words
    assert "packrat discover --write adds them to" in words
    assert "a new container would begin with an empty one" in words
    assert "(can be fetched again)" in words or columns == 60


def test_write_adds_a_service_a_project_and_keeps_every_other_byte(home):
    before = home.config_file.read_text()
    os.chown(home.config_file, 0, 7)
    done = home.cli("discover", "--write", "--yes")
    assert done.returncode == 0, done.stderr
    assert "+    wiki:" in done.stdout
    after = home.config_file.read_text()
    added = set(after.splitlines()) - set(before.splitlines())
    assert [line for line in after.splitlines() if line not in added] == before.splitlines()
    status = home.config_file.stat()
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, 0, 7)
    services = yaml.safe_load(after)["services"]
    assert list(services) == ["apps", "shop", "wiki", "anonymous", "far"]
    assert services["wiki"] == {
        "schedule": "30 4 * * *",
        "compose": "wiki",
        "databases": [{"postgres": {"container": "wiki-db-1"}}],
    }
    assert services["far"]["volumes"] == ["remote"]
    assert services["far"]["docker"] == {"container": "far"}
    assert home.json("discover")["unprotected"] == []
    assert home.cli("discover", "--write", "--yes").returncode == 0
    done = home.cli("discover", "--write", "--yes", "wiki")
    assert "nothing named 'wiki' lacks a backup, and nothing else does" in done.stderr
    assert home.config_file.read_text() == after


def test_only_the_named_are_added(home):
    done = home.cli("discover", "--write", "--yes", "far")
    assert done.returncode == 5
    assert list(yaml.safe_load(home.config_file.read_text())["services"]) == ["apps", "shop", "far"]
    done = home.cli("discover", "--write", "--yes", "shop")
    assert (done.returncode, "these do: anonymous, wiki" in done.stderr) == (2, True)


def test_a_name_that_is_taken_is_told_and_not_written(home):
    text = home.config_file.read_text().replace("    apps:", "    wiki: {path: /srv}\n    apps:")
    home.config_file.write_text(text)
    done = home.cli("discover", "--write", "--yes")
    assert done.returncode == 5
    assert "has a service 'wiki' that does not back up everything of wiki" in done.stderr
    assert yaml.safe_load(home.config_file.read_text())["services"]["wiki"] == {"path": "/srv"}


def test_ignored_projects_volumes_and_folders_are_not_reported(home):
    with home.config_file.open("a") as file:
        file.write("docker: {ignore: [wiki, remote]}\n")
    found = home.json("discover", status=5)
    assert found["unprotected"] == ["anonymous"]
    assert state(found, "wiki") == "ignored"


def test_without_a_terminal_and_yes_nothing_is_written(home):
    before = home.config_file.read_text()
    done = home.cli("discover", "--write")
    assert (done.returncode, "pass --yes" in done.stderr) == (2, True)
    assert home.config_file.read_text() == before


def test_on_a_terminal_the_change_is_shown_and_confirmed(home):
    before = home.config_file.read_text()
    for answer, code, added in (("n", 5, False), ("y", 5, True)):
        child = terminal(home, "discover", "--write", "far")
        child.expect("volumes: \\[remote\\]")
        child.expect("Write this to .*packrat.yaml")
        child.sendline(answer)
        assert status(child) == code
        assert (home.config_file.read_text() != before) == added


def test_without_a_configuration_everything_is_unprotected(home, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    done = packrat("discover", cwd=tmp_path / "source")
    assert done.returncode == 5
    assert "packrat init --starter" in done.stdout


def test_an_engine_that_is_away_is_an_error_with_advice(house, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{house.root}/none")
    done = house.cli("discover")
    assert done.returncode == 4
    assert "does not answer" in done.stderr


@pytest.mark.parametrize("labelled", [False, True], ids=["write", "label"])
@pytest.mark.thorough
def test_what_was_found_can_be_backed_up_and_restored(house, engine, hasty, monkeypatch, labelled):
    """`--write` and a label do the same: one backup with a root for each volume."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    labels = compose_labels("blog", "web") | ({"packrat.enable": "true"} if labelled else {})
    script = "echo page > /pages/one; echo draft > /drafts/two; sleep 1000 & wait"
    mounts = ["-v", "blog_pages:/pages", "-v", "blog_drafts:/drafts"]
    name = engine.run("blog-web-1", script, *mounts, *label_words(labels))
    if labelled:
        settle(house, docker={"labels": True})
    else:
        assert house.cli("discover", "--write", "--yes", "blog").returncode in (0, 5)
    [row] = house.json("backup", "blog")
    assert (row["status"], row["files"]) == ("done", 2)
    out = house.root / "restored"
    assert house.cli("restore", "blog", "--to", str(out), "--yes").returncode == 0
    assert {str(f.relative_to(out)): f.read_text() for f in out.rglob("*") if f.is_file()} == {
        "blog_pages/one": "page\n",
        "blog_drafts/two": "draft\n",
    }
    assert engine.running(name)
    engine.docker("rm", "-f", name)
    engine.docker("volume", "rm", "blog_pages", "blog_drafts")
