"""Lists and ranges of files come by `ssh`; what is not simply answered, sshfs asks again."""

import itertools
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import strange_ssh
from tests.helpers.servers import SshServer, need
from tests.helpers.trees import noise
from vault.errors import Away, NotThere, UnknownHost
from vault.store.base import Stored
from vault.store.sftp import Sftp

AT_ONCE = 261_120
"""So many bytes OpenSSH gives in one answer."""
DATA = noise(20 * AT_ONCE + 12_345)
number = itertools.count()


@pytest.fixture(scope="module")
def nas(tmp_path_factory):
    need("ssh", "apt install openssh-client")
    server = SshServer(tmp_path_factory.mktemp("servers") / "nas")
    with server.up():
        yield server


@pytest.fixture
def place(nas):
    """Give a destination, and the folder on its disk, in which a service has a file."""
    path = f"a b/ü'{next(number)}"
    folder = nas.folder / "login" / path
    (folder / "svc").mkdir(parents=True)
    (folder / "svc" / "it").write_bytes(DATA)
    return connect(nas, path), folder


def connect(nas, path, **more):
    key, known = str(nas.folder / "user"), [str(nas.known_hosts)]
    given = {"key_file": key, "known_hosts": known} | more
    return Sftp("nas", "127.0.0.1", nas.port, "root", path, **given)


def by_library(sftp):
    """Say whether sshfs has connected."""
    return sftp._fs is not None


@st.composite
def ranges(draw):
    """Give ranges, many of which begin or end where requests do."""
    edges = st.integers(0, 21).map(lambda n: n * AT_ONCE)
    places = edges.flatmap(lambda edge: st.integers(max(0, edge - 2), edge + 2))
    anywhere = st.integers(0, len(DATA) + 1000)
    return draw(places | anywhere), draw(places | anywhere)


def test_any_range_by_ssh(place):
    """For any range: the bytes that stand there, cut off where the file ends."""
    sftp, _ = place

    @given(ranges())
    def check(span):
        offset, length = span
        assert sftp.read("svc", "it", offset, length) == DATA[offset : offset + length]

    check()
    assert not by_library(sftp)


