"""Real Docker engine for the tests, with a locally built image: nothing is pulled."""

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stages.service.inventory import COMPOSE
from tests.helpers.house import House
from tests.helpers.needs import need
from tests.helpers.trees import fill, noise

IMAGE = "busybox"
APPLETS = ["sh", "sleep", "cat", "echo", "kill", "ls", "date", "touch", "head", "yes", "false",
           "true", "mkdir", "rm", "setsid", "tr", "grep"]  # fmt: skip
HOST_FOLDERS = ["/usr", "/lib", "/lib64", "/bin", "/etc"]
"""Folders that, bind-mounted read-only, let a container run any program of this machine."""


class Engine:
    """`dockerd` with all its files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.program = need("dockerd", "apt install docker.io iptables, as root")
        self.busybox = need("busybox", "apt install busybox-static")
        self.folder = folder
        self.host = f"unix://{folder}/sock"
        self._process: subprocess.Popen | None = None

    @contextmanager
    def up(self) -> Iterator[None]:
        self.start()
        self._make_image()
        try:
            yield
        finally:
            for name in self.docker("ps", "-aq").split():
                self.docker("rm", "-f", name)
            self._process.terminate()
            self._process.wait()

    def start(self) -> None:
        """Start the engine and wait until it answers."""
        self._launch()
        self.wait()

    def _launch(self) -> None:
        command = [self.program, "--host", self.host, "--data-root", self.folder / "data",
                   "--exec-root", self.folder / "exec", "--pidfile", self.folder / "pid",
                   "--bridge", "none", "--iptables=false", "--ip6tables=false"]  # fmt: skip
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait until the engine answers."""
        for _ in range(600):
            asked = subprocess.run(self._words("info"), capture_output=True, check=False)
            if asked.returncode == 0:
                return
            if self._process.poll() is not None:  # its containerd was not up in time
                self._launch()
            time.sleep(0.1)
        pytest.fail(f"dockerd does not start: {(self.folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """Kill the engine, as a crash would."""
        self._process.kill()
        self._process.wait()

    def docker(self, *words: str, check: bool = True) -> str:
        """Run the client; return its output."""
        done = subprocess.run(self._words(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def run(self, name: str, script: str = "sleep 1000 & wait", *options: str) -> str:
        """Start a container with a script for busybox's shell; return its name."""
        shell = [IMAGE, "sh", "-c", f"trap 'exit 0' TERM; {script}"]
        self.docker("run", "-d", "--name", name, "--network", "none", *options, *shell)
        return name

    def state(self, name: str) -> dict:
        return json.loads(self.docker("inspect", name))[0]["State"]

    def running(self, *names: str) -> bool:
        """Return whether all these containers run."""
        return all(self.state(name)["Running"] for name in names)

    def commands(self, name: str) -> str:
        """Return the command lines of all processes of a container."""
        return self.docker("top", name, "-eo", "pid,args")

    def ended(self, name: str, words: str) -> bool:
        """Wait up to ten seconds until no command line of a container has these words."""
        for _ in range(100):
            if words not in self.commands(name):
                return True
            time.sleep(0.1)
        return False

    def _words(self, *words: str) -> list[str]:
        return ["docker", "-H", self.host, *words]

    def _make_image(self) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            tar.add(os.path.realpath(self.busybox), "bin/busybox")
            for folder in ("tmp", "proc", "sys", "dev", "run", "usr", "lib", "lib64", "etc"):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
                tar.addfile(entry)
            for applet in APPLETS:
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
        command = self._words("import", "-", IMAGE)
        subprocess.run(command, input=buffer.getvalue(), capture_output=True, check=True)


@contextmanager
def engine_of_its_own() -> Iterator[Engine]:
    """Run an engine while the context lasts, in a folder short enough for a socket."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a Docker engine of its own")
    folder = Path(tempfile.mkdtemp(prefix="dk-", dir="/var/tmp"))
    try:
        engine = Engine(folder)
        with engine.up():
            yield engine
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def house_of(tmp_path, engine, *names, docker=None, **more):
    settings = {"containers": list(names), "host": engine.host, "stop_timeout": 5}
    house = House(tmp_path, settings={"docker": settings | (docker or {})} | more)
    fill(house.source, {"a": noise(100_000), "b/c": noise(3_000_000, 2)})
    return house


def done(result):
    assert (result.status, result.error) == ("done", None), result
    return result


def compose_labels(project: str, service: str, needs: str = "") -> dict[str, str]:
    """Return the labels that Compose gives a container."""
    labels = {"project": project, "service": service, "container-number": "1", "depends_on": needs}
    return {f"{COMPOSE}{key}": value for key, value in labels.items()}


def label_words(labels: dict[str, str]) -> list[str]:
    """Return the options of docker that set labels."""
    return [word for pair in labels.items() for word in ("--label", "=".join(pair))]


def create(
    engine: Engine,
    name: str,
    image: str = IMAGE,
    labels: dict[str, str] | None = None,
    options: Iterable[str] = (),
) -> str:
    """Create a container that is not started; return its name."""
    network = () if "--network" in options else ("--network", "none")
    words = label_words(labels or {})
    engine.docker("create", "--name", name, *network, *words, *options, image, "cat")
    return name


def image_with_labels(engine: Engine, name: str, labels: dict[str, str]) -> None:
    """Make an image that carries labels itself, as LABEL of a Dockerfile does."""
    made = create(engine, f"for-{name}")
    changes = (word for key, value in labels.items() for word in ("-c", f'LABEL "{key}"="{value}"'))
    engine.docker("commit", *changes, made, name)
    engine.docker("rm", made)
