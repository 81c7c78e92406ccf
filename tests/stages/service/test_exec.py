"""Output of a program in a container: all of it, or an error."""

import socket
import threading
from contextlib import closing, contextmanager

import pytest

from stages.errors import SourceError
from stages.facts import CommandLog
from stages.service.docker import DockerEngine
from stages.service.exec import ContainerProgram

pytestmark = pytest.mark.root


def program(engine, name, host=None):
    return ContainerProgram(DockerEngine(host or engine.host), name, "the dump", CommandLog())


@contextmanager
def cut_after(engine, size):
    """Address of the engine behind a proxy that closes a connection after so many bytes."""

    def serve(client):
        path = engine.host.removeprefix("unix://")
        with client, closing(socket.socket(socket.AF_UNIX)) as server:
            server.connect(path)
            up = threading.Thread(target=pump, args=(client, server), daemon=True)
            up.start()
            pump(server, client, size)
            client.shutdown(socket.SHUT_RDWR)

    def pump(source, target, left=1 << 60):
        try:
            while left > 0 and (data := source.recv(min(left, 1 << 16))):
                target.sendall(data)
                left -= len(data)
        except OSError:
            pass

    def accept():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def test_output_is_whole_and_the_mark_is_stripped(engine, made):
    script = 'head -c 3000000 /dev/zero | tr "\\0" x; printf "%s" "$1"; echo said >&2'
    found = b"".join(program(engine, made[0]).run(script, ["the end"]))
    assert found == b"x" * 3_000_000 + b"the end"


def test_output_that_arrives_at_once_is_whole(engine, made):
    """Process number, output and mark may be one frame, or three."""
    for _ in range(8):
        assert b"".join(program(engine, made[0]).run("echo data")) == b"data\n"
        assert b"".join(program(engine, made[0]).run("true")) == b""


def test_input_arrives_whole_and_ends(engine, made):
    data = [bytes([n]) * 100_000 for n in range(50)]
    assert b"".join(program(engine, made[0]).run("cat", data=data)) == b"".join(data)


def test_program_that_fails_after_its_output_is_an_error_with_its_last_words(engine, made):
    output = program(engine, made[0]).run("echo data; echo no space >&2; exit 3")
    with pytest.raises(SourceError, match=r"the dump failed with status 3.*no space"):
        b"".join(output)


def test_stream_that_ends_early_is_an_error(engine, made):
    """Inside a frame, or between two: the program itself knows nothing of it."""
    for size in (1_000_000, 1_000_123):
        with cut_after(engine, size) as host:
            output = program(engine, made[0], host).run("head -c 9000000 /dev/zero")
            with pytest.raises(SourceError, match=r"failed with status|was cut off"):
                b"".join(output)


@pytest.mark.thorough
def test_container_that_is_killed_is_an_error(engine, names):
    name = engine.run(next(names))
    output = program(engine, name).run("yes")
    next(output)
    engine.docker("kill", name)
    with pytest.raises(SourceError, match="the dump"):
        for _ in output:
            pass


@pytest.mark.thorough
def test_program_is_ended_when_its_reader_stops(engine, made):
    output = program(engine, made[0]).run("exec yes packrat-test")
    next(output)
    assert "yes packrat-test" in engine.commands(made[0])
    output.close()
    assert engine.ended(made[0], "yes packrat-test")