def test_ranges_by_several_threads(place):
    """Each gets its own bytes, however many ask at once."""
    sftp, _ = place
    wrong = []

    def read(first):
        for offset in range(first, len(DATA), 7 * AT_ONCE // 2):
            same = sftp.read("svc", "it", offset, 600_000) == DATA[offset : offset + 600_000]
            wrong.extend([] if same else [offset])

    threads = [threading.Thread(target=read, args=[n * 100_000]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not by_library(sftp)


def test_any_list_by_ssh(place, nas):
    """However many files and folders, whatever their names: as sshfs lists them."""
    sftp, folder = place
    names = ["a b", "a+b", "ü&<>", "%41", "'\"", ".part", "line\nbreak"]
    for name in [*names, *(f"n{n}" for n in range(1100))]:
        (folder / "svc" / name).write_bytes(b"x" * (len(name) % 5))
    for name in names:
        (folder / f"in {name}").mkdir()
    listed = sftp.files("svc"), sftp.services()
    assert not by_library(sftp)
    assert Stored("line\nbreak", 0) in listed[0]
    assert (len(listed[0]), len(listed[1])) == (1108, 8)
    other = connect(nas, sftp.root)
    other._simple = False
    assert (other.files("svc"), other.services()) == listed
    assert by_library(other)


def test_what_is_not_there_is_said_by_sshfs(place):
    """An absent file is an error, an absent folder empty; behind the end there is nothing."""
    sftp, _ = place
    assert sftp.read("svc", "it", len(DATA), 100) == b""
    assert not by_library(sftp)
    with pytest.raises(NotThere):
        sftp.read("svc", "other", 0, 100)
    assert by_library(sftp)
    assert sftp.files("nobody") == []
    assert sftp._simple


@pytest.fixture
def strange(tmp_path, monkeypatch, nas):
    """Put another `ssh` before the real one; gives what sets its trick, and how often it began."""
    del nas
    log, real = tmp_path / "log", shutil.which("ssh")
    program = tmp_path / "ssh"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def begins(trick):
        log.unlink(missing_ok=True)
        line = f'exec "{sys.executable}" "{strange_ssh.__file__}" {trick} "{log}" "{real}" "$@"'
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
        return lambda: len(log.read_text().splitlines())

    return begins


@pytest.mark.parametrize("trick", ["give_less", "change_the_order", "offer_nothing"])
def test_what_a_server_may_do_is_simple(place, strange, trick):
    """Whatever the protocol allows: the right bytes, and sshfs is not asked."""
    sftp, _ = place
    strange(trick)
    for offset, length in [(0, 1), (5, 3_000_000), (len(DATA) - 400_000, 600_000)]:
        assert sftp.read("svc", "it", offset, length) == DATA[offset : offset + length]
    assert [stored.name for stored in sftp.files("svc")] == ["it"]
    assert not by_library(sftp)


TRICKS = [
    "give_more",
    "end_too_soon",
    "refuse",
    "be_older",
    "break_off",
    "tell_a_story",
    "promise_the_world",
    "hang_up",
]


@pytest.mark.parametrize("trick", TRICKS)
def test_what_is_not_simply_answered_sshfs_asks_again(place, strange, trick):
    """However it goes wrong: the right bytes come, and it is tried once only."""
    sftp, _ = place
    begun = strange(trick)
    for offset in (5, 50, 500):
        assert sftp.read("svc", "it", offset, 1_000_000) == DATA[offset : offset + 1_000_000]
    assert [stored.name for stored in sftp.files("svc")] == ["it"]
    assert begun() == 1
    assert by_library(sftp)


@pytest.mark.parametrize("trick", [*TRICKS[2:], "give_less"])
def test_a_list_that_is_not_simply_given_sshfs_asks_for(place, strange, trick):
    """Nothing that a server says instead passes for a list, least of all for an empty one."""
    sftp, _ = place
    strange(trick)
    assert [stored.name for stored in sftp.files("svc")] == ["it"]
    assert by_library(sftp) == (trick != "give_less")


def test_nobody_waits_for_an_answer_once_a_read_is_broken_off(place, strange):
    """A Ctrl-C ends a read that a silent server keeps waiting."""
    sftp, _ = place
    strange("keep_waiting")
    begun = time.monotonic()

    def check():
        if time.monotonic() > begun + 1:
            raise InterruptedError

    sftp.check = check
    with pytest.raises(InterruptedError):
        sftp.read("svc", "it", 0, 100)
    assert not by_library(sftp)


@pytest.mark.parametrize("name", ["a b", "100%d", "'"])
def test_wherever_the_key_is(place, nas, tmp_path, name):
    """The names of the files mean nothing to `ssh`."""
    sftp, _ = place
    (tmp_path / name).mkdir()
    key, known = tmp_path / name / "key", tmp_path / name / "known"
    shutil.copy(nas.folder / "user", key)
    shutil.copy(nas.known_hosts, known)
    sftp = connect(nas, sftp.root, key_file=str(key), known_hosts=["/none", str(known)])
    assert [stored.name for stored in sftp.files("svc")] == ["it"]
    assert not by_library(sftp)


@pytest.mark.parametrize("name", ['"', "\\", "${HOME}"])
def test_names_that_ssh_does_not_take(place, nas, tmp_path, name):
    """Sshfs takes them."""
    sftp, _ = place
    key = tmp_path / name
    shutil.copy(nas.folder / "user", key)
    sftp = connect(nas, sftp.root, key_file=str(key))
    assert [stored.name for stored in sftp.files("svc")] == ["it"]
    assert by_library(sftp)


def test_who_keeps_silent_is_left(place, strange, monkeypatch, nas):
    """A server that does not answer is hung up on, and sshfs asks it again."""
    sftp, _ = place
    strange("keep_waiting")
    monkeypatch.setattr("vault.store.remote.PLAIN_SECONDS", 0.5)
    before = connections(nas)
    assert sftp.read("svc", "it", 5, 100) == DATA[5:105]
    assert by_library(sftp)
    assert connections(nas) == before


def test_who_has_hung_up_is_called_again(place, nas):
    """A server may end a connection that rests: a picker waits for its user for minutes."""
    before = connections(nas)
    sftp, _ = place
    for offset in (5, 50, 500):
        assert sftp.read("svc", "it", offset, 100) == DATA[offset : offset + 100]
        [ours] = connections(nas) - before
        os.kill(int(ours), signal.SIGKILL)
    assert not by_library(sftp)


def test_who_was_not_accepted_gets_no_question(nas, place, tmp_path):
    """A host key that is in no file is sshfs's, which says so; another than the one is, too."""
    sftp, _ = place
    other = tmp_path / "known"
    shutil.copy(nas.folder / "user.pub", other)
    for known in ([str(other)], []):
        with pytest.raises(UnknownHost):
            connect(nas, sftp.root, known_hosts=known).files("svc")
    with pytest.raises(Away, match="host key"):
        connect(nas, sftp.root, host_key="SHA256:x").files("svc")


def test_without_ssh_sshfs_reads(place, monkeypatch, tmp_path):
    """A system without `ssh` reads as well."""
    sftp, _ = place
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sftp.read("svc", "it", 5, 1_000_000) == DATA[5:1_000_005]
    assert by_library(sftp)


def test_who_is_expected_has_connected(place, nas):
    """The first question to who was expected goes over the connection that was begun then."""
    before = connections(nas)
    sftp = connect(nas, place[0].root)
    sftp.expect()
    begun = connections(nas)
    assert len(begun - before) == 1
    assert sftp.files("svc") == [Stored("it", len(DATA))]
    assert connections(nas) == begun
    del sftp
    assert connections(nas) == before


def connections(nas):
    """Give the processes that are connected to a server."""
    wanted = f"-p\0{nas.port}\0".encode()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if wanted in command and command.split(b"\0")[0].endswith(b"ssh"):
            found.add(process.name)
    return found
