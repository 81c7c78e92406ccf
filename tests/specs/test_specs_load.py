import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from specs.faults import ConfigFaults
from specs.load import find_config, load_config

GOLDEN = Path(__file__).parent / "golden"
SEED = (Path(__file__).parents[2] / "examples" / "seed.yaml").read_text()
SMALL = "services: {a: {path: /srv/a}}\nbackup: {local: {path: /mnt}}\n"


@pytest.fixture
def faults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def faults(text):
        (tmp_path / "f.yaml").write_text(text)
        with pytest.raises(ConfigFaults) as caught:
            load_config("f.yaml")
        return [str(fault) for fault in caught.value.faults]

    return faults


@pytest.mark.parametrize("name", ["five_mistakes", "every_mistake"])
def test_golden_faults(name, monkeypatch):
    """All mistakes are reported at once, with line, column and hint."""
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(ConfigFaults) as caught:
        load_config(f"{name}.yaml")
    assert str(caught.value) + "\n" == (GOLDEN / f"{name}.txt").read_text()
    assert "hidden" not in str(caught.value)


def test_parts_that_do_not_fit(faults):
    """Faults between sections are reported in the same form as those of single values."""
    assert faults("services: {}\nbackup: {}\n") == [
        "f.yaml:1:11: services: is empty; write at least one",
        "f.yaml:2:1: backup: names no destination; write for example local: {path: /mnt/backup}",
    ]
    assert faults("host: a") == [
        "f.yaml:1:1: backup: is missing; write backup: {local: {path: /mnt/backup}}",
        "f.yaml:1:1: services: is missing; write services: {documents: {path: /home/me/documents}}",
    ]
    text = "services: {a: {path: /a, docker: {%s}}}\nbackup: {local: {path: /b}}"
    one = "services.a.docker: needs one of container and containers; write container: NAME"
    assert faults(text % "") == [f"f.yaml:1:34: {one}"]
    assert faults(text % "container: a, containers: [b]") == [f"f.yaml:1:34: {one}"]


def test_relative_working_folder_in_a_container_is_refused(faults):
    """Docker would only say `Cwd must be an absolute path`, when the backup runs."""
    command = "{command: dump, working_dir: dumps, container: db}"
    text = f"services: {{a: {{path: /a, pre_backup: {command}}}}}\nbackup: {{local: {{path: /b}}}}"
    [fault] = faults(text)
    assert "services.a.pre_backup: working_dir 'dumps' is relative, but container db has" in fault


def test_container_of_a_database_is_checked_like_any_other(faults):
    text = "services: {a: {databases: [{redis: {container: a b}}]}}\nbackup: {local: {path: /b}}"
    where = "f.yaml:1:48: services.a.databases[0].redis.container"
    said = "not a container's name; write it as `docker ps` shows it"
    assert faults(text) == [f"{where}: {said}"]


def test_a_word_instead_of_a_list_is_reported(faults):
    """Also a list instead of a mapping."""
    assert faults("services: {a: {path: /a, exclude: '*.log'}}\nbackup: [local]") == [
        "f.yaml:1:35: services.a.exclude: not a list; write lines that begin with '- '",
        "f.yaml:2:9: backup: not a mapping; write KEY: VALUE lines below it",
    ]


def test_what_other_programs_write_is_answered_with_the_key_that_does_it(faults):
    """A list of folders is `paths:`, and borgmatic's `keep_daily` is a rule of `retain:`."""
    text = "services: {a: {path: [/a, /b]}}\nbackup: {local: {path: /b}, keep_daily: 7}"
    assert faults(text) == [
        "f.yaml:1:22: services.a.path: is one folder; write paths: for a list of folders",
        "f.yaml:2:29: backup.keep_daily: unknown key; write retain: {daily: 7}",
    ]


def test_an_empty_optional_section_is_reported(faults):
    """A key without a value is not a silent default: `s3:` alone does not mean no S3."""
    assert faults(SMALL + "listen:\nnotify:\n") == [
        "f.yaml:3:1: listen: has no value; write one, or remove the key",
        "f.yaml:4:1: notify: has no value; write one, or remove the key",
    ]
    assert len(faults(SMALL + "? [x]\n: 1\nlisten:\nlis: {a: }\n")) == 3


def test_aws_is_an_empty_endpoint(tmp_path):
    """For AWS the endpoint is empty, in any form of an empty value."""
    for endpoint in ("", " ''", " ~"):
        file = tmp_path / "f.yaml"
        file.write_text(
            f"services: {{a: {{path: /a}}}}\nbackup:\n  s3:\n    endpoint:{endpoint}\n"
            "    bucket: b\n    access_key_id: k\n    secret_access_key: s\n"
        )
        assert load_config(str(file)).backup.s3.endpoint is None


