import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from specs.secret import PATIENCE, Password, Secret, SecretFault

HIDDEN = "hunter2-hunter2"


class Holder(BaseModel):
    secret: Secret


def test_nothing_shows_a_secret(tmp_path):
    """A literal appears in no repr, str, dump or error."""
    secret = Secret.parse(HIDDEN)
    object.__setattr__(secret, "source", "/f.yaml#/a")
    holder = Holder(secret=secret)
    assert secret.resolve() == HIDDEN
    for shown in (repr(secret), str(secret), f"{holder}", holder.model_dump_json()):
        assert HIDDEN not in shown
    assert holder.model_dump() == {"secret": {"config": "/f.yaml#/a"}}
    with pytest.raises(ValueError, match="cannot be written down") as caught:
        Secret.parse(HIDDEN).reference()
    assert HIDDEN not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [("a\n", "a"), ("a\n\n", "a\n"), ("a\r", "a\r"), (5, "5"), (1.5, "1.5"), (True, "true")],
)
def test_literals(value, text):
    """A number is its text as written, and one trailing newline is removed."""
    assert Secret.parse(value).resolve() == text


def test_environment(monkeypatch):
    """{env: NAME} is a variable of packrat's environment; without it the fault names it."""
    monkeypatch.setenv("PACKRAT_TEST", HIDDEN)
    secret = Secret.parse({"env": "PACKRAT_TEST"})
    assert secret.resolve() == HIDDEN
    assert repr(secret) == "Secret(env: PACKRAT_TEST)"
    monkeypatch.delenv("PACKRAT_TEST")
    with pytest.raises(SecretFault) as caught:
        secret.resolve()
    assert caught.value.what == "the secret env: the environment has no PACKRAT_TEST"
    assert caught.value.hint == "set it where packrat is started"


def test_file(tmp_path):
    """{file: PATH} is the content of a file; a relative path starts at the configuration."""
    (tmp_path / "key").write_text(HIDDEN + "\r\n")
    secret = Secret.parse({"file": "key"}, str(tmp_path))
    assert secret.reference() == {"file": f"{tmp_path}/key"}
    assert secret.resolve() == HIDDEN
    (tmp_path / "key").write_bytes(b"\xff")
    with pytest.raises(SecretFault, match="not UTF-8 text"):
        secret.resolve()
    (tmp_path / "key").unlink()
    with pytest.raises(SecretFault, match="No such file or directory; write the secret there"):
        secret.resolve()


def test_command():
    """{command: …} is the output of a command under bash; a failure in a pipe is a failure."""
    assert Secret.parse({"command": f"printf '%s\\n' {HIDDEN} | cat"}).resolve() == HIDDEN
    with pytest.raises(SecretFault, match="ended with status 3") as caught:
        Secret.parse({"command": f"(echo {HIDDEN} >&2; exit 3) | cat"}).resolve()
    assert HIDDEN not in str(caught.value)
    assert caught.value.__cause__ is None


def test_slow_command(monkeypatch):
    """A command that does not end is stopped at the time limit."""
    assert PATIENCE == 60
    monkeypatch.setattr("specs.secret.PATIENCE", 0.1)
    with pytest.raises(SecretFault, match="took longer than"):
        Secret.parse({"command": "exec sleep 30"}).resolve()


def test_config(tmp_path):
    """{config: FILE#/pointer} reads the configuration again and resolves the secret there."""
    file = tmp_path / "c.yaml"
    file.write_text("a~b:\n  - x/y: 1.10\n    z: {file: key}\n    again: {config: c.yaml#/a}\n")
    (tmp_path / "key").write_text(HIDDEN)
    assert Secret.parse({"config": f"{file}#/a~0b/0/x~1y"}).resolve() == "1.10"
    assert Secret.parse({"config": f"{file}#/a~0b/0/z"}).resolve() == HIDDEN
    beside = Secret.parse({"config": "c.yaml#/a~0b/0/z"}, str(tmp_path))
    assert beside.reference() == {"config": f"{file}#/a~0b/0/z"}
    with pytest.raises(SecretFault, match="only refers on"):
        Secret.parse({"config": f"{file}#/a~0b/0/again"}).resolve()
    for place in (f"{file}#/a~0b/7", f"{file}#/no", f"{file}#/a~0b", "no.yaml#/a", "junk", "#/"):
        with pytest.raises(SecretFault, match="there is no secret at"):
            Secret.parse({"config": place}).resolve()


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"evn": HIDDEN}, {"env": ""}, {"env": 5}, {"env": "A", "file": "b"}, [HIDDEN]],
)
def test_forms(value):
    """An unknown form is refused without quoting the value."""
    with pytest.raises(ValidationError, match="not a secret") as caught:
        TypeAdapter(Secret).validate_python(value)
    assert HIDDEN not in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize("value", ["/run/x", "~/x", "./x", "../x", "", " \n"])
def test_a_password_is_never_a_path(value):
    """A literal path is not taken for a secret; the value of a variable may be a path."""
    with pytest.raises(ValidationError, match=r"looks like a path|an empty secret"):
        TypeAdapter(Password).validate_python(value)
    assert TypeAdapter(Secret).validate_python(value).form == "text"


def test_a_huge_file_is_not_read_whole():
    """An endless file, named by mistake, does not fill the memory."""
    with pytest.raises(SecretFault, match="longer than 65536 characters"):
        Secret.parse({"file": "/dev/zero"}).resolve()
