"""Settings of `type: fsspec` destinations, and paths on servers."""

import pytest

from specs.faults import ConfigFaults
from specs.load import load_config
from specs.options import resolve_options
from specs.secret import Secret

START = "services: {a: {path: data}}\nbackup:\n  destinations:\n    x: "


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(text):
        (tmp_path / "f.yaml").write_text(START + text + "\n")
        return load_config("f.yaml").destinations()["x"]

    return load


def refused(load, text):
    with pytest.raises(ConfigFaults) as caught:
        load(text)
    [fault] = caught.value.faults
    return str(fault)


def test_options_keep_their_types_and_secrets_are_references(load, tmp_path, monkeypatch):
    """Numbers and lists reach the filesystem unchanged; a secret is resolved when used."""
    monkeypatch.setenv("DAV", "the password")
    options = "{auth: [me, {env: DAV}], port: 445, deep: {flag: true, password: {env: DAV}}}"
    spec = load(f"{{type: fsspec, url: webdav://a/b, options: {options}}}")
    assert spec.options["auth"] == ("me", Secret("env", "DAV"))
    assert resolve_options(spec.options) == {
        "auth": ("me", "the password"),
        "port": 445,
        "deep": {"flag": True, "password": "the password"},
    }
    shown = spec.model_dump(mode="json")["options"]
    assert shown["auth"] == ["me", {"env": "DAV"}]
    assert shown["deep"]["password"] == {"env": "DAV"}


@pytest.mark.parametrize(
    "options",
    [
        "{password: hunter2}",
        "{account_key: hunter2}",
        "{auth: [me, hunter2]}",
        "{client: {client_secret: hunter2}}",
    ],
)
def test_a_secret_in_plain_text_is_refused_and_not_repeated(load, options):
    """Otherwise `plan` would show it."""
    said = refused(load, f"{{type: fsspec, url: webdav://a, options: {options}}}")
    assert "is a secret, written as plain text" in said
    assert "{env: NAME}" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/mnt/x", "not a URL"),
        ("file:///mnt/x", "not a URL"),
        ("smb://me:pw@nas/share", "a URL with a password"),
    ],
)
def test_a_url_that_is_none_or_has_a_password_is_refused(load, url, said):
    """A local folder has its own type."""
    assert said in refused(load, f"{{type: fsspec, url: '{url}'}}")


@pytest.mark.parametrize(
    ("path", "is_"),
    [("~/x", "x"), ("~", "."), ("~/", "."), ("x/~y", "x/~y"), ("/x", "/x")],
)
def test_the_home_on_an_ssh_server_is_the_login_folder(load, path, is_):
    """No folder called `~` is created."""
    spec = load(f"{{type: sftp, host: h, username: u, password: x, path: '{path}'}}")
    assert spec.path == is_


def test_the_home_of_another_user_is_refused(load):
    """SFTP has no such path."""
    said = refused(load, "{type: sftp, host: h, username: u, password: x, path: '~other/x'}")
    assert "not a path" in said


@pytest.mark.parametrize("path", ["a//b", "x/../y", "./x", "/a/./b"])
def test_a_path_in_a_bucket_that_servers_read_differently_is_refused(load, path):
    """S3 takes such parts literally; some servers, and s3fs, do not."""
    keys = "access_key_id: k, secret_access_key: s"
    said = refused(load, f"{{type: s3, bucket: b, {keys}, path: '{path}'}}")
    assert "not a folder in a bucket" in said