def test_paths_of_this_machine_are_absolute(tmp_path, monkeypatch):
    """`~` is the home; a relative path starts at the configuration or the login folder."""
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "f.yaml").write_text(
        "services: {a: {path: data/./a/, pre_backup: {command: x, working_dir: dumps}}}\n"
        "backup:\n  local: {path: ../b}\n"
        "  synology: {host: h, username: u, key_file: ~/.ssh/k, path: ~/c}\n"
    )
    monkeypatch.chdir("/")
    config = load_config(os.path.relpath(tmp_path / "f.yaml"))
    service = config.services["a"]
    assert service.path == f"{tmp_path}/data/a"
    assert service.working_dir_of(service.pre_backup) == f"{tmp_path}/data/a/dumps"
    assert config.backup.local.path == f"{tmp_path}/../b"
    assert config.backup.synology.key_file == "/home/me/.ssh/k"
    assert config.backup.synology.path == "c"
    assert config.encryption.key_file == "/home/me/.config/packrat/key"


def test_literal_secrets_know_their_place(tmp_path):
    """A reference to a literal secret is its file and a JSON pointer, and resolves to it."""
    file = tmp_path / "f.yaml"
    file.write_text(
        "services:\n  a.b:\n    path: /a\n    post_backup:\n      command: x\n"
        "      environment: {PGPASSWORD: 0042, HOME: /root}\n"
        "backup: {local: {path: /b}}\nnotify: {urls: ['https://x/token']}\n"
    )
    config = load_config(str(file))
    environment = config.services["a.b"].post_backup.environment
    reference = environment["PGPASSWORD"].reference()
    assert reference == {"config": f"{file}#/services/a.b/post_backup/environment/PGPASSWORD"}
    assert type(environment["HOME"]).parse(reference).resolve() == "0042"
    assert environment["HOME"].resolve() == "/root"
    assert config.notify.urls[0].reference() == {"config": f"{file}#/notify/urls/0"}


def test_find_config(tmp_path, monkeypatch):
    """The given file wins, then the variable, then the first existing candidate."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PACKRAT_CONFIG", raising=False)
    monkeypatch.setattr("specs.load.PLACES", ("~/.config/packrat/config.yaml",))
    with pytest.raises(ConfigFaults) as caught:
        find_config(None)
    assert str(caught.value) == (
        "packrat: no configuration found; "
        "packrat init --starter writes one to start with; or "
        "write ~/.config/packrat/config.yaml or ./packrat.yaml, or name one with -c FILE"
    )
    (tmp_path / "packrat.yaml").touch()
    assert find_config() == "packrat.yaml"
    home = tmp_path / ".config" / "packrat" / "config.yaml"
    home.parent.mkdir(parents=True)
    home.touch()
    assert find_config() == str(home)
    monkeypatch.setenv("PACKRAT_CONFIG", "other.yaml")
    assert find_config() == "other.yaml"
    assert find_config("given.yaml") == "given.yaml"


def test_loading_imports_nothing_costly():
    """For a fast start, slow modules are imported where they are used."""
    code = (
        "import sys, specs.load; slow = {'croniter', 'networkx', 's3fs', 'sshfs', 'docker'}; "
        "print(*(slow | {'pathspec', 'stages.reads', 'stages.service.docker'}) & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def _load(folder, content):
    file = folder / "any.yaml"
    file.write_bytes(content)
    try:
        load_config(str(file))
    except ConfigFaults as caught:
        faults = caught.faults
    else:
        return
    assert faults
    for fault in faults:
        assert fault.line >= 1
        assert fault.column >= 1
        assert str(fault).isprintable()
        assert fault.message != "cannot be used"


RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@RELAXED
@given(st.binary(max_size=200))
@example(b'{a: "\\ud800", "\\ud800": 1}')
@example(b'services: {a: {path: "\\0"}}\nbackup: {destinations: {x: {type: [1]}}}')
@example(b"? {a: b}\n: c")
@example(b"%YAML 9999999999999999999.1\n---\na: b")
def test_any_bytes(tmp_path, content):
    """For any bytes, the loader returns a configuration or raises its faults."""
    _load(tmp_path, content)


TOKENS = st.sampled_from(
    SEED.split(" ") + list("\n:-{}[]&*!|>'\"%@`#,?~") + ["\n  ", "&a", "*a", "<<:", "!!int", "null",
    "-1", "1e999", "[[]]", "{a: b}", "type:", "destinations:", "\t", "\x00", "…"]
)  # fmt: skip


@RELAXED
@given(st.integers(0, len(SEED)), st.integers(0, 60), st.lists(TOKENS, max_size=6))
def test_any_edit_of_the_seed(tmp_path, start, length, tokens):
    """For any edit of a valid configuration, the result is a configuration or its faults."""
    _load(tmp_path, (SEED[:start] + " ".join(tokens) + SEED[start + length :]).encode())
