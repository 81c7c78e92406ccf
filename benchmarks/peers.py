"""Compared programs, with one interface: init, backup, restore, stored.

A new peer is a class here and its name in PEERS. Each keeps everything it writes below its own
folder.
"""

import json
import shlex
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from benchmarks import measure
from benchmarks.measure import Cost

PASSWORD = "correct horse battery staple"


class Peer(ABC):
    """Backup program with one tree to back up and one folder for everything it writes."""

    name: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]
    install: ClassVar[str]

    def __init__(self, tree: Path, home: Path) -> None:
        self.tree = tree
        self.home = home
        self.repository = home / "repository"
        self.password_file = home / "password"

    @classmethod
    def missing(cls) -> list[str]:
        """Return the names of the programs that this machine lacks."""
        return [program for program in cls.programs if not shutil.which(program)]

    def init(self) -> None:
        """Create a new, empty repository; not timed."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.repository.mkdir(parents=True)
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(f"{PASSWORD}\n")
        self.prepare()

    def stored(self) -> int:
        """Return the bytes that the repository takes on the disk."""
        return measure.stored(self.repository)

    def run(self, *command: str, cwd: Path | None = None) -> Cost:
        """Run one command of this peer and measure it."""
        return measure.run(command, env=self.environment(), cwd=cwd, log=self.home / "log")

    def environment(self) -> dict[str, str]:
        """Return the variables that tell the program its repository and password."""
        return {}

    @abstractmethod
    def version(self) -> Sequence[str]:
        """Return the command that prints the version."""

    @abstractmethod
    def prepare(self) -> None:
        """Set up the empty repository."""

    @abstractmethod
    def backup(self) -> Cost:
        """Back up the tree."""

    @abstractmethod
    def restore(self, target: Path) -> Cost:
        """Restore the newest backup into an empty folder."""


class Packrat(Peer):
    """The program of this repository, from the environment that runs the benchmark."""

    name = "packrat"
    programs = (f"{Path(sys.executable).parent}/packrat",)
    install = "make bench"

    @override
    def environment(self) -> dict[str, str]:
        return {
            "PACKRAT_CONFIG": str(self.home / "packrat.yaml"),
            "PACKRAT_STATE_DIR": str(self.home / "state"),
        }

    @override
    def version(self) -> Sequence[str]:
        return (*self.programs, "--version")

    @override
    def prepare(self) -> None:
        config = {
            "encryption": {"key_file": str(self.home / "key")},
            "services": {"bench": {"path": str(self.tree)}},
            "backup": {"local": {"path": str(self.repository)}},
        }
        (self.home / "packrat.yaml").write_text(json.dumps(config))  # JSON is YAML
        self.run(*self.programs, "init", "--password-file", str(self.password_file))

    @override
    def backup(self) -> Cost:
        return self.run(*self.programs, "backup", "bench")

    @override
    def restore(self, target: Path) -> Cost:
        return self.run(*self.programs, "restore", "bench", "--to", str(target), "--yes")


class Restic(Peer):
    """Restic: Go, content-defined chunks, zstd and AES-256-CTR with Poly1305."""

    name = "restic"
    programs = ("restic",)
    install = "apt-get install restic"

    @override
    def environment(self) -> dict[str, str]:
        return {
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_PASSWORD_FILE": str(self.password_file),
            "RESTIC_CACHE_DIR": str(self.home / "cache"),
        }

    @override
    def version(self) -> Sequence[str]:
        return ("restic", "version")

    @override
    def prepare(self) -> None:
        self.run("restic", "init", "--repository-version", "2")

    @override
    def backup(self) -> Cost:
        return self.run("restic", "backup", "--quiet", ".", cwd=self.tree)

    @override
    def restore(self, target: Path) -> Cost:
        return self.run("restic", "restore", "--quiet", "latest", "--target", str(target))


class Borg(Peer):
    """Borg: Python and C, content-defined chunks, zstd and AES-256-CTR with HMAC or BLAKE2."""

    name = "borg"
    programs = ("borg",)
    install = "apt-get install borgbackup"

    @override
    def environment(self) -> dict[str, str]:
        return {
            "BORG_REPO": str(self.repository),
            "BORG_PASSPHRASE": PASSWORD,
            "BORG_BASE_DIR": str(self.home / "base"),
        }

    @override
    def version(self) -> Sequence[str]:
        return ("borg", "--version")

    @override
    def prepare(self) -> None:
        self.run("borg", "init", "--encryption", "repokey")
        self.backups = 0

    @override
    def backup(self) -> Cost:
        self.backups += 1
        name = f"::{self.backups}"
        return self.run("borg", "create", "--compression", "zstd,3", name, ".", cwd=self.tree)

    @override
    def restore(self, target: Path) -> Cost:
        return self.run("borg", "extract", "--numeric-ids", f"::{self.backups}", cwd=target)


class Pipeline(Peer):
    """Shell pipeline as one would write it; always the whole tree, in one file."""

    name = "tar"
    programs = ("bash", "tar", "zstd", "openssl")
    install = "apt-get install tar zstd openssl"

    @property
    def cipher(self) -> str:
        """Return the openssl command, for either direction."""
        password = shlex.quote(f"file:{self.password_file}")
        return f"openssl enc -aes-256-ctr -pbkdf2 -pass {password}"

    @property
    def archive(self) -> str:
        """Return the path of the one file, quoted for the shell."""
        return shlex.quote(str(self.repository / "backup"))

    @override
    def version(self) -> Sequence[str]:
        return ("tar", "--version")

    @override
    def prepare(self) -> None:
        """Do nothing: there is nothing to set up."""

    @override
    def backup(self) -> Cost:
        line = f"tar -cf - . | zstd -q -3 -T0 | {self.cipher} >{self.archive}"
        return self.shell(line, cwd=self.tree)

    @override
    def restore(self, target: Path) -> Cost:
        line = f"{self.cipher} -d <{self.archive} | zstd -q -d | tar -xpf -"
        return self.shell(line, cwd=target)

    def shell(self, line: str, cwd: Path) -> Cost:
        """Run a shell line that fails if any part of it does."""
        return self.run("bash", "-o", "pipefail", "-c", line, cwd=cwd)


PEERS: tuple[type[Peer], ...] = (Packrat, Restic, Borg, Pipeline)
